"""Group-sequential studies: a look after every seed, with arms that leave once they are decided.

Looking repeatedly at level 0.05 is wrong too often: after each of 3 to 10 seeds, in 16 % of studies without a true
difference. Here every look has the same smaller level (Pocock 1977, *Biometrika* 64), chosen so that all looks together
have 5 %. The statistics of all looks are those of one growing sample, whose joint null distribution for normal
differences depends on nothing that is unknown. So the level is found by simulation, for Student's t and few seeds, for
which tables of large samples would be too liberal. Levels that grow with the number of seeds (Wang & Tsiatis 1987) were
simulated too: they find small differences a little more often and save fewer runs where a difference is large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from lab.errors import StudyError
from lab.study.checks import number_problems
from lab.study.compare import LEVEL, MIN_SEEDS, single_level

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.study import Arm, Study

__all__ = ["UntilDecided", "look_level", "next_arms", "p_values_of_looks", "saved_runs", "until_decided"]

RULE = "until_decided"
STUDIES = 200_000
"""Simulated studies behind a level; its relative error is 1 % at 0.05 and 10 % at 0.001."""

MAX_SEEDS = 200
FAMILIES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 40, 60)
"""Numbers of comparisons for which levels are kept; others are interpolated."""


@attrs.frozen
class UntilDecided:
    """Rule of seeds: go on until every arm is decided.

    Attributes:
        smallest: seeds before the first look.
        largest: seeds at the last look.
        alpha: probability of any wrong verdict over all looks and arms.
        step: seeds between two looks.
    """

    smallest: int = 3
    largest: int = 20
    alpha: float = LEVEL
    step: int = 1

    def __attrs_post_init__(self) -> None:
        problems = number_problems("smallest of until_decided", self.smallest, smallest=MIN_SEEDS)
        problems += number_problems("step of until_decided", self.step, smallest=1)
        problems += number_problems("largest of until_decided", self.largest, smallest=1, largest=MAX_SEEDS)
        if not problems and self.largest <= self.smallest:
            problems.append(f"until_decided: largest must be above smallest ({self.smallest}), not {self.largest}")
        if not isinstance(self.alpha, (int, float)) or not 0 < self.alpha < 0.5:
            problems.append(f"until_decided: alpha is a probability between 0 and 0.5, not {self.alpha!r}")
        if problems:
            raise StudyError(problems)

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which results are looked at."""
        return tuple(sorted({*range(self.smallest, self.largest, self.step), self.largest}))

    @property
    def first(self) -> list[int]:
        """Seeds of the first round."""
        return list(range(self.smallest))

    @property
    def rule(self) -> dict[str, Any]:
        """Plain values for the record: the rule, and the levels of single looks for families of many sizes."""
        shares = [-math.expm1(math.log1p(-self.alpha) / count) for count in FAMILIES]
        pairs = zip(FAMILIES, shares, strict=True)
        # six digits: the same in every record, whatever the order in which a machine sums
        levels = [
            [float(f"{level:.6g}") for level in (single_level(count), look_level(self.looks, share))]
            for count, share in pairs
        ]
        return {"name": RULE, **attrs.asdict(self), "levels": sorted(levels)}


def until_decided(*, smallest: int = 3, largest: int = 20, alpha: float = LEVEL, step: int = 1) -> UntilDecided:
    """Return a rule for ``Study(seeds=...)``: train seed after seed until every arm is decided.

    An arm that is better, worse or (with ``Study(margin=...)``) equivalent leaves and costs no further runs. All looks
    together call an arm better or worse in at most ``alpha`` of studies without a true difference. Intervals are wide
    enough to hold at every look; a difference at which a study stopped is still too large on average.

    Args:
        smallest: seeds before the first look, at least 3.
        largest: seeds at the last look, at most 200.
        alpha: probability of any wrong verdict.
        step: seeds between two looks.

    Raises:
        StudyError: every argument that is out of range.
    """
    return UntilDecided(smallest, largest, alpha, step)


