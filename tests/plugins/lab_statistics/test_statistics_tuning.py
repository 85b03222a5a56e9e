"""Arms are tuned with equal budgets, on seeds of their own, and compared on fresh ones."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from lab_statistics.tuning import FIRST_SEED, describe, expected_best, sections, tune

from lab import Study, log
from lab.errors import StudyError
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.results import Results
from lab.study.store import Store
from lab.study.study import Arm
from tests.kernel.toys import experiment, plugin_module


def test_the_expected_best_is_that_of_many_draws() -> None:
    values = [0.3, 0.9, 0.1, 0.5, 0.5]
    rng = np.random.default_rng(0)
    for count, expected in enumerate(expected_best(values, higher_is_better=True), 1):
        draws = rng.choice(values, size=(100_000, count)).max(axis=1)
        assert expected == pytest.approx(draws.mean(), abs=0.004)


def test_lower_is_better_is_the_mirror_image() -> None:
    values = np.array([0.3, 0.9, 0.1])
    found = expected_best(values, higher_is_better=False)
    assert found == pytest.approx(-expected_best(-values, higher_is_better=True))
    assert found[0] == pytest.approx(values.mean())


@pytest.fixture
def tuned_catalog(catalog: Catalog) -> Catalog:
    catalog.add_module(plugin_module(lab_searchers={"quasi_random": "lab_search.searchers:QuasiRandom"}), "search", "1")
    return catalog


@pytest.fixture
def study() -> Study:
    """An arm that only wants another learning rate."""
    base = experiment(epochs=3, lr=0.05)
    plain = Study(base, seeds=3, name="tuned").swap("optimizer", {"sgd": "sgd"})
    return tune(plain, {"lr": log(0.01, 1.0)}, trials=6)


@pytest.fixture
def results(study: Study, tuned_catalog: Catalog, tmp_path: Path) -> Results:
    return run_study(study, runs=tmp_path, catalog=tuned_catalog)


def test_a_misspelt_path_is_told_before_anything_is_trained(
    study: Study, tuned_catalog: Catalog, tmp_path: Path
) -> None:
    wrong = tune(attrs.evolve(study, rules={}), {"lrr": log(1e-3, 1e-1)}, trials=2)
    with pytest.raises(StudyError, match=r"(?s)tune, lrr: .*did you mean: lr"):
        run_study(wrong, runs=tmp_path / "wrong", catalog=tuned_catalog)
    assert not list((tmp_path / "wrong").rglob("result.json"))


def test_a_misspelt_searcher_is_told_before_anything_is_trained(
    study: Study, tuned_catalog: Catalog, tmp_path: Path
) -> None:
    wrong = tune(attrs.evolve(study, rules={}), {"lr": log(1e-3, 1e-1)}, trials=2, searcher="quasi_randon")
    with pytest.raises(StudyError, match=r"(?s)tune: unknown searcher 'quasi_randon'.*did you mean: quasi_random"):
        run_study(wrong, runs=tmp_path / "wrong", catalog=tuned_catalog)
    assert not list((tmp_path / "wrong").rglob("result.json"))


def test_a_path_that_only_some_arms_have_is_told_with_the_arms_that_lack_it(
    tuned_catalog: Catalog, tmp_path: Path
) -> None:
    plain = Study(experiment(epochs=1, optimizer="sgd"), seeds=1, name="wrong").swap("optimizer", {"adam": "adam"})
    wrong = tune(plain, {"optimizer.momentum": (0.0, 0.9)}, trials=2)
    with pytest.raises(
        StudyError, match=r"(?s)arm 'adam': tune, optimizer\.momentum: .*unexpected parameter 'momentum'"
    ):
        run_study(wrong, runs=tmp_path / "wrong", catalog=tuned_catalog)
    assert not list((tmp_path / "wrong").rglob("result.json"))


def trials_of(results: Results, arm: str, search: int) -> list[Arm]:
    return [
        each
        for each in results.arms
        if each.trial is not None
        and each.trial.rung == 0
        and (each.trial.settings["(arm)"], each.trial.settings["(search)"]) == (arm, search)
    ]


def test_every_arm_gets_the_same_number_of_trials_for_every_seed_on_seeds_of_their_own(results: Results) -> None:
    for arm in ("base", "sgd"):
        for search in range(3):
            trials = {each.name for each in trials_of(results, arm, search)}
            assert len(trials) == 6
            assert {run.seed for run in results.runs if run.arm in trials} == {FIRST_SEED + search}
    assert {run.seed for run in results.runs if run.arm.endswith("tuned")} == {0, 1, 2}


def test_both_arms_try_the_same_settings_and_seeds_others(results: Results) -> None:
    tried = {
        (arm, search): [each.trial.settings.get("lr") for each in trials_of(results, arm, search)]
        for arm in ("base", "sgd")
        for search in (0, 1)
    }
    assert tried["base", 0] == tried["sgd", 0] != tried["base", 1]
    assert tried["base", 0][0] is None


def test_the_table_has_the_arms_as_they_are_and_tuned(results: Results) -> None:
    rows = {row.name: row for row in results.compare()}
    assert list(rows) == ["base", "sgd", "base, tuned", "sgd, tuned"]
    base, sgd = (results.scores(name, "valid_loss") for name in ("base, tuned", "sgd, tuned"))
    assert rows["sgd, tuned"].comparison.difference == pytest.approx(np.mean([sgd[s] - base[s] for s in range(3)]))
    assert rows["sgd, tuned"].count == "3"


def test_the_best_trial_of_a_search_is_the_setting_of_its_seed(results: Results) -> None:
    for arm in results.study.all_arms:
        if arm.trial is not None and arm.trial.rung == 1:
            settings = arm.trial.settings
            trials = trials_of(results, settings["(arm)"], settings["(search)"])
            seed = FIRST_SEED + settings["(search)"]
            best = min(trials, key=lambda each: results.scores(each.name, "valid_loss")[seed])
            assert best.trial.settings == settings
            assert arm.seeds == (settings["(search)"],)


def test_one_search_for_all_seeds_trains_less(study: Study, tuned_catalog: Catalog, tmp_path: Path) -> None:
    once = tune(attrs.evolve(study, rules={}), {"lr": log(0.01, 1.0)}, trials=3, per_seed=False, per_arm=False)
    results = run_study(once, runs=tmp_path, catalog=tuned_catalog)
    assert len(trials_of(results, "base", 0)) == 3
    assert trials_of(results, "sgd", 0) == []
    assert [row.count for row in results.compare()] == ["3", "3", "3", "3"]
    tuned = {arm.row: arm.changes.get("lr") for arm in results.study.all_arms if arm.row}
    assert tuned["base, tuned"] == tuned["sgd, tuned"]


def test_the_record_gives_the_same_table(results: Results, tmp_path: Path) -> None:
    record = read_study(Store(tmp_path), "tuned")
    assert record.others == {}
    read = record.results(Store(tmp_path))
    assert [row.name for row in read.compare()] == [row.name for row in results.compare()]
    assert describe(record.study, read) == describe(results.study, results)


def test_the_report_shows_settings_and_the_value_of_smaller_budgets(results: Results) -> None:
    (section,) = sections(results.study, results.runs)
    assert "expected best of trials 1: " in section.text
    assert "<svg" in section.html


def test_a_test_metric_is_tuned_by_that_of_validation() -> None:
    from lab_statistics.tuning import tuning_metric

    assert tuning_metric(Study(experiment(), compare="test_loss")) == "valid_loss"
    assert tuning_metric(Study(experiment(), compare="valid_worst")) == "valid_worst"


def test_wrong_arguments_are_refused_together() -> None:
    from lab import use

    with pytest.raises(StudyError) as caught:
        tune(Study(experiment(), seeds=[FIRST_SEED]), {"optimizer": [use("sgd", momentum=0.9), "adam"]}, trials=1)
    text = str(caught.value)
    assert "trials of tune must be at least 2, not 1" in text
    assert "tune, optimizer: options are numbers, texts or names of components" in text
    assert "seeds from 1,000,000 on are those of tune" in text


def test_a_study_without_tuning_has_no_section(tuned_catalog: Catalog, tmp_path: Path) -> None:
    results = run_study(Study(experiment(epochs=1), seeds=2, name="plain"), runs=tmp_path, catalog=tuned_catalog)
    assert sections(results.study, results.runs) == []
