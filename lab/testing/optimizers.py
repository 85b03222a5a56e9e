"""Checks of optimizers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.testing.conformance import Conformance
from lab.testing.finding import Finding
from lab.testing.probe import no_global_randomness, same, seeded
from lab.training.weights import read_tree, write_tree

__all__ = ["OptimizerConformance"]

LR = 0.02


class OptimizerConformance(Conformance):
    """The checks of optimizers: ``factory(param_groups, lr, …)`` gives a ``torch.optim.Optimizer``."""

    kind = "optimizers"

    def build(self, weights: list[nn.Parameter]) -> Optimizer:
        """Return the optimizer over two groups, as a learner makes it."""
        # As a learner makes them: schedules multiply "initial_lr".
        groups = [{"params": [weight], "lr": LR, "initial_lr": LR} for weight in weights]
        optimizer = self.resolved.partial({})(groups, lr=LR)
        if not isinstance(optimizer, Optimizer):
            raise Finding(f"{self.label} must give a torch.optim.Optimizer, not {type(optimizer).__name__}")
        return optimizer

    def exercise(self) -> None:
        weights = _weights()
        self._steps(self.build(weights), weights, 2)

    def test_keeps_the_groups_of_the_learner(self) -> None:
        """One group per layer group, with its own rates, so that schedules find them."""
        weights = _weights()
        groups = self.build(weights).param_groups
        if [[id(weight) for weight in group["params"]] for group in groups] != [[id(weight)] for weight in weights]:
            raise Finding(f"{self.label} does not keep the parameter groups it is given")
        if any(group.get("initial_lr") != LR or group.get("lr") != LR for group in groups):
            raise Finding(f"{self.label} loses a group's 'lr' or 'initial_lr'", hint="hand the groups on as they are")

    def test_descends(self) -> None:
        """It approaches the minimum of a quadratic bowl."""
        weights = _weights()
        before = _bowl(weights).item()
        self._steps(self.build(weights), weights, 30)
        after = _bowl(weights).item()
        if not after < before:
            raise Finding(f"{self.label}: after 30 steps a bowl of height {before:.3g} stands at {after:.3g}")

    def test_follows_the_learning_rate_of_its_groups(self) -> None:
        """A schedule that sets ``group["lr"]`` to 0 stops it."""
        weights = _weights()
        optimizer = self.build(weights)
        self._steps(optimizer, weights, 2)
        for group in optimizer.param_groups:
            # Schedules write into the groups between two steps.
            group["lr"] = 0.0
        before = [weight.detach().clone() for weight in weights]
        self._steps(optimizer, weights, 1)
        if not same(before, [weight.detach() for weight in weights]):
            raise Finding(f"{self.label} moves weights at lr=0", hint="read the rate from group['lr'] at every step")

    def test_keeps_weights_without_gradient(self) -> None:
        """A frozen weight stays where it is."""
        weights = _weights()
        optimizer = self.build(weights)
        before = weights[1].detach().clone()
        weights[0].square().sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not same(before, weights[1].detach()):
            raise Finding(f"{self.label} moves a weight that has no gradient")

    def test_same_gradients_give_the_same_steps(self) -> None:
        """Nothing but gradients, rates and its own state decides a step."""
        ends = []
        for _ in range(2):
            weights = _weights()
            self._steps(self.build(weights), weights, 3)
            ends.append([weight.detach() for weight in weights])
        if not same(ends[0], ends[1]):
            raise Finding(f"{self.label}: the same gradients give two results")

    def test_state_survives_a_checkpoint(self) -> None:
        """Saved after three steps and loaded, it goes on with the same numbers."""
        weights, others = _weights(), _weights()
        straight, resumed = self.build(weights), self.build(others)
        self._steps(straight, weights, 3)
        with TemporaryDirectory() as folder:
            write_tree(straight.state_dict(), Path(folder), "state")
            resumed.load_state_dict(read_tree(Path(folder), "state"))
        with torch.no_grad():
            for mine, theirs in zip(others, weights, strict=True):
                # A checkpoint restores the weights, too.
                mine.copy_(theirs)
        self._steps(straight, weights, 3)
        self._steps(resumed, others, 3)
        if not same([w.detach() for w in weights], [w.detach() for w in others]):
            raise Finding(
                f"{self.label}: after a checkpoint it goes on with other numbers",
                hint="keep everything in self.state[parameter] and in the groups",
            )

    def test_uses_no_global_random_state(self) -> None:
        """It draws nothing."""
        weights = _weights()
        with no_global_randomness(self.label):
            self._steps(self.build(weights), weights, 2)

    def _steps(self, optimizer: Optimizer, weights: list[nn.Parameter], count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            _bowl(weights).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _weights() -> list[nn.Parameter]:
    generator = seeded()
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,))]


def _bowl(weights: list[nn.Parameter]) -> Tensor:
    return torch.stack([weight.square().sum() for weight in weights]).sum()
