"""A study: a base experiment, its arms and its seeds."""

from __future__ import annotations

import importlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from types import MethodType
from typing import Any, Protocol, runtime_checkable

import attrs

from lab.errors import LabError, StudyError, UnknownNameError, did_you_mean
from lab.registry.component import Reference, Use, plain_number, plain_value
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.registry import load_object
from lab.registry.resolve import Resolver
from lab.registry.resolved import Component
from lab.study.checks import (
    MAX_ARMS,
    MAX_RUNS,
    name_problem,
    plain_seeds,
    seed_problems,
    shown,
    text_of,
    text_problem,
    with_checked_arguments,
)
from lab.study.experiment import Experiment, FurtherProblems, ResolvedExperiment, Task
from lab.study.folds import FOLDS, changes_of, fold_problems, problems_of, rule_of, units
from lab.study.space import Search, label_of, read_space

__all__ = ["SEEDS", "Arm", "SeedRule", "Study", "Trial"]

BASE = "base"
EQUALS_BASE = "this arm equals the base: nothing differs\n  give it another value, or leave it out"
NO_SECOND_BASE = (
    f"an arm cannot be called '{BASE}'\n"
    "  that name is reserved for the experiment that all arms are compared with: give the arm another name"
)
SELECTIONS = ("last", "best", "valid")
SLOTS_OF_SEVERAL = tuple(field.name for field in attrs.fields(Experiment) if field.metadata.get("many"))


SEEDS = "seeds"
"""Name of the rule that was given as ``Study(seeds=...)``."""


@runtime_checkable
class SeedRule(Protocol):
    """Contract of rules that choose the seeds of a study round by round.

    ``first`` has the seeds of the first round, ``rule`` the plain values that the record keeps.
    """

    @property
    def first(self) -> Sequence[int]: ...

    @property
    def rule(self) -> Mapping[str, Any]: ...


@lru_cache(maxsize=1)
def _study_methods() -> dict[str, Any]:
    # found again and not handed over: a study file is a script, which has no catalog
    return load_catalog(warn=lambda message: None).collect("lab_study_methods")


@attrs.frozen
class Trial:
    """Place of an arm in a search.

    Attributes:
        number: which trial, from 0; every rung of it has the same.
        rung: how often it was found worth going on with.
        settings: path → number, or name of the option.
    """

    number: int
    rung: int
    settings: Mapping[str, Any]


@attrs.frozen
class Arm:
    """The base with something changed.

    Attributes:
        name: its name in tables and for ``--arms``.
        changes: path → value in this arm.
        factors: for a cell of a grid, path → the name of its level.
        swapped: the one path that this arm may differ in, or None for a cell of a grid or a trial.
        trial: for a trial of a search, which one.
        seeds: its own seeds; None: those of the study.
        base: the arm that it is compared with; empty: the study's base.
        row: the row of tables that its runs belong to, with those of other arms; empty: one of its own name.
        resolved: the experiment with every choice made, once the study is resolved.
        difference: path → (in the base, in this arm), once the study is resolved.
        on_folds: seed → the experiment of its fold, once a study with folds is resolved.
    """

    name: str
    changes: Mapping[str, Any] = attrs.field(factory=dict)
    factors: Mapping[str, str] = attrs.field(factory=dict)
    swapped: str | None = None
    trial: Trial | None = None
    seeds: Sequence[int] | None = None
    base: str = ""
    row: str = ""
    resolved: ResolvedExperiment | None = attrs.field(default=None, eq=False, repr=False)
    difference: Mapping[str, tuple[Any, Any]] = attrs.field(factory=dict, eq=False)
    on_folds: Mapping[int, ResolvedExperiment] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def experiment(self) -> ResolvedExperiment:
        """The complete experiment of a resolved arm."""
        assert self.resolved is not None, f"arm '{self.name}' is not resolved"
        return self.resolved

    def experiment_of(self, seed: int) -> ResolvedExperiment:
        """Return the complete experiment of the run with a seed, which says its fold in a cross-validation."""
        return self.on_folds.get(seed, self.experiment)

    def __attrs_post_init__(self) -> None:
        problems = name_problem("an arm", self.name)
        if not isinstance(self.changes, Mapping) or not all(isinstance(path, str) for path in self.changes):
            problems.append(f"the changes of an arm are {{path: value}}, not {shown(self.changes)}")
        if not problems and self.name == BASE and self.changes and not self.factors:
            problems.append(NO_SECOND_BASE)
        if problems:
            raise StudyError(problems)


