"""Types of parameters' values: what JSON does not tell apart, such as a tuple from a list or the dtype of an array.

A record holds them beside the values, so that another process builds a component from the same values.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lab.registry.definition import origin_of
from lab.registry.values import sort_set

__all__ = ["DEFAULT", "OBJECT", "Unread", "deciding", "replace_unread", "types_of", "unread_in", "with_types"]

OBJECT = "object"
"""Type of a value that its JSON does not give back: a class, a function, an enum's member."""

DEFAULT = "default"
"""Type of such a value that is the parameter's default."""

UNREAD = (OBJECT, DEFAULT)

ESCAPES = (("~", "~0"), ("/", "~1"))
"""Of names in a place, as in a JSON pointer (RFC 6901)."""


class Unread(str):
    """Text of a value that JSON does not give back; whoever builds the component must find the value itself.

    Attributes:
        plain: the value as JSON.
        is_default: whether it is the default of its parameter.
    """

    plain: Any
    is_default: bool

    def __new__(cls, plain: Any, *, is_default: bool = False) -> Unread:
        """Return the text of a value."""
        text = super().__new__(cls, plain if isinstance(plain, str) else json.dumps(plain))
        text.plain, text.is_default = plain, is_default
        return text


def types_of(value: Any, place: str = "") -> dict[str, str]:
    """Return place → type for a value and for those inside it, where its JSON does not tell.

    Args:
        value: of a parameter; a component in it, which has a record of its own, is left out.
        place: of the value: names and indices with ``/`` between them.

    >>> types_of((3, 5), "size"), types_of([3, 5]), types_of({"a": slice(0, 9)}), types_of({"b": 1, "a": 2})
    ({'size': 'tuple'}, {}, {'a': 'slice'}, {'': "mapping 'b', 'a'"})
    """
    items: Iterator[tuple[Any, Any]] | enumerate[Any] | tuple[()] = ()
    if isinstance(value, Mapping):
        items = iter(value.items())
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, (set, frozenset)):
        items = enumerate(sort_set(value))
    tag = _tag(value)
    found = {place: tag} if tag else {}
    for name, item in items:
        found |= types_of(item, _below(place, name))
    return found


def deciding(types: Mapping[str, str]) -> dict[str, str]:
    """Return the types that may change a number, which all do but that of a path."""
    return {place: tag for place, tag in types.items() if tag != "path"}


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
    if isinstance(plain, dict) and tag not in ("slice", *UNREAD):
        plain = {name: with_types(item, types, _below(place, name)) for name, item in plain.items()}
    elif isinstance(plain, list) and tag not in UNREAD:
        plain = [with_types(item, types, _below(place, index)) for index, item in enumerate(plain)]
    if tag is None:
        return plain
    try:
        return _typed(plain, tag)
    except (TypeError, SyntaxError, KeyError, AttributeError, RuntimeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{place or 'a value'} cannot be {tag!r}: {error}") from None


def unread_in(value: Any) -> Iterator[Unread]:
    """Yield what is unread in a value."""
    if isinstance(value, Unread):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from unread_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from unread_in(item)


def replace_unread(value: Any, find: Callable[[Unread], Any]) -> Any:
    """Return a value with everything unread replaced by what ``find`` returns for it."""
    if isinstance(value, Unread):
        return find(value)
    if not any(unread_in(value)):
        return value
    if isinstance(value, Mapping):
        return {name: replace_unread(item, find) for name, item in value.items()}
    return type(value)(replace_unread(item, find) for item in value)


def _below(place: str, name: Any) -> str:
    text = str(name)
    for raw, escaped in ESCAPES:
        text = text.replace(raw, escaped)
    return f"{place}/{text}" if place else text


def _tag(value: Any) -> str:
    """Return the type of a value, without what is inside it; empty where JSON gives it back."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str, list):
        return ""
    if isinstance(value, Mapping):
        names = list(value)
        return "" if names == sorted(names, key=str) and all(type(name) is str for name in names) else _names(names)
    if hasattr(value, "_fields"):
        return OBJECT
    for known, tag in ((tuple, "tuple"), (Path, "path"), (slice, "slice"), (set, "set"), (frozenset, "frozenset")):
        if isinstance(value, known):
            return tag
    if kind is range:
        return repr(value)
    if kind in (bytes, complex):
        return "literal"
    # by name: importing them here would slow down every command
    top = kind.__module__.partition(".")[0]
    if top in ("numpy", "torch") and hasattr(value, "tolist") and hasattr(value, "dtype"):
        shape = f" {tuple(value.shape)}" if 0 in value.shape else ""
        return f"{top} {str(value.dtype).removeprefix('torch.')}{shape}"
    if kind.__module__ == "torch" and kind.__name__ == "dtype":
        return "torch dtype"
    return "" if isinstance(value, list) else OBJECT


def _names(names: list[Any]) -> str:
    """Return the names of a mapping in their order; JSON makes texts of all, and a key sorts them."""
    text = ", ".join(map(repr, names))
    try:
        is_readable = ast.literal_eval(f"[{text}]") == names
    except (ValueError, SyntaxError):
        is_readable = False
    return f"mapping {text}" if is_readable else OBJECT


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
