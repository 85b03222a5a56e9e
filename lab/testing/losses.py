"""Checks of losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lab.testing.conformance import Conformance, on_every_example
from lab.testing.example import Example
from lab.testing.finding import Finding
from lab.testing.probe import clear_error, no_global_randomness, same, seeded

__all__ = ["LossConformance"]


class LossConformance(Conformance):
    """The checks of losses: ``fn(output, target, …)`` or an ``nn.Module`` class."""

    kind = "losses"

    def build(self, example: Example) -> Callable[[Any, Any], Tensor]:
        """Return the loss for ``example``, called as ``loss(output, target)``."""
        # A class is built once and its instance called; a function is called with output and target.
        is_class = isinstance(self.resolved.factory, type)
        loss = self.resolved.build(example.facts) if is_class else self.resolved.partial(example.facts)
        if isinstance(loss, nn.Module):
            loss.train()
        return loss

    def try_on(self, example: Example) -> None:
        self._loss(example)

    @on_every_example
    def test_gives_a_finite_scalar(self, example: Example) -> None:
        """One number per batch."""
        loss = self._loss(example)
        if not isinstance(loss, Tensor) or loss.dim() != 0:
            given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise Finding(f"{self.label} must give a scalar tensor, not {given}", hint="take the mean over the batch")
        if not bool(torch.isfinite(loss)):
            raise Finding(f"{self.label} gives {loss.item()} for a random output")

    @on_every_example
    def test_takes_a_batch_of_one(self, example: Example) -> None:
        """The last batch of an epoch may hold a single example."""
        batch = example.batch(size=1)
        loss = self.build(example)(example.output(batch, seeded()), example.target(batch))
        if not isinstance(loss, Tensor) or loss.dim() != 0 or not bool(torch.isfinite(loss)):
            raise Finding(f"{self.label} gives {loss} for a batch of one example", hint="squeeze no batch dimension")

    @on_every_example
    def test_is_differentiable(self, example: Example) -> None:
        """A finite gradient reaches the output."""
        batch = example.batch()
        # The output is a leaf here, as if it came from a model.
        output = example.output(batch, seeded()).requires_grad_()
        loss = self.build(example)(output, example.target(batch))
        if not loss.requires_grad:
            raise Finding(f"{self.label} gives a loss without gradient", hint="compute it from the output with torch")
        loss.backward()  # type: ignore[no-untyped-call]
        if output.grad is None or not bool(torch.isfinite(output.grad).all()) or not bool(output.grad.any()):
            raise Finding(f"{self.label}: the gradient of the output is missing, zero or not finite")

    @on_every_example
    def test_is_a_mean_over_the_batch(self, example: Example) -> None:
        """A batch that holds everything twice has the same loss, so batches of any size can be compared."""
        batch, dim = example.batch(), example.batch_dim
        output, target = example.output(batch, seeded()), example.target(batch)
        loss = self.build(example)
        # A sum would make the learning rate depend on the batch size.
        once, twice = loss(output, target), loss(torch.cat([output, output], dim), torch.cat([target, target], dim))
        if not same(once, twice, 1e-4):
            raise Finding(
                f"{self.label}: what costs {float(once):.4g} costs {float(twice):.4g} when the batch holds it twice",
                hint="take the mean over the batch, not the sum",
            )

    @on_every_example
    def test_is_lower_for_a_perfect_output(self, example: Example) -> None:
        """A perfect output has a lower loss than a random one."""
        batch = example.batch()
        loss, target = self.build(example), example.target(batch)
        perfect, other = loss(example.perfect_output(batch), target), loss(example.output(batch, seeded()), target)
        if not float(perfect) < float(other):
            raise Finding(
                f"{self.label}: a perfect output costs {float(perfect):.4g}, a random one {float(other):.4g}",
                hint="a loss is made small: check its sign, and what its arguments are",
            )

    @on_every_example
    def test_same_input_gives_the_same_loss(self, example: Example) -> None:
        """It does not change its arguments, and gives the same value at every call."""
        batch = example.batch()
        output, target = example.output(batch, seeded()), example.target(batch)
        # Metrics see the same tensors after the loss.
        copies = output.clone(), target.clone()
        loss = self.build(example)
        if not same(loss(output, target), loss(output, target)):
            raise Finding(f"{self.label}: the same output and target give two losses")
        if not same((output, target), copies):
            raise Finding(f"{self.label} changes its arguments", hint="compute out of place")

    @on_every_example
    def test_keeps_double_precision(self, example: Example) -> None:
        """An output in double precision gives a loss in double precision."""
        batch = example.batch()
        loss = self.build(example)(example.output(batch, seeded()).double(), example.target(batch))
        if loss.dtype != torch.float64:
            raise Finding(f"{self.label}: a double-precision output gives {str(loss.dtype).removeprefix('torch.')}")

    @on_every_example
    def test_uses_no_global_random_state(self, example: Example) -> None:
        """It draws nothing."""
        with no_global_randomness(self.label):
            self._loss(example)

    @on_every_example
    def test_wrong_shape_gives_a_clear_error(self, example: Example) -> None:
        """Outputs and targets of different numbers of examples are refused."""
        batch = example.batch()
        output = example.output(batch, seeded())
        # Broadcasting would accept many wrong shapes in silence.
        shorter = output.narrow(example.batch_dim, 0, output.shape[example.batch_dim] - 1)
        loss, target = self.build(example), example.target(batch)
        clear_error(lambda: loss(shorter, target), f"{self.label}: an output for fewer examples than there are targets")

    def _loss(self, example: Example) -> Tensor:
        batch = example.batch()
        return self.build(example)(example.output(batch, seeded()), example.target(batch))
