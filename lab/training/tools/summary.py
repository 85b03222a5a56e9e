"""Model summary: shapes, parameters and FLOPs of one batch, per layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    watch = _Watch(learner.model)
    with preserved(learner), learner.evaluating(), watch.watching(), _flop_counter() as counter:
        learner.stepper.valid_step(to_device(batch, learner.device))
    if not watch.calls:
        raise LabError("no layer of the model was called", where=type(learner.stepper).__name__)
    flops = counter.get_flop_counts()
    layers = watch.layers({name: sum(counts.values()) for name, counts in flops.items()})
    weights = list(learner.model.parameters())
    return Summary(
        layers,
        sum(weight.numel() for weight in weights),
        sum(weight.numel() for weight in weights if weight.requires_grad),
        counter.get_total_flops(),
    )


class _Watch:
    """Hooks on every layer of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.names = {module: name for name, module in model.named_modules() if _is_layer(module)}
        self.calls: dict[nn.Module, int] = {}
        self.shapes: dict[nn.Module, tuple[tuple[Shape, ...], tuple[Shape, ...]]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        handles = [module.register_forward_hook(self._note) for module in self.names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.calls[module] = self.calls.get(module, 0) + 1
        self.shapes.setdefault(module, (tuple(_shapes(inputs)), tuple(_shapes(output))))

    def layers(self, flops: dict[str, int]) -> list[LayerSummary]:
        """Every layer, those that were called first."""
        root, seen = type(self.model).__name__, set[nn.Parameter]()
        found = []
        for module in [*self.calls, *(module for module in self.names if module not in self.calls)]:
            own = [w for w in module.parameters(recurse=False) if not (w in seen or seen.add(w))]  # type: ignore[func-returns-value]
            inputs, outputs = self.shapes.get(module, ((), ()))
            name = self.names[module]
            found.append(
                LayerSummary(
                    name or root,
                    type(module).__name__,
                    inputs,
                    outputs,
                    self.calls.get(module, 0),
                    sum(weight.numel() for weight in own),
                    sum(weight.numel() for weight in own if weight.requires_grad),
                    flops.get(f"{root}.{name}" if name else root, 0),
                )
            )
        return found


def _is_layer(module: nn.Module) -> bool:
    return next(module.children(), None) is None or next(module.parameters(recurse=False), None) is not None


def _shapes(tree: Any) -> tuple[Shape, ...]:
    return tuple(tuple(leaf.shape) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _flop_counter() -> FlopCounterMode:
    """torch's counter, and the recurrences that a CPU computes in one kernel."""
    kernels = {torch.ops.aten.mkldnn_rnn_layer: _lstm_flops}
    return FlopCounterMode(display=False, custom_mapping=kernels)


def _lstm_flops(x_shape: Shape, w1_shape: Shape, w2_shape: Shape, *_: Any, **__: Any) -> int:
    """Both products of every step: input and hidden state with their weights, (4 H, I) and (4 H, H)."""
    steps, batch = x_shape[0], x_shape[1]
    return 2 * steps * batch * (w1_shape[0] * w1_shape[1] + w2_shape[0] * w2_shape[1])
