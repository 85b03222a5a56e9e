"""Comparison of arms, paired by seed.

The primary metric of every arm is compared with the base's, seed by seed. Every verdict is read off an interval: the
intervals of all m comparisons of a study hold together with 95 % (Šidák 1967: Student's interval of each at the level
1 - 0.95^(1/m)), and an arm is better or worse exactly if its interval leaves out zero. m is fixed before any result is
seen, and Šidák's bound holds however the arms depend on each other.

A share of N examples and a rounded figure lie on a grid. Equal differences on a grid prove no precision, so their
spread counts as at least ``MIN_SPREAD`` steps of the grid. Two seeds give no verdict and no interval. Differences that
are equal without a grid have no spread: the exact sign-flip test decides, and there is no interval.

Coverage of the 95 % interval for 3, 5 and 10 seeds, from a million simulated studies each: 95.0 % for normal
differences; 88, 88 and 90 % for exponential ones (skewness 2: an occasional bad run); 84, 82 and 84 % for log-normal
ones (skewness 6). Differences between two arms with the same skewness are symmetric. Without a true difference, at most
5 % of studies call any arm better or worse.
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import attrs
import numpy as np

__all__ = [
    "ArmComparison",
    "Effect",
    "Looks",
    "Summary",
    "compare_arms",
    "compare_pairs",
    "compare_steps",
    "exaggeration",
    "factorial_effects",
    "grid_step",
    "level_of_look",
    "looks_of_rule",
    "mean_and_half_width",
    "number_of_effects",
    "sidak",
    "sign_flip_p",
    "single_level",
    "skewness",
    "summarize",
    "without_noise",
]

LEVEL = 0.05
POWER = 0.8
SEED = "seed"
"""The common property of two runs that form a pair, unless folds are the pairs."""

MIN_SEEDS = 3
"""Seeds below which there is no verdict: with one degree of freedom, normality alone would decide."""

MIN_SPREAD = 0.75
"""Smallest spread of differences, in steps of the grid on which the scores lie.

