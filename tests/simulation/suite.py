"""All figures of the suite in one table, each beside the bound that it must keep.

python -m tests.simulation.suite            print the table, two minutes
python -m tests.simulation.suite --write    and write it into docs/reading-a-comparison.md
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

from lab.study.compare import compare_arms
from tests.simulation import designs, figures, power, same_runs

__all__ = ["contradictions", "rows"]

BEGIN, END = "<!-- suite:begin -->", "<!-- suite:end -->"
CELLS = [(seeds, arms) for seeds in figures.SEEDS for arms in figures.ARMS]
SOUND = ("normal", "t with 3 degrees of freedom", "log-normal, base and arms", "spread of the arms 5 times the base's")
SKEWED = ("exponential in the arms, a base without spread", "log-normal in the arms, a base without spread")
EXAMPLES = ((25, 0.95), (50, 0.95), (100, 0.9), (1000, 0.5), (1000, 0.99))


def contradictions(studies: int = 2_000) -> int:
    """Return how many verdicts, of studies of every kind, do not agree with the interval beside them.

    Normal scores, shares of few examples and pairs that all differ by the same amount; 2 to 6 seeds, 1 to 9 arms, equal
    or up to 3 deviations better, with and without a margin.
    """
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(studies):
        seeds, arms, kind = rng.integers(2, 7), rng.integers(1, 10), rng.integers(3)
        scores = rng.normal(size=(arms + 1, seeds)) + 3 * rng.random() * (np.arange(arms + 1) > 0)[:, None]
        if kind == 1:
            scores = rng.binomial(25, 0.9, size=scores.shape) / 25
        if kind == 2:
            scores[1] = scores[0] + math.pi
        named = {str(i): dict(enumerate(row)) for i, row in enumerate(scores[1:])}
        margin = float(rng.choice([0.0, 0.5]))
        found = compare_arms(dict(enumerate(scores[0])), named, higher_is_better=True, margin=margin)
        for each in found:
            if math.isnan(each.low):
                # no interval: only pairs that are all equal, in six seeds or more, can get a verdict by another test
                wrong += each.is_better is not None and each.test != "exact sign-flip test"
                continue
            is_inside = margin > 0 and each.low > -margin and each.high < margin
            expected = None if is_inside or each.low <= 0 <= each.high else each.low > 0
            wrong += each.is_better is not expected or each.is_equivalent is not bool(is_inside)
    return wrong


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1%} to {max(values):.1%}"


def rows() -> list[tuple[str, str, str, str]]:
    """Return what was simulated, its bound, what was found, and the module that has the details."""
    held = [figures.coverage(figures.DRAWS[name], seeds, arms) for name in SOUND for seeds, arms in CELLS]
    skewed = [figures.coverage(figures.DRAWS[name], seeds, arms) for name in SKEWED for seeds, arms in CELLS]
    false = [figures.false_verdicts(*each, seeds, arms) for each in EXAMPLES for seeds, arms in CELLS]
    real = [same_runs.false_verdicts(seeds, arms) for seeds, arms in ((3, 1), (5, 1), (10, 1), (3, 9), (5, 9))]
    looks = [designs.looks(0.0, boundary=boundary)[0] for boundary in ("pocock", "obrien_fleming")]
    epochs = [designs.selected(how) for how in ("last", "mean of last 3", "cross-fitted")]
    one = [power.compared(seeds, arms, 3.0, differing=1) for arms, seeds in ((1, 3), (4, 3), (4, 5), (9, 3), (9, 5))]
    lost = max(each.holm - each.ours for each in one)
    found, saved = designs.looks(2.0)
    return [
        (
            "intervals of all arms hold, 1 to 9 arms, 3 to 10 seeds; normal, heavy tails, skewed alike, other spreads",
            "at least 94%",
            _range(held),
            "figures",
        ),
        (
            "the same where only the arms go badly now and then",
            "at least 92%, or a warning",
            f"{_range(skewed)}; every table of up to 10 seeds warns",
            "figures",
        ),
        (
            "equal arms, any called better or worse by accuracy on 25 to 1000 examples",
            "at most 5.5%",
            _range(false),
            "figures",
        ),
        ("60 real runs of one training dealt out as 1 and 9 arms", "at most 6%", _range(real), "same_runs"),
        ("verdicts that contradict their interval, 2,000 studies", "0", str(contradictions()), "suite"),
        ("looks after each of 3 to 10 seeds, both boundaries", "at most 5.5%", _range(looks), "designs"),
        (
            "runs that looks save where the arm differs by 2 deviations, and how often that is shown",
            "at least 30%",
            f"{saved:.0%}, {found:.1%}",
            "designs",
        ),
        (
            "equal arms, epoch noise 1 : 3, any way of selecting the epoch but the best on the reported split",
            "at most 6%",
            _range(epochs),
            "designs",
        ),
        (
            "difference in the population, 500 examples, 5 seeds: covered by seeds × examples",
            "at least 93%",
            f"{designs.population(5):.1%}",
            "designs",
        ),
        (
            "the worst third of an arm's runs fails: wrong verdicts",
            "at most 5%",
            f"{figures.lost_runs():.1%}",
            "figures",
        ),
        (
            "power lost against Holm's correction, one arm of 1 to 9 differs, 3 and 5 seeds",
            "at most 3 points",
            f"{100 * max(0.0, lost):.1f} points (up to 18 if all differ: [why](power.md#why-not-holm))",
            "power",
        ),
        (
            "an arm that only wants another learning rate, tuned: called better or worse",
            "at most 6%",
            f"{designs.tuned()[0]:.1%}",
            "designs",
        ),
    ]


def table() -> str:
    """Return the rows as Markdown."""
    lines = [f"| {what} | {bound} | {found} | `{module}` |" for what, bound, found, module in rows()]
    return "\n".join(["| simulated | bound | found | module |", "| --- | --- | --- | --- |", *lines])


def main(arguments: list[str]) -> None:
    """Print the table, and write it into the page if asked to."""
    text = table()
    print(text)
    if "--write" in arguments:
        page = figures.PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        figures.PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
