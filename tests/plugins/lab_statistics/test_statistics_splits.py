"""Every seed draws its own split, and intervals are widened for the examples that splits share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lab_statistics.splits import splits
from scipy import stats

from lab import Study
from lab.errors import LabError, StudyError
from lab.registry.plugins import Catalog
from lab.study.compare import compare_arms
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.results import Results
from lab.study.store import Store
from tests.kernel.toys import experiment


def test_the_interval_is_that_of_nadeau_and_bengio_by_hand() -> None:
    base, arm = dict.fromkeys(range(5), 0.0), {0: 0.31, 1: 0.12, 2: 0.43, 3: 0.26, 4: 0.37}
    (found,) = compare_arms(base, {"arm": arm}, higher_is_better=True, overlap=1 / 3)
    d = np.array(list(arm.values()))
    half = stats.t.ppf(0.975, 4) * d.std(ddof=1) * np.sqrt(1 / 5 + 1 / 3)
    assert (found.low, found.high) == pytest.approx((d.mean() - half, d.mean() + half))
    statistic = d.mean() / (d.std(ddof=1) * np.sqrt(1 / 5 + 1 / 3))
    assert found.p == pytest.approx(2 * stats.t.sf(statistic, 4))


def test_corrected_intervals_cover_where_splits_share_examples() -> None:
    # a mean of 60 examples, estimated on 15 of them in each of 10 random splits
    rng = np.random.default_rng(0)
    covered = {0.0: 0, 1 / 3: 0}
    for _ in range(600):
        examples = rng.normal(size=60)
        d = {seed: float(rng.permutation(examples)[:15].mean()) for seed in range(10)}
        for overlap in covered:
            (found,) = compare_arms(dict.fromkeys(d, 0.0), {"arm": d}, higher_is_better=True, overlap=overlap)
            covered[overlap] += found.low <= 0 <= found.high
    assert covered[0.0] / 600 < 0.8
    assert covered[1 / 3] / 600 >= 0.93


@pytest.fixture
def results(catalog: Catalog, tmp_path: Path) -> Results:
    # the toy data has no seed of its split; another number of points is another split
    plain = Study(experiment(epochs=1), seeds=[24, 30, 36], name="splits").swap("lr", {"fast": 0.2})
    return run_study(splits(plain, "dataset.size", valid_share=0.25), runs=tmp_path, catalog=catalog)


def test_runs_of_one_seed_share_a_split_and_arms_share_a_row(results: Results) -> None:
    assert [row.name for row in results.compare()] == ["base", "fast"]
    assert {run.seed for run in results.runs if run.arm == "fast"} == {24, 30, 36}
    prints = {(run.arm, run.seed): run.yardstick["splits"]["valid"] for run in results.runs}
    assert prints["base", 24] == prints["fast", 24] != prints["base", 30]


def test_arms_are_comparable_although_splits_differ_between_seeds(results: Results) -> None:
    comparison = results.compare()[1].comparison
    assert comparison.n == 3
    assert "not comparable" not in comparison.verdict
    d = [results.scores("fast", "valid_loss")[s] - results.scores("base", "valid_loss")[s] for s in (24, 30, 36)]
    half = stats.t.ppf(0.975, 2) * np.std(d, ddof=1) * np.sqrt(1 / 3 + 1 / 3)
    assert comparison.high - comparison.difference == pytest.approx(half)
    assert any("every seed has a split of its own" in text for text in results.caveats(results.compare()))


def test_the_record_gives_the_same_table(results: Results, tmp_path: Path) -> None:
    read = read_study(Store(tmp_path), "splits").results(Store(tmp_path))
    one, other = (each.compare()[1].comparison for each in (read, results))
    assert (one.low, one.high, one.verdict) == (other.low, other.high, other.verdict)


def test_seeds_with_other_examples_are_not_crossed_with_them(results: Results) -> None:
    from lab_statistics.by_example import differences_of, sections

    with pytest.raises(LabError, match="every seed of 'splits' has other validation examples"):
        differences_of(results, "fast", "loss")
    assert sections(results.study, results.runs) == []


def test_wrong_questions_are_refused() -> None:
    study = Study(experiment()).swap("dataset.size", {"more": 40})
    with pytest.raises(StudyError, match=r"arms change dataset\.size themselves: more"):
        splits(study, "dataset.size", valid_share=0.25)
    with pytest.raises(StudyError, match="valid_share is a number between 0 and 1, such as"):
        splits(Study(experiment()), "dataset.size", valid_share=1)
    with pytest.raises(StudyError, match="no grid, search, tune, across or until_decided"):
        splits(splits(Study(experiment()), "dataset.size", valid_share=0.25), "dataset.noise", valid_share=0.25)
