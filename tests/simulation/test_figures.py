"""Verdicts and intervals hold in simulated studies what the page says: the short form, in seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lab.study.compare import compare_arms, mean_and_half_width, single_level
from tests.simulation.figures import ARMS, BEGIN, DRAWS, END, PAGE, SEEDS, coverage, false_verdicts, lost_runs

STUDIES = 4_000
ERROR = 3 * math.sqrt(0.05 * 0.95 / STUDIES)
"""Three standard errors of a rate of 5 % over so many studies."""

CELLS = [(seeds, arms) for seeds in SEEDS for arms in ARMS]


@pytest.mark.parametrize(("seeds", "arms"), CELLS)
@pytest.mark.parametrize("name", ["normal", "t with 3 degrees of freedom"])
def test_intervals_of_all_arms_hold_together_in_ninety_five_percent(name: str, seeds: int, arms: int) -> None:
    # heavy tails make Student's intervals wider than they need to be, never narrower
    assert 0.95 - ERROR <= coverage(DRAWS[name], seeds, arms, STUDIES) <= 0.98


@pytest.mark.parametrize("arms", ARMS)
@pytest.mark.parametrize("seeds", [3, 4, 6, 10])
@pytest.mark.parametrize(("examples", "accuracy"), [(25, 0.95), (50, 0.95), (100, 0.9), (1000, 0.5)])
def test_equal_arms_are_called_better_or_worse_in_five_percent(
    examples: int, accuracy: float, seeds: int, arms: int
) -> None:
    assert false_verdicts(examples, accuracy, seeds, arms, STUDIES) <= 0.05 + ERROR


def test_the_suite_simulates_what_compare_arms_does() -> None:
    scores = np.random.default_rng(0).binomial(25, 0.9, (300, 3, 4)) / 25
    mean, half = mean_and_half_width(scores[:, 1:] - scores[:, :1], single_level(2), 1 / 25)
    for study, means, halves in zip(scores, mean, half, strict=True):
        base, *arms = (dict(enumerate(row)) for row in study)
        # counts that share a divisor lie on a coarser grid too; the suite knows the number of examples
        if np.gcd.reduce(np.append(np.rint(study * 25).astype(int), 25)) == 1:
            found = compare_arms(base, {str(i): arm for i, arm in enumerate(arms)}, higher_is_better=True)
            assert [each.difference for each in found] == pytest.approx(list(means))
            assert [each.high - each.difference for each in found] == pytest.approx(list(halves))


def test_survivors_of_unequal_failures_would_mislead_and_get_no_verdict() -> None:
    assert lost_runs(studies=STUDIES, keeps_rule=False) > 0.09
    assert lost_runs(studies=STUDIES) == 0


def test_the_page_has_the_figures() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert f"| normal | {coverage(DRAWS['normal'], 3, 1):.1%}" in page
