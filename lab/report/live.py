"""Progress of a study: a live table of arms × seeds in a terminal, lines elsewhere, nothing when quiet."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from lab.study.run import Run, RunProgress
from lab.study.store import RunRecord
from lab.training.progress import describe_epoch

__all__ = ["Display", "describe_seconds"]


MAX_ARMS_SHOWN = 60
MAX_SEEDS_SHOWN = 20
"""Larger studies show only the progress bar."""

SILENT_S = 3.0
"""Seconds after which a plan shows its progress."""


class PlanProgress:
    """Progress of a plan on stderr: a bar in a terminal, elsewhere a line now and then."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._console = Console(stderr=True)
        self._next: float | None = None
        self._live: Live | None = None

    def __enter__(self) -> PlanProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __call__(self, what: str, done: int, count: int) -> None:
        """Show progress, if the plan has taken long enough."""
        if self._next is None:
            self._next = time.monotonic() + SILENT_S
        if self.quiet or time.monotonic() < self._next:
            return
        text = f"checking {what}: {done:,} of {count:,}"
        if not self._console.is_terminal:
            # ten seconds between lines: a log file of a batch job keeps them all
            self._next = time.monotonic() + 10
            self._console.print(text, highlight=False, markup=False)
            return
        # at most ten times a second: a plan of thousands of arms reports each of them
        self._next = time.monotonic() + 0.1
        line = Table.grid(padding=(0, 1))
        line.add_row(ProgressBar(total=max(1, count), completed=done, width=40), escape(text))
        if self._live is None:
            self._live = Live(line, console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(line, refresh=True)

    def stop(self) -> None:
        """Clear the line when the plan is complete."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Display:
    """Live display of the runs of a study and the time left.

    Args:
        console: where to show it.
        runs: all runs, including those found finished.
        compare: the metric shown for a finished run.
        found: keys of runs that need not be trained.
        quiet: show nothing.
        ended: takes the key of every run that ends.
    """

    def __init__(
        self,
        console: Console,
        runs: Sequence[Run],
        *,
        compare: str = "valid_loss",
        found: Collection[str] = (),
        quiet: bool = False,
        ended: set[str] | None = None,
    ) -> None:
        self.ended = set() if ended is None else ended
        self.runs, self.compare, self.quiet = runs, compare, quiet
        self.shows_table = console.is_terminal and not quiet
        self._arms = list(dict.fromkeys(run.arm for run in runs))
        self._seeds = list(dict.fromkeys(run.seed for run in runs))
        self._cells = {run.key: "found" for run in runs if run.key in found}
        self._share = {run.key: 1.0 if run.key in found else 0.0 for run in runs}
        self._to_do = {run.key for run in runs if run.key not in found}
        self._epochs: dict[str, float] = {}
        self._began = time.monotonic()
        # transient: the table makes way for the results below it
        self._live = Live(self, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Display:
        if self.shows_table:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shows_table:
            self._live.stop()

    def run_started(self, run: Run) -> None:
        """Mark the run as started."""
        self._cells[run.key] = "starts"

    def run_waits(self, run: Run) -> None:
        """Mark the run as waiting for another process that trains it."""
        self._cells[run.key] = "waits for another process"
        self._say(f"{run.arm} · seed {run.seed} · waits for another process that trains run {run.key}")

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Update the cell of the run; without a table, print a line per epoch."""
        self._share[run.key] = progress.step / max(1, progress.steps)
        self._cells[run.key] = _describe_progress(progress, self.compare)
        row = progress.row
        if row is not None and row["epoch"] != self._epochs.get(run.key):
            self._epochs[run.key] = row["epoch"]
            self._say(f"{run.arm} · seed {run.seed} · {describe_epoch(row)}")

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Show the score or the failure of the run."""
        self.ended.add(run.key)
        self._share[run.key] = 1.0
        score = record.metrics.get(self.compare, math.nan)
        self._cells[run.key] = f"[green]✓ {score:.4f}[/green]" if record.status == "finished" else "[red]✗ failed[/red]"
        self._say(_describe_run(run, record))

    def _say(self, line: str) -> None:
        if not self.quiet and not self.shows_table:
            # a closed terminal or a broken pipe must not stop the training
            with suppress(OSError, ValueError):
                print(line, file=sys.stderr, flush=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if len(self._arms) <= MAX_ARMS_SHOWN and len(self._seeds) <= MAX_SEEDS_SHOWN:
            yield self._table()
        line = Table.grid(padding=(0, 1))
        line.add_row(ProgressBar(total=1.0, completed=self._done, width=40), f"{self._done:.0%}", self._times())
        yield line

    def _table(self) -> Table:
        table = Table("arm", *(f"seed {seed}" for seed in self._seeds))
        cells = {(run.arm, run.seed): self._cells.get(run.key, "·") for run in self.runs}
        for arm in self._arms:
            table.add_row(escape(arm), *(cells.get((arm, seed), "") for seed in self._seeds))
        return table

    @property
    def _done(self) -> float:
        """Share of the steps of all runs to do that are done."""
        return sum(self._share[key] for key in self._to_do) / len(self._to_do) if self._to_do else 1.0

    def _times(self) -> str:
        passed = time.monotonic() - self._began
        # an estimate from less than 1 % of the steps is mostly the time of imports and data
        if self._done < 0.01:
            return f"{describe_seconds(passed)} so far"
        return f"{describe_seconds(passed)} so far, about {describe_seconds(passed * (1 / self._done - 1))} left"


def describe_seconds(seconds: float) -> str:
    """Return a readable duration.

    >>> describe_seconds(75), describe_seconds(8000)
    ('1.2 minutes', '2.2 hours')
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _describe_progress(progress: RunProgress, compare: str) -> str:
    shown = f"[yellow]{min(progress.epoch + 1, progress.epochs)}/{progress.epochs}[/yellow]"
    if progress.row is not None and compare in progress.row:
        return f"{shown}  {progress.row[compare]:.4f}"
    return shown if progress.loss is None else f"{shown}  loss {progress.loss:.3f}"


def _describe_run(run: Run, record: RunRecord) -> str:
    if record.status != "finished":
        return f"✗ {run.arm} · seed {run.seed}: {(record.result.get('error') or record.status).splitlines()[0]}"
    scores = "  ".join(f"{name} {value:.4f}" for name, value in record.metrics.items() if name.startswith("valid_"))
    return f"✓ {run.arm} · seed {run.seed}  {scores}  ({record.budget.get('seconds', math.nan):.1f} s)"