Rounding alone gives a difference the spread √(1/6) = 0.41 (Sheppard 1898). The larger value keeps the error of studies
with 1 to 9 arms at 5 % for accuracies on 25 and more examples, as the simulations in ``tests/simulation`` show.
"""

MAX_CHANCE = 0.0125
"""Expected number of grids that numbers fit by chance above which they are said to lie on none."""

MAX_GRID = 2000
"""Finest grid that is looked for, in steps per unit."""

PAIRED_T, WELCH, SIGN_FLIP = "paired t-test", "Welch's t-test", "exact sign-flip test"

NOISE = 1e-12
"""Share of the scores, or of their spread, below which a difference is rounding in the order of summation."""

LARGE = 1e100
"""Squares and sums of larger values may overflow."""


@attrs.frozen
class Summary:
    """One metric over the seeds of an arm.

    Attributes:
        n: values, all of them finite.
        mean: their mean; NaN if there is none.
        spread: their sample standard deviation; NaN for fewer than two.
        undefined: further values that are not finite and left out.
    """

    n: int
    mean: float
    spread: float
    undefined: int = 0


@attrs.frozen
class ArmComparison:
    """An arm against the base, or against the arm before it.

    Attributes:
        arm: its name.
        n: seeds that both have.
        difference: mean of the arm's scores minus the other's.
        low, high: interval of the difference; the intervals of all arms hold together with 95 %. NaN with fewer than
            three seeds.
        p: of ``test``, two-sided.
        p_corrected: after Šidák's correction over the comparisons of the study.
        p_sign_flip: exact sign-flip test, two-sided.
        improvement: share of seeds in which the arm is better, ties counting half.
        detectable: the absolute difference that a study with this spread and this many seeds shows with 80 %
            probability; NaN for two seeds and for differences without a spread.
        is_better: True, False, or None where nothing was shown.
        verdict: one plain sentence.
        is_equivalent: True if the whole interval lies within the margin that was asked for.
        correlation: of the two arms' scores over seeds; pairing makes the variance of the difference 1 - correlation of
            what it would be without. NaN for fewer than three seeds.
        exaggeration: mean size of a difference that gets a verdict over the true one, if the true one is half of the
            difference seen (type M; Gelman & Carlin 2014); NaN without a spread.
        test: that ``p`` is from: a paired t-test, Welch's t-test between arms that are not paired, or the exact
            sign-flip test of differences that are equal without a grid; empty if nothing was tested.
        paired_by: what the two runs of a pair share, ``seed``, ``fold`` or ``seed and fold``.
    """

    arm: str
    n: int
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    p_sign_flip: float
    improvement: float
    detectable: float
    is_better: bool | None
    verdict: str
    is_equivalent: bool = False
    correlation: float = math.nan
    exaggeration: float = math.nan
    test: str = ""
    paired_by: str = SEED

    @property
    def unit(self) -> str:
        """The name of what is counted: seed, or fold."""
        return _unit(self.paired_by)


def _unit(paired_by: str) -> str:
    return paired_by.rpartition(" ")[2]


def summarize(values: Sequence[float]) -> Summary:
    """Return count, mean and sample standard deviation of the values that are finite."""
    array = np.asarray(values, dtype=float)
    finite = array[np.isfinite(array)]
    if len(finite) > 1 and (finite == finite[0]).all():
        # the mean of equal numbers may differ from them in the last digit, which would look like a spread
        return Summary(len(finite), float(finite[0]), 0.0, len(array) - len(finite))
    mean = without_noise(_mean(finite), float(np.abs(finite).max(initial=0.0)))
    return Summary(len(finite), mean, _deviation(finite), len(array) - len(finite))


def without_noise(value: float, scale: float) -> float:
    """Return a value, or 0 if it is nothing but rounding beside numbers of the size ``scale``.

    >>> without_noise(1.4e-17, 0.1), without_noise(0.1, 0.1), without_noise(-0.0, 1.0)
    (0.0, 0.1, 0.0)
    """
    return 0.0 if value == 0 or (math.isfinite(scale) and abs(value) <= NOISE * scale) else value


def skewness(values: Sequence[float]) -> float:
    """Return the sample skewness, ``m3 / m2^1.5``; 0 for fewer than three values or without a spread.

    >>> round(skewness([0, 0, 0, 4]), 4)
    1.1547
    """
    array = np.asarray(values, dtype=float)
    if len(array) < 3 or not np.isfinite(array).all() or not np.ptp(array) or np.abs(array).max() > LARGE:
        return 0.0
    deviations = (array - array.mean()) / np.abs(array).max()
    return float((deviations**3).mean() / (deviations**2).mean() ** 1.5)


def _mean(values: np.ndarray) -> float:
    """Return the mean; values near the largest float do not overflow in the sum."""
    if not len(values):
        return math.nan
    if float(np.abs(values).max()) < LARGE or not np.isfinite(values).all():
        # inf - inf gives NaN, which is the right answer and needs no RuntimeWarning
        with np.errstate(invalid="ignore"):
            return float(values.mean())
    # divide first: the sum of two values of 1e308 is inf, their mean is not
    return math.fsum(value / len(values) for value in values.tolist())


def _deviation(values: np.ndarray) -> float:
    if len(values) < 2:
        return math.nan
    largest = float(np.abs(values).max())
    if largest < LARGE:
        # ddof=1: with 3 to 10 seeds the population formula understates the spread by 5 to 18 %
        return float(values.std(ddof=1))
    return float((values / largest).std(ddof=1)) * largest


def compare_arms(
    base: Mapping[int, float], arms: Mapping[str, Mapping[int, float]], *, higher_is_better: bool, **options: Any
) -> list[ArmComparison]:
    """Compare every arm with the base, paired by seed.

    Args:
        base: seed → score.
        arms: arm → seed → score.
        higher_is_better: the direction of the metric.
        options: of ``compare_pairs``.
    """
    return compare_pairs(
        {name: (base, arm) for name, arm in arms.items()}, higher_is_better=higher_is_better, **options
    )


def compare_steps(
    arms: Mapping[str, Mapping[int, float]], *, higher_is_better: bool, **options: Any
) -> list[ArmComparison]:
    """Compare every arm but the first with the one before it, paired by seed: what does each step of a ladder bring?

    Args:
        arms: arm → seed → score, in their order.
        higher_is_better: the direction of the metric.
        options: of ``compare_pairs``.
    """
    pairs = {name: (before, arm) for (_, before), (name, arm) in itertools.pairwise(arms.items())}
    return compare_pairs(pairs, higher_is_better=higher_is_better, **options)


Levels = Sequence[tuple[float, float]]
"""Pairs of (level of all looks together, level of each), rising."""

Looks = Levels | Mapping[int, Levels]
"""Levels of every look, or seeds at a look → its levels."""

Pair = tuple[Mapping[int, float], Mapping[int, float]]
"""Scores of two arms by seed, the one that is compared with first."""


def compare_pairs(
    pairs: Mapping[str, Pair],
    *,
    higher_is_better: bool,
    refused: Mapping[str, str] | None = None,
    margin: float = 0.0,
    further: int = 0,
    looks: Looks = (),
    groups: Mapping[str, str] | None = None,
    paired: bool = True,
    overlap: float = 0.0,
    paired_by: str = SEED,
) -> list[ArmComparison]:
    """Compare pairs of arms, paired by seed, with intervals that hold together.

    Args:
        pairs: arm → the scores of the arm that it is compared with, and its own.
        higher_is_better: the direction of the metric.
        refused: arm → why it is not compared; it takes no part in the correction for the number of arms.
        margin: the smallest difference that matters; an arm whose interval lies within ± margin is equivalent. 0: none.
        further: comparisons beside these with which the intervals hold together, such as the effects of a grid.
        looks: levels of a study whose results are looked at repeatedly; intervals then hold at every look. None if they
            are looked at once.
        groups: arm → name of the examples that it was evaluated on, whose number decides the grid of shares; the same
            for all arms by default.
        paired: False compares all pairs of arms as independent samples, after Welch; so are in any case two arms with
            three scores or more each and no seed in common, between which there is nothing to pair.
        overlap: validation examples per training example where every seed has a split of its own of the same data.
            Such scores depend on each other, and the variance of a mean is ``1/n + overlap`` and not ``1/n`` times that
            of a difference (Nadeau & Bengio 2003, *Machine Learning* 52). 0: all seeds have one split.
        paired_by: what the two runs of a pair share: ``seed``, ``fold`` or ``seed and fold``.
    """
    refused = refused or {}
    differences = {name: _paired(*pair) for name, pair in pairs.items()}
    apart = {name for name, pair in pairs.items() if _is_apart(*pair, paired=paired)}
    # refused arms are not tested, so they must not widen the intervals of the others
    tested = [name for name, d in differences.items() if name not in refused and (name in apart or _can_be_tested(d))]
    group_of = {name: (groups or {}).get(name, "") for name in tested}
    steps = {
        group: grid_step(
            [v for name in tested if group_of[name] == group for scores in pairs[name] for v in scores.values()]
        )
        for group in set(group_of.values())
    }
    single = single_level(len(tested) + further)
    # arms that left a sequential study early keep the level of their last look
    level = {name: level_of_look(single, looks, min(map(len, pairs[name]))) for name in pairs if name in apart}
    level |= {name: level_of_look(single, looks, len(d)) for name, d in differences.items() if name not in apart}
    found = [
        _refuse(name, len(d), refused[name])
        if name in refused
        else _compare_apart(
            name,
            *pairs[name],
            steps.get(group_of.get(name, ""), 0.0),
            level[name],
            margin,
            sign=1 if higher_is_better else -1,
            unit=_unit(paired_by),
        )
        if name in apart
        else _compare(
            name,
            d,
            steps.get(group_of.get(name, ""), 0.0),
            level[name],
            _correlation(*pairs[name]),
            margin,
            sign=1 if higher_is_better else -1,
            overlap=overlap,
            unit=_unit(paired_by),
        )
        for name, d in differences.items()
    ]
    return [attrs.evolve(each, paired_by=paired_by) for each in found]


def level_of_look(level: float, looks: Looks, seeds: int = 0) -> float:
    """Return the level of one look where all looks together have ``level``, interpolated between pairs of both.

    Args:
        level: of all looks together.
        looks: levels of every look, or of each.
        seeds: at the look; between two looks the earlier one, whose level is smaller, counts.

    >>> level_of_look(0.05, [(0.001, 0.0002), (0.05, 0.01)]), level_of_look(0.05, [])
    (0.01, 0.05)
    >>> level_of_look(0.05, {3: [(0.05, 0.001)], 6: [(0.05, 0.04)]}, seeds=5)
    0.001
    """
    if isinstance(looks, Mapping):
        looks = looks[max((each for each in looks if each <= seeds), default=min(looks))] if looks else ()
    if not looks:
        return level
    totals, singles = np.log(np.asarray(looks, dtype=float)).T
    # below the first pair the ratio of both levels is kept
    return float(np.exp(np.interp(math.log(level), totals, singles) + min(0.0, math.log(level) - totals[0])))


def looks_of_rule(rule: Mapping[str, Any]) -> Looks:
    """Return the levels that a rule of seeds has in its ``levels``: pairs, or by seeds as text; none for others."""
    found = rule.get("levels", [])
    if isinstance(found, Mapping):
        return {int(seeds): _levels(pairs) for seeds, pairs in found.items()}
    return _levels(found)


def _levels(pairs: Sequence[Sequence[float]]) -> Levels:
    return [(float(total), float(each)) for total, each in pairs]


def _is_apart(base: Mapping[int, float], arm: Mapping[int, float], *, paired: bool) -> bool:
    """Return whether two arms are compared as independent samples."""
    are_sound = all(math.isfinite(value) for value in (*base.values(), *arm.values()))
    return (not paired or not base.keys() & arm.keys()) and are_sound and min(len(base), len(arm)) >= MIN_SEEDS


def _compare_apart(
    name: str,
    base: Mapping[int, float],
    arm: Mapping[int, float],
    step: float,
    level: float,
    margin: float,
    *,
    sign: int,
    unit: str,
) -> ArmComparison:
    """Compare two independent samples; Welch 1947 (*Biometrika* 34): unequal variances, Satterthwaite's degrees."""
    from scipy.special import nctdtrinc, stdtr, stdtrit

    one, other = np.array(list(base.values()), dtype=float), np.array(list(arm.values()), dtype=float)
    # a difference of two independent scores has twice the variance of each, so each has half of the smallest
    smallest = (MIN_SPREAD * step) ** 2 / 2
    parts = [max(_deviation(values) ** 2, smallest) / len(values) for values in (one, other)]
    size = _size((*base.values(), *arm.values()))
    mean, error, n = _difference(_mean(other), _mean(one), size), math.sqrt(sum(parts)), min(len(one), len(other))
    wins = float(np.mean((np.sign(sign * (other[:, None] - one[None, :])) + 1) / 2))
    if not error:
        nothing = (math.nan,) * 5
        verdict = "no spread in either arm: too little for a verdict without pairs"
        return ArmComparison(name, n, mean, *nothing, wins, math.nan, None, verdict)
    freedom = sum(parts) ** 2 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (one, other), strict=True))
    critical = float(stdtrit(freedom, 1 - level / 2))
    half, p = critical * error, float(2 * stdtr(freedom, -abs(mean) / error))
    detectable = float(nctdtrinc(freedom, 1 - POWER, critical)) * error
    is_equivalent = bool(margin > 0 and abs(mean) + half < margin)
    better = None if is_equivalent or not _leaves_out_zero(mean, half) else (mean > 0) == (sign > 0)
    runs = f"not paired, {len(other)} and {len(one)} runs"
    if is_equivalent:
        verdict = f"equivalent within ± {margin:g}: {mean:+.3g} ± {half:.2g} ({runs})"
    elif better is None:
        verdict = f"{'undecided' if margin else 'no difference shown'}: {_power_text(detectable, n, unit)} ({runs})"
    else:
        verdict = f"{'better' if better else 'worse'} by {abs(mean):.3g} ± {half:.2g} ({runs})"
    numbers = (mean, *_interval(mean, half), p, sidak(p, level), math.nan, wins, detectable)
    return ArmComparison(name, n, *numbers, better, verdict, is_equivalent, test=WELCH)


