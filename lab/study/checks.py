"""Checks of the values that a study is built from; each returns its problems as sentences."""

from __future__ import annotations

import functools
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from lab.errors import StudyError, did_you_mean
from lab.registry.component import plain_number

__all__ = [
    "MAX_ARMS",
    "MAX_RUNS",
    "bound_problems",
    "flag_problem",
    "name_problem",
    "number_problems",
    "plain_seeds",
    "seed_problems",
    "shown",
    "text_of",
    "text_problem",
    "with_checked_arguments",
]

P = ParamSpec("P")
R = TypeVar("R")

MAX_NAME_LENGTH = 200
MAX_LENGTH_SHOWN = 80
MAX_SEEDS = 10_000
MAX_ARMS = 10_000
MAX_RUNS = 50_000
"""A plan reads, checks and shows every run: a larger one would take minutes to show."""


def shown(value: Any) -> str:
    """Return a value of any type as a message shows it."""
    try:
        text = repr(value)
    except Exception:
        # __repr__ of a user's class may raise, and so does the repr of an int with more than 4,300 digits (Python 3.11)
        text = f"a {type(value).__name__}"
    return text if len(text) <= MAX_LENGTH_SHOWN else f"{text[:MAX_LENGTH_SHOWN]}…"


def text_of(value: Any) -> str:
    """Return ``str(value)``, or its ``shown`` form if the class cannot be converted."""
    try:
        return str(value)
    except Exception:
        return shown(value)


def text_problem(name: str, value: Any, *, may_be_empty: bool = True) -> list[str]:
    """Return the problems of a text."""
    if not isinstance(value, str):
        return [f"{name} must be text, not {type(value).__name__}: {shown(value)}"]
    if not may_be_empty and not value.strip():
        return [f"{name} is empty"]
    return [] if _is_writable(value) else [f"{name} holds characters that cannot be written: {shown(value)}"]


def name_problem(what: str, value: Any) -> list[str]:
    """Return the problems of the name of an arm or a level; tables, files and the command line show it."""
    problems = text_problem(f"the name of {what}", value, may_be_empty=False)
    if problems:
        return problems
    if not value.isprintable() or value != value.strip():
        return [f"the name of {what} must not hold line breaks or begin or end with blanks: {shown(value)}"]
    if len(value) > MAX_NAME_LENGTH:
        return [f"the name of {what} is longer than {MAX_NAME_LENGTH} characters: {shown(value)}"]
    return []


def _is_writable(text: str) -> bool:
    return text == text.encode("utf-8", "replace").decode()


def plain_seeds(seeds: Any) -> Any:
    """Return seeds as a Python int or a list of them, also from NumPy and torch."""
    if hasattr(seeds, "rule"):
        return seeds
    if isinstance(seeds, (str, bytes, Mapping)) or hasattr(seeds, "shape"):
        return seeds.tolist() if getattr(seeds, "shape", ()) else plain_number(seeds)
    # a range is checked by its length: range(10**12) must become a message, not a list
    if isinstance(seeds, range) and len(seeds) > MAX_SEEDS:
        return seeds
    return [plain_number(seed) for seed in seeds] if isinstance(seeds, Iterable) else seeds


def seed_problems(seeds: Any) -> list[str]:
    """Return the problems of the seeds of a study."""
    listed: list[Any] = []
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        count = seeds
    elif isinstance(seeds, (list, range)) and len(seeds) > MAX_SEEDS:
        count = len(seeds)
    else:
        listed = seeds if isinstance(seeds, list) else []
        count = len(listed)
    # bool is a subclass of int: True would silently be seed 1
    if count < 1 or any(isinstance(seed, bool) or not isinstance(seed, int) for seed in listed):
        return [f"seeds must be a number of at least 1 or a list of whole numbers, not {shown(seeds)}"]
    if count > MAX_SEEDS:
        return [f"too many seeds: at most {MAX_SEEDS:,}"]
    # torch.Generator.manual_seed takes 64 bits, and the sign is kept free
    if large := [seed for seed in listed if seed.bit_length() > 63]:
        return [f"seeds must fit into 64 bits, not {shown(large[0])}"]
    twice = sorted(seed for seed, times in Counter(listed).items() if times > 1)
    return [f"duplicate seed{'s' * (len(twice) > 1)}: {', '.join(map(str, twice))}"] if twice else []


def number_problems(name: str, value: Any, *, smallest: int, largest: int | None = None) -> list[str]:
    """Return the problems of a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        return [f"{name} must be a whole number, not {type(value).__name__}: {shown(value)}"]
    if value < smallest:
        return [f"{name} must be at least {smallest}, not {shown(value)}"]
    if largest is not None and value > largest:
        return [f"{name} must be at most {largest:,}, not {shown(value)}"]
    return []


def flag_problem(name: str, value: Any) -> list[str]:
    """Return the problem of a value that is True or False."""
    return [] if isinstance(value, bool) else [f"{name} is True or False, not {shown(value)}"]


def bound_problems(low: Any, high: Any) -> list[str]:
    """Return the problems of the bounds of a range."""
    bounds = (low, high)
    if any(isinstance(bound, bool) or not isinstance(bound, (int, float)) for bound in bounds):
        return [f"the bounds of a range are numbers, not {shown(low)} and {shown(high)}"]
    if not all(map(_is_finite, bounds)):
        return [f"the bounds of a range are finite, not {shown(low)} and {shown(high)}"]
    return []


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        # math.isfinite converts to float, which a whole number above 1.8e308 does not fit
        return False


def with_checked_arguments(function: Callable[P, R], given: int = 0) -> Callable[P, R]:
    """Return a function of study files that refuses arguments which it does not take as other mistakes are refused.

    Args:
        function: the function.
        given: leading arguments that its caller does not write, such as the study of a method.

    Raises:
        StudyError: an argument is missing, unknown or one too many; the message has the signature.
    """

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        signature = inspect.signature(function)
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            own = list(signature.parameters.values())[given:]
            by_name = {each.name: each.name for each in own if each.kind is not inspect.Parameter.VAR_POSITIONAL}
            unknown = [name for name in kwargs if name not in by_name]
            close = did_you_mean(unknown[0], by_name) if unknown else ""
            # annotations and defaults are in the documentation; a call needs the names
            plain = [each.replace(annotation=inspect.Parameter.empty) for each in own]
            written = f"{function.__name__}{inspect.Signature(plain)}"
            lines = [f"{function.__name__}: {error}", *([f"  {close}"] if close else []), f"  signature: {written}"]
            raise StudyError(["\n".join(lines)]) from None
        return function(*args, **kwargs)

    return checked
