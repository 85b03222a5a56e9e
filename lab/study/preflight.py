"""Preflight: every problem that can be found before training is found before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import attrs
import torch
from torch import distributed

from lab.errors import LabError, StudyError
from lab.registry.resolved import Component
from lab.study.build import DataCache, data_of, naming_culprits
from lab.study.complete import lacks
from lab.study.culprit import explained
from lab.study.folder import keeps_working_folder
from lab.study.guard import guarded
from lab.study.keys import changed_sources, key_of
from lab.study.modules import generator_note, leaves_modules
from lab.study.needed import has_finished_run, problems_of_runs
from lab.study.rehearsal import ArmCheck, SamplerChecks, check_samplers, rehearse
from lab.study.run import Run
from lab.study.store import Store
from lab.study.study import Arm, Study, in_arms
from lab.study.task import check_task
from lab.study.workspace import Workspace
from lab.training.cpu import configure_cpu
from lab.training.data import Data

__all__ = ["ArmCheck", "Plan", "PlanListener", "plan_study"]

PlanListener = Callable[[str, int, int], None]
"""Called with the current task, the number done, and the total."""


def _ignore_progress(what: str, done: int, count: int) -> None:
    """Ignore progress."""


@attrs.frozen(eq=False)
class Plan:
    """Plan of a study: its arms and its runs.

    Attributes:
        study: the study.
        workspace: the plugins, the store, and the device.
        arms: its arms, the base first.
        runs: every run of every arm.
        found: keys of the runs that are finished already.
        completed: keys of the finished runs that lack a metric or observer of today, and get it from their weights.
        checks: arm → result of its rehearsal; arms whose runs are all finished are not rehearsed.
    """

    study: Study
    workspace: Workspace
    arms: Sequence[Arm]
    runs: Sequence[Run]
    found: frozenset[str]
    completed: frozenset[str]
    checks: Mapping[str, ArmCheck]

    @property
    def to_do(self) -> list[Run]:
        """The runs that are not finished yet or lack something; of runs with the same key, one."""
        return list({run.key: run for run in self.runs if run.key not in self.found}.values())

    @property
    def to_train(self) -> list[Run]:
        """The runs to do without those that only lack something."""
        return [run for run in self.to_do if run.key not in self.completed]


def plan_study(
    study: Study,
    workspace: Workspace,
    *,
    fresh: bool = False,
    seen: frozenset[str] = frozenset(),
    where: str | None = None,
    elsewhere: bool = False,
    progress: PlanListener | None = None,
) -> Plan:
    """Check every arm and determine which runs are not finished.

    First all names, parameters and types of all arms, before any data is read; then the data; then a rehearsal of every
    arm with a run to train, on its device (``lab.study.rehearsal``). Runs that will be trained ``elsewhere``, on
    machines with a device that this one lacks, are rehearsed on the CPU.

    Raises:
        StudyError: every problem of every arm.
    """
    workspace.catalog.import_guard, notify = guarded, progress or _ignore_progress
    # rank 0 alone owns the store; the stores of the other ranks are empty
    store = workspace.store if _rank() == 0 else None

    further = None if store is None else partial(_problems_of_needed_runs, store=store, study=study)
    arms = study.resolve(workspace.catalog, where=where, progress=notify, further=further)
    # later rounds of a search use the modules imported in the first, so an edit meanwhile is no problem
    if not seen:
        _refuse_changed_sources(arms, study, where)
    configure_cpu()
    here = attrs.evolve(workspace, device=_device_here(workspace.device, elsewhere))
    runs = _read_data(arms, study, workspace, where, notify)
    _refuse_equal_arms(arms, runs, where)
    finished = [] if fresh else [(run, record) for run in runs if (record := run.store.finished(run.key)) is not None]
    completed = frozenset(run.key for run, record in finished if lacks(run.experiment, record)) - seen
    found = seen | {run.key for run, _ in finished if run.key not in completed}
    # reversed, so that an arm is rehearsed with its first seed to do
    waiting = {run.arm: run for run in reversed(runs) if run.key not in found}
    checks: dict[str, ArmCheck] = {}
    # shared: a pass over the sampler of a large data set takes longer than the two steps of an arm
    samplers = SamplerChecks()
    with _gathering(study, where) as attempt:
        for arm in arms:
            task = arm.experiment.task
            # what a task needs of this machine, such as a program, another one may have
            if arm.name in waiting and task is not None and not elsewhere:
                with attempt(arm):
                    check_task(task)
        to_step = [arm for arm in arms if arm.name in waiting and arm.experiment.task is None]
        for number, arm in enumerate(to_step):
            notify("steps of arms", number, len(to_step))
            with attempt(arm):
                if store is not None and (problems := problems_of_runs(arm.experiment.all_components(), store)):
                    raise LabError("\n".join(problems))
                # the plan's own runs keep the device asked for; only the rehearsal moves to the CPU
                run = attrs.evolve(waiting[arm.name], workspace=here)
                checks[arm.name] = _rehearse(run, study.compare, samplers, is_trial=arm.trial is not None)
    return Plan(study, workspace, arms, runs, found, completed, checks)


def _problems_of_needed_runs(arm: str, components: Sequence[Component], *, store: Store, study: Study) -> list[str]:
    problems = problems_of_runs(components, store)
    # a finished run needs its source no more; whether there are others to train is known once the data is read
    return [] if problems and has_finished_run(store, study.name, arm) else problems


def _rank() -> int:
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def _refuse_changed_sources(arms: Sequence[Arm], study: Study, where: str | None) -> None:
    """Raise if a source file was edited after its import: the key would not show which version is trained."""
    with _gathering(study, where) as attempt:
        for arm in arms:
            for error in changed_sources(arm.experiment):
                with attempt(arm):
                    raise error


def _refuse_equal_arms(arms: Sequence[Arm], runs: Sequence[Run], where: str | None) -> None:
    """Raise if two arms have the same key: one training would be shown as two arms.

    Trials of a search are left out, since a searcher may propose the same settings twice.
    """
    trials = {arm.name for arm in arms if arm.trial is not None}
    first: dict[str, str] = {}
    problems: dict[tuple[str, str], None] = {}
    for run in runs:
        if run.arm not in trials:
            other = first.setdefault(run.key, run.arm)
            if other != run.arm:
                problems[other, run.arm] = None
    if problems:
        raise StudyError(
            [
                f"arms '{one}' and '{other}' are the same training\n"
                "  they differ in nothing that can change a number: observers, names, paths and checkpoints do not"
                for one, other in problems
            ],
            where=where,
        )


@contextmanager
def _gathering(study: Study, where: str | None) -> Iterator[Callable[[Arm], AbstractContextManager[None]]]:
    """Collect the problems of all arms and raise them at the end, each with the arms that have it."""
    problems: dict[str, list[str]] = {}

    @contextmanager
    def attempt(arm: Arm) -> Iterator[None]:
        try:
            with keeps_working_folder():
                yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            for problem in explained(error, arm.experiment, suspects=True):
                problems.setdefault(problem, []).append(arm.name)

    yield attempt
    if problems:
        raise StudyError([in_arms(problem, names, study) for problem, names in problems.items()], where=where)


def _read_data(
    arms: Sequence[Arm], study: Study, workspace: Workspace, where: str | None, notify: PlanListener
) -> list[Run]:
    """Return every run of every arm, with its data."""
    cache, runs = DataCache(), []
    first = study.seed_list[0]
    with _gathering(study, where) as attempt:
        for number, arm in enumerate(arms):
            notify("data of arms", number, len(arms))
            with attempt(arm):
                for seed in arm.seeds or study.seed_list:
                    # every rank reads the data; folds differ in little, and the plan shows the notes of the first
                    cache.silent = _rank() > 0 or (study.folds is not None and seed != first)
                    data = data_of(arm.experiment_of(seed), cache)
                    runs.append(_run_of(arm, seed, study, workspace, data))
    return runs


def _run_of(arm: Arm, seed: int, study: Study, workspace: Workspace, data: Data) -> Run:
    kind = torch.device(workspace.device).type
    processes = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    experiment = arm.experiment_of(seed)
    key = key_of(experiment, seed, data.fingerprint, kind, processes=processes, catalog=workspace.catalog)
    directions = {} if study.higher_is_better is None else {study.compare: study.higher_is_better}
    return Run(
        study.name,
        arm.name,
        seed,
        key,
        experiment,
        workspace,
        data,
        study.file,
        processes,
        study.compare,
        directions,
    )


DEVICES = "cpu, cuda (a GPU by NVIDIA or AMD), cuda:1 (the second one), mps (a Mac's), or another device of torch"


def _device_here(device: str, elsewhere: bool) -> str:
    """Return the device to check arms on: the one that they will be trained on, if this machine has it."""
    try:
        # allocating is the only reliable test: is_available() is True on machines whose driver is too old for this
        # torch
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        if elsewhere and _is_known(device):
            return "cpu"
        # torch lists every device that it was ever built for, and not what a user calls a GPU
        why = str(error).splitlines()[0] if _is_known(device) else DEVICES
        raise StudyError([f"the device '{device}' cannot be used\n  {why}"]) from error
    return device


def _is_known(device: str) -> bool:
    """Return whether torch knows such a device at all."""
    try:
        torch.device(device)
    except RuntimeError:
        return False
    return True


def _rehearse(run: Run, compare: str, samplers: SamplerChecks, *, is_trial: bool) -> ArmCheck:
    parts = run.experiment.all_components()
    # apart: a model that is built once more begins with the same generators
    with naming_culprits(), leaves_modules(parts):
        learner = run.learner()
    check_samplers(run, learner, compare)
    learner.expect(run.experiment.values["epochs"])
    with leaves_modules(parts):
        check = rehearse(run, learner, compare, samplers, is_trial=is_trial)
    return attrs.evolve(check, notes=(*check.notes, *generator_note(parts)))