def _can_be_tested(d: np.ndarray) -> bool:
    return len(d) > 1 and bool(np.isfinite(d).all())


def _refuse(name: str, n: int, why: str) -> ArmComparison:
    nothing = (math.nan,) * 8
    return ArmComparison(name, n, *nothing, is_better=None, verdict=why)


def single_level(count: int) -> float:
    """Return the level of each of ``count`` comparisons that hold together at 5 % (Šidák 1967).

    >>> round(single_level(1), 6), round(single_level(3), 6)
    (0.05, 0.016952)
    """
    return -math.expm1(math.log1p(-LEVEL) / max(1, count))


def sidak(p: float, level: float) -> float:
    """Return a p-value corrected to 5 % where ``level`` is that of a single comparison: ``1 - (1 - p)^m``.

    >>> round(sidak(0.01, single_level(3)), 6)
    0.029701
    """
    if math.isnan(p):
        return p
    count = math.log1p(-LEVEL) / math.log1p(-level)
    return 1.0 if p >= 1 else -math.expm1(count * math.log1p(-p))


def _paired(base: Mapping[int, float], arm: Mapping[int, float]) -> np.ndarray:
    size = _size((*base.values(), *arm.values()))
    return np.array([_difference(arm[seed], base[seed], size) for seed in base if seed in arm], dtype=float)


