"""Comparison of arms, paired by seed.

The primary metric of every arm is compared with the base's, seed by seed. The verdict comes from the paired t-test and
its 95 % interval, with p-values corrected for the number of arms (Holm 1979). Also reported are the exact sign-flip p,
which cannot fall below 0.25 with three seeds, the probability that the arm improves on the base, and the smallest
detectable difference. If all differences are equal, as may happen with accuracies on few examples, the t-test has no
spread and the sign-flip p decides. Two seeds give no verdict.

Coverage of the 95 % interval for 3, 5 and 10 seeds, from a million simulated studies each: 95.0 % for normal
differences; 88, 88 and 90 % for exponential ones (skewness 2: an occasional bad run); 84, 82 and 84 % for log-normal
ones (skewness 6). Differences between two arms with the same skewness are symmetric. Without a true difference, at most
5 % of studies with four arms call any arm better or worse.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import attrs
import numpy as np

__all__ = ["ArmComparison", "Effect", "Summary", "compare_arms", "compare_steps", "factorial_effects", "summarize"]

LEVEL = 0.05
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
        low, high: 95 % interval of the difference; NaN with fewer than two seeds.
        p: paired t-test, two-sided.
        p_corrected: after Holm's correction over the arms of the study.
        p_sign_flip: exact sign-flip test, two-sided.
        improvement: share of seeds in which the arm is better, ties counting half.
        detectable: the smallest absolute difference that this spread and this many seeds could have shown, at the level
            at which Holm's procedure tests this arm; NaN for two seeds and for differences without a spread.
        is_better: True, False, or None where nothing was shown.
        verdict: one plain sentence.
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


def summarize(values: Sequence[float]) -> Summary:
    """Return count, mean and sample standard deviation of the values that are finite."""
    array = np.asarray(values, dtype=float)
    finite = array[np.isfinite(array)]
    if len(finite) > 1 and (finite == finite[0]).all():
        # the mean of equal numbers may differ from them in the last digit, which would look like a spread
        return Summary(len(finite), float(finite[0]), 0.0, len(array) - len(finite))
    return Summary(len(finite), _mean(finite), _deviation(finite), len(array) - len(finite))


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
    base: Mapping[int, float],
    arms: Mapping[str, Mapping[int, float]],
    *,
    higher_is_better: bool,
    refused: Mapping[str, str] | None = None,
) -> list[ArmComparison]:
    """Compare every arm with the base, paired by seed.

    Args:
        base: seed → score.
        arms: arm → seed → score.
        higher_is_better: the direction of the metric.
        refused: arm → why it is not compared; it takes no part in the correction for the number of arms.
    """
    return _compared({name: _paired(base, values) for name, values in arms.items()}, higher_is_better, refused or {})


def compare_steps(
    arms: Mapping[str, Mapping[int, float]], *, higher_is_better: bool, refused: Mapping[str, str] | None = None
) -> list[ArmComparison]:
    """Compare every arm but the first with the one before it, paired by seed: what does each step of a ladder bring?

    Args:
        arms: arm → seed → score, in their order.
        higher_is_better: the direction of the metric.
        refused: as in ``compare_arms``.
    """
    steps = itertools.pairwise(arms.items())
    differences = {name: _paired(before, values) for (_, before), (name, values) in steps}
    return _compared(differences, higher_is_better, refused or {})


def _compared(
    differences: Mapping[str, np.ndarray], higher_is_better: bool, refused: Mapping[str, str]
) -> list[ArmComparison]:
    # refused arms are not tested, so they must not make Holm's correction stricter for the others
    raw = {name: _p_value(d) for name, d in differences.items() if name not in refused}
    corrected = holm(raw)
    return [
        _refuse(name, len(differences[name]), refused[name])
        if name in refused
        else _compare(name, differences[name], raw[name], corrected[name], _level(name, raw), higher_is_better)
        for name in differences
    ]


def _refuse(name: str, n: int, why: str) -> ArmComparison:
    nothing = (math.nan,) * 8
    return ArmComparison(name, n, *nothing, is_better=None, verdict=why)


def _level(name: str, p_values: Mapping[str, float]) -> float:
    """Return the level at which Holm's procedure tests an arm: 0.05 / the number of p-values at least as large."""
    return LEVEL / max(1, sum(p >= p_values[name] for p in p_values.values()))


def _paired(base: Mapping[int, float], arm: Mapping[int, float]) -> np.ndarray:
    return np.array([_difference(arm[seed], base[seed]) for seed in base if seed in arm], dtype=float)


