"""Source code as it was imported: which modules decide what a component computes, and a fingerprint of each.

A component's *closure* is its module and, transitively, every module that it imports, as far as it is source of the
user's or of a plugin. The standard library and torch are left out; installed libraries count by their versions. A
module counts with the source that was imported, so editing a file while a study runs changes no key.

Comments, layout, docstrings, annotations under ``TYPE_CHECKING`` and the wording of errors do not count.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib.machinery
import importlib.util
import io
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from lab.cache import cache_folder, file_digest, recall, remember
from lab.errors import LabError

__all__ = [
    "Closure",
    "ModuleSource",
    "changed_since_import",
    "closure_of",
    "facts_of",
    "is_local",
    "keep_source",
    "recording_reads",
    "source_of_file",
    "source_of_module",
    "tree_fingerprint",
    "watch_imports",
]

STUDY = "lab_experiment"
"""Prefix of the names under which study files are imported."""

MAX_REMEMBERED = 20_000
MAX_FILES_BESIDE = 1_000

INERT_PACKAGES = frozenset(
    "attr attrs click filelock jinja2 lab matplotlib optuna packaging platformdirs plotext pluggy pooch pydantic "
    "pydantic_core pytest ray rich safetensors submitit tensorboard torch tqdm typing_extensions vl_convert".split()
)
"""Libraries that draw, print, write or bind; torch and lab have entries of their own in a key."""

INERT_VARIABLES = ("LAB_", "OMP_", "MKL_", "CUDA_", "RAY_", "SLURM_")
"""Environment variables with these prefixes say where something lies or runs; they change no number."""


@attrs.frozen
class Facts:
    """What one source text says.

    Attributes:
        fingerprint: hash of its syntax tree.
        imports: (level, module, names) of every import in it, also inside functions.
        variables: names of the environment variables that it reads.
        is_open: whether it imports modules whose names it computes.
        files: names of files that it reads while it is imported, as far as they are written out.
    """

    fingerprint: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]
    variables: tuple[str, ...]
    is_open: bool
    files: tuple[str, ...] = ()


@attrs.frozen(eq=False)
class ModuleSource:
    """One module as it was imported.

    Attributes:
        name: its dotted name.
        path: its file.
        text: its source; empty for a compiled module.
        digest: hash of the file's bytes.
        state: (modification time, size) of the file at that time.
        reads: files that it opened while it was imported, with the hash of their content.
        spec: the import specification of the loaded module; another one after a reload.
    """

    name: str
    path: Path
    text: str
    digest: str
    state: tuple[int, int]
    reads: tuple[tuple[str, str], ...] = ()
    spec: Any = None

    @property
    def is_question(self) -> bool:
        """Whether it is a study file, of which only the definitions count."""
        return self.name.startswith((STUDY, "__main__"))

    @property
    def is_local(self) -> bool:
        """Whether it is the user's: neither installed nor part of a plugin."""
        return is_local(self.name)

    @property
    def label(self) -> str:
        """Its name in a key: a study file may be renamed."""
        return "study" if self.is_question else self.name


@attrs.frozen(eq=False)
class Closure:
    """Everything that some modules are made of.

    Attributes:
        modules: by name.
        packages: top-level names of installed libraries that they import.
        variables: environment variables that they read.
        wanted: of a study file, the definitions that are asked about; what none of them uses does not count.
    """

    modules: dict[str, ModuleSource]
    packages: frozenset[str]
    variables: frozenset[str]
    wanted: Mapping[str, frozenset[str]]

    def fingerprints(self) -> dict[str, str]:
        """Module → fingerprint; files that a module opened while it was imported stand beside it."""
        found: dict[str, str] = {}
        for source in self.modules.values():
            found[source.label] = facts_of(source, self.wanted.get(source.name, frozenset())).fingerprint
            for number, (_, digest) in enumerate(sorted(source.reads, key=lambda read: read[1])):
                found[f"{source.label} reads {number}"] = digest
        return found


# --- one text ---------------------------------------------------------------------------------------------------------


def tree_fingerprint(source: str) -> str:
    """Return a hash of what a source says, however it is laid out.

    >>> tree_fingerprint("x = 1  # one") == tree_fingerprint("x=1")
    True
    """
    return _hash(ast.dump(_essence(ast.parse(source))))


