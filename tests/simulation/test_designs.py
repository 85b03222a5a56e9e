"""Designs of studies keep their errors in simulation: the short form, in seconds."""

from __future__ import annotations

import pytest
from lab_statistics.power import power_of

from tests.simulation.designs import BEGIN, END, PAGE, looks, population, selected, tuned
from tests.simulation.same_runs import false_verdicts


def test_looks_after_every_seed_are_wrong_in_five_percent_and_save_runs() -> None:
    false, _ = looks(0.0, studies=10_000)
    assert false <= 0.055
    assert looks(0.0, studies=10_000, boundary="")[0] > 0.14
    found, saved = looks(2.0, studies=10_000)
    assert found > 0.98
    assert saved >= 0.30


def test_obrien_flemings_looks_are_wrong_in_five_percent_and_keep_most_power_of_one_look() -> None:
    for largest in (6, 10, 20):
        assert looks(0.0, largest=largest, studies=10_000, boundary="obrien_fleming")[0] <= 0.055
    # of a small difference, Pocock's looks lose four times as much power
    one = power_of(0.6, 1.0, 20)
    assert looks(0.6, largest=20, studies=10_000, boundary="obrien_fleming")[0] >= one - 0.05
    assert looks(0.6, largest=20, studies=10_000)[0] < one - 0.15


def test_seeds_crossed_with_examples_cover_the_difference_in_the_population() -> None:
    for seeds in (3, 5, 10):
        assert population(seeds, studies=1_000) >= 0.93
    assert population(5, studies=1_000, crossed=False) < 0.75


@pytest.mark.parametrize("how", ["last", "mean of last 3", "cross-fitted"])
def test_an_epoch_that_its_own_examples_did_not_choose_misleads_in_five_percent(how: str) -> None:
    assert selected(how, studies=6_000) <= 0.06


def test_the_best_epoch_on_the_same_examples_misleads_in_most_studies() -> None:
    assert selected("best", studies=2_000) > 0.6


def test_a_tuned_arm_that_only_wanted_another_learning_rate_is_not_called_worse() -> None:
    assert tuned(is_tuned=False, studies=4_000)[0] > 0.9
    assert tuned(studies=4_000)[0] <= 0.06


@pytest.mark.parametrize(("seeds", "arms"), [(3, 1), (3, 9), (5, 4), (5, 9)])
def test_real_runs_of_one_training_are_called_different_in_five_percent(seeds: int, arms: int) -> None:
    assert false_verdicts(seeds, arms, studies=500) <= 0.06


def test_the_page_has_the_figures() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert f"| {looks(0.0)[0]:.1%} |" in page
