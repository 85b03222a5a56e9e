"""The closure of modules that components are made of.

A component's *closure* is its module and, transitively, every module that it imports, as far as it is source of the
user's or of a plugin. The standard library and torch are left out; installed libraries count by their versions.
"""

from __future__ import annotations

import ast
import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import attrs

from lab.errors import LabError
from lab.registry.modules import ModuleSource, facts_of, source_of_file, source_of_module
from lab.registry.places import is_local, kind_of, locate
from lab.registry.source import Facts, cached_facts, possible_variables, save_facts

__all__ = ["Closure", "closure_of", "note_environment", "note_study", "with_acting_modules"]

MAX_FILES_BESIDE = 5_000
MAX_CLOSURES = 1_000

INERT_PACKAGES = frozenset([
    "attr", "attrs", "click", "filelock", "jinja2", "lab", "matplotlib", "optuna", "packaging", "platformdirs",
    "plotext", "pluggy", "pooch", "pydantic", "pydantic_core", "pytest", "ray", "rich", "safetensors", "submitit",
    "tensorboard", "torch", "tqdm", "typing_extensions",
])  # fmt: skip
"""Libraries that draw, print, write or bind; torch and lab have entries of their own in a key."""

INERT_VARIABLES = ("LAB_", "OMP_", "MKL_", "CUDA_", "RAY_", "SLURM_")
"""Environment variables with these prefixes say where something lies or runs; they change no number."""


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
        # A study file may delete a variable after reading it; the environment from before the import counts.
        now = {**_environment, **os.environ}
        perhaps = [name for name in now if name in self.perhaps or (ends and name.startswith(ends))]
        return {name: now.get(name) for name in sorted({*self.variables, *filter(_may_decide, perhaps)})}

    def fingerprints(self) -> dict[str, str]:
        """Return module → fingerprint, and the digests of the files that it opened while it was imported."""
        found: dict[str, str] = {}
        for source in self.modules.values():
            found[source.label] = facts_of(source, self.wanted.get(source.name, frozenset())).fingerprint
            # Files count by content, in the order of their hashes: where they lie changes no number.
            for number, (_, digest) in enumerate(sorted(source.reads, key=lambda read: read[1])):
                found[f"{source.label} reads {number}"] = digest
        return found


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
    # A notebook that redefines its functions makes a new closure each time; the memory stays bounded.
    if len(_closures) >= MAX_CLOSURES:
        _closures.clear()
    _closures[asked] = _follow_imports(roots)
    return _closures[asked]


_closures: dict[tuple[tuple[str, tuple[str, ...]], ...], Closure] = {}


