"""The epoch that is reported, without the optimism of choosing it by the split that it is reported on.

The best of ten noisy epochs looks better than it is, and the noisier arm looks better by more: with epoch noise 1 : 3
between two equal arms the verdict is wrong in most studies. Reporting the last epoch, or the mean of the last few, is
free of that. So is cross-fitting: one half of the examples chooses the epoch, the other reports it, and both halves
change places.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from lab import Callback
from lab.errors import ParameterError
from lab.training.scoring import column_direction

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["CrossFitted", "LastEpochs", "cross_fitted"]


def cross_fitted(halves: np.ndarray, *, higher_is_better: bool) -> np.ndarray:
    """Return the score of the best epoch where each half of the examples is scored at the epoch that the other chose.

    Args:
        halves: scores (..., 2, epochs) of both halves.
        higher_is_better: the direction.

    Shapes:
        halves (..., 2, epochs) -> (...)

    >>> float(cross_fitted(np.array([[3.0, 1.0, 2.0], [3.0, 2.0, 1.5]]), higher_is_better=False))
    2.0
    """
    chosen = halves.argmax(axis=-1) if higher_is_better else halves.argmin(axis=-1)
    other = np.take_along_axis(halves, chosen[..., ::-1, None], axis=-1)[..., 0]
    mean: np.ndarray = other.mean(axis=-1)
    return mean


def half_of_examples(count: int) -> np.ndarray:
    """Return which examples belong to the first half, the same in every run (count,) bool."""
    order = np.random.default_rng(0).permutation(count)
    return order < count // 2


class LastEpochs(Callback):
    """Mean of a column over the last epochs, as a column ``last_<count>_<of>``.

    ``Study(..., compare="last_3_valid_loss")`` then compares arms by it: less noisy than one epoch, and nothing is
    chosen by it.

    Args:
        of: a column of the history.
        count: epochs, at least 2; the first epochs have the mean of those that there are.
    """

    name = "last_epochs"
    reads_metrics = False
    after = ("*",)

    def __init__(self, *, of: str = "valid_loss", count: int = 3) -> None:
        if count < 2:
            raise ParameterError(f"count must be at least 2, got {count}", where="callback 'last_epochs'")
        self.of, self.count = of, count
        self.column = f"last_{count}_{of}"
        self.metrics = MappingProxyType({self.column: False})

    def check(self, learner: Any) -> None:
        """Take the direction of the column.

        Raises:
            ParameterError: no epoch will have the column.
        """
        direction = column_direction(self.of, learner, "callback 'last_epochs', parameter 'of'")
        self.metrics = MappingProxyType({self.column: direction})

    def after_epoch(self, learner: Any) -> None:
        """Add the mean to the row of the epoch."""
        rows = learner.history[-self.count :]
        learner.history[-1][self.column] = float(np.mean([row[self.of] for row in rows]))


class CrossFitted(Callback):
    """Score of the best epoch, chosen and reported on different examples, as a column ``cross_fitted_<of>``.

    Half of the validation examples chooses the best epoch so far and the other half is scored at that epoch; then the
    halves change places, and the column is the mean of both. The row of the last epoch has the score of the whole
    training. Validation runs once more in every epoch.

    Args:
        of: ``valid_loss``, a metric that is a mean over examples, such as ``valid_accuracy``, or one that sums counts
            of them, such as ``valid_bleu``.
    """

    name = "cross_fitted"
    after = ("*",)

    def __init__(self, *, of: str = "valid_loss") -> None:
        if not of.startswith("valid_"):
            raise ParameterError(f"of must be a column of validation, got '{of}'", where="callback 'cross_fitted'")
        self.of = of
        self.column = f"cross_fitted_{of}"
        self.metrics = MappingProxyType({self.column: False})
        self.halves: list[list[float]] = [[], []]

    def check(self, learner: Any) -> None:
        """Take the direction of the column.

        Raises:
            ParameterError: no epoch will have the column, or the best epoch's row would be reported.
        """
        direction = column_direction(self.of, learner, "callback 'cross_fitted', parameter 'of'")
        self.metrics = MappingProxyType({self.column: direction})
        checkpoint = next((each for each in learner.callbacks if each.name == "checkpoint"), None)
        if getattr(checkpoint, "select", "last") == "best":
            raise ParameterError(
                "the row of the best epoch would be reported, and the score is in the row of the last",
                where="callback 'cross_fitted'",
                hint="Study(..., selection='last')",
            )

    def before_fit(self, learner: Any) -> None:
        """Forget the epochs of an earlier fit, unless an interrupted one goes on."""
        if learner.position.step == 0:
            self.halves = [[], []]

    def after_epoch(self, learner: Learner) -> None:
        """Score both halves, and add the score of the best epoch so far.

        Raises:
            ParameterError: the metric is not a mean over examples.
        """
        from lab_statistics.examples import STATISTICS, scores_of_examples

        with learner.level("eval_weights"):
            found = scores_of_examples(learner)
        score = self.of.removeprefix("valid_")
        scored = {name for name in found if name != "weight" and not name.endswith(STATISTICS)}
        if score not in scored:
            raise ParameterError(
                f"{self.of} is not a mean over examples, so no half of the examples has a part of it",
                where="callback 'cross_fitted', parameter 'of'",
                hint=f"scores of examples: {', '.join(sorted(scored))}",
            )
        weights = found["weight"] if score == "loss" else np.ones_like(found["loss"])
        counts = found.get(score + STATISTICS)
        first = half_of_examples(len(weights))
        for half, chosen in zip(self.halves, (first, ~first), strict=True):
            if counts is not None:
                half.append(float(learner.metrics[score].score_of_statistics(counts[chosen].sum(axis=0))))
                continue
            total = weights[chosen].sum()
            half.append(float((found[score][chosen] * weights[chosen]).sum() / total) if total else float("nan"))
        value = cross_fitted(np.array(self.halves), higher_is_better=self.metrics[self.column])
        learner.history[-1][self.column] = float(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the scores of both halves in every epoch."""
        return {"halves": [list(half) for half in self.halves]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.halves = [list(half) for half in state["halves"]]
