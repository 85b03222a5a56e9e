"""Any learning-rate scheduler of ``torch.optim.lr_scheduler``, and of libraries that follow it, as a schedule.

The scheduler runs once on an optimizer of a single number, and its rates become a curve over the steps of the fit. So
it is drawn before anything runs, and a resumed fit continues exactly, whatever the scheduler keeps inside.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lab.errors import ParameterError
from lab.training.schedules import Schedule

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["FILLED", "TorchSchedule"]

FILLED = ("T_max", "total_steps")
"""Parameters of schedulers that are the length of the fit, unless they are given."""


class TorchSchedule(Schedule):
    """A scheduler of PyTorch: ``use("torch_schedule", scheduler=use(StepLR, step_size=3))``.

    Rates that the scheduler names itself (``max_lr``, ``eta_min``) are those of the last layer group; other groups keep
    their ratio to it. A scheduler that moves the momentum moves it here, too. ``T_max`` and ``total_steps`` are the
    length of the fit unless they are given. Schedulers multiply as all schedules do: with ``warmup``, this one starts
    after a warm-up.

    Args:
        scheduler: a name of ``lab list torch_schedulers``, or a class, with its parameters.
        every: what the scheduler counts: epochs, or steps (``one_cycle_lr`` and ``cyclic_lr`` are made for these).

    Raises:
        ParameterError: the scheduler refuses its parameters, or needs a metric as ``ReduceLROnPlateau`` does.
    """

    def __init__(self, *, scheduler: Callable[..., LRScheduler], every: Literal["epoch", "step"] = "epoch") -> None:
        self.scheduler, self.every = scheduler, every
        self._rate = 1.0
        self._curves: dict[Any, tuple[list[float], list[float] | None]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the curves are computed again from the scheduler."""
        return {}

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        factors, _ = self._curve(steps, steps_per_epoch)
        return factors[self._count(step, steps_per_epoch)]

    def momentum_at(self, step: int, steps: int, steps_per_epoch: int) -> float | None:
        _, momenta = self._curve(steps, steps_per_epoch)
        return None if momenta is None else momenta[self._count(step, steps_per_epoch)]

    def check_length(self, steps: int, steps_per_epoch: int) -> None:
        self._curve(steps, steps_per_epoch)

    def check(self, learner: Learner) -> None:
        self._rate = _rate_of(learner)
        super().check(learner)

    def before_fit(self, learner: Learner) -> None:
        self._rate = _rate_of(learner)
        super().before_fit(learner)

    def _count(self, step: int, steps_per_epoch: int) -> int:
        return step if self.every == "step" else step // steps_per_epoch

    def _curve(self, steps: int, steps_per_epoch: int) -> tuple[list[float], list[float] | None]:
        """Return the factors, and the momenta if the scheduler moves them, of every count of a fit."""
        count = steps if self.every == "step" else math.ceil(steps / steps_per_epoch)
        if (count, self._rate) not in self._curves:
            self._curves[count, self._rate] = self._run(count)
        return self._curves[count, self._rate]

    def _run(self, count: int) -> tuple[list[float], list[float] | None]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=self._rate, momentum=0.9)
        try:
            scheduler = self.scheduler(optimizer, **self._lengths(count))
            if isinstance(scheduler, ReduceLROnPlateau):
                raise self._error("this scheduler asks for a metric", "callbacks=['on_plateau'] reduces by a metric")
            rates, momenta = [], []
            for number in range(count):
                if number:
                    # torch warns where the optimizer was not stepped; without gradients it moves nothing
                    optimizer.step()
                    scheduler.step()
                (group,) = optimizer.param_groups
                rates.append(float(group["lr"]))
                momenta.append(float(group["momentum"]))
        except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
            raise self._error(f"the scheduler cannot be run over {count} {self.every}s: {error}") from error
        if not all(map(math.isfinite, rates)):
            raise self._error("the scheduler gives learning rates that are not finite")
        moved = any(momentum != 0.9 for momentum in momenta)
        return [rate / self._rate for rate in rates], momenta if moved else None

    def _lengths(self, count: int) -> dict[str, int]:
        """Return the length of the fit under the name that the scheduler has for it."""
        keywords = getattr(self.scheduler, "keywords", {})
        function = getattr(self.scheduler, "func", self.scheduler)
        known = inspect.signature(function).parameters
        given = {name for name, value in keywords.items() if value is not None}
        # with epochs and steps_per_epoch a cycle has its length already
        names = [name for name in FILLED if name in known and name not in given and "epochs" not in given]
        return dict.fromkeys(names, count)

    def _error(self, what: str, hint: str | None = None) -> ParameterError:
        return ParameterError(what, where="callback 'torch_schedule'", hint=hint)


def _rate_of(learner: Learner) -> float:
    """Return the learning rate of the last layer group; 1 where it is 0, which has no factors."""
    return float(learner.optimizer.param_groups[-1]["initial_lr"]) or 1.0
