"""Searching settings: trials that are arms of an ordinary study, proposed in rounds.

A trial is an arm whose values a *searcher* chose, so it is checked, trained, found again and reported like any other.
What a round proposes follows from the seed and from what earlier rounds gave, and from nothing else: an interrupted
search goes on where it stopped, and a finished one is only read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

from lab.errors import LabError, StudyError
from lab.registry.component import Reference, plain_number, plain_value
from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver
from lab.study.checks import MAX_ARMS, bound_problems, name_problem, number_problems, shown, text_of, text_problem
from lab.study.compare import summarise
from lab.study.study import Arm, Study, TrialOfArm, label_of

if TYPE_CHECKING:
    from lab.study.results import Results

__all__ = [
    "Options",
    "Range",
    "Search",
    "Searcher",
    "Space",
    "Trial",
    "check_search",
    "grow",
    "log",
    "read_space",
    "value_of",
]

SHARE = 3
"""Of so many trials one goes on to the next rung."""


@attrs.frozen
class Range:
    """Numbers between two bounds.

    Attributes:
        low, high: the bounds, both included.
        is_log: whether equal ratios, not equal differences, are equally likely.
        is_whole: whole numbers only.
    """

    low: float = attrs.field(converter=plain_number)
    high: float = attrs.field(converter=plain_number)
    is_log: bool = False
    is_whole: bool = False

    def __attrs_post_init__(self) -> None:
        if problems := bound_problems(self.low, self.high):
            raise LabError(problems[0])
        if not self.low < self.high:
            raise LabError(f"a range must rise, got {self.low} to {self.high}")
        if self.is_log and self.low <= 0:
            raise LabError(f"a logarithmic range begins above 0, got {self.low}")

    def at(self, share: float) -> float:
        """The value at a share of the range, from 0 to 1, on its own scale."""
        if self.is_whole and not self.is_log:
            return min(int(self.high), int(self.low + share * (self.high - self.low + 1)))
        if not self.is_log:
            return self.low + share * (self.high - self.low)
        value = float(self.low * (self.high / self.low) ** share)
        return round(value) if self.is_whole else value

    def share(self, value: float) -> float:
        """Where a value stands in the range, from 0 to 1; a whole number in the middle of its stretch."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        if self.is_whole:
            return (value - self.low + 0.5) / (self.high - self.low + 1)
        return (value - self.low) / (self.high - self.low)


@attrs.frozen
class Options:
    """One of several values or components.

    Attributes:
        values: name → value.
    """

    values: Mapping[str, Any]

    def at(self, share: float) -> str:
        """The name at a share of the options, from 0 to 1."""
        names = list(self.values)
        return names[min(int(share * len(names)), len(names) - 1)]

    def share(self, name: str) -> float:
        """The middle of an option's stretch, from 0 to 1."""
        return (list(self.values).index(name) + 0.5) / len(self.values)


Space = Mapping[str, Range | Options]
"""Path → what may stand there."""


def log(low: float, high: float) -> Range:
    """Numbers from ``low`` to ``high`` of which equal ratios are equally likely: ``log(1e-4, 1e-1)`` for an ``lr``.

    Two whole bounds give whole numbers: ``log(16, 256)`` for a width.
    """
    return Range(low, high, is_log=True, is_whole=_are_whole(low, high))


def _are_whole(*values: Any) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in map(plain_number, values))


def read_space(space: Mapping[str, Any]) -> dict[str, Range | Options]:
    """A space as ``Study.search`` takes it: a pair is a range, a list or a mapping are options.

    Raises:
        StudyError: every path with what is wrong there.
    """
    found: dict[str, Range | Options] = {}
    if not isinstance(space, Mapping):
        raise StudyError([f"a search needs a space: {{path: (low, high) or [one, another]}}, not {shown(space)}"])
    problems = [] if space else ["a search needs a space: {path: (low, high) or [one, another]}"]
    for path, choice in space.items():
        try:
            if wrong := text_problem("a path", path, may_be_empty=False):
                raise StudyError(wrong)
            found[path] = _read_choice(path, plain_value(choice))
        except (LabError, TypeError) as error:
            problems.append(f"search, {text_of(path)}: {error}")
    if problems:
        raise StudyError(problems)
    return found


