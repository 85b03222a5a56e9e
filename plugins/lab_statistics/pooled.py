"""Results on several datasets, pooled: random effects, interquartile mean, probability of improvement, ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np

from lab.study.compare import LEVEL

__all__ = [
    "Pooled",
    "average_ranks",
    "critical_difference",
    "interquartile_mean",
    "performance_profile",
    "probability_of_improvement",
    "random_effects",
    "stratified_interval",
]

RESAMPLES = 2000
MEANINGFUL = 0.75
"""Probability of improvement from which an improvement is meaningful, after Bouthillier et al. 2021, section 4."""


@attrs.frozen
class Pooled:
    """Pooled effect of several datasets.

    Attributes:
        datasets: how many.
        effect: pooled difference.
        low, high: 95 % interval of the mean effect over such datasets; NaN for one dataset.
        between: standard deviation of the true effects between datasets.
        i_squared: share of the variance of observed effects that is due to the datasets, between 0 and 1.
    """

    datasets: int
    effect: float
    low: float
    high: float
    between: float
    i_squared: float


def random_effects(effects: Sequence[float], errors: Sequence[float], level: float = LEVEL) -> Pooled:
    """Return the random-effects estimate of a mean effect over datasets.

    The variance between datasets is that of DerSimonian & Laird 1986 (*Controlled Clinical Trials* 7); the interval is
    that of Hartung & Knapp 2001 (*Statistics in Medicine* 20), Student's with one degree of freedom less than there are
    datasets, which holds with few of them where the usual normal interval is far too narrow.

    Args:
        effects: difference on every dataset.
        errors: their standard errors, above 0.
        level: of the interval.

    Raises:
        ValueError: no dataset, or an error that is not above 0.
    """
    from scipy.special import stdtrit

    y, variance = np.asarray(effects, dtype=float), np.asarray(errors, dtype=float) ** 2
    if not len(y) or not (variance > 0).all():
        raise ValueError("random effects need at least one effect, each with an error above 0")
    if len(y) == 1:
        return Pooled(1, float(y[0]), math.nan, math.nan, 0.0, 0.0)
    weights = 1 / variance
    fixed = (weights * y).sum() / weights.sum()
    q = float((weights * (y - fixed) ** 2).sum())
    freedom = len(y) - 1
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    between = max(0.0, (q - freedom) / scale)
    weights = 1 / (variance + between)
    effect = float((weights * y).sum() / weights.sum())
    spread = float((weights * (y - effect) ** 2).sum() / freedom / weights.sum())
    half = float(stdtrit(freedom, 1 - level / 2)) * math.sqrt(spread)
    share = max(0.0, (q - freedom) / q) if q else 0.0
    return Pooled(len(y), effect, effect - half, effect + half, math.sqrt(between), share)


def interquartile_mean(values: np.ndarray) -> float:
    """Return the mean of the middle half of all values (Agarwal et al. 2021, NeurIPS), robust as a median.

    >>> interquartile_mean(np.array([0.0, 1.0, 2.0, 100.0]))
    1.5
    """
    from scipy.stats import trim_mean

    return float(trim_mean(np.asarray(values, dtype=float).ravel(), 0.25))


def stratified_interval(samples: Sequence[np.ndarray], level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of an interquartile mean; runs are drawn with replacement within each dataset.

    Stratified bootstrap, Agarwal et al. 2021, section 4.2. With a fixed seed.

    Args:
        samples: scores of the runs on every dataset.
        level: of the interval.
    """
    rng = np.random.default_rng(0)
    drawn = [
        interquartile_mean(np.concatenate([rng.choice(values, len(values)) for values in samples]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
    return float(low), float(high)


def probability_of_improvement(
    base: Sequence[np.ndarray], arm: Sequence[np.ndarray], *, higher_is_better: bool, level: float = LEVEL
) -> tuple[float, float, float]:
    """Return the probability that a run of the arm beats a run of the base on the same dataset, with its interval.

    The mean over datasets of the Mann-Whitney statistic, ties counting half (Agarwal et al. 2021, section 4.3), with a
    stratified bootstrap. After Bouthillier et al. 2021, an improvement is meaningful from 0.75 on, and significant if
    the interval lies above 0.5.

    Args:
        base, arm: scores of the runs on every dataset, in the same order.
        higher_is_better: the direction.
        level: of the interval.
    """
    sign = 1 if higher_is_better else -1

    def mean(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
        return float(np.mean([_share_above(sign * other, sign * one) for one, other in zip(ones, others, strict=True)]))

    rng = np.random.default_rng(0)
    drawn = [
        mean([rng.choice(v, len(v)) for v in base], [rng.choice(v, len(v)) for v in arm]) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
    return mean(base, arm), float(low), float(high)


def _share_above(values: np.ndarray, others: np.ndarray) -> float:
    difference = np.sign(values[:, None] - others[None, :])
    return float((difference + 1).mean() / 2)


def performance_profile(values: np.ndarray, thresholds: Sequence[float]) -> list[float]:
    """Return the share of runs whose score is above each threshold (Dolan & Moré 2002; Agarwal et al. 2021).

    >>> performance_profile(np.array([0.9, 1.0, 1.1, 1.2]), [0.95, 1.15])
    [0.75, 0.25]
    """
    values = np.asarray(values).ravel()
    return [float((values > threshold).mean()) for threshold in thresholds]


def average_ranks(scores: np.ndarray, *, higher_is_better: bool) -> tuple[np.ndarray, float]:
    """Return the average rank of every arm over datasets, 1 the best, and the p of Friedman's test.

    Friedman 1937, *JASA* 32; ties share their ranks. The p is NaN for fewer than three arms or two datasets.

    Args:
        scores: means, (datasets, arms).
        higher_is_better: the direction.

    Shapes:
        scores (datasets, arms) -> (arms,)
    """
    from scipy.stats import friedmanchisquare, rankdata

    ranks: np.ndarray = rankdata(-scores if higher_is_better else scores, axis=1).mean(axis=0)
    is_testable = scores.shape[1] >= 3 and scores.shape[0] >= 2
    return ranks, float(friedmanchisquare(*scores.T).pvalue) if is_testable else math.nan


def critical_difference(arms: int, datasets: int, level: float = LEVEL) -> float:
    """Return the difference in average ranks from which two arms differ (Nemenyi's test; Demšar 2006, JMLR 7).

    Args:
        arms: at least 2.
        datasets: how many.
        level: over all pairs of arms.

    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - level, arms, np.inf)) / math.sqrt(2)
    return q * math.sqrt(arms * (arms + 1) / (6 * datasets))
