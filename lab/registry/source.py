"""Facts of a source text that can change a number: a fingerprint, its imports, the files and variables it reads.

Comments, layout, docstrings, what stands under ``TYPE_CHECKING`` and the wording of errors do not count. Of a study
file only the definitions count, not the statements that ask the question.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs

from lab.cache import cache_folder, read_cache, write_cache

__all__ = [
    "Facts",
    "cached_facts",
    "possible_variables",
    "read_facts",
    "save_facts",
    "tree_fingerprint",
    "without_question",
]

MAX_REMEMBERED = 20_000


@attrs.frozen
class Facts:
    """Facts of one source text.

    Attributes:
        fingerprint: hash of its syntax tree.
        imports: (level, module, names) of every import in it, also inside functions.
        variables: names of the environment variables that it reads.
        is_open: whether it imports modules whose names it computes.
        files: names of files that it reads while it is imported, as far as they are written out.
        perhaps: names of environment variables that it may read, where it computes them: those of its texts that could
            be one, and beginnings of names, as ``"MY_*"``; first a ``"*"``, for a name may come from elsewhere.
    """

    fingerprint: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]
    variables: tuple[str, ...]
    is_open: bool
    files: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()


def tree_fingerprint(source: str) -> str:
    """Return a hash of what a source says, however it is laid out.

    >>> tree_fingerprint("x = 1  # one") == tree_fingerprint("x=1")
    True
    """
    return _hash(ast.dump(_essence(ast.parse(source))))


def cached_facts(text: str) -> Facts:
    """The facts of a text; parsed once and remembered in the cache folder from process to process."""
    name = _hash(f"{sys.version_info[:2]} 3\n{text}")
    book = _book(cache_folder() / "sources.json")
    if not isinstance(book.get(name), list):
        book[name] = list(attrs.astuple(read_facts(text, None)))
        _unsaved.add(name)
    fingerprint, imports, variables, is_open, files, perhaps = book[name]
    imported = tuple((level, module, tuple(names)) for level, module, names in imports)
    return Facts(fingerprint, imported, tuple(variables), is_open, tuple(files), tuple(perhaps))


_unsaved: set[str] = set()


@lru_cache(maxsize=4)
def _book(file: Path) -> dict[str, Any]:
    return read_cache(file)


def save_facts() -> None:
    """Write what was parsed since the last time; one write for a whole closure."""
    if _unsaved:
        file = cache_folder() / "sources.json"
        book = _book(file)
        write_cache(file, dict(list(book.items())[-MAX_REMEMBERED:]))
        _unsaved.clear()


@lru_cache(maxsize=64)
def read_facts(text: str, wanted: frozenset[str] | None) -> Facts:
    """The facts of a text; of a study file, of what ``wanted`` names and all that these definitions use."""
    tree = _essence(ast.parse(text))
    if wanted is not None:
        tree = without_question(tree, wanted)
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    variables, perhaps = _variables(tree)
    is_open = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, (ast.Call, ast.Subscript)):
            called = _dotted(node.func if isinstance(node, ast.Call) else node.value)
            argument = _first_text(node)
            if called.endswith(("import_module", "__import__")):
                is_open |= argument is None
                imports += [(0, argument, ())] if argument else []
    return Facts(_hash(ast.dump(tree)), tuple(imports), variables, is_open, _files_read(tree), perhaps)


ENVIRONMENT = ("environ", "environb", "getenv", "getenvb")


def _variables(tree: ast.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Environment variables that a text reads by name, and those that it may read where no name stands beside it."""
    called = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
        if alias.name in ENVIRONMENT
    }
    mentions = [node for node in ast.walk(tree) if _mentions_environment(node, called)]
    if not mentions:
        return (), ()
    plain: set[str] = set()
    named: dict[int, None] = {}
    for node in ast.walk(tree):
        place, argument = _place_and_name(node)
        if place is not None and argument and _mentions_environment(place, called):
            plain.add(argument)
            named[id(place)] = None
    is_clear = all(id(node) in named for node in mentions)
    return tuple(sorted(plain)), () if is_clear else ("*", *sorted(_texts(tree) - plain))


