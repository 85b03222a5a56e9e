"""Modules as they were imported, and which of them decide what a component computes.

A component's *closure* is its module and, transitively, every module that it imports, as far as it is source of the
user's or of a plugin. The standard library and torch are left out; installed libraries count by their versions. A
module counts with the source that was imported, so editing a file while a study runs changes no key.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from lab.cache import cache_folder, file_digest
from lab.errors import LabError
from lab.registry.source import Facts, cached_facts, possible_variables, read_facts, save_facts

__all__ = [
    "STUDY",
    "Closure",
    "ModuleSource",
    "await_read",
    "changed_since_import",
    "closure_of",
    "facts_of",
    "is_local",
    "is_source",
    "keep_source",
    "note_environment",
    "settle_reads",
    "source_of_file",
    "source_of_module",
    "stands_elsewhere",
]

STUDY = "lab_experiment"
"""Prefix of the names under which study files are imported."""

MAX_FILES_BESIDE = 1_000
MAX_CLOSURES = 1_000

INERT_PACKAGES = frozenset(
    [
        "attr",
        "attrs",
        "click",
        "filelock",
        "jinja2",
        "lab",
        "matplotlib",
        "optuna",
        "packaging",
        "platformdirs",
        "plotext",
        "pluggy",
        "pooch",
        "pydantic",
        "pydantic_core",
        "pytest",
        "ray",
        "rich",
        "safetensors",
        "submitit",
        "tensorboard",
        "torch",
        "tqdm",
        "typing_extensions",
        "vl_convert",
    ]
)
"""Libraries that draw, print, write or bind; torch and lab have entries of their own in a key."""

INERT_VARIABLES = ("LAB_", "OMP_", "MKL_", "CUDA_", "RAY_", "SLURM_")
"""Environment variables with these prefixes say where something lies or runs; they change no number."""


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
        """Return whether it is a study file, of which only the definitions count."""
        return self.name.startswith((STUDY, "__main__"))

    @property
    def is_local(self) -> bool:
        """Return whether it is the user's: neither installed nor part of a plugin."""
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
        perhaps: those that they may read, and beginnings of names with ``*``; only those that are set count.
        wanted: of a study file, the definitions that are asked about; what none of them uses does not count.
    """

    modules: dict[str, ModuleSource]
    packages: frozenset[str]
    variables: frozenset[str]
    perhaps: frozenset[str]
    wanted: Mapping[str, frozenset[str]]

    def environment(self) -> dict[str, str | None]:
        """Variable → its value, for every environment variable that decides."""
        ends = tuple(name[:-1] for name in self.perhaps if name.endswith("*"))
        set_now = [
            name for name in {**_environment, **os.environ} if name in self.perhaps or (ends and name.startswith(ends))
        ]
        return {name: _variable(name) for name in sorted({*self.variables, *filter(_may_decide, set_now)})}

    def fingerprints(self) -> dict[str, str]:
        """Module → fingerprint; files that a module opened while it was imported stand beside it."""
        found: dict[str, str] = {}
        for source in self.modules.values():
            found[source.label] = facts_of(source, self.wanted.get(source.name, frozenset())).fingerprint
            for number, (_, digest) in enumerate(sorted(source.reads, key=lambda read: read[1])):
                found[f"{source.label} reads {number}"] = digest
        return found


# --- one module -------------------------------------------------------------------------------------------------------


def facts_of(source: ModuleSource, wanted: frozenset[str] = frozenset()) -> Facts:
    """The facts of a module's source.

    Args:
        source: the module.
        wanted: of a study file, the names of the definitions that are asked about.
    """
    if not source.text:
        return Facts(source.digest, (), (), False)
    return read_facts(source.text, wanted) if source.is_question else cached_facts(source.text)


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
    settle_reads()
    reads = {**_written_out(kept), **_reads_of.get(name, {})}
    return attrs.evolve(kept, reads=tuple(sorted(reads.items()))) if reads else kept


def _written_out(source: ModuleSource) -> dict[str, str]:
    """File → hash of its content, for the file names that stand in a module of the user's."""
    if not source.text or not is_local(source.name):
        return {}
    places = [Path.cwd(), source.path.parent]
    paths = [place / text for text in facts_of(source).files for place in places if "\0" not in text]
    return {os.path.abspath(path): _content_digest(path) for path in paths if path.is_file()}


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
    except (SyntaxError, UnicodeDecodeError):
        return ""  # its import says what is wrong; here its bytes count


def _refuse_other_version(module: ModuleType, path: Path) -> None:
    """Compare a file with what Python noted in ``__pycache__`` when it compiled the module."""
    compiled = getattr(module, "__cached__", None)
    try:
        header = Path(compiled).read_bytes()[:16] if compiled else b""
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
    except (ImportError, ValueError, AttributeError, KeyError):  # KeyError: a namespace package that is not loaded
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _folders_of(package: str) -> list[str]:
    """Return where the modules of a package lie."""
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
    asked = tuple(sorted((name, tuple(sorted(wanted))) for name, wanted in roots.items()))
    known = _closures.get(asked)
    if known is not None and all(map(_is_current, known.modules.values())):
        return known
    if len(_closures) >= MAX_CLOSURES:
        _closures.clear()
    _closures[asked] = _follow_imports(roots)
    return _closures[asked]


