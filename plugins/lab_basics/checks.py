"""Checks of the parameters of architectures: widths, counts and dropout probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.errors import ParameterError

__all__ = ["check_probabilities", "check_sizes"]


def check_sizes(where: str, *, least: int = 1, **sizes: int | Iterable[Any] | None) -> None:
    """Raise unless widths or counts are at least ``least``; None and empty lists are allowed.

    Without this check torch raises an error that has neither the component nor the parameter.

    Args:
        where: the component, such as ``architecture 'mlp'``.
        least: the smallest value.
        sizes: parameter → a number, or numbers, also in nested lists.

    Raises:
        ParameterError: a number is smaller.

    >>> check_sizes("architecture 'mlp'", hidden_size=8, layers=[64, 0])
    Traceback (most recent call last):
    lab.errors.ParameterError: layers must be at least 1, got 0 in [64, 0]
      architecture 'mlp'
    """
    _check(where, sizes, lambda value: value >= least, f"at least {least}")


def check_probabilities(where: str, **probabilities: float | Iterable[Any] | None) -> None:
    """Raise unless dropout probabilities lie in [0, 1]; None and empty lists are allowed.

    Args:
        where: the component, such as ``architecture 'mlp'``.
        probabilities: parameter → a number, or numbers.

    Raises:
        ParameterError: a number is outside, or not a number.
    """
    _check(where, probabilities, lambda value: 0 <= value <= 1, "between 0 and 1")


def _check(where: str, parameters: dict[str, Any], is_valid: Any, words: str) -> None:
    for name, given in parameters.items():
        for value in _flat(given):
            if not is_valid(value):
                inside = "" if value is given else f" in {given!r}"
                raise ParameterError(f"{name} must be {words}, got {value}{inside}", where=where)


def _flat(given: Any) -> Iterable[Any]:
    if given is None:
        return
    if isinstance(given, Iterable):
        for each in given:
            yield from _flat(each)
        return
    yield given
