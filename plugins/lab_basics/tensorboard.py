"""TensorBoard: the history of a run, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.training.callback import Callback
from lab_basics.callbacks import MEASURING
from lab_basics.monitor import finished_epoch

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes every figure of the history, and the learning rates, as scalars: ``tensorboard --logdir runs``.

    One point per epoch, in the artefact folder ``tensorboard``; without a folder it does nothing. Losses stand beside
    each other (``loss/train, loss/valid``), metrics by split (``accuracy/valid``), the rest under its own name. A
    resumed run writes on from its last epoch.
    """

    name = "tensorboard"
    before = MEASURING

    def __init__(self) -> None:
        self._writer: Any = None

    def before_fit(self, learner: Learner) -> None:
        if learner.folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder = learner.artefact("tensorboard")
        self._writer = SummaryWriter(str(folder), purge_step=learner.epochs_done or None)

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is None or self._writer is None:
            return
        for column, value in row.items():
            if column != "epoch":
                self._writer.add_scalar(_tag(column), value, row["epoch"])
        for index, group in enumerate(learner.optimizer.param_groups):
            self._writer.add_scalar(f"lr/{index}", group["lr"], row["epoch"])
        self._writer.flush()

    def after_fit(self, learner: Learner) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _tag(column: str) -> str:
    """The name of a figure in TensorBoard, where ``/`` makes groups.

    >>> _tag("valid_loss"), _tag("valid_bleu"), _tag("seconds")
    ('loss/valid', 'bleu/valid', 'seconds')
    """
    split, _, figure = column.partition("_")
    return f"{figure}/{split}" if figure and split in ("train", "valid", "test") else column
