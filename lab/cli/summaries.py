"""First sentences of components' docstrings, read from their sources: nothing is imported for a list."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.registry.registry import Entry

__all__ = ["summary_of"]

MAX_STEPS = 4
"""Modules that are followed from where a component is registered to where it is written."""


def summary_of(entry: Entry) -> str:
    """Return the first sentence of a component's docstring; of a preset, what it stands for; else empty."""
    from lab.registry.component import Preset

    if isinstance(entry.target, Preset):
        return f"= {entry.target!r}"
    if not isinstance(entry.target, str):
        described = inspect.getdoc(entry.target) if callable(entry.target) else None
        return _first_sentence(described or str(getattr(entry.target, "description", "")))
    module, _, name = entry.target.partition(":")
    return _first_sentence(_docstring(module, name))


def _first_sentence(docstring: str) -> str:
    """Return the first sentence in one line, without marks of code.

    >>> _first_sentence("Additive attention, ``v · tanh(W q)``. From 2015\\n\\nMore.")
    'Additive attention, v · tanh(W q).'
    """
    paragraph = " ".join(inspect.cleandoc(docstring).partition("\n\n")[0].split())
    # not after an initial, nor after "e.g." and "al."
    found = re.match(r".*?(?<!\b[A-Z])(?<!\be\.g)(?<!\bi\.e)(?<!\bal)(?<!\bcf)[.?!](?=\s|$)", paragraph)
    plain = (found[0] if found else paragraph).replace("``", "").replace("`", "")
    return re.sub(r"\*(\w[^*]*\w)\*", r"\1", plain)


def _docstring(module: str, name: str, steps: int = MAX_STEPS) -> str:
    """Return the docstring of a class or function of a module; empty if its source is not found."""
    file, text = _source(module)
    written = re.search(rf"^(?:async def|def|class) {re.escape(name)}\b", text, re.MULTILINE)
    if written is not None:
        return _docstring_of(text[written.start() :])
    brought = re.search(rf"^from (\.*[\w.]*) import (?:\([^)]*?)?[^\n(]*?\b{re.escape(name)}\b", text, re.MULTILINE)
    if brought is None or not steps:
        return ""
    return _docstring(_absolute(brought[1], module, file), name, steps - 1)


def _docstring_of(text: str) -> str:
    """Return the docstring of the definition that a text begins with."""
    lines = text.splitlines()
    # the next line that begins at the margin, but for the end of a long signature, is another statement
    end = next((n for n, line in enumerate(lines[1:], 1) if line[:1].strip() and line[0] not in ")]}#"), len(lines))
    try:
        [node, *_] = ast.parse("\n".join(lines[:end])).body
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


@cache
def _source(module: str) -> tuple[str, str]:
    """Return the file of a module and its text; both empty if it is not found."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    place = module.replace(".", "/")
    # importlib's find_spec would import the parent package
    folders = [os.path.join(folder or ".", place) for folder in dict.fromkeys(sys.path)]
    owner = getattr(sys.modules.get(module.partition(".")[0]), "__path__", ())
    folders += [os.path.join(folder, *module.split(".")[1:]) for folder in owner]
    files = [loaded] if loaded else [each for f in folders for each in (f"{f}.py", f"{f}/__init__.py")]
    for file in files:
        try:
            with open(file, encoding="utf-8") as opened:
                return str(file), opened.read()
        except (OSError, UnicodeDecodeError):
            continue
    return "", ""
