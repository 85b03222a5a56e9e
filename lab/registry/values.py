"""Values of parameters: checked against an annotation, read from text, written as JSON."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from lab.registry.component import is_definition

__all__ = ["check_value", "describe_type", "origin_of", "parse_text", "to_plain", "without_docstrings"]

WORDS = {"true": True, "false": False, "none": None, "null": None}


def check_value(value: Any, annotation: Any) -> Any:
    """``value`` as the annotation wants it: a list may become a tuple, a string a path; nothing is guessed.

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
        return adapter.validate_python(value, strict=True)
    except pydantic.ValidationError:
        pass
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except (pydantic.ValidationError, TypeError, ValueError):
        raise TypeError(f"must be {describe_type(annotation)}, not {type(value).__name__}: {value!r}") from None


def parse_text(text: str, annotation: Any) -> Any:
    """A value written on a command line, as the annotation wants it.

    >>> parse_text("64", int), parse_text("64", str), parse_text("false", bool)
    (64, '64', False)

    Raises:
        TypeError: no reading of the text fits.
    """
    for candidate in (_literal(text), text):
        try:
            return check_value(candidate, annotation)
        except TypeError:
            continue
    raise TypeError(f"must be {describe_type(annotation)}, not {text!r}")


def _literal(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@lru_cache(maxsize=1024)
def _adapter(annotation: Any) -> Any:
    """pydantic's reader of a type, or None where it has none."""
    import pydantic

    try:
        return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    except pydantic.errors.PydanticUserError:
        try:
            return pydantic.TypeAdapter(annotation)
        except Exception:
            return None
    except Exception:
        return None


def _is_open(annotation: Any) -> bool:
    """Whether an annotation says too little to be checked: a string that did not resolve, a type variable."""
    return isinstance(annotation, (str, typing.TypeVar, typing.ForwardRef))


def describe_type(annotation: Any) -> str:
    """A type as a reader would write it.

    >>> describe_type(int | None), describe_type(tuple[float, ...]), describe_type(typing.Literal["gru", "lstm"])
    ('int | None', 'tuple[float, ...]', "'gru' | 'lstm'")
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
    if isinstance(annotation, list):  # the arguments of a Callable
        return f"[{', '.join(map(describe_type, annotation))}]"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if origin is not None and arguments:
        return f"{describe_type(origin)}[{', '.join(map(describe_type, arguments))}]"
    return str(getattr(annotation, "__name__", annotation))


def to_plain(value: Any) -> Any:
    """A parameter's value as JSON; a class or function as where it is from.

    Raises:
        TypeError: it cannot be written down.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [to_plain(item) for item in value]
    if isinstance(value, slice):
        return {"slice": [to_plain(value.start), to_plain(value.stop)]}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, partial):
        return {"partial": to_plain(value.func), "params": to_plain([*value.args, value.keywords])}
    if is_definition(value):
        return origin_of(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if callable(value):
        raise TypeError(f"cannot be written down: {value!r}; give a class or a function")
    if " at 0x" in repr(value):
        raise TypeError(f"cannot be written down: {value!r}")
    return repr(value)


def origin_of(thing: Callable[..., Any]) -> str:
    """Where a class or function of one's own is from: ``"module:name"``; in a study file, file, name and source hash.

    Raises:
        TypeError: its source cannot be read.
    """
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    module = getattr(thing, "__module__", None) or type(thing).__module__
    if not module.startswith(("__main__", "lab_experiment")):
        return f"{module}:{name}"
    return f"{Path(inspect.getsourcefile(thing) or '').name}:{name}#{source_hash(thing)}"


def source_hash(thing: Callable[..., Any]) -> str:
    """A hash of the syntax trees of a definition, of all that it uses from its own file, and of files beside that.

    Comments, layout and docstrings do not count.

    Raises:
        TypeError: its source cannot be read, because it was typed at a prompt.
    """
    try:
        tree = ast.parse("".join(inspect.findsource(thing)[0]))
    except (OSError, SyntaxError):
        raise TypeError(f"the source of {thing.__qualname__} cannot be read; write it in a file") from None
    bound = {name: node for node in without_docstrings(tree).body for name in _names(node, ast.Store)}
    waiting = [_statement_of(thing, tree)]
    found: list[str] = []
    while waiting:
        node = waiting.pop()
        found += [ast.dump(node), *_beside(node, thing)]
        waiting += [bound.pop(name) for name in _names(node, ast.Load) if name in bound]
    return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()[:12]


def _beside(node: ast.AST, thing: Callable[..., Any]) -> list[str]:
    """What the modules say that an import names and that lie in the same folder as the file of ``thing``."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    files = [Path(getattr(sys.modules.get(name), "__file__", None) or "") for name in names]
    folder = Path(inspect.getsourcefile(thing) or "").parent.absolute()
    sources = [file.read_text(encoding="utf-8") for file in files if file.is_file() and file.parent == folder]
    return [ast.dump(without_docstrings(ast.parse(source))) for source in sources]


def _statement_of(thing: Callable[..., Any], tree: ast.Module) -> ast.AST:
    """The statement that defines ``thing``, or the lambda itself."""
    line = inspect.findsource(thing)[1] + 1
    if thing.__name__ == "<lambda>":
        return next(n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno <= line <= (n.end_lineno or 0))
    return next((node for node in tree.body if _first_line(node) <= line <= (node.end_lineno or 0)), tree)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _names(node: ast.AST, context: type[ast.expr_context]) -> list[str]:
    """Names that a statement reads (``ast.Load``) or binds (``ast.Store``)."""
    if context is ast.Store and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if context is ast.Store and isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, context)]


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same tree, changed in place, without any docstring."""
    for node in ast.walk(tree):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
    return tree
