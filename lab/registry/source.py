"""Facts of a source text that can change a number: a fingerprint, its imports, the files and variables it reads.

Comments, layout, docstrings, ``TYPE_CHECKING`` blocks and the wording of errors do not count. Of a study file only the
definitions count, not the statements that ask the question.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs

from lab.cache import cache_folder, read_cache, write_cache

__all__ = ["Facts", "cached_facts", "possible_variables", "read_facts", "save_facts", "short_hash", "tree_fingerprint"]

MAX_REMEMBERED = 20_000
ENVIRONMENT = ("environ", "environb", "getenv", "getenvb")
ABSOLUTE = ("import_module", "__import__")
IMPORTERS = (*ABSOLUTE, "resolve_name", "run_module", "run_path")
"""Functions of the standard library that import or run a module whose name is a text."""
READERS = ("load", "read", "open", "fromfile", "genfromtxt")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


@attrs.frozen
class Facts:
    """Facts of one source text.

    Attributes:
        fingerprint: hash of its syntax tree.
        imports: (level, module, names) of every import in it, also inside functions.
        variables: names of the environment variables that it reads.
        is_open: whether it imports modules whose names it computes.
        files: names of files that it reads while it is imported, as far as they are written out.
        perhaps: names of environment variables that it may read, if it computes them: those of its texts that could
            be one, and beginnings of names, as ``"MY_*"``; first a ``"*"``, for a name may come from elsewhere.
        acts: whether running it may change another module: it sets attributes or items, or calls for nothing.
        called: (level, module) of the imports whose functions it calls while it is imported, which may do the same.
        bases: those of the classes that its own are made of, which may keep a list of them.
    """

    fingerprint: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...] = ()
    variables: tuple[str, ...] = ()
    is_open: bool = False
    files: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    acts: bool = False
    called: tuple[tuple[int, str], ...] = ()
    bases: tuple[tuple[int, str], ...] = ()


def short_hash(text: str, digits: int) -> str:
    """Return the first hexadecimal digits of a text's sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def tree_fingerprint(source: str) -> str:
    """Return a hash of the statements of a source, however they are laid out.

    >>> tree_fingerprint("x = 1  # one") == tree_fingerprint("x=1")
    True
    """
    return short_hash(ast.dump(_essence(ast.parse(source))), 16)


def cached_facts(text: str) -> Facts:
    """Return the facts of a text, parsed once and kept in the cache folder from process to process."""
    return Facts(*map(_tuples, _kept("7", text, lambda: attrs.astuple(read_facts(text, None)))))


def _kept(version: str, text: str, compute: Callable[[], Iterable[Any]]) -> list[Any]:
    """Return what is computed of a text; the version is that of its form in the cache."""
    # The syntax tree differs between Python versions.
    name = short_hash(f"{sys.version_info[:2]} {version}\n{text}", 16)
    book = _book(cache_folder() / "sources.json")
    if not isinstance(book.get(name), list):
        book[name] = json.loads(json.dumps(list(compute())))
        _unsaved.add(name)
    found: list[Any] = book[name]
    return found


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


_unsaved: set[str] = set()


@lru_cache(maxsize=4)
def _book(file: Path) -> dict[str, Any]:
    return read_cache(file)


def save_facts() -> None:
    """Write the facts that were parsed since the last time; one write for a whole closure."""
    if _unsaved:
        file = cache_folder() / "sources.json"
        # The oldest entries go first: a dict keeps the order in which they were added.
        write_cache(file, dict(list(_book(file).items())[-MAX_REMEMBERED:]))
        _unsaved.clear()


@lru_cache(maxsize=64)
def read_facts(text: str, wanted: frozenset[str] | None) -> Facts:
    """Return the facts of a text; of a study file, those of the definitions ``wanted`` and of all that these use."""
    tree = _essence(ast.parse(text))
    if wanted is not None:
        tree = _without_question(tree, wanted)
    imports, is_open = _imports(tree)
    variables, perhaps = _variables(tree)
    fingerprint = short_hash(ast.dump(tree), 16)
    acting = _Acting(tree)
    called, bases = (tuple(sorted(found)) for found in (acting.called, acting.bases))
    return Facts(
        fingerprint, tuple(imports), variables, is_open, _files_read(tree), perhaps, acting.acts, called, bases
    )


