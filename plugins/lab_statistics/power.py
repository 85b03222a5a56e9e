"""Power of a paired comparison: how many seeds show a difference, and what a pilot's spread is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lab.study.compare import LEVEL, MIN_SEEDS, POWER

__all__ = ["MAX_SEEDS", "detectable", "pooled_spread", "power_of", "seeds_for", "upper_spread"]

MAX_SEEDS = 10_000


def power_of(difference: float, spread: float, n: int, level: float = LEVEL, *, overlap: float = 0.0) -> float:
    """Return the probability that a paired t-test of ``n`` seeds finds a true difference, in either direction.

    Cohen 1988, *Statistical power analysis*, chapter 2: the noncentral t beyond both critical values.

    Args:
        difference: true mean difference.
        spread: standard deviation of the paired differences, above 0.
        n: seeds, at least 2.
        level: of the two-sided test.
        overlap: validation examples per training example where every seed has a split of its own, as in
            ``lab.study.compare.compare_pairs``.

    >>> round(power_of(1.0, 1.0, 10), 3)
    0.803
    """
    from scipy.stats import nct, t

    critical = t.ppf(1 - level / 2, n - 1)
    center = abs(difference) / spread / math.sqrt(1 / n + overlap)
    # the lower tail as an upper one of the mirror image: scipy's nct.cdf is NaN for a far negative argument
    return float(nct.sf(critical, n - 1, center) + nct.sf(critical, n - 1, -center))


def detectable(spread: float, n: int, level: float = LEVEL, power: float = POWER) -> float:
    """Return the true difference that a paired t-test of ``n`` seeds shows with this probability.

    Args:
        spread: standard deviation of the paired differences.
        n: seeds, at least 2.
        level: of the two-sided test.
        power: probability.

    >>> round(detectable(1.0, 10), 3)
    0.996
    """
    from scipy.special import nctdtrinc, stdtrit

    critical = float(stdtrit(n - 1, 1 - level / 2))
    # the other tail has a mass below 1e-4 wherever the power is above one half
    return float(nctdtrinc(n - 1, 1 - power, critical)) * spread / math.sqrt(n)


def seeds_for(
    difference: float, spread: float, *, level: float = LEVEL, power: float = POWER, overlap: float = 0.0
) -> int | None:
    """Return the smallest number of seeds, at least 3, that shows a true difference with this probability.

    Args:
        difference: true mean difference, not 0.
        spread: standard deviation of the paired differences; 0 needs no more than the smallest number.
        level: of each comparison.
        power: probability.
        overlap: as in ``power_of``.

    Returns:
        None if more than ``MAX_SEEDS`` were needed, or no number of splits that share examples would do.

    Raises:
        ValueError: a number is not finite, or the power is not between 0 and 1.

    >>> seeds_for(1.0, 1.0), seeds_for(2.0, 1.0), seeds_for(1.0, 1.0, level=0.05 / 9)
    (10, 5, 17)
    """
    if not math.isfinite(difference) or not math.isfinite(spread) or not 0 < power < 1:
        # NaN would end the search at once, with the smallest number of seeds
        raise ValueError(f"no number of seeds for difference {difference}, spread {spread} and power {power}")
    if spread <= 0:
        return MIN_SEEDS
    low, high = MIN_SEEDS, MIN_SEEDS
    while power_of(difference, spread, high, level, overlap=overlap) < power:
        low, high = high, high * 2
        if high > MAX_SEEDS:
            return None
    # the power grows with n, so halving finds the smallest
    while low < high:
        middle = (low + high) // 2
        is_enough = power_of(difference, spread, middle, level, overlap=overlap) >= power
        low, high = (low, middle) if is_enough else (middle + 1, high)
    return high


def pooled_spread(differences: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the pooled standard deviation of several samples of paired differences, and its degrees of freedom.

    >>> pooled_spread([[0.0, 2.0], [1.0, 2.0, 3.0]])
    (1.1547005383792515, 3)
    """
    samples = [np.asarray(sample, dtype=float) for sample in differences if len(sample) > 1]
    freedom = sum(len(sample) - 1 for sample in samples)
    if not freedom:
        return math.nan, 0
    return math.sqrt(sum(float(((sample - sample.mean()) ** 2).sum()) for sample in samples) / freedom), freedom


def upper_spread(spread: float, freedom: int, confidence: float = 0.8) -> float:
    """Return the upper confidence limit of a standard deviation that was estimated with few degrees of freedom.

    A study planned with it has the power that it wants in ``confidence`` of cases (Browne 1995, *Statistics in
    Medicine* 14), where the estimate alone is too small in half of them.

    >>> round(upper_spread(1.0, 2), 3)
    2.117
    """
    from scipy.stats import chi2

    return float(spread * math.sqrt(freedom / chi2.ppf(1 - confidence, freedom)))