def _as_experiment(base: Any) -> Any:
    """Return a function, and a reference to one, as a task."""
    return Task(base) if isinstance(base, (Use, str)) or (callable(base) and not isinstance(base, type)) else base


def _as_tuple(arms: Any) -> Any:
    return tuple(arms) if isinstance(arms, list) else arms


@attrs.frozen
class Study:
    """A question: a base experiment, arms that differ from it, and seeds.

    Every method returns a new study. ::

        Study(base, seeds=3).swap("optimizer", {"sgd": "sgd", "adamw": use("adamw", weight_decay=0.1)})
        Study(base, seeds=3).remove("callbacks.one_cycle", "architecture.attention")
        Study(base, seeds=5).grid({"architecture.layers": [1, 2], "architecture.bidirectional": [False, True]})
        Study(base, seeds=1).search({"lr": log(1e-4, 1e-1), "sampler": ["shuffle", "sortish"]}, trials=60)

    Attributes:
        base: the experiment that every arm is compared with; or a training function, ``use(train, lr=0.1)``.
        seeds: how many seeds (0, 1, …), the seeds themselves, or a rule of a plugin such as ``until_decided(...)``.
        compare: the primary metric, for example ``valid_loss``.
        arms: besides the base, in order.
        name: the folder of its results; the file's name unless given.
        question: one or two sentences; the file's docstring unless given.
        file: the path it was read from.
        searching: how its settings are searched, if they are; the arms of trials come with the rounds.
        selection: the epoch whose weights are compared. ``last``; ``best``, by the column that the checkpoint monitors,
            on the split that is reported, which favors every arm, noisy ones most, and is noted in every table; or
            ``valid``, the best on the validation split, reported on the test split. Empty leaves it to the checkpoint.
        higher_is_better: direction of ``compare``; a training function needs it unless the metric is a loss, and the
            metrics of an experiment say it themselves.
        margin: the smallest difference in ``compare`` that matters, in its unit; an arm whose interval lies within
            ± margin is called equivalent. None: no difference is too small to matter.
        rules: name → plain values: what a plugin's methods and rules of seeds ask of the rounds of this study.
        folds: cross-validation with so many folds as the replication: ``seeds`` repetitions, each with a partition of
            its own, of ``folds`` runs per arm, which ``lab.study.folds`` describes. The dataset has the parameters
            ``folds``, ``fold`` and ``split_seed``. None: every seed has the same split.

    Plugins add methods (hook ``lab_study_methods``).
    """

    base: Experiment | Task = attrs.field(converter=_as_experiment)
    seeds: Any = attrs.field(default=3, converter=plain_seeds)
    compare: str = "valid_loss"
    arms: tuple[Arm, ...] = attrs.field(default=(), converter=_as_tuple)
    name: str = ""
    question: str = ""
    file: str = ""
    searching: Search | None = None
    selection: str = ""
    higher_is_better: bool | None = None
    margin: float | None = None
    rules: Mapping[str, Any] = attrs.field(factory=dict)
    folds: int | None = attrs.field(default=None, converter=plain_number)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.seeds, SeedRule):
            # a frozen class of attrs is set this way; the rule itself is kept beside its first seeds
            object.__setattr__(self, "rules", {**self.rules, SEEDS: dict(self.seeds.rule)})
            object.__setattr__(self, "seeds", list(self.seeds.first))
        is_base = isinstance(self.base, (Experiment, Task))
        problems = [] if is_base else [f"base must be an Experiment or a function, not {shown(self.base)}"]
        problems += seed_problems(self.seeds)
        if self.folds is not None:
            problems += fold_problems(self.folds) or self._repetition_problems()
            object.__setattr__(self, "rules", {**self.rules, **({} if problems else {FOLDS: rule_of(self.folds)})})
        problems += text_problem("compare", self.compare, may_be_empty=False)
        if self.margin is not None and not _is_positive(self.margin):
            problems.append(f"margin is a difference in {self.compare} above 0, not {shown(self.margin)}")
        for name in ("name", "question", "file"):
            problems += text_problem(name, getattr(self, name))
        if not isinstance(self.arms, tuple) or not all(isinstance(arm, Arm) for arm in self.arms):
            problems.append(f"arms are made by swap, remove, grid or search, not {shown(self.arms)}")
        if problems:
            raise StudyError(problems)

    def swap(self, path: str, alternatives: Mapping[str, Any] | Iterable[Any]) -> Study:
        """Add one arm per alternative, each with just the component or value at ``path`` replaced.

        Args:
            path: a slot, or a parameter by dots.
            alternatives: arm name → component or value; arms of a list are named after it.
        """
        levels = _checked_levels(f"swap({shown(path)}, ...)", path, alternatives, what="alternatives")
        if any(name == BASE for name, _ in levels):
            raise StudyError([NO_SECOND_BASE])
        arms = [Arm(name, {path: value}, swapped=path) for name, value in levels]
        return self._with(arms, f"swap('{path}', {{name: ...}})")

    def remove(self, *paths: str) -> Study:
        """Add one arm per path, without the component there (or with the parameter None)."""
        problems = [problem for path in paths for problem in text_problem("a path", path, may_be_empty=False)]
        if problems:
            raise StudyError([f"remove(...): {problem}" for problem in problems])
        return self._with([Arm(f"no {path.rpartition('.')[2]}", {path: None}, swapped=path) for path in paths])

    def grid(self, factors: Mapping[str, Mapping[str, Any] | Sequence[Any]]) -> Study:
        """Add one arm per combination of levels (factorial design); the first levels together are the base.

        Args:
            factors: path → its levels, as a list or as name → value.
        """
        if not isinstance(factors, Mapping):
            raise StudyError([f"grid takes {{path: levels}}, not {shown(factors)}"])
        levels, problems = {}, []
        for path, values in factors.items():
            try:
                levels[path] = _checked_levels(f"the factor {text_of(path)} of a grid", path, values, what="levels")
            except StudyError as error:
                problems += error.problems
        # counted before the cells are built: ten factors of ten levels would not fit in memory
        count = math.prod(len(values) for values in levels.values())
        if count > MAX_ARMS:
            problems.append(f"this grid has {count:,} cells; a study can have {MAX_ARMS:,} arms at most")
        if problems:
            raise StudyError(problems)
        cells = [dict(zip(levels, cell, strict=True)) for cell in itertools.product(*levels.values())]
        base, *others = [_cell(cell, levels, factors) for cell in cells]
        return self._with([attrs.evolve(base, name=BASE), *others], "grid({path: {name: ...}})")

    def search(
        self,
        space: Mapping[str, Any],
        *,
        trials: int = 60,
        searcher: Reference = "tpe",
        batch: int = 10,
        seed: int = 0,
        rungs: Sequence[int] = (),
    ) -> Study:
        """Search settings in trials, each with a value for every path of the space.

        Args:
            space: path → ``(low, high)``, numbers between both, whole ones if both are whole; ``log(low, high)``, the
                same on a logarithmic scale; a list of values or components, or name → value.
            trials: how many.
            searcher: what proposes them: ``lab list searchers``.
            batch: how many are proposed at once, and may be trained at once.
            seed: of the searcher.
            rungs: epochs after which the worse two thirds of the trials are given up; see ``Search``.

        Raises:
            StudyError: every path with what is wrong there.
        """
        search = Search(read_space(space), trials, searcher, batch, seed, rungs)
        return attrs.evolve(self, searching=search)

    def _repetition_problems(self) -> list[str]:
        if SEEDS in self.rules:
            return ["folds need a fixed number of repetitions: seeds=3, not a rule that adds seeds"]
        negative = [seed for seed in self.repetitions if seed < 0] if not seed_problems(self.seeds) else []
        return [f"seeds of repetitions of folds are at least 0, not {negative[0]}"] if negative else []

    @property
    def repetitions(self) -> list[int]:
        """The seeds as they were given; with folds, one per repetition of the cross-validation."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    @property
    def seed_list(self) -> list[int]:
        """The seeds of the runs of every arm; with folds, one per fold of each repetition."""
        return self.repetitions if self.folds is None else units(self.folds, self.repetitions)

    def choose(self, text: str) -> Study:
        """Select arms by a comma-separated text: names (quoted if they contain a comma) or numbers of the plan.

        Raises:
            UnknownNameError: there is no such arm.
        """
        known = [arm.name for arm in self.all_arms]
        names = _read_names(text, known)
        if not names:
            raise UnknownNameError("no arm is named", hint=f"arms: {_listed(known)}")
        return self.select(names)

    def select(self, names: Sequence[str]) -> Study:
        """Return the study with only these arms and the base.

        Raises:
            UnknownNameError: there is no such arm; close matches are given.
        """
        known = [arm.name for arm in self.all_arms]
        for name in names:
            if name not in known:
                raise UnknownNameError.among("arm", name, known, hint=f"arms: {_listed(known)}")
        return attrs.evolve(self, arms=tuple(arm for arm in self.arms if arm.name in {BASE, *names}))

    @property
    def all_arms(self) -> list[Arm]:
        """The base first, then the others."""
        own = [arm for arm in self.arms if arm.name == BASE]
        return [*(own or [Arm(BASE)]), *(arm for arm in self.arms if arm.name != BASE)]

    def resolve(
        self,
        catalog: Catalog,
        *,
        where: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        further: Callable[[str, Sequence[Component]], list[str]] | None = None,
    ) -> list[Arm]:
        """Return every arm resolved, the base first.

        Args:
            catalog: where names are looked up.
            where: the study's file, for messages.
            progress: called with what is being done, how many are done, and how many there are.
            further: returns further problems of an arm, given its name and those of its components that were found.

        Raises:
            StudyError: all problems of all arms at once.
        """
        resolved, problems = self._resolve(catalog, progress, further)
        if problems:
            raise StudyError(problems, where=where)
        return resolved

    def problems(self, catalog: Catalog) -> list[str]:
        """Return every problem of the question, each with the arms that have it."""
        return self._resolve(catalog)[1]

    def _resolve(
        self,
        catalog: Catalog,
        progress: Callable[[str, int, int], None] | None = None,
        further: Callable[[str, Sequence[Component]], list[str]] | None = None,
    ) -> tuple[list[Arm], list[str]]:
        problems: dict[str, list[str]] = {}
        resolved: list[Arm] = []
        arms = self.all_arms
        for number, arm in enumerate(arms):
            if progress is not None:
                progress("names and parameters of arms", number, len(arms))
            experiment, found = self._apply(arm, catalog, None if further is None else partial(further, arm.name))
            if experiment is not None:
                # per arm: an arm may remove the metric that the study compares
                found += _unknown_metric(self.compare, experiment)
                # a base with problems is not among the resolved: nothing is known to equal it
                base = resolved[0].experiment if resolved and resolved[0].name == BASE else None
                difference = (base or experiment).difference(experiment)
                on_folds, problems_of_folds = self._on_folds(arm, experiment, catalog)
                found += problems_of_folds
                resolved.append(attrs.evolve(arm, resolved=experiment, difference=difference, on_folds=on_folds))
                if base is not None:
                    found += _check_one_factor(arm, difference)
                    found += [] if difference or arm.swapped is None else [EQUALS_BASE]
            for problem in found:
                problems.setdefault(problem, []).append(arm.name)
        problems_of_search = self._search_problems(catalog)
        return _told_apart(resolved), [
            *self._size_problems(),
            *self._selection_problems(),
            *self._task_problems(),
            *self._design_problems(),
            *problems_of_search,
            *self._rule_problems(resolved, catalog),
            *(in_arms(text, names, self) for text, names in problems.items()),
        ]

    def _on_folds(
        self, arm: Arm, experiment: ResolvedExperiment, catalog: Catalog
    ) -> tuple[dict[int, ResolvedExperiment], list[str]]:
        """Return seed → experiment of an arm on every fold, and its problems; nothing without folds."""
        if self.folds is None:
            return {}, []
        problems = problems_of(experiment, self.folds, self.repetitions, self.compare)
        if problems:
            return {}, problems
        own = [path for path in arm.changes if path in changes_of(experiment, self.folds, self.folds)]
        if own:
            return {}, [f"this arm changes {', '.join(own)}, which Study(folds={self.folds}) sets"]
        found: dict[int, ResolvedExperiment] = {}
        for seed in self.seed_list:
            changes = {**arm.changes, **changes_of(experiment, self.folds, seed)}
            on_fold, problems = self._apply(attrs.evolve(arm, name="fold", changes=changes), catalog)
            if on_fold is None:
                return {}, problems
            found[seed] = on_fold
        return found, []

    def _design_problems(self) -> list[str]:
        """Return the designs that do not go with folds."""
        if self.folds is None:
            return []
        others = [name for name in self.rules if name != FOLDS] + (["search"] if self.searching is not None else [])
        return [f"folds go with arms of swap, remove and grid, not with {', '.join(others)}"] if others else []

    def _size_problems(self) -> list[str]:
        count = len(self.all_arms) * len(self.seed_list)
        if count <= MAX_RUNS:
            return []
        return [f"this study has {count:,} runs, and {MAX_RUNS:,} at most can be planned: take fewer seeds or arms"]

    def _task_problems(self) -> list[str]:
        """Return what a study of a training function lacks, which says nothing of its metrics itself."""
        if not isinstance(self.base, Task):
            return []
        problems = []
        if self.higher_is_better is None and not self.compare.endswith("loss"):
            problems.append(
                f"nothing says whether higher or lower {self.compare} is better\n"
                "  say it: Study(..., higher_is_better=True)"
            )
        if self.selection:
            problems.append("selection is for experiments: a training function chooses its own epoch")
        if self.searching is not None and self.searching.rungs:
            problems.append("rungs are for experiments: a training function has no epochs that could be changed")
        return problems

    def _selection_problems(self) -> list[str]:
        if isinstance(self.base, Task):
            return []
        if self.selection not in ("", *SELECTIONS):
            return [f"selection must be one of {', '.join(map(repr, SELECTIONS))}, not {self.selection!r}"]
        if self.selection == "valid" and not self.compare.startswith("test_"):
            return [
                f"selection='valid' chooses the epoch on the validation split, and the study compares {self.compare}\n"
                f"  compare a metric of the test split: compare='test_{self.compare.partition('_')[2] or 'loss'}'"
            ]
        return []

    def _search_problems(self, catalog: Catalog) -> list[str]:
        """Return the problems of a search before its first trial: its searcher, and both ends of each range."""
        search = self.searching
        if search is None:
            return []
        resolver = Resolver(catalog)
        resolver.resolve("searchers", search.searcher)
        problems = resolver.problems
        if "epochs" in search.space and search.rungs:
            problems.append("search: epochs cannot be in the space if rungs set how long trials are trained")
        epochs = self._epochs()
        if search.rungs and epochs is not None and search.rungs[-1] >= epochs:
            problems.append(f"search: rungs must stay below the base's {epochs} epochs, got {search.rungs}")
        for path, choice in search.space.items():
            found = [self._problem_at(path, value, catalog) for value in choice.corners]
            problems += dict.fromkeys(f"search, {path}: {problem}" for problem in found if problem)
        return problems

    def _rule_problems(self, resolved: Sequence[Arm], catalog: Catalog) -> list[str]:
        """Return the problems of what later rounds will do, which would be found only after the first is trained.

        A rule names in ``probes`` some (path, value) that every arm will get, in ``numbers`` the paths of numbers that
        will be scaled in every arm, and in ``searcher`` what proposes its trials.
        """
        # arms of later rounds have what the rule gave them
        plain = [arm for arm in resolved if arm.trial is None]
        found: dict[str, list[str]] = {}
        for name, rule in self.rules.items():
            if "searcher" in rule:
                resolver = Resolver(catalog)
                resolver.resolve("searchers", rule["searcher"])
                for problem in resolver.problems:
                    found[f"{name}: {problem}"] = [arm.name for arm in self.all_arms]
            for arm in plain:
                problems = [
                    (path, self._problem_at(path, value, catalog, arm)) for path, value in rule.get("probes", ())
                ]
                problems += [(path, self._number_problem(arm, path, catalog)) for path in rule.get("numbers", ())]
                for text in dict.fromkeys(f"{name}, {path}: {problem}" for path, problem in problems if problem):
                    found.setdefault(text, []).append(arm.name)
        everywhere = len(plain) == sum(arm.trial is None for arm in self.all_arms)
        return [
            text if everywhere and len(names) == len(plain) else in_arms(text, names, self)
            for text, names in found.items()
        ]

    def _number_problem(self, arm: Arm, path: str, catalog: Catalog) -> str:
        """Return why an arm has no whole number above 0, and no list of them, at a path; empty if it has."""
        value = arm.experiment.value_at(path)
        if value is not None:
            return "" if _is_width(value) else f"not a whole number above 0, nor a list of them: {shown(value)}"
        return self._problem_at(path, 1, catalog, arm) or "nothing is chosen there, so there is no number to scale"

    def _epochs(self) -> int | None:
        """Return the epochs of the base; None where they are not a whole number, which is another problem."""
        try:
            return int(self.base.epochs) if isinstance(self.base, Experiment) else None
        except (TypeError, ValueError):
            return None

    def _problem_at(self, path: str, value: Any, catalog: Catalog, arm: Arm | None = None) -> str:
        """Return the problem of the base, or of an arm, with a value at a path; empty if there is none."""
        experiment = self.base
        try:
            for own, other in (arm.changes if arm is not None else {}).items():
                experiment = experiment.changed(own, other, catalog)
            _, problems = experiment.changed(path, value, catalog).resolve(catalog)
        except (LabError, TypeError) as error:
            return str(error)
        return "\n".join(problems)

    def with_seeds(self, seeds: int | Sequence[int]) -> Study:
        """Return the study with these seeds in place of its own, or of the rule that chose them."""
        rules = {name: rule for name, rule in self.rules.items() if name != SEEDS}
        return attrs.evolve(self, seeds=seeds, rules=rules)

    def with_round(self, arms: Sequence[Arm]) -> Study:
        """Return the study with the arms of a further round; an arm of the same name is replaced."""
        by_name = {arm.name: arm for arm in self.arms} | {arm.name: arm for arm in arms}
        return attrs.evolve(self, arms=tuple(by_name.values()))

    def __getattr__(self, name: str) -> Any:
        # private names are asked for by copy, pickle and notebooks, for which no plugin need be loaded
        if name.startswith("_"):
            raise AttributeError(name)
        methods = _study_methods()
        if name not in methods:
            raise AttributeError(f"a study has no '{name}'; plugins add: {', '.join(sorted(methods)) or 'nothing'}")
        target = methods[name]
        function = load_object(target, f"study method '{name}'") if isinstance(target, str) else target
        # a bound method, of which help() shows the function's own signature and docstring
        return MethodType(with_checked_arguments(function, given=1), self)

    def run(self, **options: Any) -> Any:
        """Run the study with ``lab.run_study``, whose options these are, and return its ``Results``."""
        # imported by name at call time: lab.study.study is a value object and must not import the engine
        return importlib.import_module("lab").run_study(self, **options)

    def _apply(
        self, arm: Arm, catalog: Catalog, further: FurtherProblems | None = None
    ) -> tuple[ResolvedExperiment | None, list[str]]:
        experiment = self.base
        try:
            for path, value in arm.changes.items():
                experiment = experiment.changed(path, value, catalog)
            if self.selection in SELECTIONS and isinstance(experiment, Experiment):
                select = "last" if self.selection == "last" else "best"
                experiment = experiment.changed("checkpoint.select", select, catalog)
        except (LabError, TypeError) as error:
            return None, [str(error)]
        return experiment.resolve(catalog, further)

    def _with(self, arms: Sequence[Arm], remedy: str = "") -> Study:
        times = Counter(arm.name for arm in (*self.arms, *arms))
        # names are keys of the record and of every table
        twice = next((name for name, count in times.items() if count > 1), None)
        if twice is not None:
            raise LabError(f"two arms are called '{twice}'", hint=remedy and f"name them yourself: {remedy}")
        if len(times) > MAX_ARMS:
            raise StudyError([f"this study has {len(times):,} arms; it can have {MAX_ARMS:,} at most"])
        return attrs.evolve(self, arms=(*self.arms, *arms))


def _is_width(value: Any) -> bool:
    """Return whether a value is a whole number above 0, or a list of them."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return bool(values) and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values)


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def _checked_levels(where: str, path: Any, values: Any, *, what: str, remedy: str = "") -> list[tuple[str, Any]]:
    """Return the values at a path in several arms, by name.

    Args:
        where: the call that they are of.
        path: the path.
        values: as they were given.
        what: alternatives or levels.
        remedy: how the caller names two equal levels itself; empty for a grid.

    Raises:
        StudyError: every problem of the path, of the names and of the kind of collection.
    """
    problems = text_problem("the path", path, may_be_empty=False)
    if isinstance(values, (str, bytes, Use, set, frozenset)) or not isinstance(values, Iterable):
        order = ": a set has no order" if isinstance(values, (set, frozenset)) else ""
        problems.append(f"give {what} as a list or as {{name: value}}, not {shown(values)}{order}")
    if problems:
        raise StudyError([f"{where}: {problem}" for problem in problems])
    try:
        levels = _levels(path, values)
    except TypeError as error:
        raise StudyError([f"{where}: {error}"]) from None
    problems = [problem for name, _ in levels for problem in name_problem(f"one of the {what}", name)]
    if not levels:
        raise StudyError([f"{where} has no {what}"])
    twice = [name for name, count in Counter(name for name, _ in levels).items() if count > 1] if not problems else []
    if twice and what == "levels":
        remedy = remedy or f"{{'{path}': {{name: ...}}}}"
        problems.append(f"two levels are called '{twice[0]}'\n  name them yourself: {remedy}")
    if problems:
        raise StudyError([f"{where}: {problem}" for problem in problems])
    return levels