# --- imports ----------------------------------------------------------------------------------------------------------

_MODULE = re.compile(r"(\.*)([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?::[\w.]*)?")


def _imports(tree: ast.Module) -> tuple[list[tuple[int, str, tuple[str, ...]]], bool]:
    """Return (level, module, names) of what a text imports, and whether it imports by names that it computes."""
    nodes = list(ast.walk(tree))
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    importers = set(IMPORTERS)
    for node in nodes:
        if isinstance(node, ast.Import):
            imports += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
            importers.update(alias.asname for alias in node.names if alias.asname and alias.name in IMPORTERS)
    named = [node for node in nodes if isinstance(node, (ast.Name, ast.Attribute))]
    mentions = {id(node) for node in named if _last_name(node) in importers}
    for node in nodes:
        # importlib.import_module("package.module") says what it imports
        if isinstance(node, ast.Call) and id(node.func) in mentions and _last_name(node.func) in ABSOLUTE:
            name = _first_text(node)
            if name is not None and name[:1] != ".":
                imports.append((0, name, ()))
                mentions.discard(id(node.func))
    if mentions:
        # Under another name, with a relative or computed one, or through another importer, each text may be a module.
        texts = [_MODULE.fullmatch(text) for text in map(_text_of, nodes) if text is not None]
        imports += dict.fromkeys((len(found[1]), found[2], ()) for found in texts if found)
    return imports, bool(mentions)


INERT_CALLS = frozenset(["print", "basicConfig", "filterwarnings", "simplefilter", "manual_seed", "seed", "getLogger"])
"""Calls for nothing that change no number of a run: its generators are seeded when it begins."""


