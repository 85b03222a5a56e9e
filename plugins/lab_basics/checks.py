"""Checks of the parameters of architectures: widths, counts and dropout probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lab.errors import ParameterError

__all__ = ["check_probabilities", "check_sizes", "dropout_by_layer"]


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


def dropout_by_layer(where: str, dropout: float | Sequence[float], layers: Sequence[int]) -> list[float]:
    """Return the dropout probability after each hidden layer, given one for all or one each.

    Args:
        where: the component, such as ``architecture 'mlp'``.
        dropout: a number, or one per layer.
        layers: widths of the hidden layers.

    Raises:
        ParameterError: there are more or fewer numbers than layers, or one is not in [0, 1].

    >>> dropout_by_layer("architecture 'mlp'", 0.5, [256, 256])
    [0.5, 0.5]
    """
    check_probabilities(where, dropout=dropout)
    if isinstance(dropout, (int, float)):
        return [float(dropout)] * len(layers)
    if len(dropout) != len(layers):
        raise ParameterError(f"{len(dropout)} dropouts for {len(layers)} layers", where=where, hint="one each")
    return list(dropout)


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