def _size(scores: Iterable[float]) -> float:
    """Return the usual size of scores; the median, since one run that diverged must not hide what others differ in."""
    # of an even number the lower one: the mean of two may overflow
    return float(statistics.median_low([abs(value) for value in scores if math.isfinite(value)] or [0.0]))


def _correlation(base: Mapping[int, float], arm: Mapping[int, float]) -> float:
    both = np.array([[base[seed], arm[seed]] for seed in base if seed in arm], dtype=float).reshape(-1, 2).T
    if (
        both.shape[1] < MIN_SEEDS
        or not np.isfinite(both).all()
        or np.abs(both).max() > LARGE
        or not np.ptp(both, 1).all()
    ):
        return math.nan
    return without_noise(float(np.corrcoef(both)[0, 1]), 1.0)


def _difference(value: float, other: float, size: float = 0.0) -> float:
    """Return ``value - other``, or 0 if they differ only by rounding in the order of summation.

    Args:
        value, other: two scores.
        size: usual size of such scores: beside 0.5, 1e-18 and 0 are the same.
    """
    # an accuracy summed batch by batch in another order must not count as a difference with a sign
    is_same = math.isfinite(value) and math.isclose(value, other, rel_tol=NOISE, abs_tol=NOISE * size)
    return 0.0 if is_same else value - other