def with_acting_modules(roots: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """Return modules, and those that the study imports and that may change other modules while they are imported.

    A component of one module may read what another one has set there, which only the study imports. With several
    studies loaded, those count that import one of the modules.
    """
    loaded = _loaded_studies()
    acting: dict[str, frozenset[str]] = {}
    for study in loaded.difference(roots):
        brought = closure_of({study: frozenset()}).modules
        if len(loaded) == 1 or not brought.keys().isdisjoint(name for name in roots if is_local(name)):
            acting |= {name: frozenset() for name, source in brought.items() if is_local(name) and _acts(source)}
    return {**roots, **acting} if acting else roots


_studies: dict[str, str] = {}


def note_study(module: ModuleType) -> None:
    """Note that a study file was loaded as a module; an earlier module of the same file no longer counts."""
    _studies[str(module.__file__)] = module.__name__


def _loaded_studies() -> set[str]:
    return {name for name in _studies.values() if name in sys.modules}


def _acts(source: ModuleSource) -> bool:
    """Return whether a module may change another while it is imported; a compiled one may."""
    facts = facts_of(source)
    if not source.text or facts.acts:
        return True
    if any(kind_of(_base(source.name, source, *called)) == "source" for called in facts.called):
        return True
    for level, module in facts.bases:
        base = _base(source.name, source, level, module)
        owner = source_of_module(base) if kind_of(base) == "source" else None
        # a class that hears of its subclasses may write them into a table
        if owner is not None and ("__init_subclass__" in owner.text or "metaclass" in owner.text):
            return True
    return False


def _is_current(source: ModuleSource) -> bool:
    """Return whether a module that was loaded still is the one that was, and was not loaded or reloaded since."""
    # importlib.reload replaces the spec, so a reloaded module is recognized by identity.
    return getattr(sys.modules.get(source.name), "__spec__", None) is source.spec


def _follow_imports(roots: Mapping[str, frozenset[str]]) -> Closure:
    modules: dict[str, ModuleSource] = {}
    packages, variables, perhaps = set[str](), set[str](), set[str]()
    # Packages are included: importing a.b runs a/__init__.py, too.
    waiting = [name for root in roots for name in _with_packages(root)]
    met = set(waiting)
    while waiting:
        name = waiting.pop()
        kind = kind_of(name)
        # An installed library counts by its version: parsing its sources would take seconds.
        if kind == "library":
            packages.add(name.partition(".")[0])
        source = source_of_module(name) if kind == "source" else None
        if source is None:
            continue
        modules[name] = source
        facts = facts_of(source, roots.get(name, frozenset()))
        # Text alone does not say all: a module may have been injected by setattr or importlib.
        others = [*_held(name), *_beside(source, facts)]
        for each in [facts, *map(cached_facts, _run_sources(source))]:
            variables.update(each.variables)
            perhaps.update(each.perhaps)
            others += _imported(name, source, each)
        for other in others:
            if other not in met:
                met.add(other)
                waiting.append(other)
    # One module may pass the name of a variable to a helper in another, so the texts of all of them are candidates.
    if "*" in perhaps:
        perhaps.update(name for source in modules.values() if source.text for name in possible_variables(source.text))
    # Written once per closure: writing after each module costs more than parsing it.
    save_facts()
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


def _imported(name: str, source: ModuleSource, facts: Facts) -> Iterator[str]:
    """Iterate over all modules that the import statements of a module may mean, parent packages included."""
    for level, module, names in facts.imports:
        base = _base(name, source, level, module)
        yield from _with_packages(base)
        if kind_of(base) == "source":
            yield from (f"{base}.{inner}" for inner in names if inner != "*" and _is_module(base, inner))


def _base(name: str, source: ModuleSource, level: int, module: str) -> str:
    """Return the absolute name of a module that another one imports from."""
    package = name if source.path.name == "__init__.py" else name.rpartition(".")[0]
    # Each dot after the first goes up one package.
    above = package.split(".")[: len(package.split(".")) - (level - 1)] if level else []
    return ".".join(filter(None, [*above, module]))


def _with_packages(name: str) -> list[str]:
    """Return a module and its parent packages: all of them run when it is imported."""
    return list(itertools.accumulate(name.split("."), "{}.{}".format)) if name else []


def _is_module(package: str, name: str) -> bool:
    """Return whether ``from package import name`` may import a module."""
    whole = f"{package}.{name}"
    if whole in sys.modules:
        return True
    # A name that the package defines hides a module of that name.
    return not hasattr(sys.modules.get(package), name) and locate(whole) is not None


def _held(name: str) -> Iterator[str]:
    """Iterate over modules that a user-defined module holds, or whose definitions it holds, however it got them."""
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules and is_local(name) else ():
        found = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(found, str) and found and is_local(found) and not found.startswith("__main__"):
            yield found


def _beside(source: ModuleSource, facts: Facts) -> Iterator[str]:
    """Iterate over every module below the folder that a module is imported from, if it imports by computed names.

    Raises:
        LabError: there are too many.
    """
    if not facts.is_open or not is_local(source.name):
        return
    # the folder of the top-level package: a loader in one package may import from another
    above = 0 if source.is_question else source.name.count(".") + (source.path.name == "__init__.py")
    root = source.path.parents[above]
    count = 0
    for folder, folders, files in os.walk(root):
        # Hidden folders such as .git, environments and folders of data are never imported from.
        folders[:] = sorted(each for each in folders if each.isidentifier() and not each.startswith("__"))
        package = Path(folder).relative_to(root).parts
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            if suffix != ".py" or not stem.isidentifier() or Path(folder, file) == source.path:
                continue
            count += 1
            if count > MAX_FILES_BESIDE:
                raise LabError(
                    f"module '{source.name}' imports by names that it computes, and any of more than "
                    f"{MAX_FILES_BESIDE:,} modules may be meant",
                    where=f"{source.path}; below {root}",
                    hint="move the study and what it imports into a folder of their own",
                )
            yield ".".join([*package, *([stem] if stem != "__init__" else [])])


def _run_sources(source: ModuleSource) -> Iterator[str]:
    """Iterate over the source files that a module runs itself, by ``exec``, ``runpy`` or a loader."""
    for path, _ in source.reads:
        if path.endswith(".py") and os.path.isfile(path):
            text = source_of_file(Path(path)).text
            with suppress(SyntaxError, ValueError):
                ast.parse(text)
                yield text
