"""One question on several datasets, and what they say together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lab_statistics.datasets import across, describe, sections
from lab_statistics.pooled import (
    average_ranks,
    critical_difference,
    interquartile_mean,
    probability_of_improvement,
    random_effects,
    stratified_interval,
)
from scipy import stats

from lab import Study
from lab.errors import LabError, StudyError
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.results import Results
from lab.study.store import Store
from tests.kernel.toys import experiment

# --- statistics -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_random_effects_are_those_of_statsmodels(seed: int) -> None:
    combine = pytest.importorskip("statsmodels.stats.meta_analysis").combine_effects
    rng = np.random.default_rng(seed)
    effects, errors = rng.normal(0.1, 0.6, 6), rng.uniform(0.05, 0.2, 6)
    reference = combine(effects, errors**2, method_re="chi2", use_t=True)
    found = random_effects(effects, errors)
    assert found.effect == pytest.approx(reference.mean_effect_re)
    assert found.between**2 == pytest.approx(reference.tau2, abs=1e-12)
    half = stats.t.ppf(0.975, 5) * reference.sd_eff_w_re_hksj
    assert (found.low, found.high) == pytest.approx((found.effect - half, found.effect + half))


def test_equal_effects_have_nothing_between_them() -> None:
    found = random_effects([0.2, 0.2, 0.2], [0.1, 0.2, 0.1])
    assert (found.effect, found.between, found.i_squared) == (pytest.approx(0.2), 0, 0)


def test_one_dataset_has_no_interval() -> None:
    assert np.isnan(random_effects([0.2], [0.1]).low)
    with pytest.raises(ValueError, match="an error above 0"):
        random_effects([0.2, 0.3], [0.1, 0.0])


def test_the_interquartile_mean_leaves_out_both_quarters() -> None:
    values = np.array([9.0, 1.0, 2.0, 3.0, 4.0, -50.0, 2.5, 3.5])
    assert interquartile_mean(values) == pytest.approx(np.mean([2.0, 2.5, 3.0, 3.5]))
    low, high = stratified_interval([values[:4], values[4:]])
    assert low <= interquartile_mean(values) <= high


def test_the_probability_of_improvement_is_the_mann_whitney_statistic() -> None:
    rng = np.random.default_rng(0)
    base, arm = [rng.normal(size=5), rng.normal(size=7)], [rng.normal(1, 1, 6), rng.normal(1, 1, 7)]
    expected = np.mean([stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(arm, base, strict=True)])
    found, low, high = probability_of_improvement(base, arm, higher_is_better=True)
    assert found == pytest.approx(expected)
    assert low < found < high
    other, _, _ = probability_of_improvement(base, arm, higher_is_better=False)
    assert other == pytest.approx(1 - expected)


def test_ties_count_half() -> None:
    assert probability_of_improvement([np.ones(3)], [np.ones(3)], higher_is_better=True)[0] == 0.5


def test_ties_share_their_ranks_and_friedman_is_that_of_scipy() -> None:
    scores = np.array([[0.9, 0.8, 0.8], [0.5, 0.7, 0.6], [0.4, 0.3, 0.1], [0.2, 0.4, 0.3]])
    ranks, p = average_ranks(scores, higher_is_better=True)
    assert ranks == pytest.approx([(1 + 3 + 1 + 3) / 4, (2.5 + 1 + 2 + 1) / 4, (2.5 + 2 + 3 + 2) / 4])
    assert p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    lower, _ = average_ranks(scores, higher_is_better=False)
    assert lower == pytest.approx(4 - ranks)


def test_two_arms_have_no_friedman_test() -> None:
    assert np.isnan(average_ranks(np.array([[0.9, 0.8], [0.5, 0.7]]), higher_is_better=True)[1])


@pytest.mark.parametrize(("arms", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_constants_of_demsar(arms: int, q: float) -> None:
    # Demšar 2006, table 5(a), q at 0.05; his example of four classifiers on 14 data sets has 1.25
    assert critical_difference(arms, 14) == pytest.approx(q * np.sqrt(arms * (arms + 1) / (6 * 14)), abs=0.001)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


# --- studies ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def study() -> Study:
    plain = Study(experiment(epochs=2), seeds=3, name="across").swap("architecture.width", {"wide": 4})
    return across(plain.swap("lr", {"fast": 0.1}), "dataset.noise", {"clean": 0.1, "noisy": 1.0, "wild": 2.0})


@pytest.fixture
def results(study: Study, catalog: Catalog, tmp_path: Path) -> Results:
    return run_study(study, runs=tmp_path, catalog=catalog)


def test_every_arm_is_asked_on_every_dataset_and_compared_with_the_base_there(results: Results) -> None:
    rows = {row.name: row.comparison for row in results.compare()}
    assert list(rows) == [f"{arm}{on}" for on in ("", " on noisy", " on wild") for arm in ("base", "wide", "fast")]
    assert [name for name, comparison in rows.items() if comparison is None] == [
        "base",
        "base on noisy",
        "base on wild",
    ]
    base, wide = (results.scores(name, "valid_loss") for name in ("base on wild", "wide on wild"))
    assert rows["wide on wild"].difference == pytest.approx(np.mean([wide[seed] - base[seed] for seed in range(3)]))


def test_the_first_level_is_the_base(study: Study, catalog: Catalog) -> None:
    resolved = {arm.name: arm.experiment.component("dataset").params["noise"] for arm in study.resolve(catalog)}
    assert {resolved["base"], resolved["wide"]} == {0.1}
    assert {resolved["base on wild"], resolved["fast on wild"]} == {2.0}


def test_the_datasets_are_pooled_and_ranked(results: Results) -> None:
    text = "\n".join(describe(results))
    assert text.startswith("valid_loss on 3 datasets (clean, noisy, wild)")
    assert (
        text.count("probability of improvement") == text.count("interquartile mean") == text.count("pooled ") - 1 == 2
    )
    assert "critical difference" in text
    (section,) = sections(results.study, results.runs)
    assert section.text == text
    assert "<svg" in section.html


def test_the_record_says_the_same(results: Results, tmp_path: Path) -> None:
    record = read_study(Store(tmp_path), "across")
    assert describe(record.results(Store(tmp_path))) == describe(results)


def test_wrong_questions_are_refused() -> None:
    plain = Study(experiment()).swap("dataset.noise", {"loud": 3.0})
    with pytest.raises(StudyError, match=r"arms change dataset\.noise themselves: loud"):
        across(plain, "dataset.noise", [0.1, 0.2])
    with pytest.raises(StudyError, match="across needs at least two levels"):
        across(Study(experiment()), "dataset.noise", [0.1])
    twice = across(Study(experiment()), "dataset.noise", [0.1, 0.2])
    with pytest.raises(StudyError, match="across was called twice"):
        across(twice, "dataset.size", [24, 30])


def test_a_study_on_one_dataset_says_how_to_ask_on_several(catalog: Catalog, tmp_path: Path) -> None:
    results = run_study(Study(experiment(epochs=1), seeds=1, name="one"), runs=tmp_path, catalog=catalog)
    with pytest.raises(LabError, match=r"study\.across"):
        describe(results)
    assert sections(results.study, results.runs) == []


def test_ticks_of_the_difference_chart_are_taken_from_the_base_of_each_arm(results: Results) -> None:
    from lab_report.html import _per_seed

    base, wide = (results.scores(name, "valid_loss") for name in ("base on wild", "wide on wild"))
    ticks = _per_seed(results, results.leading_arms())["wide on wild"]
    assert ticks == pytest.approx([wide[seed] - base[seed] for seed in range(3)])


def test_across_and_rules_that_add_arms_exclude_each_other() -> None:
    several = across(Study(experiment(), seeds=3).swap("lr", [0.5]), "dataset.noise", [0.1, 0.2])
    with pytest.raises(StudyError, match="tuned or asked across datasets, not both"):
        several.tune({"lr": (0.1, 1.0)}, trials=4)
    tuned = Study(experiment(), seeds=3).swap("batch_size", [4]).tune({"lr": (0.1, 1.0)}, trials=4)
    with pytest.raises(StudyError, match="tune and across exclude each other"):
        across(tuned, "dataset.noise", [0.1, 0.2])
