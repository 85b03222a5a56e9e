"""Checks of tasks."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.study.task import TaskRun
from lab.testing.conformance import Conformance
from lab.testing.finding import Finding
from lab.training.rng import all_generators

__all__ = ["TaskConformance"]


class TaskConformance(Conformance):
    """The checks of tasks: ``function(*, run, …) -> dict[str, float]``."""

    kind = "tasks"

    def call(self, seed: int = 0, *, stopped: bool = False) -> Any:
        """Return what the task returns for a seed, in a folder of its own."""
        stop = threading.Event()
        if stopped:
            stop.set()
        with TemporaryDirectory() as folder:
            run = TaskRun(seed, Path(folder), "cpu", stop, lambda row: None)
            given = {"run": run} if "run" in self.resolved.needs else {}
            # A run seeds the global generators in the same way.
            with all_generators(run.streams.seed("task")):
                return self.resolved.partial({})(**given)

    def exercise(self) -> None:
        self.call()

    def test_returns_numbers(self) -> None:
        """A task returns its metrics, a dictionary of finite numbers."""
        given = self.call()
        if not isinstance(given, dict) or not given:
            raise Finding(f"{self.label} returns {type(given).__name__}, not a dictionary of metrics")
        for name, value in given.items():
            number = value.item() if hasattr(value, "item") else value
            if not isinstance(number, (int, float)) or not math.isfinite(number):
                raise Finding(f"{self.label}: the metric {name!r} is {value!r}, not a finite number")

    def test_same_seed_gives_the_same_metrics(self) -> None:
        """Two calls with one seed return the same numbers."""
        first, again = self.call(3), self.call(3)
        if first != again:
            raise Finding(
                f"{self.label}: seed 3 gives {first}, and then {again}",
                hint="draw from run.streams, or from a generator that is seeded with run.seed",
            )

    def test_stops_when_asked(self) -> None:
        """A run that is asked to stop ends by KeyboardInterrupt, or returns."""
        try:
            self.call(stopped=True)
        except KeyboardInterrupt:
            return
        except Exception as error:
            raise Finding(
                f"{self.label}: a run that is asked to stop ends with {type(error).__name__}: {error}"
            ) from error
