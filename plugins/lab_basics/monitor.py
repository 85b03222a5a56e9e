"""Monitoring of one metric of the history for improvements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.errors import ParameterError
from lab.training.scoring import column_direction, directions

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["Monitor", "finished_epoch", "higher_is_better"]


class Monitor:
    """Best value so far of one column of the history, and the number of epochs since.

    Args:
        column: ``valid_loss``, ``train_loss`` or a metric such as ``valid_accuracy``.
        min_delta: smallest change that counts as an improvement, at least 0.
        owner: name of the callback, for error messages.
    """

    def __init__(self, column: str, min_delta: float, owner: str) -> None:
        if min_delta < 0:
            raise ParameterError(f"min_delta must be at least 0, got {min_delta}", where=f"callback '{owner}'")
        self.column, self.min_delta, self.owner = column, min_delta, owner
        self.best: float | None = None
        self.epochs_without = 0

    def begin(self, learner: Learner) -> None:
        """Reset before a fit, unless an earlier one is resumed."""
        if learner.position.step == 0:
            self.best, self.epochs_without = None, 0

    def improved(self, learner: Learner, row: dict[str, float]) -> bool:
        """Record a finished epoch and return True if its value is the best so far; NaN never is."""
        value = row[self.column]
        # NaN is not equal to itself.
        better = value == value and (self.best is None or self._gain(value, learner) > self.min_delta)
        if better:
            self.best = value
        self.epochs_without = 0 if better else self.epochs_without + 1
        return better

    def _gain(self, value: float, learner: Learner) -> float:
        assert self.best is not None
        return value - self.best if higher_is_better(self.column, learner) else self.best - value

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the epochs since."""
        return {"best": self.best, "epochs_without": self.epochs_without}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of ``state_dict``."""
        self.best, self.epochs_without = state["best"], state["epochs_without"]

    def check(self, learner: Learner) -> None:
        """Raise a ParameterError if no epoch of this learner will have the column, or if it has no direction."""
        column_direction(self.column, learner, f"callback '{self.owner}', parameter 'monitor'")


def higher_is_better(column: str, learner: Learner) -> bool:
    """Return the direction of a column, as its metric or callback defines it; False for a loss."""
    return directions(learner).get(column, False)


def finished_epoch(learner: Learner) -> dict[str, float] | None:
    """Return the row of the epoch in ``after_epoch``, or None if the epoch was cancelled."""
    if learner.history and learner.history[-1]["epoch"] == learner.epochs_done:
        return learner.history[-1]
    return None
