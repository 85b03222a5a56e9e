"""Installation of a package without pip: files and metadata in a folder on ``sys.path``."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.registry.plugins import Catalog, load_catalog

__all__ = ["PACKAGES", "catalog_with", "lay_module", "lay_package"]

PACKAGES = Path(__file__).parent


def lay_package(project: Path, site: Path) -> str:
    """Install a project into ``site`` and return the name of its plugin."""
    described: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    name, version = described["project"]["name"], described["project"]["version"]
    for package in described["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(project / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    points = described["project"]["entry-points"]["lab"]
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (metadata / "entry_points.txt").write_text(f"[lab]\n{lines}", encoding="utf-8")
    return next(iter(points))


def lay_module(name: str, source: str, site: Path) -> None:
    """Install a plugin that is one module, version 1.0; its entry point and its package have the module's name."""
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / f"{name}.py").write_text(source, encoding="utf-8")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[lab]\n{name} = {name}\n", encoding="utf-8")


@contextmanager
def catalog_with(site: Path, *projects: Path) -> Iterator[Catalog]:
    """Return the catalog with these projects installed; every problem is an error."""
    for project in projects:
        lay_package(project, site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield load_catalog(strict=True)
