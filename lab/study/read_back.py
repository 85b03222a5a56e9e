"""Values of parameters read back from a record: from their JSON and the types beside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lab.registry.definition import origin_of
from lab.registry.value_types import DEFAULT, OBJECT, Unread, below

__all__ = ["with_types"]


def with_types(plain: Any, types: Mapping[str, str], place: str = "") -> Any:
    """Return the value whose JSON and types were recorded; ``Unread`` for what they do not give back.

    >>> with_types([3, 5], {"size": "tuple"}, "size")
    (3, 5)

    Raises:
        ValueError: a type does not suit its value, as in a damaged record.
    """
    if not types:
        return plain
    tag = types.get(place)
    if isinstance(plain, dict) and tag not in ("slice", OBJECT, DEFAULT):
        plain = {name: with_types(item, types, below(place, name)) for name, item in plain.items()}
    elif isinstance(plain, list) and tag not in (OBJECT, DEFAULT):
        plain = [with_types(item, types, below(place, index)) for index, item in enumerate(plain)]
    if tag is None:
        return plain
    try:
        return _typed(plain, tag)
    except (TypeError, SyntaxError, KeyError, AttributeError, RuntimeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{place or 'a value'} cannot be {tag!r}: {error}") from None


def _typed(plain: Any, tag: str) -> Any:
    makers: dict[str, Callable[[Any], Any]] = {
        "tuple": tuple,
        "path": Path,
        "set": set,
        "frozenset": frozenset,
        "slice": lambda value: slice(*value["slice"]),
        "literal": ast.literal_eval,
        OBJECT: _object,
        DEFAULT: lambda value: Unread(value, is_default=True),
    }
    if tag in makers:
        return makers[tag](plain)
    first, _, rest = tag.partition(" ")
    if first == "mapping":
        return {name: plain[str(name)] for name in ast.literal_eval(f"[{rest}]")}
    if first == "numpy":
        import numpy as np

        dtype, shape = _dtype_and_shape(rest)
        found = np.array(plain, dtype=dtype)
        return found.reshape(shape) if shape else found
    if first == "torch":
        import torch

        if rest == "dtype":
            return _torch_dtype(plain)
        dtype, shape = _dtype_and_shape(rest)
        tensor = torch.tensor(plain, dtype=_torch_dtype(dtype))
        return tensor.reshape(shape) if shape else tensor
    if numbers := re.fullmatch(r"range\((-?\d+), (-?\d+)(?:, (-?\d+))?\)", tag):
        return range(*(int(number) for number in numbers.groups() if number))
    raise ValueError(f"unknown type {tag!r}")


def _dtype_and_shape(text: str) -> tuple[str, tuple[int, ...] | None]:
    dtype, space, shape = text.partition(" ")
    return dtype, ast.literal_eval(shape) if space else None


def _torch_dtype(name: str) -> Any:
    import torch

    found = getattr(torch, str(name).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"torch has no dtype {name!r}")
    return found


def _object(plain: Any) -> Any:
    known = _layers_of_torch().get(plain) if isinstance(plain, str) and plain.startswith("torch.nn.") else None
    return Unread(plain) if known is None else known


@cache
def _layers_of_torch() -> dict[str, Any]:
    """Return origin → class or function of what ``torch.nn`` offers, the usual values of a parameter.

    A record may come from elsewhere, so a name in it is looked up here and never imported.
    """
    from torch import nn

    offered = [*vars(nn).values(), *vars(nn.functional).values()]
    known = {}
    for thing in offered:
        if callable(thing) and str(getattr(thing, "__module__", "")).startswith("torch.nn."):
            try:
                known[origin_of(thing)] = thing
            except TypeError:
                continue
    return known
