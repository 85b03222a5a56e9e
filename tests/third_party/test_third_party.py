"""One installed package per kind of component, each used in a study of two arms."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from lab import Section
from lab.cli.main import cli
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.study.load import load_study
from lab.study.preflight import plan_study
from lab.study.results import Results
from lab.study.workspace import Workspace
from lab.testing import check_entry
from tests.third_party.site import PACKAGES, catalog_with

KINDS = {
    "lab-activations": "activations",
    "lab-backwards": "executors",
    "lab-balanced": "samplers",
    "lab-brier": "metrics",
    "lab-centred": "callbacks",
    "lab-count": None,
    "lab-diary": "callbacks",
    "lab-distant": "attentions",
    "lab-gated": "architectures",
    "lab-lion": "optimizers",
    "lab-margin": "losses",
    "lab-mixup": "steppers",
    "lab-moons": "datasets",
    "lab-pieces": "tokenizers",
    "lab-podium": None,
    "lab-striped": "samplers",
    "lab-translator": "architectures",
}
PROJECTS = [pytest.param(PACKAGES / name, id=name) for name in KINDS]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path_factory.getbasetemp() / "third_party_cache"))


@pytest.fixture
def project(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def catalog(project: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """The catalog of a machine where the project, and nothing else, is installed."""
    with catalog_with(tmp_path / "site", project) as found:
        yield found


def answer(project: Path, catalog: Catalog, folder: Path, executor: str = "in_process") -> Results:
    return run_study(load_study(project / "study.py"), runs=folder, catalog=catalog, executor=executor)


def test_folder_holds_a_package_for_every_kind_and_no_other() -> None:
    assert {path.parent.name for path in PACKAGES.glob("*/pyproject.toml")} == {*KINDS}


@pytest.mark.parametrize("project", PROJECTS, indirect=True)
def test_installed_plugin_is_listed_with_its_version(project: Path, catalog: Catalog) -> None:
    plugin = catalog.plugins[project.name.replace("-", "_")]
    assert (plugin.status, plugin.distribution, plugin.version) == ("loaded", project.name, "1.2.3")
    kind = KINDS[project.name]
    assert kind is None or plugin.provides[kind]


@pytest.mark.parametrize("project", PROJECTS, indirect=True)
def test_component_keeps_its_contract(project: Path, catalog: Catalog) -> None:
    entries = [e for r in catalog.registries.values() for e in r.entries() if e.plugin.distribution == project.name]
    assert entries or KINDS[project.name] is None
    failed = [(e.label, o) for e in entries for o in check_entry(e, catalog) if o.status == "failed"]
    assert failed == []


@pytest.mark.parametrize("project", PROJECTS, indirect=True)
def test_study_of_two_arms_uses_it_and_records_it(project: Path, catalog: Catalog, tmp_path: Path) -> None:
    executor = "backwards" if project.name == "lab-backwards" else "in_process"
    results = answer(project, catalog, tmp_path / "runs", executor)
    assert [(run.arm == "base", run.status) for run in results.runs] == [(True, "finished")] * 2 + [
        (False, "finished")
    ] * 2
    last = results.runs[-1].folder
    environment = json.loads((last / "environment.json").read_text(encoding="utf-8"))
    assert environment["plugins"][project.name.replace("-", "_")] == "1.2.3"
    if KINDS[project.name] not in (None, "executors"):
        assert f"{project.name.replace('-', '_')} 1.2.3" in (last / "experiment.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("project", [PACKAGES / "lab-count"], indirect=True)
def test_command_of_a_third_party_runs(project: Path, catalog: Catalog) -> None:
    result = CliRunner().invoke(cli, ["count", str(project / "study.py")])
    assert result.output == "2 arms, 2 seeds: 4 runs\n"


@pytest.mark.parametrize("project", [PACKAGES / "lab-podium"], indirect=True)
def test_report_section_of_a_third_party_knows_the_runs(project: Path, catalog: Catalog, tmp_path: Path) -> None:
    results = answer(project, catalog, tmp_path / "runs")
    given = catalog.gather("lab_report_sections", Section, study=load_study(project / "study.py"), runs=results.runs)
    (podium,) = [section for plugin, sections in given if plugin.name == "lab_podium" for section in sections]
    assert podium.title == "Podium"
    assert sorted(podium.text.splitlines()) in (["1. base", "2. wider"], ["1. wider", "2. base"])


@pytest.mark.parametrize("project", [PACKAGES / "lab-activations"], indirect=True)
def test_part_of_a_third_party_registry_is_reached_by_its_path(project: Path, catalog: Catalog, tmp_path: Path) -> None:
    arms = load_study(project / "study.py").resolve(catalog)
    assert arms[1].difference["architecture.activation"] == ("swish", "cube")


@pytest.mark.parametrize("project", [PACKAGES / "lab-diary"], indirect=True)
def test_callback_knows_arm_seed_and_key_of_its_run(project: Path, catalog: Catalog, tmp_path: Path) -> None:
    results = answer(project, catalog, tmp_path / "runs")
    for run in results.runs:
        rows = [json.loads(line) for line in (run.folder / "artefacts/diary.jsonl").read_text().splitlines()]
        assert [(row["arm"], row["seed"], row["key"], row["epoch"]) for row in rows] == [
            (run.arm, run.seed, run.key, epoch) for epoch in range(2)
        ]


@pytest.mark.parametrize("project", [PACKAGES / "lab-translator"], indirect=True)
def test_plain_model_translates_and_is_told_what_it_lacks(project: Path, catalog: Catalog, tmp_path: Path) -> None:
    study = load_study(project / "study.py")
    base = attrs.evolve(study.base, callbacks=["translations", "attention_maps"], stepper="teacher_forcing", epochs=2)
    workspace = Workspace.open(tmp_path / "runs", catalog, "cpu")
    plan = plan_study(attrs.evolve(study, base=base, seeds=1), workspace)
    note = "no attention maps: a Translator has no `step`, which returns attention weights"
    assert [note in check.notes for check in plan.checks.values()] == [False, True]
    results = run_study(attrs.evolve(study, base=base, seeds=1), runs=tmp_path / "runs", catalog=catalog)
    assert [run.status for run in results.runs] == ["finished", "finished"]
    assert "valid_bleu" in results.runs[-1].metrics
    lines = (results.runs[-1].folder / "artefacts" / "translations.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines
    assert not (results.runs[-1].folder / "artefacts" / "attention").exists()


def test_all_packages_live_together(tmp_path: Path) -> None:
    with catalog_with(tmp_path / "site", *(PACKAGES / name for name in KINDS)) as catalog:
        third_party = [plugin for plugin in catalog.plugins.values() if not plugin.is_builtin]
    assert {plugin.status for plugin in third_party} == {"loaded"}
    assert len(third_party) == len(KINDS)


@pytest.mark.slow
def test_every_package_is_installed_by_pip(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="pip builds these packages with hatchling; without it this needs a network")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(tmp_path), *(str(PACKAGES / name) for name in KINDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.dist-info")} == {
        f"{n.replace('-', '_')}-1.2.3.dist-info" for n in KINDS
    }
    assert len(list(tmp_path.glob("*/plugin.py"))) == len(KINDS)