def _read_choice(path: str, choice: Any) -> Range | Options:
    if isinstance(choice, (Range, Options)):
        return choice
    if isinstance(choice, Mapping):
        values = dict(choice)
    elif isinstance(choice, tuple):
        if len(choice) != 2 or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in choice):
            raise LabError(f"a pair of numbers is a range, a list is options; got {choice!r}")
        return Range(*choice, is_whole=_are_whole(*choice))
    elif isinstance(choice, list):
        labels = [label_of(path, value) for value in choice]
        twice = [label for label, count in Counter(labels).items() if count > 1]
        if twice:
            raise LabError(f"two options are called '{twice[0]}'", hint="name them yourself: {name: ..., ...}")
        values = dict(zip(labels, choice, strict=True))
    else:
        raise LabError(f"give a pair of numbers, a list, or log(low, high); got {choice!r}")
    if problems := [problem for name in values for problem in name_problem("an option", name)]:
        raise StudyError(problems)
    if len(values) < 2:
        raise LabError("there is nothing to choose between: give two options or more")
    return Options(values)


@attrs.frozen
class Trial:
    """What a searcher is told of an earlier trial.

    Attributes:
        settings: path → number, or name of the option.
        value: the figure that decides, lower is better; None for a trial that failed.
    """

    settings: Mapping[str, Any]
    value: float | None


@runtime_checkable
class Searcher(Protocol):
    """What proposes trials.

    ``propose`` gives ``count`` settings, each with a number or the name of an option for every path of the space. It
    keeps nothing: the same space, trials and seed give the same proposals.
    """

    def propose(self, space: Space, seen: Sequence[Trial], count: int, seed: int) -> list[dict[str, Any]]: ...


def _plain_numbers(numbers: Any) -> Any:
    return tuple(map(plain_number, numbers)) if isinstance(numbers, Iterable) else numbers


@attrs.frozen
class Search:
    """How a study is searched.

    Attributes:
        space: path → what may stand there.
        trials: how many trials in all.
        searcher: what proposes them.
        batch: how many are proposed at once; the next batch has heard of all before it.
        seed: of the searcher.
        rungs: epochs after which a trial may be given up: it is trained for the first of them, the best third of all
            so far for the next, and so on to the base's epochs. Every rung is a run of its own, with its schedule
            fitted to its length (successive halving; Jamieson & Talwalkar 2016, Li et al. 2020).
    """

    space: Space
    trials: int = attrs.field(converter=plain_number)
    searcher: Reference = "tpe"
    batch: int = attrs.field(default=10, converter=plain_number)
    seed: int = attrs.field(default=0, converter=plain_number)
    rungs: tuple[int, ...] = attrs.field(default=(), converter=_plain_numbers)

    def __attrs_post_init__(self) -> None:
        problems = number_problems("trials of a search", self.trials, smallest=1, largest=MAX_ARMS)
        problems += number_problems("batch of a search", self.batch, smallest=1)
        problems += number_problems("seed of a search", self.seed, smallest=0, largest=2**32 - 1)
        if not isinstance(self.rungs, tuple) or any(not isinstance(rung, int) for rung in self.rungs):
            problems.append(f"rungs must be rising epochs from 1 on, got {shown(self.rungs)}")
        if problems:
            raise StudyError(problems)
        if list(self.rungs) != sorted({*self.rungs}) or any(rung < 1 for rung in self.rungs):
            raise StudyError([f"rungs must be rising epochs from 1 on, got {self.rungs}"])


def grow(study: Study, results: Results, catalog: Catalog) -> Study | None:
    """The study with the arms of its next round, or None where it is no search or is through.

    Args:
        study: with the arms of all rounds so far.
        results: of these arms.
        catalog: where the searcher is looked up.
    """
    search = study.searching
    if search is None:
        return None
    arms = _promoted(study, search, results) or _proposed(study, search, results, catalog)
    return attrs.evolve(study, arms=(*study.arms, *arms)) if arms else None


def value_of(arm: str, results: Results) -> float | None:
    """The figure that decides, over the seeds of an arm, lower is better; None where a run of it failed."""
    figure = results.study.compare
    values = results.figures(arm, figure)
    if len(values) < len(results.study.seed_list) or not all(map(math.isfinite, values.values())):
        return None
    mean = summarise(list(values.values())).mean
    return -mean if results.is_higher_better(figure) else mean