def _levels(path: str, values: Mapping[str, Any] | Iterable[Any]) -> list[tuple[str, Any]]:
    if isinstance(values, Mapping):
        return [(name, plain_value(value)) for name, value in values.items()]
    plain = [plain_value(value) for value in values]
    return [(label_of(path, value), value) for value in plain]


def _read_names(text: str, known: Sequence[str]) -> list[str]:
    """Return the names in a text: known names (which may contain commas), quoted names, or numbers."""
    parts, found = re.findall(r"""\s*(?:"[^"]*"|'[^']*')\s*(?=,|$)|[^,]+""", text), []
    while parts:
        # the longest match first: with arms 'a' and 'a, b', the text "a, b" means the second
        length = next((n for n in range(len(parts), 0, -1) if ",".join(parts[:n]).strip() in known), 1)
        name = ",".join(parts[:length]).strip()
        if name not in known:
            name = name.strip("\"'") if name[:1] == name[-1:] and name[:1] in ("'", '"') else name
        is_number = name not in known and name.isascii() and name.isdigit() and len(name) < 8 and int(name) < len(known)
        found.append(known[int(name)] if is_number else name)
        del parts[:length]
    return [name for name in found if name]


def _listed(names: Sequence[str]) -> str:
    """Return names in one line; numbered lines if a name contains a comma."""
    if not any("," in name for name in names):
        return ", ".join(names)
    lines = "\n".join(f"  {number}: {name}" for number, name in enumerate(names))
    return f"by number, or in quotes\n{lines}"


