"""Executing a study: the executor contract, and the way from a question to its results."""

from __future__ import annotations

import inspect
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import attrs

from lab.errors import LabError, PluginError, StudyError, describe_error, line_of_code, place_of
from lab.notebook import in_notebook
from lab.registry.component import Reference
from lab.registry.plugins import Catalog, checked_list
from lab.registry.registry import Plugin, load_object
from lab.registry.resolve import Resolver
from lab.registry.resolved import Component
from lab.study.culprit import line_of
from lab.study.interrupt import stop_on_interrupt
from lab.study.notes import notes_of_plan
from lab.study.preflight import Plan, PlanListener, plan_study
from lab.study.record import StudyRecord, as_compared, record_of, write_study
from lab.study.results import Results
from lab.study.run import Listener, Run, RunProgress
from lab.study.store import RunRecord
from lab.study.study import Arm, Study
from lab.study.workspace import Workspace

__all__ = [
    "Executor",
    "InProcess",
    "SilentListener",
    "answer",
    "build_executor",
    "execute_plan",
    "finish",
    "is_elsewhere",
    "run_study",
]


@runtime_checkable
class Executor(Protocol):
    """Contract of executors, which execute runs.

    ``submit`` takes the runs to execute and yields each with its record as it ends, in any order. A run's
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


class SilentListener:
    """Listener that shows nothing."""

    def run_started(self, run: Run) -> None:
        """Do nothing."""

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Do nothing."""

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Do nothing."""


def answer(
    study: Study,
    workspace: Workspace,
    *,
    executor: Callable[[Plan], Reference],
    watch: Callable[[Plan], AbstractContextManager[Listener]],
    fresh: bool = False,
    where: str | None = None,
    elsewhere: bool = False,
    progress: PlanListener | None = None,
    command: str = "",
) -> tuple[Results, StudyRecord]:
    """Plan, record and train a study, round by round for a search; shared by ``lab run`` and ``run_study``.

    Args:
        study: the question.
        workspace: plugins, store and device.
        executor: chooses where a plan is executed.
        watch: context manager around the execution of a plan, which yields its listener.
        fresh, where, elsewhere, progress: as in ``plan_study``.
        command: the command line, for the record.

    Raises:
        StudyError: the question itself is wrong; every problem of every arm.
        KeyboardInterrupt: interrupted; the state of the current runs is saved.
    """
    record = write_study if workspace.is_writable else record_of
    seen: frozenset[str] = frozenset()
    while True:
        plan = plan_study(study, workspace, fresh=fresh, seen=seen, where=where, elsewhere=elsewhere, progress=progress)
        with watch(plan) as listener:
            if plan.to_do:
                workspace.store.prepare()
            # recorded before training, so that `lab report` shows an interrupted study and `lab runs prune` keeps its
            # runs
            recorded = record(plan, workspace.store, file=study.file, command=command)
            results = execute_plan(plan, executor=executor(plan), listener=listener, fresh=fresh)
        arms = _next_arms(study, results, workspace.catalog)
        if not arms:
            return results, recorded
        # runs of earlier rounds are finished; with --fresh they would otherwise be trained again in every round
        study, seen = study.with_round(arms), frozenset(run.key for run in plan.runs)


def _next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return the arms of the next round of a search; none if it is finished.

    Raises:
        LabError: no plugin implements search rounds.
    """
    if study.searching is None and not study.rules:
        return []
    rounds = catalog.collect_owned("lab_rounds")
    if not rounds:
        needed = "lab_search" if study.searching is not None else "lab_statistics"
        raise LabError(f"this study needs the plugin {needed}", hint="lab plugins lists what is here")
    arms: list[Arm] = []
    for name, (plugin, found) in rounds.items():
        with _naming_round(name, plugin):
            next_arms = load_object(found, name) if isinstance(found, str) else found
            arms += checked_list("lab_rounds", next_arms(study, results, catalog), Arm)
    return arms


@contextmanager
def _naming_round(name: str, plugin: Plugin) -> Iterator[None]:
    """Say which plugin's rounds fail, and in which line; finished runs are kept."""
    try:
        yield
    except (LabError, KeyboardInterrupt):
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"plugin {plugin} failed in '{name}' of lab_rounds: {describe_error(error)}",
            where=line_of_code(where.filename, where.lineno or 0),
            hint="finished runs are kept",
        ) from error