def p_values_of_looks(d: np.ndarray, looks: Sequence[int]) -> np.ndarray:
    """Return two-sided p-values of Student's test after each look.

    Args:
        d: differences, (..., seeds).
        looks: numbers of seeds, rising, each at least 2.

    Shapes:
        d (..., seeds) -> (..., looks)
    """
    from scipy.special import stdtr

    n = np.asarray(looks)
    sums, squares = (np.cumsum(values, axis=-1)[..., n - 1] for values in (d, d * d))
    # the sum of squares about the mean; rounding may leave a tiny negative number
    within = np.maximum(squares - sums**2 / n, 1e-300)
    return 2 * stdtr(n - 1, -np.abs(sums) / np.sqrt(n * within / (n - 1)))


@lru_cache(maxsize=16)
def _smallest_p(looks: tuple[int, ...]) -> np.ndarray:
    """Return, sorted, the smallest p-value over all looks of studies without a true difference."""
    rng = np.random.default_rng(0)
    # in parts: 200,000 studies of 200 seeds would take 320 MB several times over
    parts = [p_values_of_looks(rng.normal(size=(STUDIES // 20, looks[-1])), looks).min(axis=-1) for _ in range(20)]
    return np.sort(np.concatenate(parts))


def look_level(looks: Sequence[int], alpha: float) -> float:
    """Return the level of each look with which all looks together have ``alpha``.

    Exact up to simulation for normal differences. For the two looks of a large sample it is Pocock's: 0.0294.

    Args:
        looks: numbers of seeds, rising.
        alpha: probability that any look is wrong without a true difference.
    """
    smallest = _smallest_p(tuple(looks))
    return float(smallest[max(0, int(alpha * len(smallest)) - 1)])


def next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return the arms that are not decided yet, and the arms that they are compared with, each with further seeds."""
    from lab.study.study import SEEDS

    rule = study.rules.get(SEEDS, {})
    if rule.get("name") != RULE:
        return []
    seeds = {arm.name: tuple(arm.seeds or study.seed_list) for arm in study.all_arms}
    looks = UntilDecided(**{name: rule[name] for name in ("smallest", "largest", "alpha", "step")}).looks
    done = max(map(len, seeds.values()))
    following = next((look for look in looks if look > done), None)
    if following is None:
        return []
    rows = {row.name: row for row in results.compare()}
    arms = {arm.name: arm for arm in study.all_arms}
    first = next(iter(arms))
    going_on = [
        name
        for name, row in rows.items()
        if row.comparison is not None and len(seeds[name]) == done and not _is_decided(row.comparison)
    ]
    # the other side of each comparison goes on too, or there would be no pair
    names = dict.fromkeys([*(arms[name].base or first for name in going_on), *going_on])
    return [attrs.evolve(arms[name], seeds=tuple(range(following))) for name in arms if name in names]


def _is_decided(found: Any) -> bool:
    # nothing is gained by more seeds where two arms cannot be compared at all
    is_hopeless = found.n >= MIN_SEEDS and math.isnan(found.p) and math.isnan(found.low)
    return found.is_better is not None or found.is_equivalent or is_hopeless


def saved_runs(study: Study, results: Results) -> tuple[int, int]:
    """Return the runs that a sequential study left out, and all runs of the same study with its largest seeds."""
    from lab.study.study import SEEDS

    most = study.rules[SEEDS]["largest"] * len(results.arms)
    return most - len(results.runs), most


def finished_lines(study: Any, results: Results) -> list[str]:
    """Return what ``lab run`` prints below the table of a sequential study."""
    from lab.study.study import SEEDS

    rule: Mapping[str, Any] = getattr(study, "rules", {}).get(SEEDS, {})
    if rule.get("name") != RULE:
        return []
    saved, most = saved_runs(study, results)
    counts = {arm.name: len(results.scores(arm.name, study.compare)) for arm in results.arms}
    left = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [
        f"looks after {rule['smallest']} to {rule['largest']} seeds, corrected: all together are wrong in at most "
        f"{rule['alpha']:.0%} of studies",
        f"seeds: {left}; {saved} of {most} runs saved ({saved / most:.0%})",
    ]
