"""Differences of two arms, example by example: exact and bootstrap tests, and seeds crossed with examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from lab.study.compare import LEVEL, MIN_SEEDS, without_noise

__all__ = [
    "MIN_EXAMPLES",
    "Crossed",
    "Slice",
    "bootstrap_interval",
    "crossed_interval",
    "crossed_means",
    "mcnemar",
    "slices_of",
    "small_slices",
]

RESAMPLES = 10_000
MIN_EXAMPLES = 5
"""Examples of a slice below which its difference is that of single examples."""

ROUNDING = 1e-12
"""Spread relative to the largest difference up to which differences are equal but for rounding."""


@attrs.frozen
class Crossed:
    """Mean difference over seeds and examples, with intervals for two questions.

    Attributes:
        seeds, examples: how many.
        difference: mean over both.
        low, high: interval of the difference in the *population* of seeds and examples; NaN for fewer than three seeds,
            for one example, and where all means over seeds and all means over examples are equal.
        fixed_low, fixed_high: interval over seeds on these very examples; NaN for fewer than three seeds, and where
            the means of all seeds are equal.
        seed_share: share of the variance of ``difference`` that is due to seeds, between 0 and 1; NaN without ``low``.
        freedom: degrees of freedom of the first interval.
    """

    seeds: int
    examples: int
    difference: float
    low: float
    high: float
    fixed_low: float
    fixed_high: float
    seed_share: float
    freedom: float


def crossed_means(d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, variance of the mean, and degrees of freedom of differences crossed by seeds and examples.

    Every seed is scored on every example, so neither may be taken for a repetition of the other. In the additive model
    with random seeds, random examples and a residual, the variance of the mean is
    ``(MS_seeds + MS_examples - MS_residual) / (n N)``, with degrees of freedom after Satterthwaite 1946
    (*Biometrics* 2); Clark 1973 (*J. Verbal Learning* 12) shows what goes wrong if examples are taken as fixed.

    Args:
        d: differences, (..., seeds, examples), at least two of each.

    Shapes:
        d (..., n, N) -> three arrays (...)
    """
    n, count = d.shape[-2:]
    mean = d.mean(axis=(-2, -1))
    of_seeds, of_examples = d.mean(axis=-1), d.mean(axis=-2)
    seeds = count * of_seeds.var(axis=-1, ddof=1)
    examples = n * of_examples.var(axis=-1, ddof=1)
    total = ((d - mean[..., None, None]) ** 2).sum(axis=(-2, -1))
    residual = np.maximum(total - (n - 1) * seeds - (count - 1) * examples, 0) / ((n - 1) * (count - 1))
    # a negative estimate of a component counts as 0: the sum is never below the larger mean square
    whole = np.maximum(seeds + examples - residual, np.maximum(seeds, examples))
    parts = seeds**2 / (n - 1) + examples**2 / (count - 1) + residual**2 / ((n - 1) * (count - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(parts > 0, whole**2 / parts, n - 1)
    return mean, whole / (n * count), np.maximum(freedom, 1.0)


def crossed_interval(d: np.ndarray, level: float = LEVEL) -> Crossed:
    """Return the mean of differences (seeds, examples) with its intervals.

    The interval over seeds alone is about *these* examples; with few validation examples it covers the difference in
    the population far too rarely (49 % in place of 95 % for 5 seeds and 500 examples, in simulation). This one covers
    both.

    Args:
        d: differences of an arm from the base, one row per seed and one column per example.
        level: of each interval.

    Raises:
        ValueError: ``d`` is not two-dimensional, or is empty.
    """
    from scipy.special import stdtrit

    d = np.asarray(d, dtype=float)
    if d.ndim != 2 or not d.size:
        raise ValueError(f"differences are (seeds, examples), not of shape {d.shape}")
    n, count = d.shape
    mean = without_noise(float(d.mean()), float(np.abs(d).max()))
    nothing = math.nan
    # as in the table: with two seeds, normality alone would give an interval
    if n < MIN_SEEDS or not _varies(d):
        return Crossed(n, count, mean, nothing, nothing, nothing, nothing, nothing, nothing)
    fixed = nothing
    if _varies(d.mean(axis=1)):
        fixed = float(stdtrit(n - 1, 1 - level / 2) * d.mean(axis=1).std(ddof=1) / math.sqrt(n))
    if count < 2:
        return Crossed(n, count, mean, nothing, nothing, mean - fixed, mean + fixed, nothing, nothing)
    _, variance, freedom = crossed_means(d)
    # differences that vary by pairs of seed and example alone leave nothing to estimate it from
    half = float(stdtrit(float(freedom), 1 - level / 2) * math.sqrt(variance)) if variance > 0 else nothing
    of_seeds = float(d.mean(axis=1).var(ddof=1)) / n
    share = min(1.0, of_seeds / float(variance)) if variance > 0 else nothing
    return Crossed(n, count, mean, mean - half, mean + half, mean - fixed, mean + fixed, share, float(freedom))


def _varies(d: np.ndarray) -> bool:
    return bool(np.ptp(d) > ROUNDING * np.abs(d).max())


def bootstrap_interval(
    d: Sequence[float] | np.ndarray, level: float = LEVEL, *, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the percentile interval of a mean of paired differences over examples.

    Paired bootstrap (Efron & Tibshirani 1993, chapter 13; for test sets Koehn 2004, EMNLP): examples are drawn with
    replacement, both arms on the same. It is about the examples alone: average over seeds first. The seed of the
    resampling is fixed, so that the same scores give the same interval.

    Args:
        d: one difference per example.
        level: of the interval.
        resamples: how many.
    """
    d = np.asarray(d, dtype=float)
    rng = np.random.default_rng(0)
    # counts of each example instead of copies of the scores, 100 resamples at a time: 10,000 × 10,000 would take 800 MB
    means = [
        rng.multinomial(len(d), np.full(len(d), 1 / len(d)), size=100) @ d / len(d) for _ in range(-(-resamples // 100))
    ]
    low, high = np.quantile(np.concatenate(means), [level / 2, 1 - level / 2])
    return float(low), float(high)


def mcnemar(base: np.ndarray, arm: np.ndarray) -> tuple[int, int, float]:
    """Return the exact McNemar test of two classifiers on the same examples (McNemar 1947, *Psychometrika* 12).

    Args:
        base, arm: whether each example is right, of one run each.

    Returns:
        Examples that only the base has right, examples that only the arm has right, and the two-sided binomial p.

    >>> mcnemar(np.array([1, 1, 0, 0, 0]), np.array([1, 0, 1, 1, 1]))
    (1, 3, 0.625)
    """
    from scipy.stats import binom

    base, arm = np.asarray(base) > 0.5, np.asarray(arm) > 0.5
    lost, won = int((base & ~arm).sum()), int((~base & arm).sum())
    if not lost + won:
        return lost, won, 1.0
    return lost, won, min(1.0, float(2 * binom.cdf(min(lost, won), lost + won, 0.5)))


@attrs.frozen
class Slice:
    """Difference on some of the examples.

    Attributes:
        name: ``target = 3``.
        found: the difference there.
        low, high: its interval; those of all slices hold together with 95 %. With other seeds and other examples, or
            with other examples alone where there are fewer than three seeds. NaN where all differences are equal.
    """

    name: str
    found: Crossed
    low: float
    high: float


def slices_of(
    d: np.ndarray,
    columns: Mapping[str, Sequence[object]],
    *,
    smallest: int = MIN_EXAMPLES,
    of_slice: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[Slice]:
    """Return the difference on every slice of the examples, with intervals that hold together (Šidák).

    Columns of numbers with more than ten values are cut at their quartiles.

    Args:
        d: differences, (seeds, examples).
        columns: name → value of every example.
        smallest: examples that a slice has at least; ``small_slices`` names those that have fewer.
        of_slice: from the examples of a slice, (examples,) of bool, to their differences, for a score that is no mean
            over examples; columns of ``d`` by default.
    """
    from lab.study.compare import single_level

    groups = {name: chosen for name, chosen in _all_groups(columns).items() if smallest <= chosen.sum()}
    level = single_level(len(groups))
    parts = {name: d[:, chosen] if of_slice is None else of_slice(chosen) for name, chosen in groups.items()}
    return [_slice(name, part, level) for name, part in parts.items()]


def small_slices(columns: Mapping[str, Sequence[object]], *, smallest: int = MIN_EXAMPLES) -> list[str]:
    """Return the names of the slices that ``slices_of`` leaves out because they have too few examples."""
    return [name for name, chosen in _all_groups(columns).items() if 0 < chosen.sum() < smallest]


def _slice(name: str, d: np.ndarray, level: float) -> Slice:
    from scipy.special import stdtrit

    found = crossed_interval(d, level)
    of_examples = d.mean(axis=0)
    if found.seeds >= MIN_SEEDS or len(of_examples) < 2 or not _varies(of_examples):
        return Slice(name, found, found.low, found.high)
    # Student's t instead of the bootstrap of the whole split: a slice may have five examples
    error = of_examples.std(ddof=1) / math.sqrt(len(of_examples))
    half = float(stdtrit(len(of_examples) - 1, 1 - level / 2) * error)
    return Slice(name, found, found.difference - half, found.difference + half)


def _all_groups(columns: Mapping[str, Sequence[object]]) -> dict[str, np.ndarray]:
    groups: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        groups |= _groups(name, np.asarray(values))
    return groups


def _groups(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    if values.dtype.kind in "fiu" and len(np.unique(values)) > 10:
        edges = np.unique(np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
        bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        return {f"{name} {edges[i]:.4g} to {edges[i + 1]:.4g}": bins == i for i in range(len(edges) - 1)}
    return {f"{name} = {value}": values == value for value in np.unique(values)}