def _cell(cell: Mapping[str, tuple[str, Any]], levels: Mapping[str, Any], factors: Mapping[str, Any]) -> Arm:
    changed = [cell[path][0] for path in cell if cell[path][0] != levels[path][0][0]]
    return Arm(
        " + ".join(changed) or BASE,
        {path: value for path, (_, value) in cell.items()},
        {path: name for path, (name, _) in cell.items()},
    )


def _told_apart(arms: list[Arm]) -> list[Arm]:
    """Return the arms; those that differ from the base alike also name the parameters that tell them apart.

    Of a component that replaces another one no parameter is listed, so arms with the same component and other
    parameters would look equal.
    """
    alike: dict[str, list[int]] = {}
    for place, arm in enumerate(arms):
        alike.setdefault(repr(arm.difference), []).append(place)
    told = list(arms)
    for first, *others in alike.values():
        changes = {place: arms[first].experiment.difference(arms[place].experiment) for place in others}
        # path → the first arm's value, which is also that of every other arm that does not change it
        values = {path: here for change in changes.values() for path, (here, _) in change.items()}
        for place in [first, *others] if values and arms[first].difference else ():
            own = {
                path: (None, changes.get(place, {}).get(path, (here, here))[1])
                for path, here in values.items()
                if path not in arms[place].difference
            }
            told[place] = attrs.evolve(arms[place], difference={**arms[place].difference, **own})
    return told


