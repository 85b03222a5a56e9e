"""Statistics against independent implementations of scipy and statsmodels, where no other test has one."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from lab_statistics.pooled import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)
from lab_statistics.variance import variance_ratio
from scipy import special, stats

from lab.study.compare import compare_arms, factorial_effects, mean_and_half_width, sidak, single_level

BASE = [1.003, 1.107, 0.951, 1.209, 1.055]
ARM = [0.907, 1.011, 0.953, 1.002, 0.998]


def by_seed(values: list[float], first: int = 0) -> dict[int, float]:
    return dict(enumerate(values, first))


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_corrected_p_values_are_those_of_statsmodels(count: int) -> None:
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    p = np.linspace(0.001, 0.6, count)
    expected = multipletests(p, method="sidak")
    assert [sidak(float(each), single_level(count)) for each in p] == pytest.approx(list(expected[1]))
    assert single_level(count) == pytest.approx(expected[2])


@pytest.mark.parametrize("margin", [0.02, 0.1, 0.2, 0.3])
def test_equivalence_is_that_of_two_one_sided_tests_of_statsmodels(margin: float) -> None:
    ttost = pytest.importorskip("statsmodels.stats.weightstats").ttost_paired
    p, _, _ = ttost(np.array(ARM), np.array(BASE), -margin, margin)
    (found,) = compare_arms(by_seed(BASE), {"arm": by_seed(ARM)}, higher_is_better=True, margin=margin)
    # two tests at 2.5 % each are an interval of 95 %
    assert found.is_equivalent is bool(p < 0.025)


def test_intervals_of_many_studies_at_once_are_those_of_statsmodels() -> None:
    describe = pytest.importorskip("statsmodels.stats.weightstats").DescrStatsW
    d = np.random.default_rng(0).normal(size=(6, 5))
    mean, half = mean_and_half_width(d, 0.01)
    for row, center, width in zip(d, mean, half, strict=True):
        low, high = describe(row).tconfint_mean(0.01)
        assert (center - width, center + width) == pytest.approx((low, high))


@pytest.mark.parametrize("seeds", [3, 8])
def test_effects_of_a_grid_are_those_of_a_linear_model_of_statsmodels(seeds: int) -> None:
    ols = pytest.importorskip("statsmodels.formula.api").ols
    rng = np.random.default_rng(seeds)
    cells = {f"{a}{b}": {"f": f"f{a}", "g": f"g{b}"} for a, b in itertools.product(range(2), range(2))}
    scores = {name: by_seed(list(rng.normal(size=seeds))) for name in cells}
    found = {effect.name: effect for effect in factorial_effects(cells, scores, higher_is_better=True)}
    rows = [
        {"y": scores[name][seed], "f": int(name[0]) - 0.5, "g": int(name[1]) - 0.5, "seed": seed}
        for name in cells
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(rows)
    model = ols("y ~ f * g + C(seed)", frame).fit()
    assert found["f1"].effect == pytest.approx(model.params["f"])
    assert found["g1"].effect == pytest.approx(model.params["g"])
    assert found["f1 × g1"].effect == pytest.approx(model.params["f:g"])
    # each contrast has a spread of its own over seeds: the interaction with seeds is its error, not the residual
    slopes = [ols("y ~ f * g", frame[frame.seed == seed]).fit().params["f"] for seed in range(seeds)]
    assert found["f1"].p == pytest.approx(stats.ttest_1samp(slopes, 0).pvalue)


def samples(count: int = 3, runs: int = 12, shift: float = 0.0) -> list[np.ndarray]:
    return [np.random.default_rng([count, i]).normal(i + shift, 1, runs) for i in range(count)]


def test_the_stratified_bootstrap_is_that_of_scipy() -> None:
    drawn = samples()

    def statistic(*parts: np.ndarray) -> float:
        return float(stats.trim_mean(np.concatenate(parts), 0.25))

    expected = stats.bootstrap(
        drawn, statistic, vectorized=False, n_resamples=2_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert stratified_interval(drawn) == pytest.approx((expected.low, expected.high), abs=0.06)
    low, high = stratified_interval(drawn)
    assert low < interquartile_mean(np.concatenate(drawn)) < high


def test_the_interval_of_the_probability_of_improvement_is_a_bootstrap_of_scipy() -> None:
    base, arm = samples(2), samples(2, shift=0.4)

    def statistic(*parts: np.ndarray) -> float:
        pairs = [(parts[0], parts[2]), (parts[1], parts[3])]
        return float(np.mean([stats.mannwhitneyu(b, a).statistic / (len(a) * len(b)) for a, b in pairs]))

    expected = stats.bootstrap(
        (*base, *arm), statistic, vectorized=False, n_resamples=1_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    chance, low, high = probability_of_improvement(base, arm, higher_is_better=True)
    assert chance == pytest.approx(statistic(*base, *arm))
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.04)


def test_a_performance_profile_is_the_survival_function_of_scipy() -> None:
    values = np.concatenate(samples())
    thresholds = np.linspace(-2, 4, 13)
    expected = stats.ecdf(values).sf.evaluate(thresholds)
    assert list(performance_profile(values, thresholds)) == pytest.approx(list(expected))


def test_the_interval_of_a_variance_ratio_inverts_the_test_of_f() -> None:
    source, whole = samples(2, 9)
    ratio, low, high = variance_ratio(source, whole)
    assert ratio == pytest.approx(stats.describe(source).variance / stats.describe(whole).variance)
    # the F distribution as an incomplete beta function (Abramowitz & Stegun 26.6.2)
    for bound, tail in ((low, 0.975), (high, 0.025)):
        x = ratio / bound
        assert special.betainc(4, 4, 8 * x / (8 * x + 8)) == pytest.approx(tail)