_closures: dict[tuple[tuple[str, tuple[str, ...]], ...], Closure] = {}


def _is_current(source: ModuleSource) -> bool:
    """Return whether a module that was loaded still is the one that was, and was not loaded or reloaded since."""
    return getattr(sys.modules.get(source.name), "__spec__", None) is source.spec


def _follow_imports(roots: Mapping[str, frozenset[str]]) -> Closure:
    modules: dict[str, ModuleSource] = {}
    packages: set[str] = set()
    variables: set[str] = set()
    perhaps: set[str] = set()
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
        texts = [facts, *map(cached_facts, _run_sources(source))]
        variables.update(variable for each in texts for variable in each.variables)
        perhaps.update(variable for each in texts for variable in each.perhaps)
        others = (other for each in texts for other in _imported(name, source, each))
        for other in [*others, *_held(name, source), *_beside(source, facts)]:
            if other not in met:
                met.add(other)
                waiting.append(other)
    save_facts()
    if "*" in perhaps:  # a helper is given the name of a variable by another module
        perhaps.update(name for source in modules.values() if source.text for name in possible_variables(source.text))
    return Closure(
        dict(sorted(modules.items())),
        frozenset(packages - INERT_PACKAGES),
        frozenset(filter(_may_decide, variables)),
        frozenset(perhaps - {"*"}),
        roots,
    )


_environment: dict[str, str] = {}


def note_environment() -> None:
    """Remember the environment before a study file runs: it, or what it imports, may take a variable out."""
    _environment.clear()
    _environment.update(os.environ)


def _variable(name: str) -> str | None:
    return os.environ.get(name, _environment.get(name))


def _may_decide(variable: str) -> bool:
    return not variable.startswith(INERT_VARIABLES)


def _run_sources(source: ModuleSource) -> Iterator[str]:
    """Texts of the source files that a module runs itself, by ``exec``, ``runpy`` or a loader."""
    for path, _ in source.reads:
        if path.endswith(".py") and os.path.isfile(path):
            text = source_of_file(Path(path)).text
            with suppress(SyntaxError, ValueError):
                ast.parse(text)
                yield text


def is_local(name: str) -> bool:
    """Return whether a module is a study file, the main script, or source that is neither installed nor a plugin's."""
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
            yield from (f"{base}.{inner}" for inner in names if inner != "*" and _is_module(base, inner))


def _with_packages(name: str) -> list[str]:
    """A module and the packages that it lies in: all of them run when it is imported."""
    parts = name.split(".") if name else []
    return [".".join(parts[: length + 1]) for length in range(len(parts))]


def _is_module(package: str, name: str) -> bool:
    """Return whether ``from package import name`` may import a module."""
    whole = f"{package}.{name}"
    if whole in sys.modules:
        return True
    return not hasattr(sys.modules.get(package), name) and _locate(whole) is not None


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
    files = sorted(
        file for file in root.rglob("*.py") if not any(p.startswith(".") for p in file.relative_to(root).parts)
    )
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
    """Return whether a path lies where packages are installed, in this environment or in one below it."""
    if not {"site-packages", "dist-packages"}.isdisjoint(path.parts):
        return True
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


def is_source(name: str) -> bool:
    """Return whether a module's text counts in keys: it is the user's or a plugin's."""
    return _kind_of(name) == "source"


def stands_elsewhere(path: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    return Path(path).is_relative_to(_prefixes()[0]) or _is_installed(Path(path))


_waiting: list[tuple[list[str], str]] = []
NO_DATA = tuple(Path(folder) for folder in ("/proc", "/sys", "/dev", "/etc", "/usr"))


def await_read(names: list[str], path: str) -> None:
    """Keep in mind that modules, the innermost first, opened a file; ``settle_reads`` looks at it."""
    _waiting.append((names, path))


def settle_reads() -> None:
    """Charge every opened file to the innermost module of the user's or of a plugin: its content is part of it."""
    while _waiting:
        names, path = _waiting.pop(0)
        name = next((name for name in names if not name.startswith("__main__") and is_source(name)), None)
        if name is None:
            continue
        if path.endswith(".pyc"):
            path = _source_of_compiled(path)
        kept = _kept.get(name)
        if _is_data(path) and not (kept is not None and os.path.abspath(kept.path) == path):
            _reads_of.setdefault(name, {})[path] = _content_digest(Path(path))


def _source_of_compiled(path: str) -> str:
    try:
        return importlib.util.source_from_cache(path)
    except (ValueError, NotImplementedError):
        return path


def _is_data(path: str) -> bool:
    """Whether an opened file is one that a module may have taken in: nothing installed, cached or of the system."""
    if not os.path.isfile(path) or stands_elsewhere(path):
        return False
    return not any(Path(path).is_relative_to(folder) for folder in (cache_folder(), *NO_DATA))


def _content_digest(path: Path) -> str:
    """Of a source, which is run in some other way than by an import, a hash of what it says; else of its bytes."""
    if path.suffix == ".py":
        text = source_of_file(path).text
        with suppress(SyntaxError, ValueError):
            return cached_facts(text).fingerprint
    return file_digest(path)
