"""Power of the comparison, against Holm's correction and by the formula: the short form, in seconds."""

from __future__ import annotations

import pytest
from lab_statistics.power import power_of

from lab.study.compare import single_level
from tests.simulation.power import BEGIN, END, PAGE, compared

CASES = [(1, 3), (1, 5), (4, 3), (4, 5), (9, 5)]


@pytest.mark.parametrize(("arms", "seeds"), CASES)
@pytest.mark.parametrize("correlation", [0.3, 0.7])
def test_where_one_arm_differs_nothing_is_lost_against_holm(arms: int, seeds: int, correlation: float) -> None:
    found = compared(seeds, arms, 3.0, differing=1, correlation=correlation, studies=4_000)
    assert found.ours >= found.holm - 0.03


@pytest.mark.parametrize(("arms", "seeds"), [(4, 3), (4, 5), (9, 3), (9, 5)])
def test_where_all_arms_differ_one_seed_more_makes_up_for_holm(arms: int, seeds: int) -> None:
    found = compared(seeds, arms, 3.0, differing=arms, studies=4_000)
    assert found.holm > found.ours + 0.03
    assert compared(seeds + 1, arms, 3.0, differing=arms, studies=4_000).ours >= found.holm - 0.03


@pytest.mark.parametrize("differing", [0, 8, 9])
def test_intervals_hold_together_whichever_arms_differ_and_those_of_holms_steps_do_not(differing: int) -> None:
    found = compared(10, 9, 4.0, differing=differing, studies=10_000)
    assert 0.94 <= found.ours_covers <= 0.965
    if differing == 8:
        assert found.holm_covers < 0.935


@pytest.mark.parametrize(("arms", "seeds"), CASES)
def test_the_simulated_power_is_that_of_the_formula(arms: int, seeds: int) -> None:
    found = compared(seeds, arms, 3.0, differing=1, studies=10_000)
    assert found.ours == pytest.approx(power_of(3.0, 1.0, seeds, single_level(arms)), abs=0.015)


def test_the_page_has_the_figures() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    found = compared(5, 9, 3.0, differing=9)
    assert f"| {found.ours:.0%}, {found.holm:.0%} |" in page
