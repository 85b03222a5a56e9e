"""Checks of executors."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from lab.study.execute import InProcess, SilentListener
from lab.study.preflight import Plan, plan_study
from lab.study.store import RunRecord, Store
from lab.study.study import BASE, Arm, Study, Trial
from lab.study.workspace import Workspace
from lab.testing.conformance import Conformance, on_every_example, skip
from lab.testing.example import Example
from lab.testing.finding import Finding

__all__ = ["ExecutorConformance"]

CLOCKS = ("seconds", "examples_per_second")


class ExecutorConformance(Conformance):
    """The checks of executors: ``factory(…)`` with ``submit(runs, listener, stop, fresh=…)``."""

    kind = "executors"

    def candidates(self) -> list[Example]:
        """Example data that come with an experiment."""
        found = [example for example in super().candidates() if example.experiment() is not None]
        if not found:
            skip("no example data comes with an experiment")
        return found[:1]

    def execute(self, example: Example, executor: Any, *, lr: float | None = None) -> list[Any]:
        """Return (seed, status, metrics or failure) of every run of a study of two seeds, by seed."""
        with TemporaryDirectory() as folder:
            plan = self._plan(example, Path(folder), lr)
            # The base trains well; only the diverging arm is asked for.
            runs = [run for run in plan.to_do if lr is None or run.arm != BASE]
            given = list(executor.submit(runs, SilentListener(), threading.Event(), fresh=False))
            twice = [run.seed for number, (run, _) in enumerate(given) if run in [other for other, _ in given[:number]]]
            if twice:
                raise Finding(f"{self.label} yields the run of seed {twice[0]} twice", hint="once for every run")
            others = [run.seed for run, record in given if record.key != run.key]
            if others:
                text = f"{self.label} yields the run of seed {others[0]} with the record of another run"
                raise Finding(text, hint="the record that run.execute(...) returned")
        return sorted(((run.seed, record.status, _metrics(record)) for run, record in given), key=lambda row: row[0])

    def _plan(self, example: Example, folder: Path, lr: float | None) -> Plan:
        experiment = example.experiment()
        assert experiment is not None
        study = Study(experiment, seeds=2, name="conformance")
        # The plan refuses an arm that diverges at once, but not a trial of a search.
        if lr is not None:
            trial = Arm("diverging", {"lr": lr}, trial=Trial(0, 0, {"lr": lr}))
            study = attrs.evolve(study, arms=(trial,))
        store = Store(folder)
        store.prepare()
        return plan_study(study, Workspace(self.plugins, store))

    @on_every_example
    def test_returns_every_run_once_and_finished(self, example: Example) -> None:
        """Each run comes back with its record."""
        rows = self.execute(example, self.resolved.build({}))
        if [(seed, status) for seed, status, _ in rows] != [(0, "finished"), (1, "finished")]:
            given = ", ".join(f"seed {seed} {status}" for seed, status, _ in rows) or "nothing"
            failures = [str(result["error"]) for _, _, result in rows if "error" in result]
            raise Finding(f"{self.label}: of the seeds 0 and 1 it gave back: {given}", hint="\n".join(failures[:1]))

    @on_every_example
    def test_returns_the_numbers_of_the_plain_executor(self, example: Example) -> None:
        """A run has the same metrics wherever it is executed."""
        # Both train anew, in folders of their own.
        here, there = self.execute(example, InProcess()), self.execute(example, self.resolved.build({}))
        if here != there:
            raise Finding(f"{self.label}: it gives {there}, in one process the runs give {here}")

    @on_every_example
    def test_records_a_failed_run_and_goes_on(self, example: Example) -> None:
        """A run that fails is recorded; the others are executed all the same."""
        rows = self.execute(example, self.resolved.build({}), lr=1e30)
        # One failed run may not end the study.
        if [(seed, status) for seed, status, _ in rows] != [(0, "failed"), (1, "failed")]:
            raise Finding(f"{self.label}: of two runs that fail it gave back {rows}", hint="run.execute never raises")

    @on_every_example
    def test_stops_when_asked(self, example: Example) -> None:
        """Once ``stop`` is set, it raises KeyboardInterrupt instead of executing on."""
        stop = threading.Event()
        stop.set()
        with TemporaryDirectory() as folder:
            plan = self._plan(example, Path(folder), None)
            try:
                given = list(self.resolved.build({}).submit(plan.to_do, SilentListener(), stop, fresh=False))
            except KeyboardInterrupt:
                return
        raise Finding(f"{self.label}: asked to stop, it returned {len(given)} runs", hint="raise KeyboardInterrupt")


def _metrics(record: RunRecord) -> dict[str, Any]:
    """Return the final metrics, clocks apart; of a failed run its error."""
    if record.status == "failed":
        return {"error": record.result.get("error", "")}
    return {name: value for name, value in record.metrics.items() if not name.startswith(CLOCKS)}
