"""Comparison: against scipy, by hand, and by simulation."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest
from scipy import stats

from lab.report.cells import difference_cells, note_of_tests
from lab.study.compare import (
    Summary,
    _interval,
    _leaves_out_zero,
    compare_arms,
    compare_steps,
    exaggeration,
    grid_step,
    sidak,
    sign_flip_p,
    single_level,
    skewness,
    summarize,
)

SAMPLES, STUDIES = 10_000, 4_000


def compare(base, *arms, higher_is_better=False):
    """Compare lists of figures, seed by seed."""
    named = {f"arm {i}": dict(enumerate(values)) for i, values in enumerate(arms)}
    return compare_arms(dict(enumerate(base)), named, higher_is_better=higher_is_better)


# --- against scipy ----------------------------------------------------------------------------------------------------

BASE = [1.00, 1.10, 0.95, 1.20, 1.05]
LOWER = [0.90, 0.95, 0.90, 1.00, 0.93]


def test_test_and_interval_agree_with_scipy():
    (found,) = compare(BASE, LOWER)
    expected = stats.ttest_rel(LOWER, BASE)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.difference == pytest.approx(np.mean(LOWER) - np.mean(BASE))


def test_a_step_is_compared_with_the_arm_before_it():
    first, second, third = (dict(enumerate(values)) for values in (BASE, LOWER, [0.7, 0.8, 0.85, 0.9, 0.8]))
    steps = compare_steps({"one": first, "two": second, "three": third}, higher_is_better=False)
    alone = [
        compare_arms(before, {name: after}, higher_is_better=False)[0]
        for before, name, after in ((first, "two", second), (second, "three", third))
    ]
    assert [step.arm for step in steps] == ["two", "three"]
    assert [(step.difference, step.p) for step in steps] == [(each.difference, each.p) for each in alone]
    assert [step.p_corrected for step in steps] == pytest.approx([1 - (1 - each.p) ** 2 for each in alone])


def test_count_mean_and_spread_of_an_arm():
    summary = summarize([1.0, 2.0, 4.0])
    assert (summary.n, summary.mean, summary.spread) == (3, pytest.approx(7 / 3), pytest.approx(math.sqrt(7 / 3)))


def test_a_single_value_has_no_spread():
    assert math.isnan(summarize([1.0]).spread)
    assert math.isnan(summarize([]).mean)


# --- intervals that hold together -------------------------------------------------------------------------------------

OTHER = [1.0, 1.2, 0.9, 1.1, 1.1]


def test_the_level_of_one_of_several_intervals_on_a_worked_example():
    # 0.95^(1/3) = 0.983048
    assert single_level(3) == pytest.approx(0.016952, abs=1e-6)
    assert sidak(0.01, single_level(3)) == pytest.approx(1 - 0.99**3)
    assert sidak(1.0, single_level(3)) == 1.0
    assert math.isnan(sidak(math.nan, 0.05))


def test_intervals_of_several_arms_are_students_at_the_level_of_sidak():
    found = compare(BASE, LOWER, OTHER)
    for comparison, arm in zip(found, (LOWER, OTHER), strict=True):
        interval = stats.ttest_rel(arm, BASE).confidence_interval(0.95 ** (1 / 2))
        assert (comparison.low, comparison.high) == pytest.approx((interval.low, interval.high))
        assert comparison.p_corrected == pytest.approx(1 - (1 - stats.ttest_rel(arm, BASE).pvalue) ** 2)


def test_further_comparisons_widen_the_intervals():
    (found,) = compare_arms(dict(enumerate(BASE)), {"arm": dict(enumerate(LOWER))}, higher_is_better=False, further=2)
    interval = stats.ttest_rel(LOWER, BASE).confidence_interval(0.95 ** (1 / 3))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_an_arm_is_better_exactly_if_its_interval_leaves_out_zero():
    rng = np.random.default_rng(0)
    for base, *arms in rng.normal(size=(400, 4, 4)) + np.array([0, 0, 1.5, 4])[:, None]:
        for found in compare(base, *arms):
            assert (found.is_better is None) == (found.low <= 0 <= found.high)
            assert (found.is_better is None) == (found.p_corrected >= 0.05)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_detectable_difference_is_shown_with_eighty_percent_probability(n):
    d = np.random.default_rng(n).normal(size=n)
    (found,) = compare(np.zeros(n), d)
    noncentrality = found.detectable / (d.std(ddof=1) / math.sqrt(n))
    # the noncentral t as scipy.stats has it, an implementation of its own
    assert stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, noncentrality) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(("n", "stated"), [(3, 2.2), (5, 2.1)])
def test_a_verdict_from_few_seeds_exaggerates_as_simulation_says(n, stated):
    d = np.random.default_rng(n).normal(0.5, 1, (200_000, n))
    found = stats.ttest_1samp(d, 0, axis=1)
    simulated = np.abs(d.mean(1)[found.pvalue < 0.05]).mean() / 0.5
    assert exaggeration(0.5, n) == pytest.approx(simulated, rel=0.02)
    assert exaggeration(0.5, n) == pytest.approx(stated, abs=0.08)


def test_skewness_agrees_with_scipy():
    values = [1.0, 2.0, 2.5, 9.0]
    assert skewness(values) == pytest.approx(stats.skew(values))
    assert skewness([1.0, 1.0, 1.0]) == skewness([1.0, 2.0]) == 0


def test_the_correlation_of_pairs_is_pearsons():
    assert compare(BASE, OTHER)[0].correlation == pytest.approx(stats.pearsonr(BASE, OTHER)[0])
    assert math.isnan(compare([1.0] * 3, [1.0, 2.0, 3.0])[0].correlation)


# --- figures on a grid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 25, 75, 250, 1000])
def test_the_grid_of_a_share_of_examples_is_found_also_in_single_precision(count):
    shares = (np.array([1, 2, count // 2, count - 1]) / count).astype(np.float32).astype(float)
    assert grid_step(list(shares)) == pytest.approx(1 / count)


def test_losses_lie_on_no_grid():
    rng = np.random.default_rng(0)
    assert all(grid_step(list(rng.normal(size=6))) == 0 for _ in range(200))


def test_equal_differences_of_accuracies_prove_nothing():
    (found,) = compare([0.9, 0.8, 0.7], [0.91, 0.81, 0.71], higher_is_better=True)
    # 0.75 steps of 0.01, times t / √3
    assert found.high - found.difference == pytest.approx(stats.t.ppf(0.975, 2) * 0.0075 / math.sqrt(3))
    assert found.is_better is None
    assert found.low < 0 < found.high


# --- a difference that matters ----------------------------------------------------------------------------------------


def with_margin(arm, margin):
    return compare_arms(dict(enumerate(BASE)), {"arm": dict(enumerate(arm))}, higher_is_better=False, margin=margin)[0]


def test_an_arm_is_equivalent_if_both_one_sided_tests_say_so():
    arm = [1.013, 1.108, 0.961, 1.207, 1.049]
    low, high = (
        stats.ttest_1samp(np.subtract(arm, BASE), bound, alternative=side).pvalue
        for bound, side in ((-0.02, "greater"), (0.02, "less"))
    )
    found = with_margin(arm, 0.02)
    assert found.is_equivalent
    assert max(low, high) < 0.025
    assert found.verdict == "equivalent within ± 0.02: +0.0076 ± 0.0067"
    assert found.is_better is None


def test_a_difference_beyond_the_margin_is_better_and_a_wide_interval_undecided():
    assert with_margin(LOWER, 0.01).is_better is True
    undecided = with_margin([1.01, 1.05, 0.99, 1.2, 1.0], 0.02)
    assert (undecided.is_better, undecided.is_equivalent) == (None, False)
    assert undecided.verdict.startswith("undecided: 5 seeds would show one of ")


def test_equal_scores_are_equivalent_within_any_margin():
    (found,) = compare_arms(
        {0: math.pi, 1: math.e, 2: 3.3}, {"a": {0: math.pi, 1: math.e, 2: 3.3}}, higher_is_better=True, margin=0.001
    )
    assert found.is_equivalent


# --- sign flips -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # only +++ and --- are as extreme
        ([1.0, 2.0, -3.0], 1.0),  # the sum is 0: every pattern is
        ([3.0, -1.0], 1.0),  # |2| of the sums 2, 4, -4, -2
        ([1.0, 1.0, 1.0, -1.0], 10 / 16),  # sums of at least 2 in size: 2 of ±4 and 8 of ±2
        ([0.0, 0.0], 1.0),
    ],
)
def test_sign_flips_by_hand(differences, p):
    assert sign_flip_p(np.array(differences)) == p


def test_sign_flips_agree_with_scipys_permutation_test():
    d = np.array([0.3, -0.1, 0.5, 0.2, 0.4, 0.1])
    expected = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(d) == expected.pvalue


def test_many_seeds_are_sampled_with_a_fixed_seed():
    d = np.full(20, 0.1)
    assert sign_flip_p(d) == sign_flip_p(d) < 1e-3


def test_three_seeds_cannot_fall_below_a_quarter():
    assert compare([1, 1, 1], [0.1, 0.2, 0.1])[0].p_sign_flip == 0.25


# --- what is paired ---------------------------------------------------------------------------------------------------


def test_only_seeds_that_both_have_are_paired():
    (found,) = compare_arms({0: 1.0, 1: 2.0, 2: 3.0}, {"arm": {2: 2.0, 1: 1.0, 7: 9.0}}, higher_is_better=False)
    assert (found.n, found.difference) == (2, -1.0)


def test_improvement_is_the_share_of_seeds_with_ties_counting_half():
    assert compare([1, 1, 1, 1], [0, 0, 1, 2])[0].improvement == 2.5 / 4
    assert compare([1, 1, 1, 1], [0, 0, 1, 2], higher_is_better=True)[0].improvement == 1.5 / 4


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "arm", "higher", "is_better", "verdict"),
    [
        (BASE, LOWER, False, True, "better by 0.124 ± 0.069 (5 of 5 seeds)"),
        (BASE, LOWER, True, False, "worse by 0.124 ± 0.069 (5 of 5 seeds)"),
        (
            BASE,
            [1.01, 1.05, 0.99, 1.2, 1.0],
            False,
            None,
            "no difference shown: 5 seeds would show one of 0.0662 in 4 of 5 studies",
        ),
        ([1.0], [0.5], False, None, "one seed: nothing can be concluded"),
        ([], [], False, None, "no seed in which both this arm and the base finished"),
        ([1.0, 2.0], [1.0, 2.0], False, None, "no difference: the same score in every one of 2 seeds"),
        ([1.0, 2.0], [0.5, 1.3], False, None, "two seeds: no verdict"),
        ([0.9, 0.8], [0.91, 0.81], True, None, "two seeds: no verdict"),
        (
            [1.0, 2.0, 3.0],
            [0.5, 1.5, 2.5],
            False,
            None,
            "no difference shown: 3 seeds would show one of 1.22 in 4 of 5 studies",
        ),
        (
            [math.pi, math.e, 3.3],
            [math.pi - 0.5, math.e - 0.5, 2.8],
            False,
            None,
            "the same difference in every one of 3 seeds (-0.5): too few for a verdict",
        ),
        ([math.pi] * 6, [math.e] * 6, False, True, "better by 0.423 in every one of 6 seeds"),
        ([math.pi] * 6, [math.e] * 6, True, False, "worse by 0.423 in every one of 6 seeds"),
        ([0.3] * 3, [0.1 + 0.2] * 3, False, None, "no difference: the same score in every one of 3 seeds"),
        ([1.0, 2.0], [1.0, math.nan], False, None, "a score is not finite: nothing can be concluded"),
        ([1.0, 2.0], [1.0, math.inf], False, None, "a score is not finite: nothing can be concluded"),
    ],
)
def test_the_verdict_is_one_plain_sentence(base, arm, higher, is_better, verdict):
    (found,) = compare(base, arm, higher_is_better=higher)
    assert found.verdict == verdict
    assert found.is_better is is_better


def test_without_a_spread_and_a_grid_the_sign_flip_test_decides_and_no_interval_is_given():
    (found,) = compare([math.pi, math.e, 3.3, 3.1], [math.pi - 0.1, math.e - 0.1, 3.2, 3.0])
    assert found.p == found.p_sign_flip == 0.125
    assert all(map(math.isnan, (found.low, found.high, found.detectable)))


def test_every_p_says_which_test_it_is_from():
    assert compare([1.0, 1.2, 1.5], [0.9, 1.3, 1.1])[0].test == "paired t-test"
    assert compare([math.pi, math.e, 3.3], [math.pi - 0.1, math.e - 0.1, 3.2])[0].test == "exact sign-flip test"
    (apart,) = compare_arms({0: 1.0, 1: 1.2, 2: 1.5}, {"b": {3: 0.9, 4: 1.3, 5: 1.1}}, higher_is_better=True)
    assert apart.test == "Welch's t-test"
    assert compare([1.0], [0.9])[0].test == ""


def test_the_note_below_a_table_names_the_arms_with_another_test():
    base = {0: math.pi, 1: math.e, 2: 3.3}
    arms = {
        "equal": {seed: value - 0.1 for seed, value in base.items()},
        "a": {0: 3.0, 1: 2.6, 2: 3.4},
        "b": {0: 3.1, 1: 2.9, 2: 3.2},
    }
    assert (
        note_of_tests(compare_arms(base, arms, higher_is_better=True))
        == "paired t-test; exact sign-flip test for equal"
    )
    assert note_of_tests([]) == "nothing was tested"


def test_figures_that_are_all_the_same_do_not_claim_that_any_difference_would_have_shown():
    (found,) = compare([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert math.isnan(found.detectable)


def test_two_seeds_get_neither_a_verdict_nor_an_interval_that_could_contradict_it():
    (found,) = compare([0.5, 0.6], [0.1, 0.3])
    assert all(map(math.isnan, (found.detectable, found.low, found.high)))
    assert math.isnan(found.p)


@pytest.mark.parametrize("value", [1e308, 1.7e308, -1e308])
def test_values_near_the_largest_float_do_not_overflow(value):
    summary = summarize([value, value, value / 2])
    assert summary.mean == pytest.approx(value / 1.2)
    assert summary.spread == pytest.approx(abs(value) / 2 / 3**0.5)
    (found,) = compare([1.0, 2.0, 3.0], [value, value / 2, value / 4])
    assert found.is_better is None
    assert found.difference == pytest.approx(value / 12 * 7)


def test_values_that_are_not_finite_are_counted_and_left_out_of_a_summary():
    assert summarize([1.0, math.nan, 3.0, math.inf]) == Summary(2, 2.0, 2**0.5, 2)
    assert math.isnan(summarize([math.nan]).mean)


def test_an_arm_that_is_refused_keeps_its_reason_and_costs_the_others_nothing():
    arms = {"a": dict(enumerate(LOWER)), "b": dict(enumerate(LOWER))}
    base = dict(enumerate(BASE))
    first, refused = compare_arms(base, arms, higher_is_better=False, refused={"b": "not comparable: because"})
    assert first == attrs.evolve(compare(BASE, LOWER)[0], arm="a")
    assert (refused.verdict, refused.is_better, refused.n) == ("not comparable: because", None, 5)
    assert math.isnan(refused.difference)
    assert math.isnan(refused.p_corrected)


def test_an_arm_whose_figures_are_not_finite_takes_nothing_from_the_others():
    alone = compare(BASE, LOWER)[0]
    beside = compare(BASE, LOWER, [math.nan] * 5)[0]
    assert beside == alone


def test_one_seed_gives_the_difference_and_no_test():
    (found,) = compare([1.0], [0.5])
    assert found.difference == -0.5
    assert all(map(math.isnan, (found.low, found.high, found.p, found.p_corrected, found.detectable)))


# --- by simulation ----------------------------------------------------------------------------------------------------


def coverage(draw, n: int, true_mean: float, runs: int = SAMPLES) -> float:
    """The share of 95 % intervals that hold the true difference."""
    samples = draw(np.random.default_rng(n), (runs, n)) - true_mean
    found = [compare(np.zeros(n), sample)[0] for sample in samples]
    return float(np.mean([comparison.low <= 0 <= comparison.high for comparison in found]))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_ninety_five_percent_of_normal_differences(n):
    assert coverage(lambda rng, shape: rng.normal(0.3, 2.0, shape), n, 0.3) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("n", "stated"), [(3, 0.88), (5, 0.88), (10, 0.90)])
def test_intervals_cover_less_of_skewed_differences_as_the_docstring_says(n, stated):
    # exponential, skewness 2: a run in five or so that goes badly
    assert coverage(lambda rng, shape: rng.exponential(1.0, shape), n, 1.0) == pytest.approx(stated, abs=0.01)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_with_no_true_difference_a_study_of_four_arms_says_so_in_ninety_five_percent(n):
    rng = np.random.default_rng(n)
    wrong = 0
    for base, *arms in rng.normal(size=(STUDIES, 5, n)):
        wrong += any(found.is_better is not None for found in compare(base, *arms))
    error = 3 * math.sqrt(0.05 * 0.95 / STUDIES)
    assert wrong / STUDIES <= 0.05 + error


def test_equal_scores_have_no_spread_to_the_last_digit():
    summary = summarize([0.8, 0.8, 0.8])
    assert (summary.mean, summary.spread) == (0.8, 0.0)


@pytest.mark.parametrize("value", [math.pi, math.sqrt(2) + 1, math.e, 2.7364519827, 2.7182])
def test_any_number_is_close_to_a_fraction_so_one_number_makes_no_grid(value: float) -> None:
    assert grid_step([1.0, 2.0, value, value + 1, 3.0]) == 0


def test_figures_with_two_digits_and_shares_near_one_still_lie_on_a_grid() -> None:
    assert grid_step([34.12, 35.2, 33.97, 34.5]) == pytest.approx(0.01)
    assert grid_step([0.999, 1.0]) == pytest.approx(0.001)


NOISE = [
    # the mean of differences that cancel, a score beside 0, a shared rounding
    ([0.1, 0.2, 0.3], [0.2, 0.1, 0.3]),
    ([0.7, 0.1, 0.2], [0.1, 0.2, 0.7]),
    ([0.5, 0.4, 0.0], [0.4, 0.5, 1e-18]),
    ([0.1 + 0.2, 0.4, 0.5], [0.3, 0.5, 0.4]),
]


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("base", "arm"), NOISE)
def test_rounding_is_no_difference(base: list[float], arm: list[float], paired: bool) -> None:
    scores = [dict(enumerate(values)) for values in (base, arm)]
    (found,) = compare_arms(scores[0], {"arm": scores[1]}, higher_is_better=True, paired=paired)
    assert found.difference == 0
    assert found.verdict.startswith("no difference shown")
    assert difference_cells(found)[0].startswith("0 [-")


def test_difference_far_below_its_interval_is_shown_as_zero() -> None:
    single = [float(np.float32(value)) for value in (0.975, 1.0, 0.95)]
    (found,) = compare_arms({0: 0.95, 1: 1.0, 2: 0.975}, {"arm": dict(enumerate(single))}, higher_is_better=True)
    assert 0 < abs(found.difference) < 1e-7
    assert difference_cells(found)[0].startswith("0 [-")


def test_scores_that_differ_by_rounding_alone_are_the_same_score() -> None:
    (found,) = compare_arms({0: 0.5, 1: 0.25, 2: 0.0}, {"arm": {0: 0.5, 1: 0.25, 2: 1e-18}}, higher_is_better=True)
    assert found.verdict == "no difference: the same score in every one of 3 seeds"
    assert difference_cells(found)[0].startswith("0")


def test_small_scores_differ_by_small_differences() -> None:
    base = {seed: 1e-18 * (1 + seed / 10) for seed in range(5)}
    arm = {seed: value * (2 + seed / 100) for seed, value in base.items()}
    (found,) = compare_arms(base, {"arm": arm}, higher_is_better=True)
    assert found.is_better
    assert found.difference > 0


def test_one_run_that_diverged_does_not_hide_what_others_differ_in() -> None:
    base, arm = {0: 1e-3, 1: 2e-3, 2: 1e10}, {0: 1.5e-3, 1: 2.6e-3, 2: 1e10}
    (found,) = compare_arms(base, {"arm": arm}, higher_is_better=True)
    assert found.difference == pytest.approx((0.5e-3 + 0.6e-3) / 3)


def test_an_end_of_an_interval_that_is_zero_but_for_rounding_is_zero_and_shows_nothing() -> None:
    assert _interval(0.3, 0.1 + 0.2) == (0.0, pytest.approx(0.6))
    assert not _leaves_out_zero(0.1 + 0.2, 0.3)
    assert _leaves_out_zero(0.31, 0.3)


def test_a_mean_that_is_zero_but_for_rounding_is_zero() -> None:
    assert summarize([0.1, 0.2, -0.3]).mean == 0
