"""Places of modules: their files, and whether a module is the user's, a plugin's, a library's or Python's own."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from lab.registry.discovery import find_entry_points

__all__ = ["STUDY", "is_local", "is_notebook", "kind_of", "locate", "stands_elsewhere"]

STUDY = "lab_experiment"
"""Prefix of the names under which study files are imported."""


def is_local(name: str) -> bool:
    """Return whether a module is a study file, the main script, or source that is neither installed nor a plugin's."""
    if name.startswith((STUDY, "__main__")):
        return True
    return kind_of(name) == "source" and name.partition(".")[0] not in _plugin_packages()


def is_notebook() -> bool:
    """Return whether what runs is typed in, cell by cell or line by line, so that no file holds it."""
    return not getattr(sys.modules.get("__main__"), "__file__", None)


def kind_of(name: str) -> str:
    """Return ``source`` (its text counts), ``library`` (its version counts) or ``none``."""
    if name.startswith((STUDY, "__main__")):
        return "source"
    top = name.partition(".")[0]
    kind = _kind_of_top(top)
    if kind == "none" and top not in sys.stdlib_module_names:
        # A folder may have been added to sys.path since the last look.
        _kind_of_top.cache_clear()
        kind = _kind_of_top(top)
    return kind


@lru_cache(maxsize=4096)
def _kind_of_top(top: str) -> str:
    if top in sys.stdlib_module_names or top in ("", "builtins"):
        return "none"
    # lab and torch have entries of their own in a key.
    if top in ("lab", "torch", "torchgen", "functorch"):
        return "library"
    path = locate(top) or next((Path(folder) for folder in _folders_of(top)), None)
    if path is None:
        return "none"
    if _is_installed(path):
        # A plugin's source counts wherever it is installed: editing it must make new keys.
        return "source" if top in _plugin_packages() else "library"
    return "none" if path.is_relative_to(_prefixes()[0]) else "source"


def locate(name: str) -> Path | None:
    """Return the file of a module, loaded or not; None for built-in, frozen, missing and interactive ones."""
    if name in sys.modules:
        loaded = getattr(sys.modules[name], "__file__", None)
        return Path(loaded) if loaded else None
    parent = name.rpartition(".")[0]
    spec = None
    # find_spec raises KeyError for a namespace package that is not loaded.
    with suppress(ImportError, ValueError, AttributeError, KeyError):
        if not parent:
            spec = importlib.util.find_spec(name)
        # find_spec of the whole name would import the parent package.
        elif folders := _folders_of(parent):
            spec = importlib.machinery.PathFinder.find_spec(name, folders)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _folders_of(package: str) -> list[str]:
    """Return the folders of a package's modules, without importing it."""
    loaded = sys.modules.get(package)
    if loaded is not None:
        return list(getattr(loaded, "__path__", ()))
    file = locate(package)
    if file is not None:
        return [str(file.parent)] if file.name == "__init__.py" else []
    parent, _, leaf = package.rpartition(".")
    folders = [os.path.join(folder, leaf) for folder in (_folders_of(parent) if parent else sys.path)]
    # A package without __init__.py may be spread over several folders.
    return [folder for folder in folders if os.path.isdir(folder)]


def stands_elsewhere(path: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    return Path(path).is_relative_to(_prefixes()[0]) or _is_installed(Path(path))


def _is_installed(path: Path) -> bool:
    """Return whether a path lies where packages are installed, in this environment or in one below it."""
    # An environment inside the project has its own site-packages, which sysconfig does not know.
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
    return frozenset(point.value.partition(":")[0].partition(".")[0] for point in find_entry_points("lab"))
