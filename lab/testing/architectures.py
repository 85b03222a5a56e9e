"""Checks of architectures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from lab.testing.conformance import Conformance, kit_of, on_every_example, skip
from lab.testing.example import Example
from lab.testing.finding import Finding
from lab.testing.probe import clear_error, leaves, no_global_randomness, same, seeded
from lab.training.rng import Streams
from lab.training.weights import load_weights, save_weights

__all__ = ["ArchitectureConformance"]

TOLERANCE = 1e-4


class ArchitectureConformance(Conformance):
    """The checks of architectures: a class or function that gives an ``nn.Module``."""

    kind = "architectures"

    def build(self, example: Example, seed: int = 0) -> nn.Module:
        """Return the model for ``example``, with the initial weights of ``seed``."""
        with Streams(seed).initializing():
            model = self.resolved.build(example.facts)
        if not isinstance(model, nn.Module):
            raise Finding(f"{self.label} must give an nn.Module, not {type(model).__name__}")
        return model

    def try_on(self, example: Example) -> None:
        example.forward(self.build(example), example.batch())

    def evaluated(self, model: nn.Module, example: Example, batch: Any) -> Tensor:
        """Return the output for ``batch`` in evaluation mode."""
        # The caller keeps the mode: a check that trains sets it again.
        model.eval()
        with torch.no_grad():
            return example.forward(model, batch)

    @on_every_example
    def test_output_has_the_shape_of_the_target(self, example: Example) -> None:
        """One prediction for every target."""
        batch = example.batch()
        given, expected = example.forward(self.build(example), batch).shape, example.output(batch, seeded()).shape
        if given != expected:
            raise Finding(f"{self.label} gives the shape {tuple(given)}, not {tuple(expected)}")

    @on_every_example
    def test_takes_a_batch_of_one(self, example: Example) -> None:
        """The last batch of an epoch may hold a single example."""
        batch = example.batch("valid", 1)
        given = self.evaluated(self.build(example), example, batch).shape
        expected = example.output(batch, seeded()).shape
        if given != expected:
            raise Finding(
                f"{self.label} gives the shape {tuple(given)} for one example, not {tuple(expected)}",
                hint="squeeze no batch dimension",
            )

    @on_every_example
    def test_loss_is_finite(self, example: Example) -> None:
        """A fresh model gives numbers, not NaN or infinity."""
        loss = self._training_loss(self.build(example), example)
        if not bool(torch.isfinite(loss)):
            raise Finding(f"{self.label}: the first loss is {loss.item()}", hint="check the initial weights")

    @on_every_example
    def test_gradients_reach_every_trainable_parameter(self, example: Example) -> None:
        """Every parameter gets a gradient, and every tensor that gets one is a parameter."""
        model = self.build(example)
        loss = self._training_loss(model, example)
        # Compared by identity: two weights may have equal values.
        known = {id(weight) for weight in model.parameters()}
        # A layer in a plain list learns, but no optimizer sees it and no checkpoint holds it.
        foreign = [leaf for leaf in leaves(loss) if id(leaf) not in known]
        if foreign:
            raise Finding(
                f"{self.label} learns {_place(model, foreign[0])}, which is not in its parameters()",
                hint="make it an nn.Parameter of the module, and keep layers in nn.ModuleList, not in a list",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        # A weight without gradient moves under weight decay, and DDP waits for its gradient for ever.
        missed = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
        if missed:
            raise Finding(f"{self.label}: no gradient reaches {', '.join(missed)}", hint="use it, or leave it out")

    @on_every_example
    def test_same_seed_gives_the_same_output(self, example: Example) -> None:
        """Two models of one seed have the same weights and give the same output."""
        # Runs of two arms form pairs only if a seed gives the same weights every time.
        first, second = self.build(example), self.build(example)
        batch = example.batch()
        if not same(first.state_dict(), second.state_dict()) or not same(
            self.evaluated(first, example, batch), self.evaluated(second, example, batch)
        ):
            raise Finding(
                f"{self.label}: two models of the same seed differ", hint="draw initial weights with torch alone"
            )

    @on_every_example
    def test_evaluation_is_deterministic(self, example: Example) -> None:
        """In evaluation mode the same batch gives the same output."""
        model, batch = self.build(example), example.batch()
        if not same(self.evaluated(model, example, batch), self.evaluated(model, example, batch)):
            raise Finding(
                f"{self.label}: the same batch gives two outputs in evaluation mode",
                hint="dropout must ask self.training: nn.Dropout, or functional.dropout(x, p, self.training)",
            )

    @on_every_example
    def test_training_and_evaluation_differ_only_by_dropout(self, example: Example) -> None:
        """Without dropout, and with batch norm at rest, both modes give the same output."""
        model, batch = self.build(example), example.batch()
        expected = self.evaluated(model, example, batch)
        with torch.no_grad():
            given = example.forward(_without_randomness(model.train()), batch)
        if not same(given, expected, TOLERANCE):
            raise Finding(
                f"{self.label}: training and evaluation differ by more than dropout",
                hint="a probability is found by its name: nn.Dropout, or an attribute with 'dropout' in it",
            )

    @on_every_example
    def test_padding_does_not_leak(self, example: Example) -> None:
        """More padding changes nothing at the real positions."""
        batch = example.batch()
        padded = example.with_extra_padding(batch)
        if padded is None:
            skip(f"the examples of '{example.name}' are not padded")
        model = self.build(example)
        # Padding depends on the other examples of a batch, so a leak makes an output depend on its neighbors.
        before, after = (
            _without_padding(self.evaluated(model, example, each), example, each) for each in (batch, padded)
        )
        if not same(before, after, TOLERANCE):
            difference = float((before - after).abs().max()) if before.shape == after.shape else float("nan")
            raise Finding(
                f"{self.label}: padding leaks: with more of it, real positions change by up to {difference:.3g}",
                hint="mask padding, or pack the sequences",
            )

    @on_every_example
    def test_keeps_the_protocol_of_its_family(self, example: Example) -> None:
        """Beyond its forward pass it does what its family asks for, such as decoding step by step, if it offers it."""
        protocols = kit_of(self.plugins).protocols.get(example.name)
        if not protocols:
            skip(f"models on '{example.name}' have their forward pass only")
        for protocol in protocols:
            with torch.no_grad():
                protocol(self.build(example).eval(), example, example.batch())

    @on_every_example
    def test_weights_survive_safetensors(self, example: Example) -> None:
        """Weights that are saved and loaded into a model of another seed give the same output."""
        # The second model has other weights, so that whatever is not saved shows.
        model, other, batch = self.build(example), self.build(example, seed=1), example.batch()
        with TemporaryDirectory() as folder:
            save_weights(model, Path(folder) / "model.safetensors")
            load_weights(other, Path(folder) / "model.safetensors")
        if not same(self.evaluated(model, example, batch), self.evaluated(other, example, batch)):
            raise Finding(
                f"{self.label}: something that decides its output is not in its state_dict()",
                hint="make it a parameter or a buffer: self.register_buffer(name, tensor)",
            )

    @on_every_example
    def test_moves_to_double_precision(self, example: Example) -> None:
        """``model.double()`` computes in double precision, with every tensor that it holds."""
        model = self.build(example).double()
        # Ids and masks stay integers and bools.
        batch = tree_map_only(Tensor, lambda each: each.double() if each.is_floating_point() else each, example.batch())
        output = self.evaluated(model, example, batch)
        if output.dtype != torch.float64:
            raise Finding(f"{self.label}: in double precision its output is {str(output.dtype).removeprefix('torch.')}")

    @on_every_example
    def test_moves_to_another_device(self, example: Example) -> None:
        """``model.to(device)`` takes every tensor along; on a GPU, where there is one, it gives the same output."""
        # Moving to "meta" needs no second device, and a tensor that stays behind is told by its device.
        left = list(_left_behind(self.build(example).to("meta")))
        if left:
            raise Finding(
                f"{self.label}: {left[0]} stays behind when the model moves to another device",
                hint="make it a parameter or a buffer, and keep layers in nn.ModuleList or nn.ModuleDict",
            )
        # Sums are taken in another order there, hence the tolerance.
        if torch.cuda.is_available():
            model, batch = self.build(example), example.batch()
            expected = self.evaluated(model, example, batch)
            given = self.evaluated(model.to("cuda"), example, tree_map_only(Tensor, Tensor.cuda, batch))
            if not same(given.cpu(), expected, 1e-2):
                raise Finding(f"{self.label}: on the GPU it gives another output")

    @on_every_example
    def test_uses_no_global_random_state(self, example: Example) -> None:
        """It is built from torch's generator, which the run seeds, and draws nothing in evaluation."""
        hint = "draw initial weights with torch; in evaluation draw nothing"
        # Initial weights are drawn from torch's generator, which the run seeds; NumPy's and Python's are not for that.
        with no_global_randomness(f"{self.label}, while it is built,", torch_too=False, hint=hint):
            model = self.build(example)
        batch = example.batch()
        with no_global_randomness(f"{self.label}, in evaluation,", hint=hint):
            self.evaluated(model, example, batch)

    @on_every_example
    def test_wrong_shape_gives_a_clear_error(self, example: Example) -> None:
        """A batch of a shape that cannot be right is refused, with the shapes in the message."""
        model, batch = self.build(example), example.wrong_shape_batch(example.batch())
        clear_error(lambda: self.evaluated(model, example, batch), f"{self.label}: a batch of a wrong shape")

    def _training_loss(self, model: nn.Module, example: Example) -> Tensor:
        batch = example.batch()
        return example.loss(example.forward(model.train(), batch), example.target(batch))


