"""Components and values as they are written on a command line: ``NAME``, ``none``, ``NAME(WIDTH=8, ...)``, ``[A, B]``.

Every value is read here, by the annotation of the parameter that it is for; from then on it is an ordinary value.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Sequence
from typing import Any

from lab.errors import ParameterError
from lab.registry.component import Use
from lab.registry.plugins import Catalog
from lab.registry.registry import Registry
from lab.registry.resolve import follow
from lab.registry.signature import Parameter, parameters_of
from lab.registry.values import parse_text

__all__ = ["read_component_text", "read_text"]

CLOSING = {"(": ")", "[": "]", "{": "}"}


def read_text(text: str, parameter: Parameter, catalog: Catalog) -> Any:
    """Return the value that a text means for a parameter; a component's parameters are read by their annotations.

    Raises:
        LabError: no reading fits the annotation, or a component with parameters cannot be read or does not exist.
    """
    if parameter.registry is not None:
        return _typed(read_component_text(text), parameter.registry, catalog)
    try:
        return parse_text(text, parameter.annotation)
    except TypeError as error:
        raise ParameterError(f"'{parameter.name}' {error}") from None


def _typed(written: Any, registry: Registry, catalog: Catalog) -> Any:
    """Return a component whose parameters are texts as one whose parameters are values."""
    if isinstance(written, list):
        return [_typed(item, registry, catalog) for item in written]
    if not isinstance(written, Use):
        return written
    parameters, _ = parameters_of(follow(catalog, registry, Use(written.target)).factory, catalog)
    texts = written.params.items()
    return Use(written.target, {k: read_text(text, parameters.get(k, Parameter(k)), catalog) for k, text in texts})


def read_component_text(text: str) -> Any:
    """Return a component, None, or a list of components; their parameters are still texts.

    >>> read_component_text("additive(width=8)")
    use('additive', width='8')
    >>> read_component_text("adam")
    'adam'
    >>> read_component_text("table(path=d/a.csv)")
    use('table', path='d/a.csv')

    Raises:
        ParameterError: a bracket or a quote is not closed, or a parameter has no name.
    """
    text = text.strip()
    if text.lower() in ("none", "null"):
        return None
    if (quoted := _unquoted(text)) is not None:
        return quoted
    items = _split(text)
    # "(a, b)" and "a, b" are both lists; "(a), (b)" is not one list in brackets.
    if len(items) == 1 and text[:1] in ("[", "(") and _closes_at_end(text):
        return [read_component_text(item) for item in _split(text[1:-1]) if item]
    if len(items) > 1:
        return [read_component_text(item) for item in items if item]
    name, bracket, _ = text.partition("(")
    if not bracket:
        return text
    if not _closes_at_end(text[len(name) :]) or not name.strip():
        raise _unreadable(text, "write NAME(PARAMETER=VALUE, ...)")
    params: dict[str, str] = {}
    for item in filter(None, _split(text[len(name) + 1 : -1])):
        param, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not param.isidentifier():
            raise _unreadable(text, f"'{item}' is not PARAMETER=VALUE")
        if param in params:
            raise _unreadable(text, f"duplicate parameter '{param}'")
        params[param] = value
    return Use(name.strip(), params)


def _unreadable(text: str, why: str) -> ParameterError:
    hint = "put a value that holds commas, brackets or quotes in quotes: table(path='a, b.csv')"
    return ParameterError(f"cannot read '{text}': {why}", hint=hint)


def _unquoted(text: str) -> str | None:
    """Return the content of a text that is quoted as a whole, or None."""
    if text[:1] not in ("'", '"'):
        return None
    try:
        read = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return read if isinstance(read, str) else None


def _closes_at_end(text: str) -> bool:
    """Return whether the bracket that a text begins with is closed by its last character."""
    return text[-1:] in (")", "]") and [depth for _, depth in _depths(text)].index(0) == len(text) - 1


def _split(text: str) -> list[str]:
    """Return the parts between commas outside of brackets and quotes.

    Raises:
        ParameterError: a bracket or a quote is not closed.
    """
    cuts = [-1, *(index for index, (sign, depth) in enumerate(_depths(text)) if sign == "," and not depth), len(text)]
    return [text[start + 1 : end].strip() for start, end in itertools.pairwise(cuts)]


def _depths(text: str) -> Sequence[tuple[str, int]]:
    """Return every character with the number of brackets and quotes that are open after it."""
    open_brackets: list[str] = []
    quote, found = "", []
    for sign in text:
        # Brackets and commas inside quotes are part of a value.
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in CLOSING:
            open_brackets.append(CLOSING[sign])
        elif sign in ")]}" and (not open_brackets or open_brackets.pop() != sign):
            raise _unreadable(text, f"'{sign}' closes nothing")
        found.append((sign, len(open_brackets) + bool(quote)))
    if open_brackets or quote:
        raise _unreadable(text, "a quote is not closed" if quote else f"'{open_brackets[-1]}' is missing")
    return found
