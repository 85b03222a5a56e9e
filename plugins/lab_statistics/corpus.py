"""Scores of whole corpora, such as BLEU, compared by resampling sentences: paired bootstrap, approximate randomization.

The score of a corpus is no mean over its sentences, but a function of counts that are summed over them. Runs keep the
counts of every sentence (``lab_statistics.examples``), so corpora can be drawn again without the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lab.study.compare import LEVEL
from lab_statistics.examples import jackknife_values

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog

__all__ = ["ScoreOfSums", "jackknife_differences", "randomization_p", "resampled_interval", "scores_of_sums"]

RESAMPLES = 2_000
TRIALS = 10_000
PART = 100
"""Resamples at a time: 10,000 of 10,000 sentences would take 800 MB."""

ScoreOfSums = Callable[[np.ndarray], np.ndarray]
"""Sums of counts (..., counts) -> scores (...)."""


def scores_of_sums(names: Sequence[str], catalog: Catalog) -> dict[str, ScoreOfSums]:
    """Return metric → the function that computes it from summed counts, of those that are registered and have one."""
    from lab.registry.component import use
    from lab.registry.resolve import follow_presets

    registry = catalog.registry("metrics")
    found = {}
    for name in names:
        # a metric of a study's own file is not registered
        if registry.candidates(name):
            score = getattr(follow_presets(registry, use(name))[0].load(), "score_of_statistics", None)
            if score is not None:
                found[name] = score
    return found


def jackknife_differences(base: np.ndarray, arm: np.ndarray, score: ScoreOfSums) -> np.ndarray:
    """Return the parts of single sentences in the difference of two corpora, of each seed.

    Args:
        base, arm: counts.
        score: of summed counts.

    Shapes:
        base, arm (seeds, sentences, counts) -> (seeds, sentences)
    """
    pairs = zip(base, arm, strict=True)
    return np.stack([jackknife_values(other, score) - jackknife_values(one, score) for one, other in pairs])


def resampled_interval(
    base: np.ndarray, arm: np.ndarray, score: ScoreOfSums, level: float = LEVEL, *, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the percentile interval of the difference of two corpora, averaged over seeds.

    Paired bootstrap (Koehn 2004, EMNLP): sentences are drawn with replacement, the same for both arms and all seeds, so
    the interval is about sentences alone. The random numbers are fixed: the same counts give the same interval.

    Args:
        base, arm: counts.
        score: of summed counts.
        level: of the interval.
        resamples: how many.

    Shapes:
        base, arm (seeds, sentences, counts)
    """
    drawn = resampled_differences(base, arm, score, resamples)
    low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
    return float(low), float(high)


def resampled_differences(base: np.ndarray, arm: np.ndarray, score: ScoreOfSums, resamples: int) -> np.ndarray:
    """Return the difference of both corpora in every resample, the mean over seeds, (resamples,)."""
    rng = np.random.default_rng(0)
    count = base.shape[1]
    shares = np.full(count, 1 / count)
    parts = []
    for size in _parts(resamples):
        # how often each sentence was drawn, instead of copies of its counts
        times = rng.multinomial(count, shares, size=size).astype(float)
        parts.append((_scores(times, arm, score) - _scores(times, base, score)).mean(axis=0))
    return np.concatenate(parts)


def randomization_p(base: np.ndarray, arm: np.ndarray, score: ScoreOfSums, *, trials: int = TRIALS) -> float:
    """Return the two-sided p of approximate randomization, for one run of each arm.

    Noreen 1989; for translations Riezler & Maxwell 2005 (ACL workshop). If the arms were alike, any sentence's two
    translations might have changed places; p is the share of such exchanges whose corpora differ at least as much as
    the real ones. As in sacrebleu, the real corpora count as one of them.

    Args:
        base, arm: counts.
        score: of summed counts.
        trials: how many exchanges.

    Shapes:
        base, arm (sentences, counts)
    """
    rng = np.random.default_rng(0)
    whole = base.sum(axis=0) + arm.sum(axis=0)
    real = abs(float(score(arm.sum(axis=0)) - score(base.sum(axis=0))))
    above = 0
    for size in _parts(trials):
        swapped = rng.integers(2, size=(size, base.shape[0])).astype(float)
        first = swapped @ arm + (1 - swapped) @ base
        one, other = score(first), score(whole - first)
        # equal corpora have p = 1; sacrebleu, which asks for more than the real difference, gives them 1 / (trials + 1)
        above += int((np.abs(one - other) >= real - 1e-9).sum())
    return (above + 1) / (trials + 1)


def _scores(times: np.ndarray, counts: np.ndarray, score: ScoreOfSums) -> np.ndarray:
    """Return the score of each seed in each resample: times (R, N), counts (S, N, k) -> (S, R)."""
    return np.stack([score(times @ each) for each in counts])


def _parts(count: int) -> Iterator[int]:
    for start in range(0, count, PART):
        yield min(PART, count - start)