def _check_one_factor(arm: Arm, difference: Mapping[str, Any]) -> list[str]:
    # cells of a grid and trials of a search change several paths on purpose
    if arm.swapped is None:
        return []
    slot = arm.swapped.partition(".")[0]
    place = slot if slot in SLOTS_OF_SEVERAL else arm.swapped
    others = [path for path in difference if path != place and not path.startswith(f"{place}.")]
    if not others:
        return []
    return [
        f"this arm swaps {arm.swapped} but differs from the base in {', '.join(others)} too\n"
        "  swap one thing at a time, or use grid"
    ]


def _unknown_metric(metric: str, experiment: ResolvedExperiment) -> list[str]:
    """Return a problem if this experiment will not have the primary metric; metrics of callbacks are unknown here."""
    if experiment.task is not None:  # known once it has returned
        return []
    offered = ["loss", *(metric.alias for metric in experiment.components("metrics"))]
    split, _, name = metric.partition("_")
    if metric in offered:
        split, name = "valid", metric
    elif split not in ("valid", "test") or name in offered:
        return []
    metrics = {each: f"{split}_{each}" for each in offered}
    hint = did_you_mean(name, metrics, f"metrics: {', '.join(metrics.values())}")
    return [str(UnknownNameError(f"unknown metric '{metric}' in Study(compare=…)", hint=hint))]


def in_arms(problem: str, names: Sequence[str], study: Study) -> str:
    """Return a problem with the names of the arms that have it; without names if all do."""
    if len(names) == len(study.all_arms):
        return problem
    return f"{' and '.join(f'arm {name!r}' for name in names)}: {problem}"
