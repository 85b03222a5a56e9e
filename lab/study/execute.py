"""Executing a study: the executor contract, and the way from a question to its results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import attrs

from lab.errors import LabError
from lab.registry.component import Reference
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.resolve import Resolver
from lab.study.interrupt import stop_on_interrupt
from lab.study.preflight import Plan, PlanListener, plan_study
from lab.study.record import write_study
from lab.study.results import FinishedRun, Results
from lab.study.run import Listener, Run, RunProgress
from lab.study.search import grow
from lab.study.store import RunRecord, Store
from lab.study.study import Study

__all__ = [
    "Executor",
    "InProcess",
    "Silence",
    "build_executor",
    "execute_plan",
    "execute_rounds",
    "is_elsewhere",
    "run_study",
]


@runtime_checkable
class Executor(Protocol):
    """Where runs are executed.

    ``submit`` gets the runs that are to do and gives each back with its record as it ends, in any order. A run's
    ``execute`` does all the work, records failures instead of raising them, and raises ``KeyboardInterrupt`` once
    ``stop`` is set and its state is saved. An executor whose attribute ``elsewhere`` is true sends runs to machines
    that may have a device which this one has not.
    """

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]: ...


class InProcess:
    """One run after the other, in this process."""

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]:
        """Execute each run when it is asked for."""
        for run in runs:
            yield run, run.execute(listener, stop, fresh=fresh)
            if stop.is_set():
                raise KeyboardInterrupt


class Silence:
    """A listener that shows nothing."""

    def run_started(self, run: Run) -> None:
        """Nothing."""

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Nothing."""

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Nothing."""


def execute_plan(
    plan: Plan,
    catalog: Catalog,
    store: Store,
    *,
    executor: Reference = "in_process",
    listener: Listener | None = None,
    fresh: bool = False,
) -> Results:
    """Train what is to do and gather every run of the plan.

    Raises:
        KeyboardInterrupt: interrupted; the state of the current run is saved.
    """
    chosen = build_executor(executor, catalog)
    catalog.call("lab_study_started", study=plan.study, runs=plan.to_do)
    with stop_on_interrupt() as stop:
        ended = {run.key: record for run, record in chosen.submit(plan.to_do, listener or Silence(), stop, fresh=fresh)}
    return gather(plan, store, ended)


def execute_rounds(
    study: Study,
    catalog: Catalog,
    store: Store,
    train: Callable[[Plan], Results],
    *,
    device: str = "cpu",
    fresh: bool = False,
    where: str | None = None,
    elsewhere: bool = False,
    progress: PlanListener | None = None,
) -> Results:
    """Plan and train a study; a search goes on in rounds, each with the trials that the last one led to.

    Args:
        study: the question.
        catalog, store: plugins and runs.
        train: executes a plan, and is called once per round.
        device, fresh: as in ``run_study``.
        where: the study's file, for messages.
        elsewhere, progress: as in ``plan_study``.
    """
    seen: frozenset[str] = frozenset()
    while True:
        plan = plan_study(
            study,
            catalog,
            store,
            device=device,
            fresh=fresh,
            seen=seen,
            where=where,
            elsewhere=elsewhere,
            progress=progress,
        )
        results = train(plan)
        grown = grow(study, results, catalog)
        if grown is None:
            return results
        study, seen = grown, frozenset(run.key for run in plan.runs)


def gather(plan: Plan, store: Store, ended: Mapping[str, RunRecord] | None = None) -> Results:
    """The runs of a plan as they stand in the store.

    Args:
        plan: what was to be done.
        store: where runs are kept.
        ended: how runs ended just now; one that could not be evaluated again is finished in the store, and failed here.
    """
    failed = {key: record for key, record in (ended or {}).items() if record.status == "failed"}
    records = {run.key: failed.get(run.key) or store.record(run.key) for run in plan.runs}
    return Results(plan, [FinishedRun(run.arm, run.seed, records[run.key]) for run in plan.runs])


def build_executor(reference: Reference, catalog: Catalog) -> Executor:
    """The executor that a reference names.

    Raises:
        LabError: there is none, or its parameters are wrong.
    """
    resolver = Resolver(catalog)
    component = resolver.resolve("executors", reference)
    if component is None:
        raise LabError("\n".join(resolver.problems))
    return component.build({})  # type: ignore[no-any-return]


def is_elsewhere(executor: Reference, catalog: Catalog) -> bool:
    """Whether an executor sends runs to other machines.

    Raises:
        LabError: there is none, or its parameters are wrong.
    """
    return bool(getattr(build_executor(executor, catalog), "elsewhere", False))


def run_study(
    study: Study,
    *,
    runs: Path | str = "runs",
    catalog: Catalog | None = None,
    device: str = "cpu",
    executor: Reference = "in_process",
    fresh: bool = False,
    listener: Listener | None = None,
    complete: Callable[[Results], None] | None = None,
) -> Results:
    """Check, train what is missing, and compare; as ``lab run``, for notebooks and scripts.

    The study is recorded in the folder of runs, so that ``lab report`` and ``lab compare`` find it.

    Args:
        study: the question.
        runs: folder of runs.
        catalog: the plugins; all installed ones if None.
        device: where to train.
        executor: where runs are executed, for example ``use("processes", workers=4)``.
        fresh: train again what is finished.
        listener: told of progress.
        complete: called with the results before ``lab_study_finished`` fires, for example to write a report.

    Raises:
        StudyError: the question itself is wrong; every problem of every arm.
    """
    catalog = catalog or load_catalog()
    study = study if study.name else attrs.evolve(study, name="study")
    store = Store(runs)
    can_write = store.can_write()
    if not can_write and not store.folder.is_dir():
        store.prepare()

    def train(plan: Plan) -> Results:
        if plan.to_do:
            store.prepare()
        if can_write:
            write_study(plan, store, file=study.file)
        return execute_plan(plan, catalog, store, executor=executor, listener=listener, fresh=fresh)

    elsewhere = is_elsewhere(executor, catalog)
    results = execute_rounds(study, catalog, store, train, device=device, fresh=fresh, elsewhere=elsewhere)
    if complete is not None:
        complete(results)
    catalog.call("lab_study_finished", study=results.study, runs=results.runs)
    return results
