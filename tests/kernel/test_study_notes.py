"""Notes on the data and the arms reach the readers of plans, reports and results, each once."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import attrs
import pytest
from lab_report.html import render_report

from lab import Study, use
from lab.report.documents import comparison_document
from lab.study import files
from lab.study.execute import gather, run_study
from lab.study.notes import notes_of_plan
from lab.study.preflight import plan_study
from lab.study.rebuild import rebuild_exactly
from lab.study.record import read_study, write_study
from lab.study.store import Store
from lab.study.workspace import Workspace
from tests.kernel.toys import Points, experiment, plugin_module, points

TOLD = "3 rows of 'valid' are in train too"
READ = "24 rows were read"


def noted(*, size: int = 24, told: str = TOLD) -> Points:
    """Points of which the dataset tells one thing, and warns of another."""
    logging.getLogger("lab").warning("points: %s", told)
    data = points(size=size)
    return attrs.evolve(data, notes=(READ, told))


def plan_of(study: Study, catalog: Any, folder: Any) -> Any:
    return plan_study(study, Workspace(catalog, Store(folder)))


def of(**changes: Any) -> Study:
    return Study(experiment(**{"dataset": use(noted), "epochs": 1, **changes}), seeds=2, name="noted")


@pytest.fixture
def planned(catalog, tmp_path):
    """The plan of a study whose two arms share their data."""
    return plan_of(of().swap("lr", [0.01]), catalog, tmp_path)


def test_a_note_that_was_logged_as_a_warning_is_told_from_one_that_was_not(planned):
    notes = notes_of_plan(planned)
    assert notes.data_lines() == [READ, TOLD]
    assert notes.warning_lines() == [TOLD]


def test_a_warning_that_is_no_note_of_the_data_is_kept_as_well(catalog, tmp_path):
    def read() -> Points:
        logging.getLogger("lab").warning("%s: read the first sheet", "points.xlsx")
        return points()

    notes = notes_of_plan(plan_of(of(dataset=use(read)), catalog, tmp_path))
    assert notes.warning_lines() == ["points.xlsx: read the first sheet"]


def test_a_note_on_the_data_of_one_arm_names_it(catalog, tmp_path):
    study = of(dataset=use(noted)).swap("dataset.told", {"other": "4 rows are there twice"})
    notes = notes_of_plan(plan_of(study, catalog, tmp_path))
    assert notes.data_lines() == [READ, f"base: {TOLD}", "other: 4 rows are there twice"]


def test_equal_warnings_of_the_data_of_several_arms_are_logged_once(catalog, tmp_path, caplog):
    study = of().swap("dataset.size", [30, 36])
    with caplog.at_level(logging.WARNING, "lab"):
        plan_of(study, catalog, tmp_path)
    assert [record.message for record in caplog.records] == [f"points: {TOLD}"]


def folded(*, folds: int | None = None, fold: int = 0, split_seed: int = 0) -> Points:
    """Points of a fold, which warns of something else in every fold."""
    told = f"{fold + 1} rows of 'valid' are in train too"
    return attrs.evolve(noted(told=told), fingerprint=f"{folds} {fold} {split_seed}")


def test_warnings_of_the_data_of_folds_are_those_of_the_first(catalog, tmp_path, caplog):
    study = Study(experiment(dataset=use(folded), epochs=1), folds=3, seeds=1, name="folded")
    with caplog.at_level(logging.WARNING, "lab"):
        planned = plan_of(study, catalog, tmp_path)
    assert [record.message for record in caplog.records] == ["points: 1 rows of 'valid' are in train too"]
    assert notes_of_plan(planned).warning_lines() == ["1 rows of 'valid' are in train too"]


def test_a_worker_logs_nothing_that_the_plan_has_logged(catalog, tmp_path, caplog):
    catalog.add_module(plugin_module(lab_datasets={"noted": noted}), "more", "1.0")
    run = plan_of(of(dataset="noted"), catalog, tmp_path).runs[0]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "lab"):
        again = rebuild_exactly(run.record(), run.store, run.catalog)
    assert again.key == run.key
    assert caplog.records == []


def test_the_record_of_a_study_keeps_its_notes(planned, tmp_path):
    write_study(planned, Store(tmp_path))
    notes = read_study(Store(tmp_path), "noted").notes
    assert notes.size_lines() == ["train 16 · valid 8"]
    assert notes.data_lines() == [READ, TOLD]


def test_arms_that_are_finished_keep_the_notes_of_their_rehearsal(planned, catalog, tmp_path):
    store = Store(tmp_path)
    checks = {name: attrs.evolve(check, notes=(f"of {name}",)) for name, check in planned.checks.items()}
    write_study(attrs.evolve(planned, checks=checks), store)
    one = next(iter(checks))
    again = attrs.evolve(planned, checks={one: attrs.evolve(checks[one], notes=("new",))})
    found = write_study(again, store).notes.arms
    assert found == {name: ["new"] if name == one else [f"of {name}"] for name in checks}


def test_the_report_shows_every_note_on_the_data_once(planned, tmp_path):
    record = write_study(planned, Store(tmp_path))
    page = render_report(record, gather(planned))
    shown = re.sub(r"<[^>]+>", "", page[page.index('id="data"') : page.index('id="runs"')])
    assert "examples: train 16 · valid 8" in shown
    assert READ in shown
    assert "3 rows of &#39;valid&#39; are in train too" in shown
    assert "are in train too" not in page[page.index('id="comparison"') : page.index('id="experiment"')]


def test_results_tell_what_the_dataset_warned_of_also_when_they_are_read_again(planned, catalog, tmp_path):
    results = run_study(planned.study, runs=tmp_path, catalog=catalog)
    stored = read_study(Store(tmp_path), "noted").results(Store(tmp_path))
    for each in (results, stored):
        assert comparison_document(each)["notes"].count(f"data: {TOLD}") == 1
        assert not any(READ in note for note in comparison_document(each)["notes"])


def test_a_record_of_an_older_version_has_no_notes(planned, tmp_path):
    write_study(planned, Store(tmp_path))
    path = tmp_path / "noted" / "study.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    files.write_sealed(path, {name: value for name, value in content.items() if name not in ("notes", "digest")})
    record = read_study(Store(tmp_path), "noted")
    assert record.notes.data_lines() == []
    assert 'id="data"' not in render_report(record, record.results(Store(tmp_path)))
