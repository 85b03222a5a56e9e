"""Progress of a learner used by itself: a bar in a terminal or notebook, one line per epoch elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping, Sequence

from lab.notebook import Output, bar, in_notebook
from lab.training.callback import Callback
from lab.training.state import Training

__all__ = ["EpochProgress", "describe_epoch"]

REFRESH_S = 0.2
LEFT_OUT = ("epoch", "seconds", "examples_per_second")
"""Columns of an epoch that its line does not show under their own names."""


class EpochProgress(Callback):
    """Progress bar per epoch in a terminal or a notebook, and one line per epoch everywhere."""

    name = "progress"
    observer = True
    _output: Output | None = None

    def before_fit(self, learner: Training) -> None:
        # one output for all epochs of a fit
        self._output = Output() if in_notebook() else None
        self._first = len(learner.history)

    def before_epoch(self, learner: Training) -> None:
        self._next_refresh = 0.0
        if in_notebook():
            self._show(learner)
            return
        # not tqdm.auto: without ipywidgets it warns, and in a notebook it is not shown
        from tqdm import tqdm

        # a resumed epoch begins in its middle
        total, done = learner.position.batches, learner.position.batch
        self.bar = tqdm(
            total=total,
            initial=done,
            leave=False,
            disable=not sys.stderr.isatty(),
            desc=f"epoch {learner.epochs_done + 1}",
        )

    def after_batch(self, learner: Training) -> None:
        if self._output is not None:
            if self._output.is_due:
                self._show(learner)
            return
        if self.bar.disable or time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + REFRESH_S
        # reading the loss waits for the device: five times a second at most
        if learner.step_loss is not None:
            self.bar.set_postfix(loss=f"{float(learner.step_loss):.4f}", refresh=False)
        self.bar.update(learner.position.batch - self.bar.n)

    def after_epoch(self, learner: Training) -> None:
        if self._output is not None:
            self._show(learner, is_running=False)
            return
        self.bar.close()
        # an epoch that failed has no row
        if learner.history and learner.history[-1]["epoch"] == learner.epochs_done:
            print(describe_epoch(learner.history[-1]), file=sys.stderr)

    def _show(self, learner: Training, *, is_running: bool = True) -> None:
        """Show the epochs of this fit as a table, and a bar for the one that is running."""
        assert self._output is not None
        rows = learner.history[self._first :]
        rich, plain = epochs_html(rows), "\n".join(map(describe_epoch, rows))
        if is_running:
            batch, count = learner.position.batch, learner.position.batches
            loss = "" if learner.step_loss is None else f", loss {float(learner.step_loss):.4f}"
            state = f"epoch {learner.epochs_done + 1}, batch {batch} of {count}{loss}"
            rich, plain = f"{rich}{bar(batch / max(1, count), state)}", f"{plain}\n{state}".lstrip("\n")
        self._output.show(rich, plain)


def epochs_html(rows: Sequence[Mapping[str, float]]) -> str:
    """Return a table of epochs in HTML, counted from 1; empty without one."""
    if not rows:
        return ""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in LEFT_OUT]
    lines = [["epoch", *names, "time"]]
    for row in rows:
        values = [f"{row[name]:.4f}" if name in row else "" for name in names]
        lines.append([f"{row['epoch'] + 1:.0f}", *values, f"{row['seconds']:.1f} s"])
    style = "padding:.2em .7em;text-align:right"
    cells = ["".join(f'<td style="{style}">{html.escape(cell)}</td>' for cell in line) for line in lines]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def describe_epoch(row: dict[str, float]) -> str:
    """Return one epoch in one line, counted from 1.

    >>> describe_epoch({"epoch": 0, "train_loss": 1.5, "seconds": 2.0, "valid_loss": 1.25})
    'epoch 1  train_loss 1.5000  valid_loss 1.2500  (2.0 s)'
    """
    metrics = [f"{name} {row[name]:.4f}" for name in row if name not in LEFT_OUT]
    return "  ".join([f"epoch {row['epoch'] + 1:.0f}", *metrics, f"({row['seconds']:.1f} s)"])
