"""Arms without common seeds are compared as independent samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lab.study.compare import MIN_SPREAD, compare_arms, compare_pairs, single_level

BASE = {0: 0.51, 1: 0.55, 2: 0.49, 3: 0.57}
ARM = {10: 0.683, 11: 0.721, 12: 0.664}


def test_two_arms_without_a_common_seed_are_compared_after_welch() -> None:
    (found,) = compare_arms(BASE, {"arm": ARM}, higher_is_better=True)
    reference = stats.ttest_ind(list(ARM.values()), list(BASE.values()), equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.is_better
    assert (
        found.verdict
        == f"better by {found.difference:.3g} ± {found.high - found.difference:.2g} (not paired, 3 and 4 runs)"
    )
    assert np.isnan(found.correlation)


def test_pairs_may_be_taken_for_unrelated() -> None:
    arm = {seed: value + 0.02 for seed, value in BASE.items()} | {3: 0.60}
    (paired,) = compare_arms(BASE, {"arm": arm}, higher_is_better=True)
    (apart,) = compare_arms(BASE, {"arm": arm}, higher_is_better=True, paired=False)
    assert apart.difference == pytest.approx(paired.difference)
    assert apart.p == pytest.approx(stats.ttest_ind(list(arm.values()), list(BASE.values()), equal_var=False).pvalue)
    assert apart.p > paired.p


def test_intervals_of_all_arms_hold_together() -> None:
    found = compare_arms(BASE, {"one": ARM, "two": ARM}, higher_is_better=True)
    interval = stats.ttest_ind(list(ARM.values()), list(BASE.values()), equal_var=False).confidence_interval(
        1 - single_level(2)
    )
    assert found[0].low == pytest.approx(interval.low)


def test_fewer_than_three_runs_of_either_give_no_verdict() -> None:
    (found,) = compare_arms(BASE, {"arm": {10: 0.9, 11: 0.91}}, higher_is_better=True)
    assert found.verdict == "no seed in which both this arm and the base finished"


def test_equal_scores_on_a_grid_have_its_smallest_spread() -> None:
    base, arm = dict.fromkeys(range(3), 0.52), {3: 0.56, 4: 0.56, 5: 0.6}
    (found,) = compare_arms(base, {"arm": arm}, higher_is_better=True)
    smallest = (MIN_SPREAD * 0.04) ** 2 / 2
    parts = np.array([smallest, max(np.var(list(arm.values()), ddof=1), smallest)]) / 3
    freedom = parts.sum() ** 2 / (parts**2 / 2).sum()
    half = stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum())
    assert found.high - found.difference == pytest.approx(half)
    (none,) = compare_arms(
        dict.fromkeys(range(3), np.e), {"arm": dict.fromkeys((3, 4, 5), np.pi)}, higher_is_better=True
    )
    assert none.verdict.startswith("no spread in either arm")


def test_welch_is_wrong_in_five_percent_of_studies_with_unequal_spread() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(1500):
        base = dict(enumerate(rng.normal(0, 1, 5)))
        arm = dict(enumerate(rng.normal(0, 3, 4), 100))
        (found,) = compare_pairs({"arm": (base, arm)}, higher_is_better=True)
        wrong += found.is_better is not None
    assert wrong / 1500 == pytest.approx(0.05, abs=0.018)
