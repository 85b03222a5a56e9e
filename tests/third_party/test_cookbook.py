"""The plugins of the cookbook: installed, checked, tested by their own tests, and used in their studies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.testing import check_entry
from tests.third_party.site import catalog_with, lay_package

ROOT = Path(__file__).parents[2]
COOKBOOK = ROOT / "docs" / "cookbook"
PROJECTS = sorted(path.parent for path in COOKBOOK.glob("*/pyproject.toml"))
EXECUTORS = {"lab-apart": ("--executor", "apart")}
TESTED_ABOVE = {"lab-apart": ("-k", "not TestApart")}
"""Inherited checks that are not run twice, since they start many processes."""

pytestmark = pytest.mark.slow

each_project = pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path_factory.getbasetemp() / "cookbook_cache"))


def outside(site: Path, where: Path, *arguments: str) -> str:
    """Run a module of Python where the package is installed."""
    path = os.pathsep.join([str(site), *(os.path.abspath(each) for each in sys.path if each)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_are_five() -> None:
    assert [path.name for path in PROJECTS] == ["lab-apart", "lab-effective", "lab-sets", "lab-sqlite", "lab-stepwise"]


@each_project
def test_every_component_keeps_its_contract(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # executors train in processes of their own, which must find the package too
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    with catalog_with(tmp_path / "site", project) as catalog:
        entries = [e for r in catalog.registries.values() for e in r.entries() if e.plugin.distribution == project.name]
        assert entries
        failed = [(e.label, o) for e in entries for o in check_entry(e, catalog) if o.status == "failed"]
    assert failed == []


@each_project
def test_its_own_tests_pass(project: Path, tmp_path: Path) -> None:
    lay_package(project, tmp_path / "site")
    said = outside(
        tmp_path / "site",
        project,
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *TESTED_ABOVE.get(project.name, ()),
    )
    assert " passed" in said
    assert "failed" not in said


@each_project
def test_its_study_is_answered(project: Path, tmp_path: Path) -> None:
    lay_package(project, tmp_path / "site")
    (study,) = (project / "experiments").glob("*.py")
    quick = ("--epochs", "1", "--seeds", "1", *EXECUTORS.get(project.name, ()))
    assert "valid_loss" in outside(tmp_path / "site", tmp_path, "lab", "run", str(study), *quick)


@each_project
def test_its_page_shows_all_of_its_code(project: Path) -> None:
    page = (ROOT / "docs" / f"cookbook-{project.name.removeprefix('lab-')}.md").read_text(encoding="utf-8")
    files = [path.relative_to(ROOT).as_posix() for path in project.rglob("*") if path.suffix in (".py", ".toml")]
    shown = [file for file in files if f"<!-- insert file {file} -->" in page or "__pycache__" in file]
    assert sorted(shown) == sorted(file for file in files if not file.endswith("__init__.py"))
