"""First sentences of components' docstrings, read from their sources: nothing is imported for a list."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from lab.cache import cache_folder, file_state, read_cache, write_cache

if TYPE_CHECKING:
    from lab.registry.registry import Entry

__all__ = ["summaries_of", "summary_of"]

MAX_STEPS = 4
"""Modules that are followed from where a component is registered to where it is written."""

_FILES_READ: set[str] = set()

_BLANK_LINE = re.compile(r"\n\s*\n")
# not after an initial, nor after "e.g." and "al."
_SENTENCE = re.compile(r".*?(?<!\b[A-Z])(?<!\be\.g)(?<!\bi\.e)(?<!\bal)(?<!\bcf)[.?!](?=\s|$)")
_EMPHASIS = re.compile(r"\*(\w[^*]*\w)\*")
_STATEMENT = re.compile(r"^[^\s)\]}#]", re.MULTILINE)
_DEFINITION = re.compile(r"^(?:async def|def|class) (\w+)", re.MULTILINE)
_IMPORT = re.compile(r"^from (\.*[\w.]*) import (\([^)]*\)|[^\n(]+)", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")
# the end of a signature, and the string behind it: its quotes, and what is between three double ones
_BODY = re.compile(r':[ \t]*(?:#[^\n]*)?\n\s*(?:([rRuU]?(?:"""((?:[^"]|"(?!""))*)"""|["\'])))?')


def summaries_of(entries: Iterable[Entry]) -> list[str]:
    """Return ``summary_of`` each entry; sources are read again once one of them has changed."""
    entries = list(entries)
    book = cache_folder() / "summaries.json"
    known = read_cache(book)
    states, kept = known.get("files"), known.get("summaries")
    targets = {entry.target for entry in entries if isinstance(entry.target, str)}
    if (
        not (isinstance(states, dict) and isinstance(kept, dict))
        or not targets <= kept.keys()
        or any(_state(file) != state for file, state in states.items())
    ):
        kept = {entry.target: summary_of(entry) for entry in entries if isinstance(entry.target, str)}
        write_cache(book, {"files": {file: _state(file) for file in _FILES_READ}, "summaries": kept})
    return [str(kept[e.target]) if isinstance(e.target, str) else summary_of(e) for e in entries]


def _state(file: str) -> str:
    try:
        return file_state(file)
    except OSError:
        return ""


def summary_of(entry: Entry) -> str:
    """Return the first sentence of a component's docstring; of a preset, what it stands for; else empty."""
    from lab.registry.component import Preset

    if isinstance(entry.target, Preset):
        return f"= {entry.target!r}"
    if not isinstance(entry.target, str):
        import inspect

        described = inspect.getdoc(entry.target) if callable(entry.target) else None
        return _first_sentence(described or str(getattr(entry.target, "description", "")))
    module, _, name = entry.target.partition(":")
    return _first_sentence(_docstring(module, name))


def _first_sentence(docstring: str) -> str:
    """Return the first sentence in one line, without marks of code.

    >>> _first_sentence("Additive attention, ``v · tanh(W q)``. From 2015\\n\\nMore.")
    'Additive attention, v · tanh(W q).'
    """
    paragraph = " ".join(_BLANK_LINE.split(docstring.strip(), 1)[0].split())
    found = _SENTENCE.match(paragraph)
    plain = (found[0] if found else paragraph).replace("``", "").replace("`", "")
    return _EMPHASIS.sub(r"\1", plain)


def _docstring(module: str, name: str, steps: int = MAX_STEPS) -> str:
    """Return the docstring of a class or function of a module; empty if its source is not found."""
    source = _source(module)
    if name in source.starts:
        start = source.starts[name]
        # the next line that begins at the margin, but for the end of a long signature, is another statement
        after = _STATEMENT.search(source.text, start + 1)
        return _docstring_of(source.text[start : after.start() if after else None])
    brought = _imports(source.text).get(name)
    if brought is None or not steps:
        return ""
    return _docstring(_absolute(brought, module, source.file), name, steps - 1)


def _docstring_of(text: str) -> str:
    """Return the docstring of the definition that a text consists of."""
    body = _BODY.search(text)
    if body is None or body[1] is None:
        return ""
    if body[2] is not None and "\\" not in body[2]:
        return body[2]
    # parsing takes ten times as long, and is for single quotes and escapes
    import ast

    try:
        [node, *_] = ast.parse(text).body
    except (SyntaxError, ValueError):
        return ""
    assert isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    return ast.get_docstring(node) or ""


def _absolute(name: str, module: str, file: str) -> str:
    """Return the absolute name of a module that another imports from."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    # a package's own level is one dot above that of its modules
    parts = module.split(".")
    package = parts[: len(parts) - level + file.endswith("__init__.py")]
    return ".".join([*package, *filter(None, [name.lstrip(".")])])


class Source(NamedTuple):
    """Text of a module.

    Attributes:
        file: its path; empty if it is not found.
        text: its content.
        starts: name → where its definition begins.
    """

    file: str
    text: str
    starts: dict[str, int]


@cache
def _source(module: str) -> Source:
    file, text = _read(module)
    return Source(file, text, {found[1]: found.start() for found in _DEFINITION.finditer(text)})


@cache
def _imports(text: str) -> dict[str, str]:
    """Return name → the module that it is imported from, as it is written."""
    return {
        name.split(" as ")[-1].strip(" ()\n"): found[1]
        for found in _IMPORT.finditer(text)
        for name in _COMMENT.sub("", found[2]).split(",")
    }


def _read(module: str) -> tuple[str, str]:
    """Return the file of a module and its text; both empty if it is not found."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    place = module.replace(".", "/")
    # importlib's find_spec would import the parent package
    owner = getattr(sys.modules.get(module.partition(".")[0]), "__path__", ())
    folders = [os.path.join(folder, *module.split(".")[1:]) for folder in owner]
    folders += [os.path.join(folder or ".", place) for folder in dict.fromkeys(sys.path)]
    files = [loaded] if loaded else [each for f in folders for each in (f"{f}.py", f"{f}/__init__.py")]
    for file in files:
        try:
            with open(file, encoding="utf-8") as opened:
                text = opened.read()
        except (OSError, UnicodeDecodeError):
            continue
        _FILES_READ.add(str(file))
        return str(file), text
    return "", ""
