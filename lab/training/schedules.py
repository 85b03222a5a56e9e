"""Schedules: learning rate and momentum as functions of the step.

A schedule is a callback whose only state is the position of training, so it can be drawn before anything runs, and a
run that is resumed in the middle of a cycle continues exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from lab.errors import ParameterError
from lab.training.callback import Callback
from lab.training.state import Training

__all__ = ["Curve", "OneCycle", "Schedule", "anneal", "combined"]


class Curve(NamedTuple):
    """A schedule, step by step.

    Attributes:
        factors: for every step, the factor of the learning rate of each group.
        momenta: for every step the momentum, or None where the schedule leaves it alone.
    """

    factors: list[float]
    momenta: list[float | None]


class Schedule(Callback, ABC):
    """Base class; a subclass returns the factor of the learning rate at a step.

    Every group of the optimizer moves between its own rates, ``group["lr"] = group["initial_lr"] · factor``. Several
    schedules in one run multiply: ``warmup`` with ``multistep`` is a warm-up in front of steps. If two of them set the
    momentum, the later one wins. After the fit, rates and momentum are as they were before it.
    """

    reads_metrics = False

    @abstractmethod
    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Return the factor of the learning rate at ``step`` (from 0) of a fit of ``steps``."""

    def momentum_at(self, step: int, steps: int, steps_per_epoch: int) -> float | None:
        """Return the momentum (``beta1`` of Adam and its kin) at ``step``, or None to leave it alone."""
        return None

    def check_length(self, steps: int, steps_per_epoch: int) -> None:
        """Raise a ParameterError if this schedule does not fit into a fit of ``steps``."""

    def curve(self, steps: int, steps_per_epoch: int) -> Curve:
        """Return the whole schedule, to be plotted before anything runs."""
        return combined([self], steps, steps_per_epoch)

    def check(self, learner: Training) -> None:
        self.check_length(learner.position.steps, learner.position.batches)

    def before_fit(self, learner: Training) -> None:
        self._schedules = [callback for callback in learner.callbacks if isinstance(callback, Schedule)]
        for group in learner.optimizer.param_groups:
            # setdefault, since every schedule of a fit comes by, and a resumed optimizer brings its own
            group.setdefault("initial_momentum", _momentum(group))

    def before_batch(self, learner: Training) -> None:
        if self._schedules[0] is not self:
            return  # the first one applies all of them
        position = learner.position
        factors, momentum = _at_step(self._schedules, position.step, position.steps, position.batches)
        for group in learner.optimizer.param_groups:
            # from the left, as schedules that scale one after the other
            group["lr"] = math.prod(factors, start=group["initial_lr"])
            _set_momentum(group, momentum)

    def after_fit(self, learner: Training) -> None:
        for group in learner.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
            _set_momentum(group, group.pop("initial_momentum", None))


def combined(schedules: Sequence[Schedule], steps: int, steps_per_epoch: int) -> Curve:
    """Return the curve of several schedules together: factors multiply, and the last momentum wins."""
    for schedule in schedules:
        schedule.check_length(steps, steps_per_epoch)
    points = [_at_step(schedules, step, steps, steps_per_epoch) for step in range(steps)]
    return Curve([math.prod(factors) for factors, _ in points], [momentum for _, momentum in points])


def _at_step(schedules: Sequence[Schedule], *at: int) -> tuple[list[float], float | None]:
    """Return the factors of all schedules at a step, and the momentum of the last one that sets it."""
    momenta = [schedule.momentum_at(*at) for schedule in schedules]
    last = next((momentum for momentum in reversed(momenta) if momentum is not None), None)
    return [schedule.factor(*at) for schedule in schedules], last


class OneCycle(Schedule):
    """One cycle over the whole fit: up from ``lr / div_factor`` to ``lr``, then down to almost nothing.

    Smith & Topin 2018, arXiv:1708.07120; the arithmetic is that of ``torch.optim.lr_scheduler.OneCycleLR`` with two
    phases. The experiment's ``lr`` is the highest. Momentum moves against it.

    Args:
        pct_start: share of the steps in which the rate rises, in [0, 1].
        div_factor: the first rate is ``lr / div_factor``.
        final_div_factor: the last rate is the first one divided by this.
        momentum: highest and lowest momentum, or None to leave it alone. An optimizer without momentum stays without.
        shape: the form of both phases, half a cosine or a straight line.
    """

    def __init__(
        self,
        *,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        momentum: tuple[float, float] | None = (0.95, 0.85),
        shape: Literal["cos", "linear"] = "cos",
    ) -> None:
        if not 0 <= pct_start <= 1:
            raise ParameterError(f"pct_start must lie in [0, 1], got {pct_start}", where="callback 'one_cycle'")
        if min(div_factor, final_div_factor) <= 0:
            given = f"div_factor={div_factor}, final_div_factor={final_div_factor}"
            raise ParameterError(f"both divisors must be positive, got {given}", where="callback 'one_cycle'")
        self.pct_start = pct_start
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.momentum = momentum
        self.shape = shape

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        first = 1 / self.div_factor
        return self._at(step, steps, first, 1.0, first / self.final_div_factor)

    def momentum_at(self, step: int, steps: int, steps_per_epoch: int) -> float | None:
        if self.momentum is None:
            return None
        high, low = self.momentum
        return self._at(step, steps, high, low, high)

    def _at(self, step: int, steps: int, first: float, peak: float, last: float) -> float:
        """Anneal from ``first`` to ``peak`` and on to ``last``; steps are counted as OneCycleLR counts them."""
        # a warm-up or a descent of no step jumps to its end
        turn, end = self.pct_start * steps - 1, steps - 1
        if step <= turn:
            return anneal(first, peak, step / turn if turn > 0 else 1.0, self.shape)
        return anneal(peak, last, (step - turn) / (end - turn) if end > turn else 1.0, self.shape)


def anneal(start: float, end: float, progress: float, shape: Literal["cos", "linear"] = "cos") -> float:
    """Interpolate between ``start`` (progress 0) and ``end`` (progress 1).

    >>> anneal(1.0, 0.0, 0.25, "linear")
    0.75
    >>> round(anneal(1.0, 0.0, 0.5), 6)
    0.5
    """
    if shape == "linear":
        return start + (end - start) * progress
    return end + (start - end) / 2 * (1 + math.cos(math.pi * progress))


def _momentum(group: dict[str, Any]) -> float | None:
    """Return the momentum of a group, or None if its optimizer has none."""
    if "betas" in group:
        return float(group["betas"][0])
    return group.get("momentum") or None


def _set_momentum(group: dict[str, Any], value: float | None) -> None:
    if value is None or _momentum(group) is None:
        return
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value