def _without_padding(output: Tensor, example: Example, batch: Any) -> Tensor:
    mask = example.padding_mask(batch)
    return output if mask is None else output[~mask]


def _without_randomness(model: nn.Module) -> nn.Module:
    """Set every dropout probability to 0 and batch norm to evaluation mode."""
    for module in model.modules():
        # Dropout layers of other libraries are found by their names.
        is_dropout = "drop" in type(module).__name__.lower()
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and ("dropout" in name or (name == "p" and is_dropout)):
                setattr(module, name, 0.0)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


_OF_TORCH = ("_parameters", "_buffers", "_modules", "_flat_weights", "_flat_weight_refs")


def _left_behind(model: nn.Module) -> Iterator[str]:
    """Iterate over tensors and layers in plain attributes that did not move to ``meta``."""
    for place, module in model.named_modules():
        for name, value in vars(module).items():
            # Parameters and buffers move by themselves; only plain attributes can stay behind.
            if name not in _OF_TORCH and any(tensor.device.type != "meta" for tensor in _tensors(value)):
                kind = "the tensor" if isinstance(value, Tensor) else "what is in"
                yield f"{kind} '{'.'.join(filter(None, (place, name)))}'"


def _tensors(value: Any) -> Iterator[Tensor]:
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif isinstance(leaf, nn.Module):
            yield from leaf.state_dict(keep_vars=True).values()


def _place(model: nn.Module, leaf: Tensor) -> str:
    """Return the attribute of a model that holds a tensor, or the tensor's shape."""
    for place, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in _OF_TORCH and any(tensor is leaf for tensor in _tensors(value)):
                return f"'{'.'.join(filter(None, (place, name)))}'"
    return f"a tensor of shape {tuple(leaf.shape)}"
