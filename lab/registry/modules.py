"""Modules as they were imported, and the closure of modules that a component is made of.

A component's *closure* is its module and, transitively, every module that it imports, as far as it is source of the
user's or of a plugin. The standard library and torch are left out; installed libraries count by their versions. A
module counts with the source that was imported, so editing a file while a study runs changes no key.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import itertools
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
from lab.registry.reads import opened_files
from lab.registry.source import Facts, cached_facts, possible_variables, read_facts, save_facts

__all__ = [
    "STUDY",
    "Closure",
    "ModuleSource",
    "changed_since_import",
    "closure_of",
    "facts_of",
    "is_local",
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

INERT_PACKAGES = frozenset([
    "attr", "attrs", "click", "filelock", "jinja2", "lab", "matplotlib", "optuna", "packaging", "platformdirs",
    "plotext", "pluggy", "pooch", "pydantic", "pydantic_core", "pytest", "ray", "rich", "safetensors", "submitit",
    "tensorboard", "torch", "tqdm", "typing_extensions", "vl_convert",
])  # fmt: skip
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
        """Return variable → its value, for every environment variable that may change a number."""
        ends = tuple(name[:-1] for name in self.perhaps if name.endswith("*"))
        now = {**_environment, **os.environ}
        perhaps = [name for name in now if name in self.perhaps or (ends and name.startswith(ends))]
        return {name: now.get(name) for name in sorted({*self.variables, *filter(_may_decide, perhaps)})}

    def fingerprints(self) -> dict[str, str]:
        """Return module → fingerprint, and the digests of the files that it opened while it was imported."""
        found: dict[str, str] = {}
        for source in self.modules.values():
            found[source.label] = facts_of(source, self.wanted.get(source.name, frozenset())).fingerprint
            for number, (_, digest) in enumerate(sorted(source.reads, key=lambda read: read[1])):
                found[f"{source.label} reads {number}"] = digest
        return found


# --- one module -------------------------------------------------------------------------------------------------------


def facts_of(source: ModuleSource, wanted: frozenset[str] = frozenset()) -> Facts:
    """Return the facts of a module's source; of a study file, those of the definitions that are ``wanted``."""
    if not source.text:
        return Facts(source.digest)
    return read_facts(source.text, wanted) if source.is_question else cached_facts(source.text)


_kept: dict[str, ModuleSource] = {}
_reads_of: dict[str, dict[str, str]] = {}


def keep_source(module: ModuleType, path: Path) -> bytes:
    """Return the source that a module is made from, and keep it: its file may change while the module is in use."""
    _reads_of.pop(module.__name__, None)
    source, content = _read(module.__name__, path, module.__spec__)
    _kept[module.__name__] = source
    return content


def source_of_module(name: str) -> ModuleSource | None:
    """Return the source of a module as it was imported, or its file's if it was not yet; None if it has none.

    Raises:
        LabError: its file was changed after it was imported, and what was imported is not known.
    """
    kept, module = _kept.get(name), sys.modules.get(name)
    if kept is None or module is None or (kept.spec is not None and module.__spec__ is not kept.spec):
        path = _locate(name)
        if path is None or not path.is_file():
            return None
        if module is not None:
            _refuse_other_version(module, path)
        kept, _ = _read(name, path, getattr(module, "__spec__", None))
        _kept[name] = kept
    settle_reads()
    reads = dict(_reads_of.get(name, {}))
    if kept.text and is_local(name):  # files that are named in the text: C code opens them without an audit event
        paths = [place / text for text in facts_of(kept).files for place in (Path.cwd(), kept.path.parent)]
        reads = {os.path.abspath(path): _content_digest(path) for path in paths if _is_file(path)} | reads
    return attrs.evolve(kept, reads=tuple(sorted(reads.items()))) if reads else kept


def source_of_file(path: Path) -> ModuleSource:
    """Return the source in a file, imported or not."""
    return _read("", path, None)[0]


def _read(name: str, path: Path, spec: Any) -> tuple[ModuleSource, bytes]:
    state, text = path.stat(), ""  # before the content: an edit in between is then seen as a change
    content = path.read_bytes()
    if path.suffix == ".py" or name.startswith((STUDY, "__main__")):
        with suppress(SyntaxError, UnicodeDecodeError):  # its import says what is wrong; here its bytes count
            text = importlib.util.decode_source(content)
    digest = hashlib.sha256(content).hexdigest()
    return ModuleSource(name, path, text, digest, (state.st_mtime_ns, state.st_size), (), spec), content