def execute_plan(
    plan: Plan, *, executor: Reference = "in_process", listener: Listener | None = None, fresh: bool = False
) -> Results:
    """Train the runs that are not finished and gather every run of the plan.

    Raises:
        StudyError: the first result of a task lacks the primary metric.
        KeyboardInterrupt: interrupted; the state of the current run is saved.
    """
    catalog = plan.workspace.catalog
    first = next((run for run in plan.runs if run.key in plan.found and run.experiment.task is not None), None)
    if first is not None:
        _refuse_unknown_primary(first, first.store.record(first.key))
    component = _resolve_executor(executor, catalog)
    chosen = component.build({})
    _check_submit(component, chosen)
    catalog.call("lab_study_started", study=plan.study, runs=plan.to_do)
    # around all runs: a signal between two runs must not be lost
    with stop_on_interrupt() as stop, _naming_executor(component):
        ended: dict[str, RunRecord] = {}
        for run, record in _pairs(
            component, chosen.submit(plan.to_do, listener or SilentListener(), stop, fresh=fresh)
        ):
            _refuse_twice(component, run, ended)
            _refuse_another(component, run, record)
            ended[run.key] = record
            if len(ended) == 1:
                # raised in the loop: the executor ends what it has begun
                _refuse_unknown_primary(run, record)
    lost = [run for run in plan.to_do if run.key not in ended]
    if lost:
        example = f"arm '{lost[0].arm}', seed {lost[0].seed}"
        raise LabError(
            f"{component.label} gave no record of {len(lost)} of {len(plan.to_do)} runs ({example})",
            where=component.place if component.is_third_party else None,
            hint="submit yields (run, record) for every run; finished runs are kept",
        )
    return gather(plan, ended)


def _pairs(component: Component, given: Any) -> Iterator[tuple[Run, RunRecord]]:
    """Iterate over what an executor yields.

    Raises:
        PluginError: it is something else than pairs of a run and its record.
    """
    place = component.place if component.is_third_party else None
    hint = "submit yields (run, record) for every run, as it ends"
    if not hasattr(given, "__iter__"):
        raise PluginError(
            f"{component.label}: submit returns {type(given).__name__}, no iterator", where=place, hint=hint
        )
    for pair in given:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], RunRecord)):
            shown = type(pair).__name__ if not isinstance(pair, tuple) else [type(each).__name__ for each in pair]
            raise PluginError(
                f"{component.label}: submit yields {shown}, no pair (run, record)", where=place, hint=hint
            )
        yield pair


def _refuse_twice(component: Component, run: Run, ended: Mapping[str, RunRecord]) -> None:
    if run.key in ended:
        raise PluginError(
            f"{component.label} yields the run of arm '{run.arm}', seed {run.seed}, twice",
            where=component.place if component.is_third_party else None,
            hint="submit yields (run, record) once for every run; finished runs are kept",
        )


def _refuse_another(component: Component, run: Run, record: RunRecord) -> None:
    if record.key != run.key:
        raise PluginError(
            f"{component.label} yields the run of arm '{run.arm}', seed {run.seed}, with the record of another run",
            where=component.place if component.is_third_party else None,
            hint="submit yields (run, record) with run.key == record.key, as run.execute(...) returned it",
        )


