"""Types of parameters' values: what JSON does not tell apart, such as a tuple from a list or the dtype of an array.

A record holds them beside the values, so that another process builds a component from the same values.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.registry.values import sort_set

__all__ = ["DEFAULT", "OBJECT", "Unread", "below", "deciding", "replace_unread", "types_of", "unread_in"]

OBJECT = "object"
"""Type of a value that its JSON does not give back: a class, a function, an enum's member."""

DEFAULT = "default"
"""Type of such a value that is the parameter's default."""

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
        found |= types_of(item, below(place, name))
    return found


def deciding(types: Mapping[str, str]) -> dict[str, str]:
    """Return the types that may change a number, which all do but that of a path."""
    return {place: tag for place, tag in types.items() if tag != "path"}


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


def below(place: str, name: Any) -> str:
    """Return the place of what a value at ``place`` holds under a name or an index."""
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
