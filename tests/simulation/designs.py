"""Simulated studies of the designs in ``lab_statistics``: looks, selection, populations, tuning.

    python -m tests.simulation.designs            print the table, minutes
    python -m tests.simulation.designs --write    and write it into docs/designing-a-study.md

Every row calls the code that studies run; seeds are fixed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lab_statistics.crossed import crossed_means
from lab_statistics.power import power_of
from lab_statistics.selection import cross_fitted
from lab_statistics.sequential import look_levels, p_values_of_looks
from scipy.special import stdtrit

from lab.study.compare import mean_and_half_width, single_level
from tests.simulation.same_runs import false_verdicts

STUDIES = 20_000
PAGE = Path(__file__).parents[2] / "docs" / "designing-a-study.md"
BEGIN, END = "<!-- simulation:begin -->", "<!-- simulation:end -->"


def looks(
    effect: float, smallest: int = 3, largest: int = 10, studies: int = STUDIES, *, boundary: str = "pocock"
) -> tuple[float, float]:
    """Return the share of studies that call the arm better or worse, and the share of the arm's runs that are saved.

    Args:
        effect: true difference in standard deviations of the paired differences.
        smallest, largest: seeds at the first and the last look; there is one after every seed.
        studies: how many.
        boundary: of ``until_decided``; empty gives every look the level 0.05.
    """
    d = np.random.default_rng(3).normal(effect, 1, size=(studies, largest))
    seeds = np.arange(smallest, largest + 1)
    level = look_levels(seeds.tolist(), 0.05, boundary) if boundary else 0.05
    hits = p_values_of_looks(d, seeds.tolist()) <= level
    stopped = np.where(hits.any(axis=1), seeds[hits.argmax(axis=1)], largest)
    return float(hits.any(axis=1).mean()), 1 - float(stopped.mean()) / largest


def population(seeds: int, examples: int = 500, studies: int = 2_000, *, crossed: bool = True) -> float:
    """Return how often the interval of a study covers the difference in the population of examples.

    The arm is better on some examples and worse on others (deviation 1), seeds shift it by 0.03, and a residual of 1 is
    drawn anew for every seed and example: an accuracy whose mean difference is mostly a matter of the split.

    Args:
        seeds, examples: of a study.
        studies: how many.
        crossed: with the interval of ``lab by-example``; otherwise that over seeds alone.
    """
    rng = np.random.default_rng([seeds, examples])
    hits = 0
    for _ in range(studies // 100):
        d = 0.03 * rng.normal(size=(100, seeds, 1)) + rng.normal(size=(100, 1, examples))
        d = d + rng.normal(size=(100, seeds, examples))
        if crossed:
            mean, variance, freedom = crossed_means(d)
            half = stdtrit(freedom, 0.975) * np.sqrt(variance)
        else:
            mean, half = mean_and_half_width(d.mean(axis=-1), single_level(1))
        hits += int((np.abs(mean) <= half).sum())
    return hits / (studies // 100 * 100)


def selected(how: str, noise: float = 3.0, seeds: int = 5, epochs: int = 10, studies: int = 10_000) -> float:
    """Return how often two equal arms are called different if the epoch that is reported is selected in some way.

    Scores of an epoch are noisy because validation examples are few; halves of them are independent, with twice the
    variance. The arm's noise is ``noise`` times the base's, as large as the spread between seeds.

    Args:
        how: ``best``, ``last``, ``mean of last 3`` or ``cross-fitted``.
        noise: of the arm's epochs, relative to the base's.
        seeds, epochs: of a study.
        studies: how many.
    """
    rng = np.random.default_rng(11)
    scores = []
    for size in (1.0, noise):
        level = rng.normal(size=(studies, seeds, 1, 1))
        halves = level + size * np.sqrt(2) * rng.normal(size=(studies, seeds, 2, epochs))
        whole = halves.mean(axis=2)
        scores.append(
            {
                "best": lambda whole=whole: whole.max(axis=-1),
                "last": lambda whole=whole: whole[..., -1],
                "mean of last 3": lambda whole=whole: whole[..., -3:].mean(axis=-1),
                "cross-fitted": lambda halves=halves: cross_fitted(halves, higher_is_better=True),
            }[how]()
        )
    mean, half = mean_and_half_width(scores[1] - scores[0], single_level(1))
    return float((np.abs(mean) > half).mean())


def tuned(*, is_tuned: bool = True, seeds: int = 5, trials: int = 8, studies: int = 10_000) -> tuple[float, float]:
    """Return how often an arm that only wants another learning rate is called better or worse, and equivalent.

    A learning rate one decade off the arm's optimum costs 3 deviations of a run; the arm's optimum is a decade above
    the base's, whose rate all arms have. Rates over three decades are tried once each, and the best is judged on fresh
    seeds, within a margin of 1 deviation.

    Args:
        is_tuned: False judges both at the base's rate.
        seeds, trials: of a study; each seed has a search of its own.
        studies: how many.
    """
    rng = np.random.default_rng(17)
    scores = []
    for best in (0.0, 1.0):
        # one rate in each of as many equal parts of the range: quasi-random trials are spread like that
        parts = np.arange(trials) + rng.uniform(size=(studies, seeds, 1))
        tried = 3 * parts / trials - 1
        tried[..., 0] = 0.0
        seen = -3 * (tried - best) ** 2 + rng.normal(size=tried.shape)
        found = np.take_along_axis(tried, seen.argmax(axis=-1)[..., None], axis=-1)[..., 0]
        chosen = found if is_tuned else np.zeros((studies, seeds))
        scores.append(-3 * (chosen - best) ** 2 + rng.normal(size=(studies, seeds)))
    mean, half = mean_and_half_width(scores[1] - scores[0], single_level(1))
    is_equivalent = np.abs(mean) + half < 1
    return float(((np.abs(mean) > half) & ~is_equivalent).mean()), float(is_equivalent.mean())


def rows() -> list[tuple[str, str]]:
    """Return the rows of the page: what was simulated, and its figure."""
    false, _ = looks(0.0)
    before, _ = looks(0.0, boundary="")

    def rate(how: str) -> str:
        return f"{selected(how):.1%}"

    return [
        ("looks after each of 3 to 10 seeds, equal arms: false verdicts at level 0.05", f"{before:.1%}"),
        ("the same with `until_decided(largest=10)`", f"{false:.1%}"),
        (
            "difference in the population, 500 examples, 3 / 5 / 10 seeds: covered by the interval over seeds",
            " / ".join(f"{population(seeds, crossed=False):.0%}" for seeds in (3, 5, 10)),
        ),
        (
            "… by seeds × examples (`lab by-example`)",
            " / ".join(f"{population(seeds):.0%}" for seeds in (3, 5, 10)),
        ),
        (
            "equal arms, epoch noise 1 : 3: false verdicts of the best epoch, chosen and reported on the same examples",
            rate("best"),
        ),
        (
            "… of the last epoch / of the mean of the last 3 (`last_epochs`)",
            f"{rate('last')} / {rate('mean of last 3')}",
        ),
        ("… of the best epoch, cross-fitted (`cross_fitted`)", rate("cross-fitted")),
        (
            "60 real runs of one training dealt out as arms (accuracy on 75 rows): false verdicts of 9 "
            "arms with 3 / 5 seeds",
            " / ".join(f"{false_verdicts(seeds, 9):.1%}" for seeds in (3, 5)),
        ),
        ("… of 1 arm with 3 / 5 / 10 seeds", " / ".join(f"{false_verdicts(seeds, 1):.1%}" for seeds in (3, 5, 10))),
        (
            "an arm that only wants another learning rate is called better or worse: as it is / tuned (`tune`)",
            f"{tuned(is_tuned=False)[0]:.1%} / {tuned()[0]:.1%}",
        ),
    ]


def boundary_rows() -> list[list[str]]:
    """Return a row for each way to look at results up to 10 and 20 seeds: errors, power, and runs saved."""
    found = []
    for largest in (10, 20):
        for boundary, name in (("pocock", "`pocock`"), ("obrien_fleming", "`obrien_fleming`")):
            cells = [looks(effect, largest=largest, boundary=boundary) for effect in (0.0, 0.5, 1.0, 2.0)]
            shown = [f"{cells[0][0]:.1%}", *(f"{power:.0%}, {saved:.0%}" for power, saved in cells[1:])]
            found.append([f"{name}, 3 to {largest}", *shown])
        powers = [f"{power_of(effect, 1.0, largest):.0%}, 0%" for effect in (0.5, 1.0, 2.0)]
        found.append([f"one look at {largest}", "5.0%", *powers])
    return found


def table(rows: Callable[[], list[tuple[str, str]]] = rows) -> str:
    """Return the rows as Markdown."""
    lines = [f"| {name} | {value} |" for name, value in rows()]
    text = [f"{STUDIES:,} simulated studies in a row.", "", "| design | found |", "| --- | ---: |", *lines]
    text += [
        "",
        "Looks after every seed: false verdicts of equal arms; then, for arms that differ by so many deviations",
    ]
    text += ["of the paired differences, how often that is shown, and the share of the arm's runs that is saved:", ""]
    text += ["| boundary, seeds | equal arms | 0.5 | 1 | 2 |", "| --- | ---: | ---: | ---: | ---: |"]
    text += [f"| {' | '.join(cells)} |" for cells in boundary_rows()]
    return "\n".join(text)


def main(arguments: list[str]) -> None:
    """Print the table, and write it into the page if asked to."""
    text = table()
    print(text)
    if "--write" in arguments:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