@contextmanager
def _naming_executor(component: Component) -> Iterator[None]:
    """Name the executor in its own errors; those of ``lab`` and of the interruption pass."""
    try:
        yield
    except (LabError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise LabError(f"{component.label} fails: {describe_error(error)}", where=line_of(error, component)) from error


def _refuse_unknown_primary(run: Run, record: RunRecord) -> None:
    """Raise if the first result lacks the primary metric: most likely every other one would lack it, too.

    Raises:
        StudyError: it does. The run is finished, and is found once the study names another metric.
    """
    judged = _judged(run, record)
    kept = "this run is kept: correct `compare` and run the study again"
    if judged is not record:
        raise StudyError([f"{judged.result['error']}\n{kept}"], where=run.file)
    given = {*record.metrics, *record.budget, *(record.result.get("undefined") or {})}
    if run.experiment.task is None and record.status == "finished" and run.compare not in given:
        declaring = [
            f"\n  {part.label} declares it{f' ({part.place})' if part.place else ''} and never added it to the history"
            for part in run.experiment.all_components()
            if run.compare in (getattr(part.factory, "metrics", None) or ())
        ]
        text = f"this study compares '{run.compare}', which the first run did not give{''.join(declaring)}"
        raise StudyError([f"{text}\n  it gave: {', '.join(sorted(record.metrics))}\n  {kept}"], where=run.file)


def _judged(run: Run, record: RunRecord) -> RunRecord:
    """Return a record as the study sees it, which compares a metric that a task may lack."""
    task = run.experiment.task
    return record if task is None else as_compared(record, task.label, run.compare)


def gather(plan: Plan, ended: Mapping[str, RunRecord] | None = None) -> Results:
    """Return the results of a plan, from the store.

    Args:
        plan: the plan.
        ended: records of runs that ended just now; a failed re-evaluation leaves a run finished in the store.
    """
    ended = ended or {}
    # one read per key: several arms of a search may share a run
    records = {run.key: _judged(run, ended.get(run.key) or run.store.record(run.key)) for run in plan.runs}
    runs = [attrs.evolve(records[run.key], arm=run.arm, seed=run.seed) for run in plan.runs]
    return Results(plan.study, plan.arms, runs, notes_of_plan(plan).caveats())


def build_executor(reference: Reference, catalog: Catalog) -> Executor:
    """Return the executor that a reference names.

    Raises:
        LabError: there is none, or its parameters are wrong.
    """
    component = _resolve_executor(reference, catalog)
    built: Executor = component.build({})
    _check_submit(component, built)
    return built


def _resolve_executor(reference: Reference, catalog: Catalog) -> Component:
    resolver = Resolver(catalog)
    component = resolver.resolve("executors", reference)
    if component is None:
        raise LabError("\n".join(resolver.problems))
    if isinstance(component.factory, type):
        # a class shows its method before anything is made of it
        _check_submit(component, component.factory)
    return component


def _check_submit(component: Component, made: Any) -> None:
    """Raise if an executor, or its class, has no method ``submit`` that can be called as ``Executor.submit`` is.

    Raises:
        PluginError: it has none.
    """
    submit = getattr(made, "submit", None)
    problem = "" if callable(submit) else "has no method `submit`"
    if callable(submit):
        given: list[Any] = [None] * (4 if isinstance(made, type) else 3)
        try:
            inspect.signature(submit).bind(*given, fresh=False)
        except TypeError as error:
            problem = f"cannot be called as submit(runs, listener, stop, fresh=…): {error}"
        except ValueError:
            pass
    if problem:
        raise PluginError(
            f"{component.label} {problem}",
            where=place_of(submit) if callable(submit) else component.place,
            hint="def submit(self, runs, listener, stop, *, fresh): docs/writing-a-plugin.md#an-executor",
        )


def is_elsewhere(executor: Reference, catalog: Catalog) -> bool:
    """Return whether an executor sends runs to other machines.

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
) -> Results:
    """Check, train what is missing, and compare; as ``lab run``, for notebooks and scripts.

    The study is recorded in the folder of runs, so that ``lab report`` and ``lab compare`` find it. A notebook shows
    its progress and gets its report; a script without a listener prints nothing.

    Args:
        study: the question.
        runs: folder of runs.
        catalog: the plugins; all installed ones if None.
        device: where to train.
        executor: where runs are executed, for example ``use("processes", workers=4)``.
        fresh: train again what is finished.
        listener: receives progress updates.

    Raises:
        StudyError: the question itself is wrong; every problem of every arm.
    """
    workspace = Workspace.open(runs, catalog, device)
    # by name: a study must not import how it is shown
    view = import_module("lab.report.notebook").StudyView() if listener is None and in_notebook() else None
    results, record = answer(
        study if study.name else attrs.evolve(study, name="study"),
        workspace,
        executor=lambda plan: executor,
        watch=view or (lambda plan: nullcontext(listener or SilentListener())),
        fresh=fresh,
        elsewhere=is_elsewhere(executor, workspace.catalog),
    )
    if view is None:
        finish(results, workspace.catalog)
    else:
        results.report = view.finish(results, record, workspace.catalog, can_write=workspace.is_writable)
    return results


def finish(
    results: Results, catalog: Catalog, record: StudyRecord | None = None, sections: Sequence[Any] = ()
) -> list[str]:
    """Call the hook ``lab_study_finished`` and return the lines that plugins print.

    Args:
        results: every run of the study.
        catalog: the plugins.
        record: what a report is written beside; None asks for none.
        sections: what plugins add to a report.
    """
    answers = catalog.gather(
        "lab_study_finished",
        str,
        study=results.study,
        runs=results.runs,
        results=results,
        record=record,
        sections=sections,
    )
    return [line for _, lines in answers for line in lines]