def _interval(mean: float, half: float) -> tuple[float, float]:
    """Return the ends of an interval; one that is 0 but for rounding is 0."""
    return without_noise(mean - half, half), without_noise(mean + half, half)


def _leaves_out_zero(mean: float, half: float) -> bool:
    # the same tolerance as that of the ends: the verdict and the interval must never disagree
    return abs(mean) - half > NOISE * half


def grid_step(scores: Sequence[float]) -> float:
    """Return the step of the coarsest grid on which all scores lie; 0 if there is none of ``MAX_GRID`` steps per unit.

    A share of N examples lies on multiples of 1 / N, a figure rounded to three digits on multiples of 0.001.

    >>> grid_step([0.92, 0.88, 0.96]), grid_step([0.9231, 0.8812, 1 / 3])
    (0.04, 0.0)
    """
    values = np.unique(np.asarray(scores, dtype=float))
    # two values or fewer lie on some grid by chance
    if len(values) < 2 or not np.isfinite(values).all() or np.abs(values).max() > 1e4:
        return 0.0
    # the finest grid has nothing but 0 here: a loss of 1e-8 is no share
    if np.abs(values).max() < 0.5 / MAX_GRID:
        return 0.0
    counts = np.arange(1, MAX_GRID + 1)
    steps = values[:, None] * counts
    # 1e-6 of a unit: shares are often computed in single precision
    is_near = np.abs(steps - np.round(steps)) <= 1e-6 * np.maximum(1, np.abs(values))[:, None] * counts
    found = np.flatnonzero(is_near.all(axis=0))
    if not len(found) or _is_near_by_chance(values, counts[: found[0] + 1]):
        return 0.0
    return 1 / float(counts[found[0]])


def _is_near_by_chance(values: np.ndarray, counts: np.ndarray) -> bool:
    """Return whether values that are no shares would also lie on one of these grids if they were any numbers.

    Every number is close to a fraction: 3.14159 to 355 / 113. Shares are left out, since a grid is known to be theirs.
    """
    # 3.14159 and 4.14159 lie on the same grids
    fractions = np.unique(np.round(np.mod(values, 1.0), 6))
    fractions = fractions[(fractions > 1e-6) & (fractions < 1 - 1e-6)]
    if not len(fractions) or (values.min() >= 0 and values.max() <= 1):
        return False
    # by chance a number lies within the tolerance of the grid of N steps with this probability
    near = np.minimum(1.0, 2e-6 * max(1.0, float(np.abs(values).max())) * counts)
    return float((near ** len(fractions)).sum()) > MAX_CHANCE


