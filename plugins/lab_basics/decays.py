"""Learning rates that decay by a formula of time: polynomial, square root, exponential.

In a module of their own, so that runs with other schedules keep their keys.
"""

from __future__ import annotations

import math

from lab.errors import ParameterError
from lab.training.schedules import Schedule

__all__ = ["Exponential", "Polynomial"]


class Polynomial(Schedule):
    """Polynomial decay ``(beta t + 1)^-alpha``; ``square_root`` is the preset ``(t + 1)^-0.5``.

    *Dive into Deep Learning*, sections 12.4 and 12.11 (11.4 and 11.11 of the second Chinese edition). Torch's
    ``PolynomialLR`` is another one, ``(1 - t / T)^power``; it is a scheduler for ``torch_schedule``.

    Args:
        alpha: exponent, at least 0.
        beta: rate of the decay per unit of time, at least 0.
        by: unit of the time t: whole epochs, as the book's schedulers, or steps, as its optimization with noise.

    Raises:
        ParameterError: a value is out of range.
    """

    def __init__(self, *, alpha: float = 0.5, beta: float = 0.1, by: str = "epoch") -> None:
        _check(self, by, alpha=alpha, beta=beta)
        self.alpha, self.beta, self.by = alpha, beta, by

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        return float((self.beta * _time(step, steps_per_epoch, self.by) + 1) ** -self.alpha)


class Exponential(Schedule):
    """Exponential decay ``e^(-rate t)``.

    *Dive into Deep Learning*, section 12.4 (11.4). ``factor`` multiplies by a number every so many epochs instead.

    Args:
        rate: rate of the decay per unit of time, at least 0.
        by: unit of the time t: whole epochs or steps.

    Raises:
        ParameterError: a value is out of range.
    """

    def __init__(self, *, rate: float = 0.1, by: str = "epoch") -> None:
        _check(self, by, rate=rate)
        self.rate, self.by = rate, by

    def factor(self, step: int, steps: int, steps_per_epoch: int) -> float:
        return math.exp(-self.rate * _time(step, steps_per_epoch, self.by))


def _time(step: int, steps_per_epoch: int, by: str) -> int:
    return step if by == "step" else step // steps_per_epoch


def _check(schedule: Schedule, by: str, **values: float) -> None:
    where = f"callback '{schedule.name}'"
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ParameterError(f"{name} must be at least 0, got {value}", where=where)
    if by not in ("epoch", "step"):
        raise ParameterError(f"by must be 'epoch' or 'step', got '{by}'", where=where)