def _difference(value: float, other: float) -> float:
    """Return ``value - other``, or 0 if they differ only by rounding in the order of summation."""
    # 1e-12: an accuracy summed batch by batch in another order must not count as a difference with a sign
    return 0.0 if math.isfinite(value) and math.isclose(value, other, rel_tol=1e-12) else value - other


def _compare(
    name: str, d: np.ndarray, p: float, p_corrected: float, level: float, higher_is_better: bool
) -> ArmComparison:
    mean = _mean(d)
    half = _half_width(d, LEVEL)
    sign = 1 if higher_is_better else -1
    # with two seeds the t-test has one degree of freedom; normality, which cannot be checked, would decide everything
    shown = p_corrected < LEVEL and len(d) > 2
    is_better = (sign * mean > 0) if shown else None
    # ties count half, so that an arm equal to the base improves on it in 50 % of seeds and not in none
    improvement = float(np.mean(np.where(d == 0, 0.5, sign * d > 0))) if len(d) else math.nan
    detectable = _detectable(d, level)
    verdict = _verdict(d, mean, half, detectable, is_better, sign)
    return ArmComparison(
        name,
        len(d),
        mean,
        mean - half,
        mean + half,
        p,
        p_corrected,
        sign_flip_p(d),
        improvement,
        detectable,
        is_better,
        verdict,
    )


def _p_value(d: np.ndarray) -> float:
    """Return the two-sided p of the paired t-test, or of the exact sign-flip test if the spread is zero."""
    if len(d) < 2 or not np.isfinite(d).all():
        return math.nan
    if _has_no_spread(d):
        return sign_flip_p(d)
    # Student's t from scipy.special: importing scipy.stats takes half a second
    from scipy.special import stdtr

    return float(2 * stdtr(len(d) - 1, -abs(_mean(d)) / (_deviation(d) / math.sqrt(len(d)))))


def _has_no_spread(d: np.ndarray) -> bool:
    """Return whether differences are equal but for rounding: metrics in single precision, counts of few examples."""
    largest = float(np.abs(d).max())
    # 1e-5 is above float32 rounding (6e-8 per operation) and below any spread that seeds cause in practice
    return not largest or float(np.ptp(d / largest)) <= 1e-5


def _half_width(d: np.ndarray, level: float) -> float:
    """Return half the width of the interval of the mean at ``1 - level``; NaN if the differences have no spread."""
    if len(d) < 2 or not np.isfinite(d).all() or (_has_no_spread(d) and d.any()):
        return math.nan
    from scipy.special import stdtrit

    return float(stdtrit(len(d) - 1, 1 - level / 2)) * _deviation(d) / math.sqrt(len(d))


def _detectable(d: np.ndarray, level: float) -> float:
    """Return the smallest mean difference that would be significant; NaN without a spread or with two seeds."""
    return _half_width(d, level) if len(d) > 2 and d.any() else math.nan


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values after Holm's step-down correction (Holm 1979); NaN stays NaN and is not counted.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    known = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    corrected = dict.fromkeys(p_values, math.nan)
    largest = 0.0
    for rank, (p, name) in enumerate(known):
        # the running maximum keeps corrected p-values in the order of the raw ones
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[name] = largest
    return corrected


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


def _verdict(d: np.ndarray, mean: float, half: float, detectable: float, is_better: bool | None, sign: int) -> str:
    n = len(d)
    if n == 0:
        return "no seed in common with the base"
    if not np.isfinite(d).all():
        return "a score is not finite: nothing can be concluded"
    if n == 1:
        return "one seed: nothing can be concluded"
    if not d.any():
        return f"no difference: the same score in every one of {n} seeds"
    if n == 2:
        return "two seeds: no verdict"
    if _has_no_spread(d):
        if is_better is None:
            return (
                f"the same difference in every one of {n} seeds ({mean:+.3g}): too few for a verdict without a spread"
            )
        return f"{'better' if is_better else 'worse'} by {abs(mean):.3g} in every one of {n} seeds"
    if is_better is None:
        return f"no difference that {n} seeds could show (≥ {detectable:.3g} needed)"
    agreeing = int(np.sum(sign * d > 0)) if is_better else int(np.sum(sign * d < 0))
    return f"{'better' if is_better else 'worse'} by {abs(mean):.3g} ± {half:.2g} ({agreeing} of {n} seeds)"