def _promoted(study: Study, search: Search, results: Results) -> list[Arm]:
    """The trials that go on to their next rung, of every rung."""
    return [arm for rung in range(len(search.rungs)) for arm in _promoted_from(rung, study, search, results)]


def _promoted_from(rung: int, study: Study, search: Search, results: Results) -> list[Arm]:
    here = {arm.trial.number: arm for arm in study.arms if arm.trial is not None and arm.trial.rung == rung}
    gone_on = {arm.trial.number for arm in study.arms if arm.trial is not None and arm.trial.rung == rung + 1}
    values = {number: value_of(arm.name, results) for number, arm in here.items()}
    finished = {number: value for number, value in values.items() if value is not None}
    best = sorted(finished, key=lambda number: (finished[number], number))[: math.ceil(len(here) / SHARE)]
    return [_arm(search, number, here[number].trial.settings, rung + 1) for number in best if number not in gone_on]  # type: ignore[union-attr]


def _proposed(study: Study, search: Search, results: Results, catalog: Catalog) -> list[Arm]:
    """New trials, as many as a batch has and the search still wants."""
    seen = _seen(study, results)
    count = min(search.batch, search.trials - len(seen))
    if count <= 0:
        return []
    proposals = _searcher(search, catalog).propose(search.space, seen, count, search.seed)
    return [_arm(search, len(seen) + index, settings, 0) for index, settings in enumerate(proposals)]


def _seen(study: Study, results: Results) -> list[Trial]:
    """Every trial once, in order, with its value at the highest rung that it reached."""
    highest: dict[int, Arm] = {}
    for arm in study.arms:
        if arm.trial is not None:
            highest[arm.trial.number] = arm
    return [
        Trial(arm.trial.settings, value_of(arm.name, results))
        for _, arm in sorted(highest.items())
        if arm.trial is not None
    ]


def _arm(search: Search, number: int, settings: Mapping[str, Any], rung: int) -> Arm:
    """The arm of a trial on a rung."""
    changes = {path: _value(search.space[path], setting) for path, setting in settings.items()}
    name = f"trial {number}"
    if rung < len(search.rungs):
        changes["epochs"] = search.rungs[rung]
        name = f"{name} for {search.rungs[rung]} epochs"
    return Arm(name, changes, trial=TrialOfArm(number, rung, dict(settings)))


def _value(choice: Range | Options, setting: Any) -> Any:
    return choice.values[setting] if isinstance(choice, Options) else setting


def _searcher(search: Search, catalog: Catalog) -> Searcher:
    resolver = Resolver(catalog)
    component = resolver.resolve("searchers", search.searcher)
    if component is None:
        raise StudyError(resolver.problems)
    return component.build({})  # type: ignore[no-any-return]


def check_search(study: Study, catalog: Catalog) -> list[str]:
    """What can be said against a search before its first trial: its searcher, and every corner of its space."""
    search = study.searching
    if search is None:
        return []
    resolver = Resolver(catalog)
    resolver.resolve("searchers", search.searcher)
    problems = resolver.problems
    if "epochs" in search.space and search.rungs:
        problems.append("search: epochs stands in the space, and rungs say how long trials are trained")
    epochs = _epochs(study)
    if search.rungs and epochs is not None and search.rungs[-1] >= epochs:
        problems.append(f"search: rungs must stay below the base's {epochs} epochs, got {search.rungs}")
    for path, choice in search.space.items():
        found = [_complaint(study, path, value, catalog) for value in _extremes(choice)]
        problems += dict.fromkeys(f"search, {path}: {problem}" for problem in found if problem)
    return problems


def _epochs(study: Study) -> int | None:
    """The epochs of the base, also as written on a command line; None where they are no whole number."""
    try:
        return int(study.base.epochs)
    except (TypeError, ValueError):
        return None


def _extremes(choice: Range | Options) -> list[Any]:
    return list(choice.values.values()) if isinstance(choice, Options) else [choice.low, choice.high]


def _complaint(study: Study, path: str, value: Any, catalog: Catalog) -> str:
    """What is wrong with one value at a path, or nothing."""
    try:
        _, problems = study.base.changed(path, value, catalog).resolve(catalog)
    except (LabError, TypeError) as error:
        return str(error)
    return "\n".join(problems)
