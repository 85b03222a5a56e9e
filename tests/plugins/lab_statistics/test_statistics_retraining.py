"""The best trial of a search is trained again on new seeds before anything is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_statistics.retraining import FIRST_SEED

from lab import Study, log
from lab.errors import StudyError
from lab.registry.plugins import Catalog
from lab.report.cells import search_note
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.toys import experiment, plugin_module


@pytest.mark.parametrize("rungs", [(), (1,)])
def test_the_best_trial_and_the_base_get_new_seeds(rungs: tuple[int, ...], catalog: Catalog, tmp_path: Path) -> None:
    catalog.add_module(plugin_module(lab_searchers={"quasi_random": "lab_search.searchers:QuasiRandom"}), "search", "1")
    base = experiment(epochs=2, lr=1e-5)
    study = Study(base, seeds=1, name="searched").search(
        {"lr": log(1e-5, 0.1)}, trials=6, batch=3, searcher="quasi_random", rungs=rungs
    )
    results = run_study(study.retrain(seeds=4), runs=tmp_path, catalog=catalog)
    best = min(
        (arm for arm in results.arms if arm.trial is not None and arm.trial.rung == len(rungs)),
        key=lambda arm: results.value_of(arm.name),
    )
    rows = {row.name: row.comparison for row in results.compare()}
    new = f"{best.name}, new seeds"
    assert list(results.scores(new, "valid_loss")) == list(range(FIRST_SEED, FIRST_SEED + 4))
    assert rows["base, new seeds"] is None
    assert rows[new].is_better
    # the only comparison: as wide as that of one arm
    assert rows[new].p_corrected == pytest.approx(rows[new].p)
    assert rows[best.name].verdict.startswith("no verdict: chosen by this score")
    assert {"base", "base, new seeds", new, best.name} <= set(results.leading_arms())
    assert search_note(results).endswith("so only new seeds give a verdict")
    record = read_study(Store(tmp_path), "searched")
    assert record.others == {}
    again = run_study(study.retrain(seeds=4), runs=tmp_path, catalog=catalog)
    assert [run.key for run in again.runs] == [run.key for run in results.runs]


def test_a_search_without_it_says_how() -> None:
    with pytest.raises(StudyError, match="call it after search"):
        Study(experiment(), seeds=3).retrain()
    searched = Study(experiment(), seeds=1).search({"lr": log(0.01, 0.1)}, trials=2)
    with pytest.raises(StudyError, match="seeds of retrain must be at least 3, not 2"):
        searched.retrain(seeds=2)
