"""Group-sequential studies: a look after every seed, with arms that leave once they are decided.

Looking repeatedly at level 0.05 is wrong too often: after each of 3 to 10 seeds, in 16 % of studies without a true
difference. Boundaries are those of the family of Wang & Tsiatis 1987 (*Biometrics* 43): the p-value of a look with n of
N seeds, as a normal deviate, must exceed ``C (N / n)^(1/2 - Δ)``. With Δ = 1/2 every look has the same level (Pocock
1977, *Biometrika* 64), which stops soonest; with Δ = 0 the first looks have almost none and the last nearly all
(O'Brien & Fleming 1979, *Biometrics* 35), which keeps nearly the power of a study without looks.

The statistics of all looks are those of one growing sample, whose joint null distribution for normal differences
depends on nothing that is unknown. So C is found by simulation, for Student's t and few seeds, for which tables of
large samples would be too liberal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from lab.errors import StudyError
from lab.study.checks import number_problems, shown, with_checked_arguments
from lab.study.compare import LEVEL, MIN_SEEDS, single_level

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.study import Arm, Study

__all__ = [
    "BOUNDARIES",
    "UntilDecided",
    "look_levels",
    "looks_until",
    "next_arms",
    "p_values_of_looks",
    "saved_runs",
    "until_decided",
]

RULE = "until_decided"
BOUNDARIES = {"pocock": 0.5, "obrien_fleming": 0.0}
"""Name → Δ of Wang & Tsiatis."""

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
        boundary: how the looks share ``alpha``, a name of ``BOUNDARIES``.
    """

    smallest: int = 3
    largest: int = 20
    alpha: float = LEVEL
    step: int = 1
    boundary: str = "pocock"

    def __attrs_post_init__(self) -> None:
        problems = number_problems("smallest of until_decided", self.smallest, smallest=MIN_SEEDS)
        problems += number_problems("step of until_decided", self.step, smallest=1)
        problems += number_problems("largest of until_decided", self.largest, smallest=1, largest=MAX_SEEDS)
        if not problems and self.largest <= self.smallest:
            problems.append(f"until_decided: largest must be above smallest ({self.smallest}), not {self.largest}")
        if not isinstance(self.alpha, (int, float)) or not 0 < self.alpha < 0.5:
            problems.append(f"until_decided: alpha is a probability between 0 and 0.5, not {shown(self.alpha)}")
        if not isinstance(self.boundary, str) or self.boundary not in BOUNDARIES:
            known = " or ".join(repr(name) for name in BOUNDARIES)
            problems.append(f"until_decided: boundary is {known}, not {shown(self.boundary)}")
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
        shares = [(single_level(count), -math.expm1(math.log1p(-self.alpha) / count)) for count in FAMILIES]
        found = {total: look_levels(self.looks, share, self.boundary) for total, share in reversed(shares)}
        # six digits: the same in every record, whatever the order in which a machine sums
        by_look = [
            [[float(f"{level:.6g}") for level in (total, levels[i])] for total, levels in found.items()]
            for i in range(len(self.looks))
        ]
        same = self.boundary == "pocock"
        levels = by_look[0] if same else {str(n): pairs for n, pairs in zip(self.looks, by_look, strict=True)}
        return {"name": RULE, **attrs.asdict(self), "levels": levels}


@with_checked_arguments
def until_decided(
    *, smallest: int = 3, largest: int = 20, alpha: float = LEVEL, step: int = 1, boundary: str = "pocock"
) -> UntilDecided:
    """Return a rule for ``Study(seeds=...)``: train seed after seed until every arm is decided.

    An arm that is better, worse or (with ``Study(margin=...)``) equivalent leaves and costs no further runs. All looks
    together call an arm better or worse in at most ``alpha`` of studies without a true difference. Intervals are wide
    enough to hold at every look; a difference at which a study stopped is still too large on average.

    Args:
        smallest: seeds before the first look, at least 3.
        largest: seeds at the last look, at most 200.
        alpha: probability of any wrong verdict.
        step: seeds between two looks.
        boundary: ``pocock`` has the same level at every look and saves most runs where differences are large;
            ``obrien_fleming`` saves fewer, and finds small differences nearly as often as a study of ``largest``
            seeds without looks.

    Raises:
        StudyError: every argument that is out of range.
    """
    return UntilDecided(smallest, largest, alpha, step, boundary)


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
    p: np.ndarray = 2 * stdtr(n - 1, -np.abs(sums) / np.sqrt(n * within / (n - 1)))
    return p


@lru_cache(maxsize=16)
def _largest_deviate(looks: tuple[int, ...], boundary: str) -> np.ndarray:
    """Return, falling, the largest weighted deviate over all looks of studies without a true difference."""
    from scipy.special import ndtri

    rng = np.random.default_rng(0)
    weights = _weights(looks, boundary)
    # in parts: 200,000 studies of 200 seeds would take 320 MB several times over
    parts = [
        (-ndtri(p_values_of_looks(rng.normal(size=(STUDIES // 20, looks[-1])), looks) / 2) * weights).max(axis=-1)
        for _ in range(20)
    ]
    return -np.sort(-np.concatenate(parts))


def _weights(looks: Sequence[int], boundary: str) -> np.ndarray:
    """Return the weight of the deviate of every look, ``(n / N)^(1/2 - Δ)``."""
    weights: np.ndarray = (np.asarray(looks) / looks[-1]) ** (0.5 - BOUNDARIES[boundary])
    return weights


def look_levels(looks: Sequence[int], alpha: float, boundary: str = "pocock") -> list[float]:
    """Return the level of each look with which all looks together have ``alpha``.

    Exact up to simulation for normal differences. For two looks of a large sample they are Pocock's 0.0294 twice, or
    0.0052 and 0.0480 of O'Brien & Fleming (Jennison & Turnbull 2000, tables 2.1 and 2.3).

    Args:
        looks: numbers of seeds, rising.
        alpha: probability that any look is wrong without a true difference.
        boundary: a name of ``BOUNDARIES``.
    """
    from scipy.special import ndtr

    largest = _largest_deviate(tuple(looks), boundary)
    constant = largest[max(0, int(alpha * len(largest)) - 1)]
    levels: list[float] = (2 * ndtr(-constant / _weights(looks, boundary))).tolist()
    return levels


def next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return the arms that are not decided yet, and the arms that they are compared with, each with further seeds."""
    from lab.study.study import SEEDS

    rule = study.rules.get(SEEDS, {})
    if rule.get("name") != RULE:
        return []
    seeds = {arm.name: tuple(arm.seeds or study.seed_list) for arm in study.all_arms}
    looks = _looks_of(rule)
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


def looks_until(rule: Mapping[str, Any], seeds: int) -> tuple[int, ...]:
    """Return the numbers of seeds at which a rule of seeds has looked by now; none for other rules.

    Args:
        rule: as a study's record keeps it.
        seeds: finished runs of the arm that has most.
    """
    return tuple(look for look in _looks_of(rule) if look <= seeds) if rule.get("name") == RULE else ()


def _looks_of(rule: Mapping[str, Any]) -> tuple[int, ...]:
    return UntilDecided(**{name: rule[name] for name in ("smallest", "largest", "step")}).looks


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
        f"{rule['alpha']:.0%} of studies"
        + (" (O'Brien & Fleming)" if rule.get("boundary") == "obrien_fleming" else ""),
        f"seeds: {left}; {saved} of {most} runs saved ({saved / most:.0%})",
    ]