def _is_file(path: Path) -> bool:
    return "\0" not in str(path) and path.is_file()


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
    """Return an error for every module whose file differs from what was imported."""
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
    """Return the file of a module, loaded or not; None for built-in, frozen, missing and interactive ones."""
    if name in sys.modules:
        loaded = getattr(sys.modules[name], "__file__", None)
        return Path(loaded) if loaded else None
    parent = name.rpartition(".")[0]
    spec = None
    with suppress(ImportError, ValueError, AttributeError, KeyError):  # KeyError: a namespace package, not loaded
        if not parent:
            spec = importlib.util.find_spec(name)
        elif folders := _folders_of(parent):  # find_spec of the whole name would import the parent
            spec = importlib.machinery.PathFinder.find_spec(name, folders)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _folders_of(package: str) -> list[str]:
    """Return the folders of a package's modules, without importing it."""
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
    """Return every module that the modules ``roots`` are made of, themselves included.

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
    packages, variables, perhaps = set[str](), set[str](), set[str]()
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
        others = [*_held(name), *_beside(source, facts)]
        for each in [facts, *map(cached_facts, _run_sources(source))]:
            variables.update(each.variables)
            perhaps.update(each.perhaps)
            others += _imported(name, source, each)
        for other in others:
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
    """Keep the environment as it is before a study file runs, which may remove a variable."""
    _environment.clear()
    _environment.update(os.environ)


def _may_decide(variable: str) -> bool:
    return not variable.startswith(INERT_VARIABLES)


def _run_sources(source: ModuleSource) -> Iterator[str]:
    """Iterate over the source files that a module runs itself, by ``exec``, ``runpy`` or a loader."""
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
    """Iterate over all modules that the import statements of a module may mean, parent packages included."""
    package = name if source.path.name == "__init__.py" else name.rpartition(".")[0]
    for level, module, names in facts.imports:
        above = package.split(".")[: len(package.split(".")) - (level - 1)] if level else []
        base = ".".join(filter(None, [*above, module]))
        yield from _with_packages(base)
        if _kind_of(base) == "source":
            yield from (f"{base}.{inner}" for inner in names if inner != "*" and _is_module(base, inner))


def _with_packages(name: str) -> list[str]:
    """Return a module and its parent packages: all of them run when it is imported."""
    return list(itertools.accumulate(name.split("."), "{}.{}".format)) if name else []


def _is_module(package: str, name: str) -> bool:
    """Return whether ``from package import name`` may import a module."""
    whole = f"{package}.{name}"
    if whole in sys.modules:
        return True
    return not hasattr(sys.modules.get(package), name) and _locate(whole) is not None


def _held(name: str) -> Iterator[str]:
    """Iterate over modules that a user-defined module holds, or whose definitions it holds, however it got them."""
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules and is_local(name) else ():
        found = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(found, str) and found and is_local(found) and not found.startswith("__main__"):
            yield found


def _beside(source: ModuleSource, facts: Facts) -> Iterator[str]:
    """Iterate over every module below a module's folder, if it imports by names that it computes."""
    if not facts.is_open or not is_local(source.name):
        return
    root = source.path.parent
    package = source.name.rpartition(".")[0] if not source.is_question else ""
    parts = sorted(file.relative_to(root).with_suffix("").parts for file in root.rglob("*.py") if file != source.path)
    for path in [path for path in parts if not any(part.startswith(".") for part in path)][:MAX_FILES_BESIDE]:
        name = ".".join(part for part in (package, *path) if part and part != "__init__")
        if all(part.isidentifier() for part in name.split(".")):
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
    """Return ``source`` (its text counts), ``library`` (its version counts) or ``none``."""
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


def stands_elsewhere(path: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    return Path(path).is_relative_to(_prefixes()[0]) or _is_installed(Path(path))


NO_DATA = tuple(Path(folder) for folder in ("/proc", "/sys", "/dev", "/etc", "/usr"))


def settle_reads() -> None:
    """Add every opened file to the innermost module of the user's or of a plugin: its content is part of it."""
    for names, path in opened_files():
        name = next((name for name in names if not name.startswith("__main__") and _kind_of(name) == "source"), None)
        if name is None:
            continue
        if path.endswith(".pyc"):
            with suppress(ValueError, NotImplementedError):
                path = importlib.util.source_from_cache(path)
        is_data = os.path.isfile(path) and not stands_elsewhere(path)
        is_data &= not any(Path(path).is_relative_to(folder) for folder in (cache_folder(), *NO_DATA))
        if is_data and not (name in _kept and os.path.abspath(_kept[name].path) == path):
            _reads_of.setdefault(name, {})[path] = _content_digest(Path(path))


def _content_digest(path: Path) -> str:
    """Return the fingerprint of a source, which is run in another way than by an import; else a hash of the bytes."""
    if path.suffix == ".py":
        text = source_of_file(path).text
        with suppress(SyntaxError, ValueError):
            return cached_facts(text).fingerprint
    return file_digest(path)
