"""``lab new``: what it writes is whole, keeps its contract, and nothing is overwritten."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lab.cli.main import cli
from lab.registry.plugins import load_catalog
from lab.study.load import load_study
from lab.testing import check_entry
from tests.third_party.site import catalog_with

OTHERS = ["command", "learner-method", "report-section"]
"""Kinds that add no component to a registry."""
KINDS = sorted(load_catalog().collect("lab_scaffolds").keys() - {"experiment", *OTHERS})
AROUND = [".github/workflows/release.yml", ".github/workflows/tests.yml", ".gitignore", "CHANGELOG.md", "LICENSE"]
FILES = [
    "README.md",
    "experiments/{name}.py",
    "{module}/__init__.py",
    "{module}/plugin.py",
    "{module}/{kind}.py",
    "pyproject.toml",
    "tests/test_{name}.py",
]


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["new", *arguments])


@pytest.fixture
def new_plugin(tmp_path: Path, kind: str) -> Path:
    """The folder of a new plugin with one component of a kind."""
    result = lab("plugin", f"fresh-{kind}", "--kind", kind, "--into", str(tmp_path))
    assert result.exception is None, result.exception
    return tmp_path / f"lab-fresh-{kind}"


def test_every_kind_of_the_kernel_has_a_template() -> None:
    registries = load_catalog().registries.values()
    names = {registry.spec.singular for registry in registries} | {registry.spec.name for registry in registries}
    kernel = {
        "dataset",
        "architecture",
        "loss",
        "sampler",
        "stepper",
        "callback",
        "optimizer",
        "metric",
        "executor",
        "task",
    }
    others = {"attention", "corpus", "index", "searcher", "tokenizer", "tracker", "vectors"}
    assert kernel | others <= {*KINDS} <= names


@pytest.mark.parametrize("kind", OTHERS)
def test_a_plugin_without_a_component_is_whole_loads_and_passes_its_tests(
    new_plugin: Path, kind: str, tmp_path: Path
) -> None:
    with catalog_with(tmp_path / "site", new_plugin) as catalog:
        (plugin,) = [plugin for plugin in catalog.plugins.values() if not plugin.is_builtin]
        assert plugin.status == "loaded"
        assert len(load_study(next(new_plugin.glob("experiments/*.py"))).resolve(catalog)) == 2
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(new_plugin), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=new_plugin, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("text", "loss", "Python has a module 'lab_text' already"),
        ("json", "loss", "Python has a module 'json' already"),
        ("class", "loss", "'class' is a keyword of Python"),
        ("adam", "optimizer", "there is a component 'adam' in optimizers already, of lab_basics"),
    ],
)
def test_a_name_that_is_taken_is_refused(name: str, kind: str, message: str, tmp_path: Path) -> None:
    result = lab("plugin", name, "--kind", kind, "--into", str(tmp_path))
    assert str(result.exception).startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_new_plugin_is_a_whole_package(new_plugin: Path, kind: str) -> None:
    written = sorted(path.relative_to(new_plugin).as_posix() for path in new_plugin.rglob("*") if path.is_file())
    module = {"vectors": "word_vectors"}.get(kind, kind)
    names = {"name": f"fresh_{kind}", "module": f"lab_fresh_{kind}", "kind": module}
    assert written == sorted([*AROUND, *(file.format(**names) for file in FILES)])


def test_a_plugin_in_a_repository_that_is_there_has_no_files_around_it(tmp_path: Path) -> None:
    assert lab("plugin", "fresh", "--kind", "loss", "--no-repository", "--into", str(tmp_path)).exception is None
    assert not [name for name in AROUND if (tmp_path / "lab-fresh" / name).exists()]
    text = (tmp_path / "lab-fresh" / "pyproject.toml").read_text(encoding="utf-8")
    assert "license" not in text
    assert "Releases" not in (tmp_path / "lab-fresh" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("terms", "first", "expression"),
    [
        ("MIT", "MIT License", "MIT"),
        ("BSD-3-Clause", "BSD 3-Clause License", "BSD-3-Clause"),
        ("none", f"Copyright (c) {time.localtime().tm_year} Ada. All rights reserved.", "LicenseRef-Proprietary"),
    ],
)
def test_the_license_is_chosen(terms: str, first: str, expression: str, tmp_path: Path) -> None:
    done = lab("plugin", "fresh", "--kind", "loss", "--license", terms, "--author", "Ada", "--into", str(tmp_path))
    assert done.exception is None
    text = (tmp_path / "lab-fresh" / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith(f"{first}\n")
    assert f"{time.localtime().tm_year}" in text
    project = tomllib.loads((tmp_path / "lab-fresh" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["license"], project["authors"]) == (expression, [{"name": "Ada"}])


def test_workflows_test_on_every_python_and_publish_without_a_password(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with mkdocs, of the extra 'dev'")
    lab("plugin", "fresh", "--kind", "loss", "--into", str(tmp_path))
    folder = tmp_path / "lab-fresh" / ".github" / "workflows"
    tests, release = (yaml.safe_load((folder / name).read_text()) for name in ("tests.yml", "release.yml"))
    assert tests["jobs"]["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    runs = [step["run"] for step in tests["jobs"]["tests"]["steps"] if "run" in step]
    assert runs[1:] == ["lab --strict plugins", "lab check lab_fresh", "python -m pytest"]
    assert tests["jobs"]["tests"]["steps"][1]["with"]["python-version"] == "${{ matrix.python }}"
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert release["jobs"]["publish"]["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")


@pytest.mark.parametrize("kind", KINDS)
def test_new_component_keeps_its_contract(new_plugin: Path, kind: str, tmp_path: Path) -> None:
    with catalog_with(tmp_path / "site", new_plugin) as catalog:
        (entry,) = [entry for entry in catalog.registry(kind).entries() if not entry.plugin.is_builtin]
        failed = [outcome for outcome in check_entry(entry, catalog) if outcome.status == "failed"]
    assert failed == []


@pytest.mark.parametrize("kind", KINDS)
def test_new_experiment_has_two_arms_without_a_problem(new_plugin: Path, kind: str, tmp_path: Path) -> None:
    with catalog_with(tmp_path / "site", new_plugin) as catalog:
        arms = load_study(new_plugin / "experiments" / f"fresh_{kind}.py").resolve(catalog)
    # a search proposes its trials later
    assert len(arms) == (1 if kind == "searcher" else 2)
    assert all(arm.difference for arm in arms[1:])


def test_new_plugins_pass_their_own_linter(tmp_path: Path) -> None:
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed: it is part of the extra 'dev'")
    for kind in [*KINDS, *OTHERS]:
        lab("plugin", f"fresh-{kind}", "--kind", kind, "--into", str(tmp_path))
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", ["loss"])
def test_nothing_is_overwritten(new_plugin: Path, kind: str) -> None:
    readme = new_plugin / "README.md"
    readme.write_text("mine", encoding="utf-8")
    result = lab("plugin", "fresh-loss", "--kind", "loss", "--into", str(new_plugin.parent))
    assert str(result.exception) == (
        f"{new_plugin / 'pyproject.toml'} is there already\n  choose another name, or remove it first"
    )
    assert readme.read_text(encoding="utf-8") == "mine"


def test_unknown_kind_gets_a_close_match() -> None:
    result = lab("plugin", "fresh", "--kind", "atention")
    assert str(result.exception).startswith(
        "unknown kind of template 'atention'\n  did you mean: attention?\n  kinds: architecture, attention, "
    )


@pytest.mark.parametrize("name", ["", "../evil", "lab-", "1st", "a b"])
def test_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    result = lab("plugin", name, "--kind", "loss", "--into", str(tmp_path))
    assert (
        str(result.exception) == f"{name!r} cannot be the name of a Python module\n"
        "  letters, digits and hyphens, a letter first: cosine-attention"
    )
    assert list(tmp_path.iterdir()) == []


def test_new_experiment_is_a_study_of_three_arms(tmp_path: Path) -> None:
    assert lab("experiment", "two-questions", "--into", str(tmp_path)).exception is None
    study = load_study(tmp_path / "two_questions.py")
    assert [arm.name for arm in study.resolve(load_catalog())] == ["base", "wider", "dropout"]
    assert study.question == "Two questions: which one helps, a wider network or dropout?"