def mean_and_half_width(d: np.ndarray, level: float, step: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return means over the last axis, and half the widths of their Student intervals.

    Args:
        d: differences, (..., n); every study in one call.
        level: of each interval.
        step: of the grid on which scores lie, 0 for none.
    """
    from scipy.special import stdtrit

    n = d.shape[-1]
    spread = np.maximum(d.std(axis=-1, ddof=1), MIN_SPREAD * step)
    return d.mean(axis=-1), stdtrit(n - 1, 1 - level / 2) * spread / math.sqrt(n)


def _spread(d: np.ndarray, step: float) -> float:
    """Return the spread of differences, NaN if it is zero without a grid that would explain it."""
    if len(d) < 2 or not np.isfinite(d).all() or (not step and _has_no_spread(d)):
        return math.nan
    return max(_deviation(d), MIN_SPREAD * step)


def _compare(
    name: str,
    d: np.ndarray,
    step: float,
    level: float,
    correlation: float,
    margin: float,
    *,
    sign: int,
    overlap: float,
    unit: str,
) -> ArmComparison:
    found = _judge(d, step, level, overlap)
    better = None if found.direction == 0 else found.direction == sign
    is_equivalent = bool(margin > 0 and abs(found.mean) + found.half < margin)
    # ties count half, so that an arm equal to the base improves on it in 50 % of seeds and not in none
    improvement = float(np.mean(np.where(d == 0, 0.5, sign * d > 0))) if len(d) else math.nan
    return ArmComparison(
        name,
        len(d),
        found.mean,
        *_interval(found.mean, found.half),
        found.p,
        sidak(found.p, level),
        sign_flip_p(d),
        improvement,
        found.detectable,
        None if is_equivalent else better,
        _verdict(d, found, sign, margin, is_equivalent=is_equivalent, unit=unit),
        is_equivalent,
        correlation,
        _exaggeration_if_half(found, len(d), level),
        found.test,
    )


@attrs.frozen
class _Judged:
    """Differences with their interval.

    Attributes:
        mean: of the differences.
        half: half the width of the interval; NaN if there is none.
        spread: of the differences; NaN without one.
        p: two-sided, not corrected.
        test: that gave ``p``; empty without one.
        detectable: difference that is shown with 80 % probability.
        direction: 1 or -1 if the differences are shown to have that sign, else 0.
    """

    mean: float
    half: float
    spread: float
    p: float
    test: str
    detectable: float
    direction: int


def _judge(d: np.ndarray, step: float, level: float, overlap: float = 0.0) -> _Judged:
    mean = without_noise(_mean(d), float(np.abs(d).max(initial=0.0)))
    spread, n = _spread(d, step), len(d)
    if math.isnan(spread):
        p, test = (sign_flip_p(d), SIGN_FLIP) if _can_be_tested(d) else (math.nan, "")
        is_shown = n >= MIN_SEEDS and p < level
        half = 0.0 if n >= MIN_SEEDS and _can_be_tested(d) and not d.any() else math.nan
        return _Judged(mean, half, spread, p, test, math.nan, int(np.sign(mean)) if is_shown else 0)
    from scipy.special import nctdtrinc, stdtr, stdtrit

    # no p-value where there is no interval: the two must never disagree
    if n < MIN_SEEDS:
        return _Judged(mean, math.nan, spread, math.nan, "", math.nan, 0)
    error = spread * math.sqrt(1 / n + overlap)
    p = float(2 * stdtr(n - 1, -abs(mean) / error))
    critical = float(stdtrit(n - 1, 1 - level / 2))
    half = critical * error
    # the noncentral t above the critical value has 80 % of its mass there; the other tail is negligible
    detectable = float(nctdtrinc(n - 1, 1 - POWER, critical)) * error if d.any() else math.nan
    direction = int(np.sign(mean)) if _leaves_out_zero(mean, half) else 0
    return _Judged(mean, half, spread, p, PAIRED_T, detectable, direction)


def _has_no_spread(d: np.ndarray) -> bool:
    """Return whether differences are equal but for rounding: metrics in single precision, counts of few examples."""
    largest = float(np.abs(d).max())
    # 1e-5 is above float32 rounding (6e-8 per operation) and below any spread that seeds cause in practice
    return not largest or float(np.ptp(d / largest)) <= 1e-5


def _exaggeration_if_half(found: _Judged, n: int, level: float) -> float:
    if not found.direction or not found.spread > 0:
        return math.nan
    return exaggeration(abs(found.mean) / found.spread / 2, n, level)


def exaggeration(effect: float, n: int, level: float = LEVEL) -> float:
    """Return the mean absolute difference of studies that get a verdict, over the true one (type M error).

    Gelman & Carlin 2014, "Beyond power calculations", with the spread estimated as in Student's test. For a true
    difference of half a deviation, verdicts from 3 seeds show 2.2 times as much.

    Args:
        effect: true difference in deviations of the paired differences, above 0.
        n: seeds, at least 2.
        level: of the interval.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    # the mean over 2,000 equally likely values of the estimated spread
    shares = (np.arange(2000) + 0.5) / 2000
    bound = float(stdtrit(n - 1, 1 - level / 2)) * np.sqrt(chdtri(n - 1, shares) / (n - 1))
    center = effect * math.sqrt(n)
    above, below = ndtr(center - bound), ndtr(-center - bound)

    densities = np.exp(-((bound - center) ** 2) / 2) + np.exp(-((bound + center) ** 2) / 2)
    sizes = center * (above - below) + densities / math.sqrt(2 * math.pi)
    return float(sizes.sum() / (above + below).sum() / center)


def sign_flip_p(d: np.ndarray) -> float:
    """Return the p of the exact two-sided sign-flip test of a zero mean: the share of sign patterns as extreme.

    All 2^n patterns are counted up to n = 16; beyond, 2^16 patterns drawn with a fixed seed, and fewer
    for more than 256 seeds.
    """
    if len(d) == 0 or not np.isfinite(d).all():
        return math.nan
    # scaled to 1, so that the tolerance below is relative and sums cannot overflow
    d = d / (np.abs(d).max() or 1.0)
    sums = np.abs(_sign_patterns(len(d)) @ d)
    # the observed pattern itself must count: matmul and sum round differently
    return float(np.mean(sums >= abs(d.sum()) - 1e-12 * (1 + abs(d).sum())))


@lru_cache(maxsize=4)
def _sign_patterns(n: int) -> np.ndarray:
    if n <= 16:
        # 2^16 patterns of 16 signs take 8 MB; exact is better than sampled as long as it is that small
        return np.array(list(itertools.product((1, -1), repeat=n)))
    # memory stays below 130 MB however many seeds there are
    count = 2**16 if n <= 256 else max(2**10, 2**24 // n)
    # a fixed seed: the same scores must give the same p in every report
    return np.random.default_rng(0).choice((1, -1), size=(count, n))


def _verdict(d: np.ndarray, found: _Judged, sign: int, margin: float, *, is_equivalent: bool, unit: str) -> str:
    n = len(d)
    if n == 0:
        return f"no {unit} in which both this arm and the base finished"
    reason = _no_verdict(d, unit)
    if reason:
        return reason
    if not d.any():
        same = f"the same score in every one of {n} {unit}s"
        return f"equivalent within ± {margin:g}: {same}" if is_equivalent else f"no difference: {same}"
    if n < MIN_SEEDS:
        return f"two {unit}s: no verdict"
    if is_equivalent:
        return f"equivalent within ± {margin:g}: {found.mean:+.3g} ± {found.half:.2g}"
    word = "better" if found.direction == sign else "worse"
    if math.isnan(found.spread):
        if not found.direction:
            return f"the same difference in every one of {n} {unit}s ({found.mean:+.3g}): too few for a verdict"
        return f"{word} by {abs(found.mean):.3g} in every one of {n} {unit}s"
    if not found.direction:
        return f"{'undecided' if margin else 'no difference shown'}: {_power_text(found.detectable, n, unit)}"
    agreeing = int(np.sum(found.direction * d > 0))
    return f"{word} by {abs(found.mean):.3g} ± {found.half:.2g} ({agreeing} of {n} {unit}s)"


def _no_verdict(d: np.ndarray, unit: str) -> str:
    if not np.isfinite(d).all():
        return "a score is not finite: nothing can be concluded"
    return f"one {unit}: nothing can be concluded" if len(d) == 1 else ""


def _power_text(detectable: float, n: int, unit: str) -> str:
    return f"{n} {unit}s would show one of {detectable:.3g} in 4 of 5 studies"


@attrs.frozen
class Effect:
    """Main effect of a level over all levels of the other factors, or the interaction of two levels.

    Attributes:
        name: ``additive``, or ``bidirectional × additive`` for an interaction.
        levels: the level, or the two levels of an interaction.
        n: seeds in which every cell finished.
        effect: mean over seeds; of an interaction, the difference of differences.
        low, high: interval, as in ``ArmComparison``; NaN with fewer than three seeds.
        p: of ``test``, two-sided.
        p_corrected: after Šidák's correction over all effects, and whatever is compared beside them.
        detectable: the absolute effect that is shown with 80 % probability, as in ``ArmComparison``.
        verdict: one plain sentence; of an interaction, whether the two add up.
        test: that ``p`` is from, as in ``ArmComparison``.
        paired_by: what the runs that are compared share, as in ``ArmComparison``.
    """

    name: str
    levels: tuple[str, ...]
    n: int
    effect: float
    low: float
    high: float
    p: float
    p_corrected: float
    detectable: float
    verdict: str
    test: str = ""
    paired_by: str = SEED

    @property
    def unit(self) -> str:
        """The name of what is counted: seed, or fold."""
        return _unit(self.paired_by)

    @property
    def is_interaction(self) -> bool:
        """True for an interaction."""
        return len(self.levels) > 1


def factorial_effects(
    cells: Mapping[str, Mapping[str, str]],
    scores: Mapping[str, Mapping[int, float]],
    *,
    higher_is_better: bool,
    further: int = 0,
    looks: Looks = (),
    overlap: float = 0.0,
    paired_by: str = SEED,
) -> list[Effect]:
    """Return main effects and two-way interactions of a factorial study, paired by seed.

    Each factor's first level is the one that the others are compared with. A main effect is averaged over the cells of
    the other factors; so is the interaction of two levels, ``(both - first alone) - (second alone - neither)``.

    Args:
        cells: arm → factor → level, the arms of the whole grid.
        scores: arm → seed → score.
        higher_is_better: the direction of the metric.
        further: comparisons beside these with which the intervals hold together, such as those of the arms.
        looks, overlap, paired_by: as in ``compare_pairs``.
    """
    levels = {f: list(dict.fromkeys(cell[f] for cell in cells.values())) for f in next(iter(cells.values()), {})}
    # only seeds that every cell finished: a missing cell would unbalance the contrast
    seeds = [seed for seed in next(iter(scores.values()), {}) if all(seed in scores.get(arm, {}) for arm in cells)]
    table = {tuple(cell[f] for f in levels): np.array([scores[arm][s] for s in seeds]) for arm, cell in cells.items()}
    contrasts = _contrasts(levels)
    values = {name: _contrast(table, signs) for name, signs in contrasts.items()}
    grid = grid_step([value for column in table.values() for value in column])
    level = level_of_look(single_level(len(values) + further), looks, len(seeds))
    sign = 1 if higher_is_better else -1
    return [
        # a contrast sums 2^k cells for every one of their means: averaging makes its grid finer
        _effect(name, signs, _judge(d, grid * _refinement(levels, signs), level, overlap), d, level, sign, paired_by)
        for (name, signs), d in zip(contrasts.items(), values.values(), strict=True)
    ]


def _refinement(levels: Mapping[str, Sequence[str]], signs: Signs) -> float:
    """Return the spread of a contrast over that of a difference of two cells, if cells vary independently."""
    averaged = math.prod(len(names) for i, names in enumerate(levels.values()) if i not in signs)
    return math.sqrt(2 ** (len(signs) - 1) / averaged)


def number_of_effects(cells: Mapping[str, Mapping[str, str]]) -> int:
    """Return the number of main effects and interactions that a grid has."""
    levels = {f: list(dict.fromkeys(cell[f] for cell in cells.values())) for f in next(iter(cells.values()), {})}
    return len(_contrasts(levels))


Signs = Mapping[int, tuple[str, str]]
"""Position of a factor → (its first level, the level compared with it)."""


def _contrasts(levels: Mapping[str, Sequence[str]]) -> dict[str, Signs]:
    mains = {(i, other): {i: (names[0], other)} for i, names in enumerate(levels.values()) for other in names[1:]}
    found: dict[str, Signs] = {other: signs for (_, other), signs in mains.items()}
    for (i, one), (j, other) in itertools.combinations(mains, 2):
        if i != j:
            found[f"{one} × {other}"] = {**mains[i, one], **mains[j, other]}
    return found


def _contrast(table: Mapping[tuple[str, ...], np.ndarray], signs: Signs) -> np.ndarray:
    """Return, per seed, the mean over the other factors of the signed sum over the levels in question.

    NaN where a cell is so large, as one that diverged is, that the digits of the others are lost beside it.
    """
    signed = [
        math.prod(1 if cell[i] == pair[1] else -1 for i, pair in signs.items()) * values
        for cell, values in table.items()
        if all(cell[i] in pair for i, pair in signs.items())
    ]
    # each contrast sums 2^k signed cells; dividing by the rest averages over the other factors
    averaged = len(signed) / 2 ** len(signs)
    return np.array([_signed_sum(column) / averaged for column in zip(*signed, strict=True)], dtype=float)


def _signed_sum(values: Sequence[float]) -> float:
    """Return a sum in which what is nothing but rounding has no sign, and what is lost in rounding no value.

    >>> _signed_sum([0.3, -0.1, -0.2]), _signed_sum([2.0, -1.0, 1e34, -1e34])
    (0.0, nan)
    """
    if not all(map(math.isfinite, values)):
        return math.nan
    total = math.fsum(values)
    rounding = len(values) * sys.float_info.epsilon * math.fsum(map(abs, values))
    if abs(total) > rounding:
        return total
    # a true difference of a millionth of such a small value would not be seen
    is_lost = any(0 < abs(value) < 1e6 * rounding for value in values)
    return math.nan if is_lost else 0.0


def _effect(name: str, signs: Signs, found: _Judged, d: np.ndarray, level: float, sign: int, paired_by: str) -> Effect:
    levels = tuple(other for _, other in signs.values())
    corrected = sidak(found.p, level)
    low, high = _interval(found.mean, found.half)
    verdict = _effect_verdict(d, levels, found, sign, _unit(paired_by))
    numbers = (len(d), found.mean, low, high, found.p, corrected, found.detectable)
    return Effect(name, levels, *numbers, verdict, found.test, paired_by)


def _effect_verdict(d: np.ndarray, levels: Sequence[str], found: _Judged, sign: int, unit: str) -> str:
    n, together = len(d), len(levels) > 1
    if n == 0:
        return f"no {unit} in which every cell finished"
    reason = _no_verdict(d, unit)
    if reason:
        return "a score is not finite, or so large that others are lost beside it" if np.isnan(d).any() else reason
    if not d.any():
        return f"{'they add up exactly' if together else 'no effect'}: the same in every one of {n} {unit}s"
    if n < MIN_SEEDS:
        return f"two {unit}s: no verdict"
    if not found.direction:
        if math.isnan(found.spread):
            return f"the same effect in every one of {n} {unit}s ({found.mean:+.3g}): too few for a verdict"
        return f"no {'interaction' if together else 'effect'} shown: {_power_text(found.detectable, n, unit)}"
    size = f"by {abs(found.mean):.3g}" + ("" if math.isnan(found.half) else f" ± {found.half:.2g}")
    better = "better" if found.direction == sign else "worse"
    return f"they do not just add up: together {better} than their sum {size}" if together else f"{better} {size}"
