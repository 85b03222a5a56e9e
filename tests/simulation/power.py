"""Power of studies, and what intervals that hold together cost against Holm's correction.

python -m tests.simulation.power            print the tables, half a minute
python -m tests.simulation.power --write    and write them into docs/power.md
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from lab_statistics.power import detectable, power_of, seeds_for
from scipy.special import stdtr, stdtrit

from lab.study.compare import LEVEL, mean_and_half_width, single_level

__all__ = ["Compared", "compared", "tables"]

STUDIES = 10_000
PAGE = Path(__file__).resolve().parents[2] / "docs" / "power.md"
BEGIN, END = "<!-- simulation:begin -->", "<!-- simulation:end -->"
ARMS = (1, 3, 4, 9)


class Compared:
    """Studies judged by intervals that hold together, and by Holm's step-down correction.

    Attributes:
        ours, holm: probability that the first arm gets its verdict.
        ours_covers, holm_covers: how often the intervals of all arms hold their true differences; Holm's are those at
            the level of the step at which an arm was judged.
    """

    def __init__(self, d: np.ndarray, true: np.ndarray) -> None:
        arms, seeds = d.shape[1:]
        mean, half = mean_and_half_width(d, single_level(arms))
        self.ours = float((np.abs(mean[:, 0]) > half[:, 0]).mean())
        self.ours_covers = float((np.abs(mean - true) <= half).all(axis=1).mean())
        error = d.std(axis=-1, ddof=1) / np.sqrt(seeds)
        p = 2 * stdtr(seeds - 1, -np.abs(mean) / error)
        order = np.argsort(p, axis=1)
        place = np.argsort(order, axis=1)
        # Šidák's version of Holm's steps, as for the intervals: the smallest p is tested among all arms, and so on
        levels = np.array([single_level(arms - step) for step in range(arms)])
        is_rejected = np.cumprod(np.take_along_axis(p, order, axis=1) < levels, axis=1).astype(bool)
        self.holm = float(np.take_along_axis(is_rejected, place, axis=1)[:, 0].mean())
        # arms that are not rejected are judged at the level of the first step that failed
        failed = np.minimum(is_rejected.sum(axis=1), arms - 1)
        at = np.minimum(place, failed[:, None])
        wide = stdtrit(seeds - 1, 1 - levels[at] / 2) * error
        self.holm_covers = float((np.abs(mean - true) <= wide).all(axis=1).mean())


def compared(
    seeds: int, arms: int, effect: float, *, differing: int, correlation: float = 0.5, studies: int = STUDIES
) -> Compared:
    """Simulate studies of normal scores.

    Args:
        seeds, arms: of a study.
        effect: true difference of the first arms, in deviations of the paired differences.
        differing: how many have it; the others are equal to the base.
        correlation: of the scores of two arms with the same seeds.
        studies: how many.
    """
    rng = np.random.default_rng([seeds, arms])
    shared = rng.normal(size=(studies, 1, seeds)) * np.sqrt(correlation)
    scores = shared + rng.normal(size=(studies, arms + 1, seeds)) * np.sqrt(1 - correlation)
    true = np.where(np.arange(arms) < differing, effect, 0.0)
    d = scores[:, 1:] - scores[:, :1]
    return Compared(d / np.sqrt(2 * (1 - correlation)) + true[:, None], true)


def _power_rows() -> list[str]:
    rows = ["| arms × seeds | 0.5 | 1 | 2 | 3 | shown in 4 of 5 studies |", "| --- |" + " ---: |" * 5]
    for arms in (1, 3, 9):
        for seeds in (3, 5, 10, 20):
            level = single_level(arms)
            cells = [f"{power_of(effect, 1.0, seeds, level):.0%}" for effect in (0.5, 1.0, 2.0, 3.0)]
            rows.append(f"| {arms} × {seeds} | {' | '.join(cells)} | {detectable(1.0, seeds, level):.2f} |")
    return rows


def _seed_rows() -> list[str]:
    rows = ["| arms | 0.5 | 1 | 2 | 3 |", "| --- |" + " ---: |" * 4]
    for arms in (1, 3, 9):
        cells = [str(seeds_for(effect, 1.0, level=single_level(arms))) for effect in (0.5, 1.0, 2.0, 3.0)]
        rows.append(f"| {arms} | {' | '.join(cells)} |")
    return rows


def _holm_rows() -> list[str]:
    rows = [
        "| arms × seeds | one differs: these, Holm | all differ: these, Holm | all differ: these with one seed more |",
        "| --- | ---: | ---: | ---: |",
    ]
    for arms, seeds in ((1, 3), (1, 5), (4, 3), (4, 5), (9, 3), (9, 5)):
        one, every = (compared(seeds, arms, 3.0, differing=count) for count in (1, arms))
        more = compared(seeds + 1, arms, 3.0, differing=arms)
        cells = f"{one.ours:.0%}, {one.holm:.0%} | {every.ours:.0%}, {every.holm:.0%} | {more.ours:.0%}"
        rows.append(f"| {arms} × {seeds} | {cells} |")
    return rows


def _coverage_rows() -> list[str]:
    rows = ["| arms × seeds | none differs | all but one differ | all differ |", "| --- | ---: | ---: | ---: |"]
    for arms, seeds in ((4, 5), (9, 5), (9, 10)):
        found = [compared(seeds, arms, 4.0, differing=count) for count in (0, arms - 1, arms)]
        cells = [f"{each.ours_covers:.1%}, {each.holm_covers:.1%}" for each in found]
        rows.append(f"| {arms} × {seeds} | {' | '.join(cells)} |")
    return rows


def tables() -> str:
    """Return the tables of the page."""
    parts = [
        "Probability that a true difference of so many deviations (of the paired differences) is shown, and the one",
        "that four of five studies show:",
        "",
        *_power_rows(),
        "",
        "Seeds with which it is shown in four of five studies:",
        "",
        *_seed_rows(),
        "",
        f"Against Holm's correction, {STUDIES:,} simulated studies in a cell. Arms differ by 3 deviations of the",
        "paired differences; probability that one of them is shown to be better:",
        "",
        *_holm_rows(),
        "",
        "How often the intervals of all arms hold the true differences: these, and intervals at the level of Holm's",
        f"step at which an arm is judged. They ought to do so in {1 - LEVEL:.0%}:",
        "",
        *_coverage_rows(),
    ]
    return "\n".join(parts)


def main(arguments: list[str]) -> None:
    """Print the tables, and write them into the page if asked to."""
    text = tables()
    print(text)
    if "--write" in arguments:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