def facts_of(source: ModuleSource, wanted: frozenset[str] = frozenset()) -> Facts:
    """The facts of a module's source; parsed once per text and remembered in the cache folder.

    Args:
        source: the module.
        wanted: of a study file, the names of the definitions that are asked about.
    """
    if not source.text:
        return Facts(source.digest, (), (), False)
    if source.is_question:
        return _read_facts(source.text, wanted)
    name = _hash(f"{sys.version_info[:2]} 2\n{source.text}")
    book = _book(cache_folder() / "sources.json")
    if not isinstance(book.get(name), list):
        book[name] = list(attrs.astuple(_read_facts(source.text, None)))
        _unsaved.add(name)
    fingerprint, imports, variables, is_open, files = book[name]
    imported = tuple((level, module, tuple(names)) for level, module, names in imports)
    return Facts(fingerprint, imported, tuple(variables), is_open, tuple(files))


_unsaved: set[str] = set()


@lru_cache(maxsize=4)
def _book(file: Path) -> dict[str, Any]:
    return recall(file)


def _save_facts() -> None:
    """Write what was parsed since the last time; one write for a whole closure."""
    if _unsaved:
        file = cache_folder() / "sources.json"
        book = _book(file)
        remember(file, dict(list(book.items())[-MAX_REMEMBERED:]))
        _unsaved.clear()