class _Acting(ast.NodeVisitor):
    """Finds whether a text, when it is imported, may change other modules."""

    def __init__(self, tree: ast.Module) -> None:
        self.acts = False
        self.called: set[tuple[int, str]] = set()
        self.bases: set[tuple[int, str]] = set()
        self._own = {node.name for node in ast.walk(tree) if isinstance(node, DEFINITIONS)}
        self._brought: dict[str, tuple[int, str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._brought |= {alias.asname or alias.name.partition(".")[0]: (0, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                self._brought |= {alias.asname or alias.name: (node.level, node.module or "") for alias in node.names}
        self.visit(tree)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit_FunctionDef(self, node: Any) -> None:
        # its body runs later
        self._decorated(node)
        self._visit_all([*node.args.defaults, *filter(None, node.args.kw_defaults)])

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Pass over it: it runs later."""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._decorated(node)
        for base in node.bases:
            self.bases.update(filter(None, [self._brought.get(_dotted(base).partition(".")[0])]))
        self._visit_all([*node.keywords, *node.body])

    def visit_If(self, node: ast.If) -> None:
        is_main = isinstance(node.test, ast.Compare) and _dotted(node.test.left) == "__name__"
        self._visit_all(node.orelse if is_main else [node.test, *node.body, *node.orelse])

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        is_inert = isinstance(call, ast.Call) and _last_name(call.func) in INERT_CALLS
        self.acts = self.acts or not (is_inert or isinstance(call, ast.Constant))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute | ast.Subscript) -> None:
        self.acts = self.acts or isinstance(node.ctx, (ast.Store, ast.Del))
        self.generic_visit(node)

    visit_Subscript = visit_Attribute  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        self._calls(node.func)
        self.generic_visit(node)

    def _decorated(self, node: Any) -> None:
        for decorator in node.decorator_list:
            self._calls(decorator)
            self.visit(decorator)

    def _calls(self, function: ast.AST) -> None:
        name = _dotted(function).partition(".")[0]
        self.acts = self.acts or name in self._own
        self.called.update(filter(None, [self._brought.get(name)]))


# --- environment variables and files ----------------------------------------------------------------------------------


def _variables(tree: ast.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the environment variables that a text reads by name, and those that it may read otherwise."""
    nodes = list(ast.walk(tree))
    from_os = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "os"]
    called = {each.asname or each.name for node in from_os for each in node.names if each.name in ENVIRONMENT}

    def mentions(node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr in ENVIRONMENT
        return isinstance(node, ast.Name) and node.id in called

    written = _expanded(nodes)
    if not any(map(mentions, nodes)):
        return written, ()
    named = {id(place): name for place, name in map(_lookup, nodes) if place and name and mentions(place)}
    plain = set(named.values())
    # A mention without a name beside it may be passed to a helper, which looks up any of the texts.
    is_clear = all(id(node) in named for node in nodes if mentions(node))
    return tuple(sorted(plain.union(written))), () if is_clear else ("*", *sorted(_texts(tree) - plain))


_EXPANDED = re.compile(r"\$\{?([A-Za-z_]\w*)|%([A-Za-z_]\w*)%")


def _expanded(nodes: Iterable[ast.AST]) -> tuple[str, ...]:
    """Return the variables in texts such as ``"$HOME/data"``, if the source expands any."""
    nodes = list(nodes)
    words = {_last_name(node) for node in nodes if isinstance(node, (ast.Name, ast.Attribute))}
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    if "expandvars" not in words | imported:
        return ()
    texts = filter(None, map(_text_of, nodes))
    return tuple(sorted({name for text in texts for pair in _EXPANDED.findall(text) for name in pair if name}))


def _lookup(node: ast.AST) -> tuple[ast.AST | None, str | None]:
    """Split ``environ[NAME]``, ``environ.get(NAME)``, ``getenv(NAME)`` or ``NAME in environ`` into place and name."""
    if isinstance(node, ast.Subscript):
        return node.value, _first_text(node)
    if isinstance(node, ast.Call):
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "setdefault", "pop")
        return (node.func.value if is_method else node.func), _first_text(node)  # type: ignore[attr-defined]
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn)):
        return node.comparators[0], _text_of(node.left)
    return None, None


def possible_variables(text: str) -> frozenset[str]:
    """Return every text in a source that could be the name, or the beginning of the name, of a variable."""
    return frozenset(_kept("texts 1", text, lambda: sorted(_texts(ast.parse(text)))))


_BEGINNING = re.compile(r"([A-Za-z_]\w+)[%{]")


def _texts(tree: ast.Module) -> set[str]:
    """Return every text that could be the name of an environment variable; beginnings of names end with ``*``."""
    begun: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            begun.update(map(id, node.values[:1]))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
            begun.add(id(node.left))
        elif isinstance(node, ast.Call) and _last_name(node.func) in ("startswith", "removeprefix"):
            begun.update(map(id, node.args))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            # Names of variables are identifiers; everything else in a source is prose or a path.
            if text.isidentifier() and len(text) > 1:
                found.add(f"{text}*" if id(node) in begun else text)
            elif begins := _BEGINNING.match(text):
                found.add(f"{begins[1]}*")
    return found


def _files_read(tree: ast.Module) -> tuple[str, ...]:
    """Return the texts in calls at the top of a module whose names say that they read.

    C code may open a file without an audit event, so opened files are not all seen while the module is imported.
    """
    found = []
    for call in _walk(node for node in tree.body if not isinstance(node, DEFINITIONS)):
        if isinstance(call, ast.Call) and any(word in _last_name(call.func).lower() for word in READERS):
            texts = filter(None, map(_text_of, ast.walk(call)))
            found += [text for text in texts if "." in text and len(text) < 1024]
    return tuple(dict.fromkeys(found))


def _walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    return (inner for node in nodes for inner in ast.walk(node))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _last_name(node: ast.AST) -> str:
    return _dotted(node).rpartition(".")[2]


def _text_of(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _first_text(node: ast.Call | ast.Subscript) -> str | None:
    """Return the first argument or the index if it is written as a plain string."""
    return _text_of(node.slice if isinstance(node, ast.Subscript) else next(iter(node.args), None))


class _Essence(ast.NodeTransformer):
    """Drops what cannot change a number."""

    def _without_docstring(self, node: Any) -> Any:
        # A docstring is the first statement; the body may not become empty.
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        node = self.generic_visit(node)
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _without_docstring  # noqa: N815

    def visit_If(self, node: ast.If) -> Any:
        if _last_name(node.test) == "TYPE_CHECKING":
            return [self.visit(item) for item in node.orelse]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        # an exception of another name, such as Found, may carry a text to whoever catches it
        if raised is None or not _last_name(raised).endswith(("Error", "Exception", "Exit")):
            return self.generic_visit(node)
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
PURE_CALLS = frozenset([
    "Experiment", "Study", "Path", "use", "preset", "log", "evolve", "range", "list", "tuple", "dict", "set",
    "frozenset", "zip", "sorted", "enumerate", "str", "int", "float", "bool", "len", "min", "max", "sum", "round",
    "abs", "product", "items", "keys", "values", "fromkeys", "copy",
])  # fmt: skip
"""Calls that a statement of the question may make and leave the rest of the file as it was."""


def _without_question(tree: ast.Module, wanted: frozenset[str]) -> ast.Module:
    """Return the tree without the statements that only make experiments and studies.

    Their values are in the resolved experiment, so an arm may be added without another key for the existing arms. A
    plain assignment or definition whose name nothing else reads goes with them, unless it is ``wanted``. An experiment
    or study that a wanted definition reads stays, and what it is made of.
    """
    question: set[str] = set()
    words = _question_words(tree)
    # a function of the file's own may do anything, whatever its name
    own = (QUESTION_WORDS - words).union(node.name for node in ast.walk(tree) if isinstance(node, DEFINITIONS))
    kept = [node for node in tree.body if not _asks(node, question, words)]
    asked = [node for node in tree.body if node not in kept]
    # Such code may use a name without mentioning it, so every definition counts.
    if _looks_names_up(kept):
        return ast.Module(kept, [])
    plain_bases = {
        alias.asname or alias.name
        for node in kept
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("lab", "torch")
        for alias in node.names
    }
    while True:
        read = wanted.union(*map(_reads, kept))
        # Dropping one definition may leave another one unused, so this repeats until nothing changes.
        idle = [node for node in kept if _is_idle(node, read, plain_bases, own)]
        if idle:
            kept = [node for node in kept if node not in idle]
            continue
        used = _used(kept, wanted) & question
        again = [node for node in asked if used & {name for inner in ast.walk(node) for name in _targets(inner)}]
        if not again:
            return ast.Module(kept, [])
        asked = [node for node in asked if node not in again]
        kept = [node for node in tree.body if node in kept or node in again]


LOOKUPS = frozenset(["__import__", "import_module", "getmodule", "__globals__", "f_globals"])
"""Functions and attributes by which code reaches a module's names without mentioning them."""

BUILTIN_LOOKUPS = LOOKUPS | {"globals", "vars", "eval", "exec"}
"""Those that have no dot before them: ``model.eval()`` is a method."""


def _looks_names_up(nodes: Sequence[ast.stmt]) -> bool:
    inside = list(_walk(nodes))
    # `model.modules()` is a method of PyTorch, `sys.modules` a dictionary
    called = {id(node.func) for node in inside if isinstance(node, ast.Call)}
    for node in inside:
        if isinstance(node, ast.Name) and node.id in BUILTIN_LOOKUPS:
            return True
        if isinstance(node, ast.Attribute) and (
            node.attr in LOOKUPS or (node.attr == "modules" and id(node) not in called)
        ):
            return True
        if isinstance(node, ast.ImportFrom) and any(
            alias.name in LOOKUPS or (node.module == "sys" and alias.name == "modules") for alias in node.names
        ):
            return True
    return False


def _used(nodes: Sequence[ast.stmt], wanted: frozenset[str]) -> set[str]:
    """Return the names that definitions which are ``wanted`` read, and those that these read in turn."""
    used, count = set(wanted), -1
    while len(used) > count:
        count = len(used)
        used.update(*(_reads(node) - _locals(node) for node in nodes if _targets(node) & used))
    return used


def _locals(node: ast.AST) -> set[str]:
    """Return the names that are arguments or variables somewhere inside a definition."""
    if not isinstance(node, DEFINITIONS):
        return set()
    inside = list(ast.walk(node))
    stored = {each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    shared = {name for each in inside if isinstance(each, (ast.Global, ast.Nonlocal)) for name in each.names}
    return (stored | {each.arg for each in inside if isinstance(each, ast.arg)}) - shared


def _question_words(tree: ast.Module) -> frozenset[str]:
    """Return the calls, as they are written in a file, that make an experiment or a study of ``lab``."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            packages = [each.asname or "lab" for each in node.names if each.name.partition(".")[0] == "lab"]
            found |= {f"{package}.{word}" for package in packages for word in QUESTION_WORDS}
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "lab":
            found |= {each.asname or each.name for each in node.names if each.name in QUESTION_WORDS}
            found |= QUESTION_WORDS if any(each.name == "*" for each in node.names) else set()
    # a class of the file's own, or of another module, may do anything
    return frozenset(found).difference(*map(_bound, ast.walk(tree)))


def _bound(node: ast.AST) -> set[str]:
    """Return the names that a definition, an assignment, or an import from elsewhere than ``lab`` binds."""
    if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] != "lab"):
        return {each.asname or each.name for each in node.names}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    return {node.name} if isinstance(node, DEFINITIONS) else set()


def _asks(node: ast.stmt, question: set[str], words: frozenset[str]) -> bool:
    """Return whether a statement only makes, or goes on with, an experiment or a study; its names join ``question``."""
    if isinstance(node, (ast.For, ast.If)):
        return bool(node.body) and all(_asks(item, question, words) for item in [*node.body, *node.orelse])
    # a name bound inside the question may be read by a component
    if any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(node)):
        return False
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)) else None
    if value is None or not _is_question(value, question, words):
        return False
    targets = _assigned(node)
    if not all(isinstance(target, ast.Name) for target in targets):
        return False
    question.update(target.id for target in targets if isinstance(target, ast.Name))
    return True


def _assigned(node: ast.AST) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []


def _is_question(value: ast.AST, question: set[str], words: frozenset[str]) -> bool:
    """Return whether an expression is a chain of calls from ``Experiment(``, ``Study(`` or a name of theirs."""
    while isinstance(value, (ast.Call, ast.Attribute)):
        if isinstance(value, ast.Attribute):
            value = value.value
            continue
        first, dot, rest = _dotted(value.func).partition(".")
        name = rest.rpartition(".")[2] or first
        if first + dot + name * bool(dot) in words:
            return True
        # attrs.evolve(experiment, lr=...) goes on with its first argument.
        value = value.args[0] if name == "evolve" and value.args else value.func
    return isinstance(value, ast.Name) and value.id in question


def _reads(node: ast.AST) -> set[str]:
    """Return the names that a statement mentions, in any way but as what it binds itself."""
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    names |= {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
    return names - _targets(node)


def _targets(node: ast.AST) -> set[str]:
    """Return the names that a plain assignment or a definition binds; empty for any other statement."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    targets = _assigned(node)
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return set(names) if len(names) == len(targets) else set()


def _is_idle(node: ast.stmt, read: frozenset[str], plain_bases: set[str], own: frozenset[str]) -> bool:
    """Return whether nothing reads the names that a statement binds, and running it does nothing else.

    A class counts unless its bases are torch's or lab's: others may keep a list of their subclasses.
    """
    names = _targets(node)
    if not names or names & read:
        return False
    if isinstance(node, ast.ClassDef):
        bases = [_dotted(base) for base in node.bases]
        is_plain = not (node.decorator_list or node.keywords) and all("." in b or b in plain_bases for b in bases)
        return is_plain and all(isinstance(item, ast.Pass) or _is_harmless(item, own) for item in node.body)
    return _is_harmless(node, own)


def _is_harmless(node: ast.stmt, own: frozenset[str]) -> bool:
    """Return whether running a definition or an assignment calls nothing but what makes values."""
    if isinstance(node, FUNCTIONS):
        run = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        return not node.decorator_list and _calls_are_pure(run, own)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return bool(_targets(node)) and node.value is not None and _calls_are_pure([node.value], own)
    return False


def _calls_are_pure(nodes: Iterable[ast.AST], own: frozenset[str]) -> bool:
    """Return whether expressions call nothing but what makes values, and bind no name."""
    inside = list(_walk(nodes))
    called = {_last_name(node.func) for node in inside if isinstance(node, ast.Call)}
    return called <= PURE_CALLS - own and not any(isinstance(node, ast.NamedExpr) for node in inside)