@lru_cache(maxsize=256)
def possible_variables(text: str) -> frozenset[str]:
    """Every text in a source that could be the name, or the beginning of the name, of an environment variable."""
    return frozenset(_texts(ast.parse(text)))


def _mentions_environment(node: ast.AST, called: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ENVIRONMENT
    return isinstance(node, ast.Name) and node.id in called


def _place_and_name(node: ast.AST) -> tuple[ast.AST | None, str | None]:
    """Of ``environ[NAME]``, ``environ.get(NAME)``, ``getenv(NAME)``, ``NAME in environ`` the mention and the name."""
    if isinstance(node, ast.Subscript):
        return node.value, _first_text(node)
    if isinstance(node, ast.Call):
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "setdefault", "pop")
        return (node.func.value if isinstance(node.func, ast.Attribute) and is_method else node.func), _first_text(node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn)):
        left = node.left.value if isinstance(node.left, ast.Constant) else None
        return node.comparators[0], left if isinstance(left, str) else None
    return None, None


_BEGINNING = re.compile(r"([A-Za-z_]\w+)[%{]")


def _texts(tree: ast.Module) -> set[str]:
    """Every text that could be the name of an environment variable; beginnings of names end with ``*``."""
    begun = {
        id(part)
        for node in ast.walk(tree)
        for part in (node.values[:1] if isinstance(node, ast.JoinedStr) else _begun(node))
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            begins = _BEGINNING.match(text)
            if text.isidentifier() and len(text) > 1:
                found.add(f"{text}*" if id(node) in begun else text)
            elif begins is not None:
                found.add(f"{begins[1]}*")
    return found


def _begun(node: ast.AST) -> list[ast.expr]:
    """Texts that something is appended to, or that names are asked to begin with."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        return [node.left]
    if isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] in ("startswith", "removeprefix"):
        return list(node.args)
    return []


def _files_read(tree: ast.Module) -> tuple[str, ...]:
    """Texts in calls at the top of a module whose names say that they read: what C code opens is not seen otherwise."""
    found = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
            name = _dotted(call.func).rpartition(".")[2].lower()
            if any(word in name for word in ("load", "read", "open", "fromfile", "genfromtxt")):
                texts = (inner.value for inner in ast.walk(call) if isinstance(inner, ast.Constant))
                found += [text for text in texts if isinstance(text, str) and "." in text and len(text) < 1024]
    return tuple(dict.fromkeys(found))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _first_text(node: ast.Call | ast.Subscript) -> str | None:
    """The first argument or the index, where it is written as a plain string."""
    found = node.slice if isinstance(node, ast.Subscript) else next(iter(node.args), None)
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None


class _Essence(ast.NodeTransformer):
    """Drops what cannot change a number."""

    def _without_docstring(self, node: Any) -> Any:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        node = self.generic_visit(node)
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _without_docstring  # noqa: N815

    def visit_If(self, node: ast.If) -> Any:
        if _dotted(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            return [self.visit(item) for item in node.orelse]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        is_all = any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
        return None if is_all else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                inner.value = ""
        return node


def _essence(tree: ast.Module) -> ast.Module:
    found = _Essence().visit(tree)
    assert isinstance(found, ast.Module)
    return found


# --- of a study file, the definitions ---------------------------------------------------------------------------------

QUESTION_WORDS = frozenset({"Experiment", "Study"})
PURE_CALLS = frozenset(
    [
        "Experiment",
        "Study",
        "Path",
        "use",
        "preset",
        "log",
        "evolve",
        "range",
        "list",
        "tuple",
        "dict",
        "set",
        "frozenset",
        "zip",
        "sorted",
        "enumerate",
        "str",
        "int",
        "float",
        "bool",
        "len",
        "min",
        "max",
        "sum",
        "round",
        "abs",
        "product",
        "items",
        "keys",
        "values",
        "fromkeys",
        "copy",
    ]
)
"""Calls that a statement of the question may make and leave the rest of the file as it was."""


def without_question(tree: ast.Module, wanted: frozenset[str] = frozenset()) -> ast.Module:
    """The tree without the statements that only make experiments and studies.

    Their values stand in the resolved experiment, so an arm may be added without another key for the arms that are
    there. A plain assignment or definition whose name nothing else reads goes with them, unless it is ``wanted``.
    """
    question: set[str] = set()
    kept = [node for node in tree.body if not _asks(node, question)]
    if any(isinstance(node, ast.Name) and node.id in ("globals", "vars", "eval", "exec") for node in _walk(kept)):
        return ast.Module(kept, [])
    plain_bases = {
        alias.asname or alias.name
        for node in kept
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("lab", "torch")
        for alias in node.names
    }
    while True:
        read = _reads(kept) | wanted
        idle = [node for node in kept if _is_idle(node, read, plain_bases)]
        if not idle:
            return ast.Module(kept, [])
        kept = [node for node in kept if node not in idle]


def _walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    return (inner for node in nodes for inner in ast.walk(node))


def _asks(node: ast.stmt, question: set[str]) -> bool:
    """Return whether a statement only makes, or goes on with, an experiment or a study; its names join ``question``."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)) and node.value is not None:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if not _is_question(node.value, question) or not all(isinstance(target, ast.Name) for target in targets):
            return False
        question.update(target.id for target in targets if isinstance(target, ast.Name))
        return True
    if isinstance(node, (ast.For, ast.If)):
        return bool(node.body) and all(_asks(item, question) for item in [*node.body, *node.orelse])
    return False


def _is_question(value: ast.AST, question: set[str]) -> bool:
    """Return whether an expression is a chain of calls from ``Experiment(``, ``Study(`` or a name of theirs."""
    while True:
        if isinstance(value, ast.Call):
            if _dotted(value.func).rpartition(".")[2] in QUESTION_WORDS:
                return True
            if _dotted(value.func).rpartition(".")[2] == "evolve" and value.args:
                value = value.args[0]
            else:
                value = value.func
        elif isinstance(value, ast.Attribute):
            value = value.value
        else:
            return isinstance(value, ast.Name) and value.id in question


def _reads(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that these statements mention, in any way but as what they bind themselves."""
    found: set[str] = set()
    for node in nodes:
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        names |= {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
        found |= names - _targets(node)
    return found


def _targets(node: ast.AST) -> set[str]:
    """Names that a plain assignment or a definition binds; empty for any other statement."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return set(names) if len(names) == len(targets) else set()


def _is_idle(node: ast.stmt, read: set[str], plain_bases: set[str]) -> bool:
    """Return whether nothing reads what a statement binds, and running it does nothing else.

    A class counts unless its bases are torch's or lab's: others may keep a list of their subclasses.
    """
    names = _targets(node)
    if not names or names & read:
        return False
    if isinstance(node, ast.ClassDef):
        is_plain = not (node.decorator_list or node.keywords) and all(
            "." in _dotted(base) or _dotted(base) in plain_bases for base in node.bases
        )
        return is_plain and all(isinstance(item, ast.Pass) or _is_harmless(item) for item in node.body)
    return _is_harmless(node)


def _is_harmless(node: ast.stmt) -> bool:
    """Return whether running a definition or an assignment calls nothing but what makes values."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        run = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        return not node.decorator_list and _calls_are_pure(run)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return bool(_targets(node)) and node.value is not None and _calls_are_pure([node.value])
    return False


def _calls_are_pure(nodes: Iterable[ast.AST]) -> bool:
    calls = (inner for inner in _walk(nodes) if isinstance(inner, ast.Call))
    return all(_dotted(call.func).rpartition(".")[2] in PURE_CALLS for call in calls)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
