"""Model summary: shapes, parameters and FLOPs of one batch, per layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lab.errors import LabError
from lab.training.data import to_device
from lab.training.state import Training
from lab.training.tools.preserve import preserved

__all__ = ["LayerSummary", "Summary", "summarize"]

Shape = tuple[int, ...]


@attrs.frozen
class LayerSummary:
    """One layer: a module that has no others inside, or has weights of its own.

    Attributes:
        name: its path in the model, ``encoder.rnn``.
        kind: its class.
        inputs, outputs: shapes of the tensors that it was given and gave, at its first call.
        calls: how often it was called for one batch.
        parameters, trainable: number of its own weights, and of those that training changes; a weight that an earlier
            layer holds too is counted there.
        flops: multiplications and additions of all its calls, in the forward pass.
    """

    name: str
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    calls: int
    parameters: int
    trainable: int
    flops: int


@attrs.frozen
class Summary:
    """A model, layer by layer; printed, it is a table.

    Attributes:
        layers: in the order of their first call; layers that were not called come last.
        parameters, trainable: of the whole model.
        flops: of one forward pass over the batch, with what is computed outside of layers. Counted are products of
            matrices, convolutions and recurrences, as by ``torch.utils.flop_counter``; not element by element work.
    """

    layers: Sequence[LayerSummary]
    parameters: int
    trainable: int
    flops: int

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per layer, for example for ``pandas.DataFrame(summary.to_rows())``."""
        return [attrs.asdict(layer) for layer in self.layers]

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        table = Table()
        for name in ("layer", "kind", "input", "output"):
            table.add_column(name)
        for name in ("parameters", "trainable", "FLOPs"):
            table.add_column(name, justify="right")
        for layer in self.layers:
            table.add_row(*_cells(layer))
        console = Console(width=140, no_color=True)
        with console.capture() as capture:
            console.print(table)
        return (
            f"{capture.get()}{self.parameters:,} parameters, {self.trainable:,} trainable; "
            f"{self.flops / 1e6:,.1f} million FLOPs forward"
        )


def _cells(layer: LayerSummary) -> Iterator[str]:
    yield layer.name
    yield layer.kind if layer.calls == 1 else f"{layer.kind} × {layer.calls}"
    for shapes in (layer.inputs, layer.outputs):
        yield " ".join("×".join(map(str, shape)) or "scalar" for shape in shapes)
    yield f"{layer.parameters:,}"
    yield "yes" if layer.parameters and layer.trainable == layer.parameters else f"{layer.trainable:,}"
    yield f"{layer.flops:,}"


def summarize(learner: Training, batch: Any = None) -> Summary:
    """Run one batch through the learner's validation step and record every layer.

    The learner is left as it was.

    Args:
        learner: the learner.
        batch: as the stepper takes it; None takes the first one of the training split.

    Raises:
        LabError: the stepper calls no layer of the model.
    """
    if batch is None:
        learner.train_sampler.start_at(0)
        batch = next(iter(learner.train_loader))
    model = learner.model
    # a module with children is listed only for weights of its own
    names = {
        module: name
        for name, module in model.named_modules()
        if not list(module.children()) or list(module.parameters(recurse=False))
    }
    calls: Counter[nn.Module] = Counter()
    shapes: dict[nn.Module, tuple[tuple[Shape, ...], tuple[Shape, ...]]] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        calls[module] += 1
        shapes.setdefault(module, (_shapes(inputs), _shapes(output)))

    with preserved(learner), learner.evaluating(), _flop_counter() as counter, ExitStack() as hooks:
        for module in names:
            hooks.callback(module.register_forward_hook(note).remove)
        learner.stepper.valid_step(to_device(batch, learner.device))
    if not calls:
        raise LabError("no layer of the model was called", where=type(learner.stepper).__name__)
    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    root, seen = type(model).__name__, set[nn.Parameter]()
    layers = []
    for module in [*calls, *(module for module in names if module not in calls)]:
        own = set(module.parameters(recurse=False)) - seen
        seen |= own
        name = names[module]
        layers.append(
            LayerSummary(
                name or root,
                type(module).__name__,
                *shapes.get(module, ((), ())),
                calls[module],
                *_sizes(own),
                flops.get(f"{root}.{name}" if name else root, 0),
            )
        )
    return Summary(layers, *_sizes(model.parameters()), counter.get_total_flops())


def _sizes(weights: Iterable[nn.Parameter]) -> tuple[int, int]:
    """Return the number of elements, and of those that are trained."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in weights]
    return sum(size for size, _ in sizes), sum(size for size, is_trained in sizes if is_trained)


def _shapes(tree: Any) -> tuple[Shape, ...]:
    return tuple(tuple(leaf.shape) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _flop_counter() -> FlopCounterMode:
    # torch's counter does not know the kernel by which a CPU computes a whole LSTM
    kernels = {torch.ops.aten.mkldnn_rnn_layer: _lstm_flops}
    return FlopCounterMode(display=False, custom_mapping=kernels)


def _lstm_flops(x_shape: Shape, w1_shape: Shape, w2_shape: Shape, *_: Any, **__: Any) -> int:
    # both products of every step: input and hidden state with their weights, (4 H, I) and (4 H, H)
    steps, batch = x_shape[0], x_shape[1]
    return 2 * steps * batch * (w1_shape[0] * w1_shape[1] + w2_shape[0] * w2_shape[1])
