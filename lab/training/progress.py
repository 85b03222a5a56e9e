"""Progress of a learner used by itself: a bar in a terminal or notebook, one line per epoch elsewhere."""

from __future__ import annotations

import sys
import time

from lab.training.callback import Callback
from lab.training.state import Training

__all__ = ["EpochProgress", "describe_epoch"]

REFRESH_S = 0.2


class EpochProgress(Callback):
    """Progress bar per epoch in a terminal or a notebook, and one line per epoch everywhere."""

    name = "progress"
    observer = True

    def before_epoch(self, learner: Training) -> None:
        from tqdm.auto import tqdm

        # a resumed epoch begins in its middle
        total, done = learner.position.batches, learner.position.batch
        shown = sys.stderr.isatty() or "ipykernel" in sys.modules
        self.bar = tqdm(
            total=total, initial=done, leave=False, disable=not shown, desc=f"epoch {learner.epochs_done + 1}"
        )
        self._next_refresh = 0.0

    def after_batch(self, learner: Training) -> None:
        if self.bar.disable or time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH_S
        # reading the loss waits for the device: five times a second at most
        if learner.step_loss is not None:
            self.bar.set_postfix(loss=f"{float(learner.step_loss):.4f}", refresh=False)
        self.bar.update(learner.position.batch - self.bar.n)

    def after_epoch(self, learner: Training) -> None:
        self.bar.close()
        # an epoch that failed has no row
        if learner.history and learner.history[-1]["epoch"] == learner.epochs_done:
            print(describe_epoch(learner.history[-1]), file=sys.stderr)


def describe_epoch(row: dict[str, float]) -> str:
    """Return one epoch in one line, counted from 1.

    >>> describe_epoch({"epoch": 0, "train_loss": 1.5, "seconds": 2.0, "valid_loss": 1.25})
    'epoch 1  train_loss 1.5000  valid_loss 1.2500  (2.0 s)'
    """
    metrics = [f"{name} {row[name]:.4f}" for name in row if name not in ("epoch", "seconds", "examples_per_second")]
    return "  ".join([f"epoch {row['epoch'] + 1:.0f}", *metrics, f"({row['seconds']:.1f} s)"])
