"""Values of parameters: checked against an annotation, read from text, written as JSON."""

from __future__ import annotations

import ast
import enum
import inspect
import json
import types
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from lab.registry.component import is_definition
from lab.registry.definition import origin_of, value_digest

__all__ = ["check_value", "describe_type", "parse_text", "sort_set", "to_plain"]

BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
"""Attributes of the bounds in an annotation, as ``annotated_types`` names them → how a reader would say it."""

WORDS = {"true": True, "false": False, "none": None, "null": None}


def check_value(value: Any, annotation: Any) -> Any:
    """Return ``value`` as the annotation wants it: a list may become a tuple, a string a path; nothing is guessed.

    Raises:
        TypeError: the value is of another type.
    """
    if annotation is None or annotation is Any or _is_open(annotation):
        return value
    adapter = _adapter(annotation)
    if adapter is None:
        return value
    import pydantic

    try:
        # Strict: pydantic would take "3" for an int and 1 for a bool.
        return adapter.validate_python(value, strict=True)
    except pydantic.ValidationError:
        pass
    try:
        # Strict JSON mode allows what JSON cannot tell apart: a list for a tuple, a text for a path, 2 for 2.0.
        return adapter.validate_json(json.dumps(value), strict=True)
    except (pydantic.ValidationError, TypeError, ValueError):
        # of a number that is out of its range the type is right
        kind = "" if type(value) is _plain_type(annotation) else f"{type(value).__name__}: "
        raise TypeError(f"must be {describe_type(annotation)}, not {kind}{value!r}") from None


def parse_text(text: str, annotation: Any) -> Any:
    """Return the value of a text from a command line, as the annotation wants it.

    >>> parse_text("64", int), parse_text("64", str), parse_text("false", bool)
    (64, '64', False)
    >>> parse_text("[cat,dog]", list[str]), parse_text("cat,dog", tuple[str, ...])
    (['cat', 'dog'], ('cat', 'dog'))

    Raises:
        TypeError: no reading of the text fits.
    """
    # "64" is a number for an int and a text for a str: the literal is tried first.
    for candidate in (_literal(text), text, *_words(text)):
        try:
            return check_value(candidate, annotation)
        except TypeError:
            continue
    raise TypeError(f"must be {describe_type(annotation)}, not {text!r}")


def _words(text: str) -> list[list[str]]:
    """Return the only list of words that a text may be, if any: words with commas between them, perhaps in brackets."""
    inner = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text
    words = [word.strip() for word in inner.split(",")]
    is_list = (inner != text or len(words) > 1) and all(words) and not any(mark in inner for mark in "[](){}'\"")
    return [words] if is_list else []


def _literal(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@lru_cache(maxsize=1024)
def _adapter(annotation: Any) -> Any:
    """Return pydantic's reader of a type, or None if it has none."""
    import pydantic

    try:
        # Annotations may name classes that pydantic does not know, such as torch.Tensor.
        return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    except pydantic.errors.PydanticUserError:
        try:
            return pydantic.TypeAdapter(annotation)
        except Exception:
            return None
    except Exception:
        return None


def _is_open(annotation: Any) -> bool:
    """Return whether an annotation cannot be checked: a string that did not resolve, a type variable."""
    return isinstance(annotation, (str, typing.TypeVar, typing.ForwardRef))


def describe_type(annotation: Any) -> str:
    """Return a type as a reader would write it, with its range if it has one.

    >>> describe_type(int | None), describe_type(tuple[float, ...]), describe_type(typing.Literal["gru", "lstm"])
    ('int | None', 'tuple[float, ...]', "'gru' | 'lstm'")
    >>> import pydantic
    >>> describe_type(pydantic.PositiveInt)
    'int above 0'
    """
    if annotation is inspect.Parameter.empty:
        return "anything"
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return " | ".join(describe_type(kind) for kind in typing.get_args(annotation))
    if annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    # typing.get_args gives the arguments of a Callable as a list.
    if isinstance(annotation, list):
        return f"[{', '.join(map(describe_type, annotation))}]"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return " ".join(filter(None, [describe_type(arguments[0]), " and ".join(_bounds(arguments[1:]))]))
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if origin is not None and arguments:
        return f"{describe_type(origin)}[{', '.join(map(describe_type, arguments))}]"
    return str(getattr(annotation, "__name__", annotation))


def _plain_type(annotation: Any) -> Any:
    """Return the type of an annotation without its range."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else None


def _bounds(metadata: Iterable[Any]) -> list[str]:
    """Return the bounds among what an annotation says of its type; ``pydantic.Field`` holds its own."""
    found = []
    for each in metadata:
        found += [
            f"{words} {getattr(each, name):g}"
            for name, words in BOUNDS.items()
            if getattr(each, name, None) is not None
        ]
        found += _bounds(getattr(each, "metadata", ()))
    return found


def to_plain(value: Any) -> Any:
    """Return a parameter's value as JSON; of a class or function, its origin.

    Raises:
        TypeError: it cannot be written down.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [to_plain(item) for item in sort_set(value)]
    if isinstance(value, slice):
        step = [] if value.step is None else [to_plain(value.step)]
        return {"slice": [to_plain(value.start), to_plain(value.stop), *step]}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, partial):
        return {"partial": to_plain(value.func), "params": to_plain([*value.args, value.keywords])}
    if is_definition(value):
        return origin_of(value)
    if hasattr(value, "tolist"):
        return _array_to_plain(value)
    if callable(value):
        raise TypeError(f"cannot be written down: {value!r}; give a class or a function")
    # A default repr holds an address, which differs from run to run.
    if " at 0x" in repr(value):
        raise TypeError(f"cannot be written down: {value!r}")
    is_described = type(value).__module__ in ("torch", "builtins", "datetime", "decimal", "re") or isinstance(
        value, enum.Enum
    )
    return repr(value) if is_described else f"{value!r}#{value_digest(value)}"


def sort_set(values: Iterable[Any]) -> list[Any]:
    """Return the elements of a set in an order that is the same in every process: hashes of strings are salted."""
    return sorted(values, key=lambda item: json.dumps(to_plain(item), sort_keys=True))


def _array_to_plain(array: Any) -> Any:
    try:
        plain = array.tolist()
        json.dumps(plain)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        kind = getattr(array, "dtype", type(array).__qualname__)
        raise TypeError(f"cannot be written down: an array of {kind}; give one of numbers, texts or booleans") from None
    return plain