@lru_cache(maxsize=64)
def _read_facts(text: str, wanted: frozenset[str] | None) -> Facts:
    tree = _essence(ast.parse(text))
    if wanted is not None:
        tree = without_question(tree, wanted)
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    variables: set[str] = set()
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
            elif argument and called.endswith(("environ", "environ.get", "getenv", "environ.setdefault")):
                variables.add(argument)
    return Facts(_hash(ast.dump(tree)), tuple(imports), tuple(sorted(variables)), is_open, _files_read(tree))


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

    def visit_If(self, node: ast.If) -> Any:  # noqa: N802
        if _dotted(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            return [self.visit(item) for item in node.orelse]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:  # noqa: N802
        is_all = any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
        return None if is_all else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:  # noqa: N802
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
    "Experiment Study use preset log evolve range list tuple dict set frozenset zip sorted enumerate str int float bool "
    "len min max sum round abs product items keys values fromkeys copy".split()
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
    """Whether a statement only makes, or goes on with, an experiment or a study; its names join ``question``."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if not _is_question(node.value, question) or not all(isinstance(target, ast.Name) for target in targets):
            return False
        question.update(target.id for target in targets if isinstance(target, ast.Name))
        return True
    if isinstance(node, (ast.For, ast.If)):
        return bool(node.body) and all(_asks(item, question) for item in [*node.body, *node.orelse])
    return False


def _is_question(value: ast.AST, question: set[str]) -> bool:
    """Whether an expression is a chain of calls that begins with ``Experiment(``, ``Study(`` or a name of theirs."""
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
    """Whether nothing reads what a statement binds, and running it does nothing else.

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
    """Whether running a definition or an assignment calls nothing but what makes values."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        run = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        return not node.decorator_list and _calls_are_pure(run)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return bool(_targets(node)) and node.value is not None and _calls_are_pure([node.value])
    return False


def _calls_are_pure(nodes: Iterable[ast.AST]) -> bool:
    calls = (inner for inner in _walk(nodes) if isinstance(inner, ast.Call))
    return all(_dotted(call.func).rpartition(".")[2] in PURE_CALLS for call in calls)


# --- one module -------------------------------------------------------------------------------------------------------

_kept: dict[str, ModuleSource] = {}
_reads_of: dict[str, dict[str, str]] = {}


def keep_source(module: ModuleType, path: Path, content: bytes, state: tuple[int, int]) -> None:
    """Remember the source that a module is made from, at the moment of its import."""
    _reads_of.pop(module.__name__, None)
    _kept[module.__name__] = ModuleSource(
        module.__name__, path, _decoded(content, path), hashlib.sha256(content).hexdigest(), state, (), module.__spec__
    )


def source_of_module(name: str) -> ModuleSource | None:
    """The source of a module as it was imported, or as it stands if it was not imported yet; None if it has none.

    Raises:
        LabError: its file was changed after it was imported, and what was imported is not known.
    """
    kept = _kept.get(name)
    module = sys.modules.get(name)
    if kept is None or module is None or (kept.spec is not None and module.__spec__ is not kept.spec):
        path = _locate(name)
        if path is None or not path.is_file():
            return None
        if module is not None:
            _refuse_other_version(module, path)
        kept = _kept[name] = _read_module(name, path, module)
    reads = {**_reads_of.get(name, {}), **_written_out(kept)}
    return attrs.evolve(kept, reads=tuple(sorted(reads.items()))) if reads else kept


def _written_out(source: ModuleSource) -> dict[str, str]:
    """File → hash of its content, for the file names that stand in a module of the user's."""
    if not source.text or not is_local(source.name):
        return {}
    places = [Path.cwd(), source.path.parent]
    paths = [place / text for text in facts_of(source).files for place in places if "\0" not in text]
    return {str(path.resolve()): file_digest(path) for path in paths if path.is_file()}


def source_of_file(path: Path) -> ModuleSource:
    """The source that stands in a file, imported or not."""
    return _read_module("", path, None)


def _read_module(name: str, path: Path, module: ModuleType | None) -> ModuleSource:
    state = path.stat()
    content = path.read_bytes()
    text = _decoded(content, path) if path.suffix == ".py" or name == "__main__" else ""
    spec = getattr(module, "__spec__", None)
    return ModuleSource(
        name, path, text, hashlib.sha256(content).hexdigest(), (state.st_mtime_ns, state.st_size), (), spec
    )


def _decoded(content: bytes, path: Path) -> str:
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise LabError("a source file cannot be read", where=f"{path}: {error}") from error


def _refuse_other_version(module: ModuleType, path: Path) -> None:
    """Compare a file with what Python noted in ``__pycache__`` when it compiled the module."""
    compiled = getattr(module, "__cached__", None)
    try:
        header = Path(compiled).open("rb").read(16) if compiled else b""
    except OSError:
        return
    if len(header) < 16 or int.from_bytes(header[4:8], "little"):  # checked by hash, not by time
        return
    state = path.stat()
    noted = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    if noted != (int(state.st_mtime) & 0xFFFFFFFF, state.st_size & 0xFFFFFFFF):
        raise _changed(path)


def _changed(path: Path) -> LabError:
    return LabError(
        f"{path.name} was changed after it was imported",
        where=str(path),
        hint="what is in memory is not what the file says; start again (in a notebook: reload it, or restart)",
    )


def changed_since_import(modules: Iterable[ModuleSource]) -> list[LabError]:
    """One error for every module whose file says something else than what was imported."""
    found = []
    for source in modules:
        try:
            state = source.path.stat()
            if (state.st_mtime_ns, state.st_size) == source.state:
                continue
            if hashlib.sha256(source.path.read_bytes()).hexdigest() != source.digest:
                found.append(_changed(source.path))
        except OSError:
            found.append(LabError(f"{source.path.name} is gone since it was imported", where=str(source.path)))
    return found


def _locate(name: str) -> Path | None:
    """The file of a module, whether or not it is loaded; None for built-in, frozen, missing and interactive ones."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded:
        return Path(loaded)
    if name in sys.modules:
        return None
    parent, _, _ = name.rpartition(".")
    try:
        if not parent:
            spec = importlib.util.find_spec(name)
        else:
            folders = _folders_of(parent)
            spec = importlib.machinery.PathFinder.find_spec(name, folders) if folders else None
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _folders_of(package: str) -> list[str]:
    """Where the modules of a package lie."""
    loaded = sys.modules.get(package)
    if loaded is not None:
        return list(getattr(loaded, "__path__", ()))
    file = _locate(package)
    if file is not None:
        return [str(file.parent)] if file.name == "__init__.py" else []
    parent, _, leaf = package.rpartition(".")
    folders = [os.path.join(folder, leaf) for folder in (_folders_of(parent) if parent else sys.path)]
    return [folder for folder in folders if os.path.isdir(folder)]  # a namespace package


# --- many modules -----------------------------------------------------------------------------------------------------


def closure_of(roots: Mapping[str, frozenset[str]]) -> Closure:
    """Every module that the modules ``roots`` are made of, themselves included.

    Args:
        roots: module → the definitions in it that are asked about; they matter for study files alone.

    Raises:
        LabError: a file was changed after it was imported, and what was imported is not known.
    """
    modules: dict[str, ModuleSource] = {}
    packages: set[str] = set()
    variables: set[str] = set()
    waiting = [name for root in roots for name in _with_packages(root)]
    met = set(waiting)
    while waiting:
        name = waiting.pop()
        kind = _kind_of(name)
        if kind == "library":
            packages.add(name.partition(".")[0])
        source = source_of_module(name) if kind == "source" else None
        if source is None:
            continue
        modules[name] = source
        facts = facts_of(source, roots.get(name, frozenset()))
        variables.update(variable for variable in facts.variables if not variable.startswith(INERT_VARIABLES))
        for other in [*_imported(name, source, facts), *_held(name, source), *_beside(source, facts)]:
            if other not in met:
                met.add(other)
                waiting.append(other)
    _save_facts()
    return Closure(dict(sorted(modules.items())), frozenset(packages - INERT_PACKAGES), frozenset(variables), roots)


def is_local(name: str) -> bool:
    """Whether a module is a study file, the main script, or source that is neither installed nor a plugin's."""
    if name.startswith((STUDY, "__main__")):
        return True
    return _kind_of(name) == "source" and name.partition(".")[0] not in _plugin_packages()


def _imported(name: str, source: ModuleSource, facts: Facts) -> Iterator[str]:
    """Names of all modules that the import statements of a module may mean, packages on the way included."""
    package = name if source.path.name == "__init__.py" else name.rpartition(".")[0]
    for level, module, names in facts.imports:
        base = module
        if level:
            above = package.split(".")[: len(package.split(".")) - (level - 1)]
            base = ".".join([*above, *([module] if module else [])])
        yield from _with_packages(base)
        if _kind_of(base) == "source":
            yield from (f"{base}.{inner}" for inner in names if inner != "*" and _is_module(f"{base}.{inner}"))


def _with_packages(name: str) -> list[str]:
    """A module and the packages that it lies in: all of them run when it is imported."""
    parts = name.split(".") if name else []
    return [".".join(parts[: length + 1]) for length in range(len(parts))]


def _is_module(name: str) -> bool:
    return name in sys.modules or _locate(name) is not None


def _held(name: str, source: ModuleSource) -> Iterator[str]:
    """Modules that a module of the user's holds, or whose definitions it holds, however they came there."""
    if not is_local(name):
        return
    for value in list(vars(sys.modules.get(name, source)).values()) if name in sys.modules else ():
        found = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(found, str) and found and is_local(found) and not found.startswith("__main__"):
            yield found


def _beside(source: ModuleSource, facts: Facts) -> Iterator[str]:
    """Every module below a module's folder where it imports by names that it computes."""
    if not facts.is_open or not is_local(source.name):
        return
    root = source.path.parent
    files = sorted(file for file in root.rglob("*.py") if not any(p.startswith(".") for p in file.relative_to(root).parts))
    package = source.name.rpartition(".")[0] if not source.is_question else ""
    for file in files[:MAX_FILES_BESIDE]:
        parts = file.relative_to(root).with_suffix("").parts
        name = ".".join(part for part in (package, *parts) if part and part != "__init__")
        if file != source.path and all(part.isidentifier() for part in name.split(".")):
            yield name


@lru_cache(maxsize=4096)
def _kind_of_top(top: str) -> str:
    if top in sys.stdlib_module_names or top in ("", "builtins"):
        return "none"
    if top in ("lab", "torch", "torchgen", "functorch"):
        return "library"
    path = _locate(top) or next((Path(folder) for folder in _folders_of(top)), None)
    if path is None:
        return "none"
    if _is_installed(path):
        return "source" if top in _plugin_packages() else "library"
    return "none" if path.is_relative_to(_prefixes()[0]) else "source"


def _kind_of(name: str) -> str:
    """``source`` (its text counts), ``library`` (its version counts) or ``none``."""
    if name.startswith((STUDY, "__main__")):
        return "source"
    top = name.partition(".")[0]
    kind = _kind_of_top(top)
    if kind == "none" and top not in sys.stdlib_module_names:
        _kind_of_top.cache_clear()  # a folder may have joined sys.path since
        kind = _kind_of_top(top)
    return kind


def _is_installed(path: Path) -> bool:
    return any(path.is_relative_to(prefix) for prefix in _prefixes()[1:])


@lru_cache
def _prefixes() -> tuple[Path, ...]:
    """Folder of the standard library, then those of installed packages."""
    paths = sysconfig.get_paths()
    folders = [paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()]
    return (Path(paths["stdlib"]), *(Path(folder) for folder in dict.fromkeys(folders)))


@lru_cache
def _plugin_packages() -> frozenset[str]:
    """Top-level packages of installed plugins: their source counts wherever they lie."""
    from lab.registry.discovery import find_entry_points

    return frozenset(point.value.partition(":")[0].partition(".")[0] for point in find_entry_points("lab"))


# --- imports as they happen -------------------------------------------------------------------------------------------


class _KeepingLoader(importlib.machinery.SourceFileLoader):
    """Compiles from the source itself, and keeps it.

    Python trusts ``__pycache__`` where size and second of a file agree, so an edit within a second that keeps the size
    would run the old code under the new source.
    """

    def exec_module(self, module: ModuleType) -> None:
        path = Path(self.path)
        state = path.stat()
        content = path.read_bytes()
        keep_source(module, path, content, (state.st_mtime_ns, state.st_size))
        exec(compile(content, self.path, "exec", dont_inherit=True), module.__dict__)


class _Watch:
    """A finder before Python's own that finds the same, and keeps the source of what lies below watched folders."""

    def __init__(self) -> None:
        self.folders: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        """As ``PathFinder.find_spec``."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin and type(spec.loader) is importlib.machinery.SourceFileLoader:
            origin = os.path.abspath(spec.origin)
            if any(origin.startswith(folder) for folder in self.folders) and not _is_installed(Path(origin)):
                spec.loader = _KeepingLoader(spec.loader.name, spec.loader.path)
                spec.cached = None
        return spec


_watch = _Watch()


def watch_imports(folder: Path) -> None:
    """Keep the source of every module below ``folder`` that is imported from now on."""
    prefix = os.path.join(os.path.abspath(folder), "")
    if prefix not in _watch.folders:
        _watch.folders.append(prefix)
    if _watch not in sys.meta_path:
        finders = list(sys.meta_path)
        place = finders.index(importlib.machinery.PathFinder) if importlib.machinery.PathFinder in finders else 0
        sys.meta_path.insert(place, _watch)  # type: ignore[arg-type]
    importlib.invalidate_caches()


@contextmanager
def recording_reads() -> Iterator[None]:
    """Inside the block, note which files modules open while they are imported: their content is part of what they are."""
    plain = builtins.open, io.open
    noted: list[tuple[str, str]] = []
    asking = False  # finding out who reads may open files itself

    def noting(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        nonlocal asking
        opened = plain[0](file, mode, *arguments, **options)
        if not asking and not set(mode) & set("wax+") and isinstance(file, (str, bytes, os.PathLike)):
            asking = True
            try:
                noted.append((_module_being_imported(sys._getframe(1)), os.path.abspath(os.fsdecode(file))))
            finally:
                asking = False
        return opened

    builtins.open = noting
    io.open = noting
    try:
        yield
    finally:
        builtins.open, io.open = plain
        for name, path in noted:
            if name and _is_data(path):
                _reads_of.setdefault(name, {})[path] = file_digest(Path(path))


def _module_being_imported(frame: Any) -> str:
    """The innermost module of the user's or of a plugin whose body runs in a frame or around it."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if frame.f_code.co_name == "<module>" and not name.startswith("__main__") and _kind_of(name) == "source":
            return name
        frame = frame.f_back
    return ""


def _is_data(path: str) -> bool:
    """Whether an opened file is one whose content a module may have taken in: not code, nothing installed or cached."""
    if path.endswith((".py", ".pyc", ".so", ".pyd")) or not os.path.isfile(path):
        return False
    return not any(Path(path).is_relative_to(folder) for folder in (*_prefixes(), cache_folder(), Path("/proc")))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
