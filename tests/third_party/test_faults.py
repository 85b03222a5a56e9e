"""Some ninety planted faults: each is told with its plugin, its file and its line, and the rest of ``lab`` works."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import lab.errors
from lab import Experiment, Section, Study, use
from lab.errors import LabError, notes_of
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.resolve import Resolver
from lab.study.execute import run_study
from lab.study.results import Results
from lab.testing import check_entry
from tests.third_party.faults import FAULTS, Fault
from tests.third_party.site import lay_module

BASE = Experiment(
    dataset=use("points", count=48),
    architecture=use("mlp", hidden_size=4),
    loss="cross_entropy",
    lr=1e-2,
    batch_size=16,
    epochs=1,
)
SLOTS = {
    "architectures": "architecture",
    "datasets": "dataset",
    "losses": "loss",
    "optimizers": "optimizer",
    "samplers": "sampler",
    "steppers": "stepper",
}
AT_LOADING = [fault for fault in FAULTS if fault.when == "load"]
LATER = [fault for fault in FAULTS if fault.when != "load"]


def study_of(fault: Fault) -> Study:
    """Return a study of two arms: the base, and the broken component in its slot."""
    study = Study(BASE, seeds=1, name="faults")
    if fault.kind in SLOTS:
        return study.swap(SLOTS[fault.kind], {"faulty": "broken"})
    if fault.kind == "callbacks":
        return study.swap("callbacks", {"faulty": ["broken"]})
    if fault.kind == "metrics":
        # a metric changes no number, so an arm with it would be the base
        return attrs.evolve(study, base=attrs.evolve(BASE, metrics=["broken"]))
    if fault.kind == "searchers":
        return study.search({"lr": (1e-3, 1e-1)}, trials=2, searcher="broken")
    if fault.kind == "tasks":
        return Study(use("broken"), seeds=1, name="faults", compare="valid_loss", higher_is_better=False)
    return study


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, in which lines are no lines of the user's own code."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    installed = (*lab.errors._installed(), str(site) + os.sep)
    monkeypatch.setattr(lab.errors, "_installed", lambda: installed)
    lab.errors._is_own.cache_clear()
    yield site
    lab.errors._is_own.cache_clear()
    for path in site.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def told() -> list[str]:
    return []


def catalog_of(site: Path, told: list[str], *faults: Fault) -> Catalog:
    for fault in faults:
        lay_module(fault.plugin, fault.source, site)
    return load_catalog(warn=told.append)


def run(fault: Fault, catalog: Catalog, runs: Path, told: list[str]) -> Results | None:
    """Run the study of a fault, and add to ``told`` what a user reads."""
    executor = "broken" if fault.kind == "executors" else "in_process"
    try:
        results = run_study(study_of(fault), runs=runs, catalog=catalog, executor=executor)
    except LabError as error:
        told += [str(error), *notes_of(error)]
        return None
    catalog.gather("lab_report_sections", Section, study=results.study, runs=results.runs)
    catalog.collect_owned("lab_commands")
    told += [str(run.result["error"]) for run in results.runs if run.status == "failed"]
    return results


def assert_named(fault: Fault, told: list[str], site: Path) -> None:
    text = "\n".join(told)
    assert fault.says in text
    assert f"{fault.plugin} 1.0" in text
    if fault.line:
        assert f"{fault.plugin}.py, line {fault.line}" in text
    if fault.kind:
        assert f"'broken' ({fault.plugin} 1.0)" in text


def test_there_are_more_than_fifty_faults_in_every_kind() -> None:
    assert len(FAULTS) > 50
    assert {fault.kind for fault in FAULTS} == {*SLOTS, "", "callbacks", "executors", "metrics", "searchers", "tasks"}


@pytest.mark.parametrize("fault", AT_LOADING, ids=lambda fault: fault.name)
def test_fault_is_named_when_plugins_are_loaded_and_the_rest_works(fault: Fault, site: Path, told: list[str]) -> None:
    folder = Path.cwd()
    catalog = catalog_of(site, told, fault)
    assert_named(fault, told, site)
    assert len(told) == 1
    assert catalog.plugins[fault.plugin].status == "failed"
    assert Path.cwd() == folder
    assert {plugin.status for plugin in catalog.plugins.values() if plugin.is_builtin} == {"loaded"}
    assert Resolver(catalog).resolve("optimizers", use("adam", eps=1e-6)) is not None


@pytest.mark.parametrize("fault", LATER, ids=lambda fault: fault.name)
def test_fault_is_named_when_it_shows_and_other_arms_are_not_blamed(
    fault: Fault, site: Path, told: list[str], tmp_path: Path
) -> None:
    folder = Path.cwd()
    catalog = catalog_of(site, told, fault)
    assert told == []
    results = run(fault, catalog, tmp_path / "runs", told)
    assert_named(fault, told, site)
    assert Path.cwd() == folder
    if fault.when == "plan":
        # nothing was trained, and only the arm with the broken component has a problem
        assert results is None
        assert not list((tmp_path / "runs").glob(".store/*/result.json"))
        assert fault.kind == "metrics" or told[0].startswith("arm 'faulty': ")
    elif fault.kind not in ("executors", "searchers", "tasks"):
        assert results is not None
        assert results.runs[0].status == "finished"


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.check], ids=lambda fault: fault.name)
def test_fault_is_found_by_the_kit(fault: Fault, site: Path, told: list[str]) -> None:
    catalog = catalog_of(site, told, fault)
    entry = catalog.registries[fault.kind]["broken"]
    assert any(outcome.status == "failed" for outcome in check_entry(entry, catalog))


def test_a_study_has_its_numbers_beside_every_fault(site: Path, told: list[str], tmp_path: Path) -> None:
    plain = run_study(Study(BASE, seeds=1, name="plain"), runs=tmp_path / "plain", catalog=load_catalog())
    catalog = catalog_of(site, told, *FAULTS)
    beside = run_study(Study(BASE, seeds=1, name="plain"), runs=tmp_path / "beside", catalog=catalog)
    rows: list[list[Any]] = [[run.key, *run.metrics.items()] for results in (plain, beside) for run in results.runs]
    assert rows[0] == rows[1]