@attrs.frozen
class Effect:
    """Main effect of a level over all levels of the other factors, or the interaction of two levels.

    Attributes:
        name: ``additive``, or ``bidirectional × additive`` for an interaction.
        levels: the level, or the two levels of an interaction.
        n: seeds in which every cell finished.
        effect: mean over seeds; of an interaction, the difference of differences.
        low, high: 95 % interval; NaN with fewer than two seeds.
        p: t-test over seeds, two-sided.
        p_corrected: after Holm's correction over all effects of the study.
        detectable: the smallest absolute effect that this spread and this many seeds could have shown, as in
            ``ArmComparison``.
        verdict: one plain sentence; of an interaction, whether the two add up.
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

    @property
    def is_interaction(self) -> bool:
        """True for an interaction."""
        return len(self.levels) > 1


def factorial_effects(
    cells: Mapping[str, Mapping[str, str]], scores: Mapping[str, Mapping[int, float]], *, higher_is_better: bool
) -> list[Effect]:
    """Return main effects and two-way interactions of a factorial study, paired by seed.

    Each factor's first level is the one that the others are compared with. A main effect is averaged over the cells of
    the other factors; so is the interaction of two levels, ``(both - first alone) - (second alone - neither)``.

    Args:
        cells: arm → factor → level, the arms of the whole grid.
        scores: arm → seed → score.
        higher_is_better: the direction of the metric.
    """
    levels = {f: list(dict.fromkeys(cell[f] for cell in cells.values())) for f in next(iter(cells.values()), {})}
    # only seeds that every cell finished: a missing cell would unbalance the contrast
    seeds = [seed for seed in next(iter(scores.values()), {}) if all(seed in scores.get(arm, {}) for arm in cells)]
    table = {tuple(cell[f] for f in levels): np.array([scores[arm][s] for s in seeds]) for arm, cell in cells.items()}
    contrasts = _contrasts(levels)
    values = {name: _contrast(table, signs) for name, signs in contrasts.items()}
    raw = {name: _p_value(d) for name, d in values.items()}
    corrected = holm(raw)
    sign = 1 if higher_is_better else -1
    return [
        _effect(name, signs, values[name], corrected[name], _detectable(values[name], _level(name, raw)), sign)
        for name, signs in contrasts.items()
    ]


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
    """Return, per seed, the mean over the other factors of the signed sum over the levels in question."""
    total, count = np.zeros(0), 0
    for cell, values in table.items():
        if all(cell[i] in pair for i, pair in signs.items()):
            sign = math.prod(1 if cell[i] == pair[1] else -1 for i, pair in signs.items())
            total = sign * values if count == 0 else total + sign * values
            count += 1
    # each contrast sums 2^k signed cells; dividing by the rest averages over the other factors
    mean: np.ndarray = total / (count / 2 ** len(signs))
    return mean


def _effect(name: str, signs: Signs, d: np.ndarray, p_corrected: float, detectable: float, sign: int) -> Effect:
    mean, half = _mean(d), _half_width(d, LEVEL)
    levels = tuple(level for _, level in signs.values())
    verdict = _effect_verdict(d, levels, half, detectable, p_corrected < LEVEL, sign)
    return Effect(name, levels, len(d), mean, mean - half, mean + half, _p_value(d), p_corrected, detectable, verdict)


def _effect_verdict(
    d: np.ndarray, levels: Sequence[str], half: float, detectable: float, is_shown: bool, sign: int
) -> str:
    n, together = len(d), len(levels) > 1
    if n == 0:
        return "no seed in which every cell finished"
    if not np.isfinite(d).all():
        return "a score is not finite: nothing can be concluded"
    if n == 1:
        return "one seed: nothing can be concluded"
    if not d.any():
        return f"{'they add up exactly' if together else 'no effect'}: the same in every one of {n} seeds"
    if n == 2:
        return "two seeds: no verdict"
    if _has_no_spread(d) and not is_shown:
        return f"the same effect in every one of {n} seeds ({_mean(d):+.3g}): too few for a verdict without a spread"
    if not is_shown:
        return f"no {'interaction' if together else 'effect'} that {n} seeds could show (≥ {detectable:.3g} needed)"
    size = f"by {abs(_mean(d)):.3g}" + ("" if math.isnan(half) else f" ± {half:.2g}")
    better = "better" if sign * _mean(d) > 0 else "worse"
    return f"they do not just add up: together {better} than their sum {size}" if together else f"{better} {size}"
