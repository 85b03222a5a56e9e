"""The space of a search: ranges and options per path, and the contract of searchers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs

from lab.errors import LabError, StudyError
from lab.registry.component import Reference, Use, as_use, plain_number, plain_value
from lab.study.checks import MAX_ARMS, bound_problems, name_problem, number_problems, shown, text_of, text_problem

__all__ = [
    "ObservedTrial",
    "Options",
    "Range",
    "Search",
    "Searcher",
    "Space",
    "label_of",
    "log",
    "read_space",
]


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

    def holds(self, value: Any) -> bool:
        """Return whether a value lies in the range, up to rounding."""
        if isinstance(value, bool) or not isinstance(value, int if self.is_whole else (int, float)):
            return False
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        return self.low - slack <= value <= self.high + slack

    @property
    def corners(self) -> list[Any]:
        """Both bounds: most constraints of a parameter are bounds, which one of the ends violates."""
        return [self.low, self.high]

    def at(self, share: float) -> float:
        """Return the value at a share of the range, from 0 to 1, on its own scale."""
        if self.is_whole and not self.is_log:
            # + 1, so that both bounds are as likely as the numbers between; min, since share may be exactly 1
            return min(int(self.high), int(self.low + share * (self.high - self.low + 1)))
        if not self.is_log:
            return self.low + share * (self.high - self.low)
        value = float(self.low * (self.high / self.low) ** share)
        return round(value) if self.is_whole else value

    def share(self, value: float) -> float:
        """Return the share of the range below a value, from 0 to 1; a whole number is mid-interval."""
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

    @property
    def corners(self) -> list[Any]:
        """All values."""
        return list(self.values.values())

    def holds(self, value: Any) -> bool:
        """Return whether a value is the name of an option."""
        return isinstance(value, str) and value in self.values

    def at(self, share: float) -> str:
        """Return the name at a share of the options, from 0 to 1."""
        names = list(self.values)
        return names[min(int(share * len(names)), len(names) - 1)]

    def share(self, name: str) -> float:
        """Return the middle of an option's interval, from 0 to 1."""
        return (list(self.values).index(name) + 0.5) / len(self.values)


Space = Mapping[str, Range | Options]
"""Path → range or options."""


def log(low: float, high: float) -> Range:
    """Return a range on a logarithmic scale, for example ``log(1e-4, 1e-1)`` for an ``lr``.

    Two whole bounds give whole numbers: ``log(16, 256)`` for a width.
    """
    return Range(low, high, is_log=True, is_whole=_are_whole(low, high))


def _are_whole(*values: Any) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in map(plain_number, values))


def read_space(space: Mapping[str, Any]) -> dict[str, Range | Options]:
    """Return a space from the notation of ``Study.search``: a pair is a range, a list or a mapping are options.

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
            # a tuple is always a range: ("adam", "sgd") would be ambiguous with two bounds
            raise LabError(f"a pair of numbers is a range, a list is options; got {choice!r}")
        return Range(*choice, is_whole=_are_whole(*choice))
    elif isinstance(choice, list):
        # options are recorded and proposed by name, so that values of any type can be options
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
class ObservedTrial:
    """An earlier trial, as a searcher sees it.

    Attributes:
        settings: path → number, or name of the option.
        value: of the primary metric, lower is better; None for a trial that failed.
    """

    settings: Mapping[str, Any]
    value: float | None


@runtime_checkable
class Searcher(Protocol):
    """Contract of searchers, which propose trials.

    ``propose`` returns ``count`` settings, each with a number or the name of an option for every path of the space. It
    is stateless: the same space, trials and seed give the same proposals.
    """

    def propose(self, space: Space, seen: Sequence[ObservedTrial], count: int, seed: int) -> list[dict[str, Any]]: ...


def _plain_numbers(numbers: Any) -> Any:
    return tuple(map(plain_number, numbers)) if isinstance(numbers, Iterable) else numbers


@attrs.frozen
class Search:
    """Settings of a search.

    Attributes:
        space: path → range or options.
        trials: how many trials in all.
        searcher: what proposes them.
        batch: trials proposed at once; each batch is proposed from the results of all earlier ones.
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
        # NumPy's legacy generator, which Optuna seeds, takes 32 bits
        problems += number_problems("seed of a search", self.seed, smallest=0, largest=2**32 - 1)
        if not isinstance(self.rungs, tuple) or any(not isinstance(rung, int) for rung in self.rungs):
            problems.append(f"rungs must be rising epochs from 1 on, got {shown(self.rungs)}")
        if problems:
            raise StudyError(problems)
        if list(self.rungs) != sorted({*self.rungs}) or any(rung < 1 for rung in self.rungs):
            raise StudyError([f"rungs must be rising epochs from 1 on, got {self.rungs}"])


def label_of(path: str, value: Any) -> str:
    """Return a short name for a value at a path: ``bidirectional``, ``additive``, ``layers=2``.

    >>> label_of("lr", 3 * 0.003), label_of("architecture.bias", False)
    ('lr=0.009', 'no bias')
    """
    last = path.rpartition(".")[2]
    if value is True or value is False or value is None:
        return last if value else f"no {last}"
    if isinstance(value, (str, Use)) or callable(value):
        return as_use(value).name
    # 3 * 0.003 is 0.009000000000000001
    return f"{last}={text_of(float(f'{value:.12g}') if isinstance(value, float) else value)}"
