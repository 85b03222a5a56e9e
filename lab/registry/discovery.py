"""Entry points of installed packages, read straight from their metadata.

``importlib.metadata`` gives the same, but its import alone (with ``email`` and ``zipfile``) takes a third of the time
of ``lab --help``. The files read here are those of the specifications for entry points and for core metadata
(packaging.python.org). Packages inside zip archives are not found.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["EntryPoint", "distributions", "find_entry_points", "is_installed", "metadata_folders"]


class EntryPoint(NamedTuple):
    """One line of a package's ``entry_points.txt``.

    Attributes:
        name: the text before the equals sign.
        value: ``"module"`` or ``"module:attribute"``.
        distribution: the package's name, as its metadata writes it.
        version: the package's version.
    """

    name: str
    value: str
    distribution: str
    version: str

    @property
    def package(self) -> str:
        """The top-level package of the module."""
        return self.value.partition(":")[0].strip().partition(".")[0]

    def load(self) -> Any:
        """Import the module, and return it or its attribute."""
        module, _, attribute = self.value.partition(":")
        found: Any = importlib.import_module(module.strip())
        for name in filter(None, attribute.strip().split(".")):
            found = getattr(found, name)
        return found


def find_entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group over ``sys.path``; if a package is there twice, the first counts."""
    found: dict[str, list[EntryPoint]] = {}
    for folder in metadata_folders():
        lines = _section(_read(f"{folder}/entry_points.txt"), group)
        if lines:
            name, version = _name_and_version(folder)
            points = [EntryPoint(key.strip(), value.strip(), name, version) for key, value in lines]
            # Distribution names are compared as PyPI normalizes them.
            found.setdefault(name.lower().replace("_", "-"), points)
    return [point for points in found.values() for point in points]


def is_installed(distribution: str) -> bool:
    """Return whether a package of this name is installed."""
    names = (os.path.basename(folder).rpartition(".")[0].partition("-")[0] for folder in metadata_folders())
    return distribution in {name.lower().replace("_", "-") for name in names}


def distributions() -> Iterator[tuple[str, str, str]]:
    """Iterate over (folder of its metadata, name, version) of the installed packages."""
    yield from ((folder, *_name_and_version(folder)) for folder in metadata_folders())


def metadata_folders() -> Iterator[str]:
    """Iterate over the folders that describe the packages on ``sys.path``."""
    for path in dict.fromkeys(sys.path):
        try:
            names = os.listdir(path or ".")
        except OSError:
            # The folder is gone, or it is a zip archive.
            continue
        yield from (f"{path or '.'}/{name}" for name in names if name.endswith((".dist-info", ".egg-info")))


def _section(text: str, group: str) -> list[tuple[str, str]]:
    """Return the ``name = value`` lines below ``[group]``."""
    _, found, body = f"\n{text}".partition(f"\n[{group}]\n")
    lines = body.partition("\n[")[0].splitlines() if found else []
    pairs = [line.partition("=") for line in lines if not line.lstrip().startswith(("#", ";"))]
    return [(key, value.partition(" [")[0]) for key, equals, value in pairs if equals]


def _name_and_version(folder: str) -> tuple[str, str]:
    header = (_read(f"{folder}/METADATA") or _read(f"{folder}/PKG-INFO")).partition("\n\n")[0]
    fields = dict(line.split(": ", 1) for line in header.splitlines() if line.startswith(("Name: ", "Version: ")))
    stem = os.path.basename(folder).rpartition(".")[0]
    name, _, version = stem.partition("-")
    return fields.get("Name", name), fields.get("Version", version)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
