"""Freezing of layer groups, and gradual unfreezing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.errors import ParameterError
from lab.training.callback import Callback

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["Freeze"]


class Freeze(Callback):
    """Freeze the first layer groups for some epochs, then unfreeze them all at once or gradually.

    ``Freeze(to=-1, epochs=2)`` trains only the head for two epochs and then the whole model, as in fast.ai's courses;
    ``gradual`` is the gradual unfreezing of Howard & Ruder 2018, arXiv:1801.06146, section 3.3.

    Args:
        to: the first layer group that is trained from the start; negative numbers count from the last.
        epochs: number of epochs for which the others stay frozen; None for all.
        gradual: then unfreeze one more group every epoch, from the last to the first.
        bn_freeze: keep the running statistics of frozen batch norm layers.

    Raises:
        ParameterError: the model has no layer group ``to``.
    """

    reads_metrics = False

    def __init__(
        self, *, to: int = -1, epochs: int | None = None, gradual: bool = False, bn_freeze: bool = True
    ) -> None:
        if epochs is not None and epochs < 0:
            raise ParameterError(f"epochs must be at least 0, got {epochs}", where="callback 'freeze'")
        self.to, self.epochs, self.gradual, self.keeps_statistics = to, epochs, gradual, bn_freeze

    def check(self, learner: Learner) -> None:
        count = len(learner.layer_groups())
        if not -count <= self.to < count:
            raise ParameterError(
                f"there is no layer group {self.to}: the model has {count}",
                where="callback 'freeze'",
                hint="a model lists its groups in a method layer_groups(), first layers first",
            )

    def before_fit(self, learner: Learner) -> None:
        learner.bn_freeze(self.keeps_statistics)

    def before_epoch(self, learner: Learner) -> None:
        # Every epoch, so that a resumed run has the right groups without any state of this callback.
        learner.freeze_to(self.first_trained(learner.position.epoch, len(learner.layer_groups())))

    def after_fit(self, learner: Learner) -> None:
        # The learner may be trained further without this callback.
        learner.bn_freeze(False)
        learner.unfreeze()

    def first_trained(self, epoch: int, groups: int) -> int:
        """Return the index of the first layer group that is trained in an epoch (from 0), of ``groups`` groups."""
        first = range(groups)[self.to]
        if self.epochs is None or epoch < self.epochs:
            return first
        return max(0, first - 1 - (epoch - self.epochs)) if self.gradual else 0
