"""Searchers propose within the space, and better ones find better settings."""

from __future__ import annotations

import numpy as np
import pytest
from lab_search.searchers import TPE, GaussianProcess, QuasiRandom, Random

from lab.errors import ParameterError
from lab.study.space import ObservedTrial, Options, Range

SPACE = {
    "lr": Range(1e-4, 1.0, is_log=True),
    "width": Range(1, 64, is_log=True, is_whole=True),
    "layers": Range(1, 4, is_whole=True),
    "sampler": Options({"shuffle": "shuffle", "sort": "sort"}),
}
EVERY = pytest.mark.parametrize(
    "searcher", [Random(), QuasiRandom(), TPE(first=4), GaussianProcess(first=4)], ids=lambda s: type(s).__name__
)


def _seen(count):
    settings = Random().propose(SPACE, [], count, seed=9)
    return [ObservedTrial(each, float(each["lr"])) for each in settings]


@EVERY
def test_proposals_lie_in_the_space(searcher):
    for settings in searcher.propose(SPACE, _seen(6), 8, seed=0):
        assert 1e-4 <= settings["lr"] <= 1.0
        assert isinstance(settings["width"], int)
        assert 1 <= settings["width"] <= 64
        assert settings["layers"] in (1, 2, 3, 4)
        assert settings["sampler"] in ("shuffle", "sort")


@EVERY
def test_the_same_trials_and_seed_give_the_same_proposals(searcher):
    assert searcher.propose(SPACE, _seen(6), 5, seed=0) == searcher.propose(SPACE, _seen(6), 5, seed=0)


@EVERY
def test_another_seed_gives_other_proposals(searcher):
    assert searcher.propose(SPACE, _seen(6), 5, seed=0) != searcher.propose(SPACE, _seen(6), 5, seed=1)


@EVERY
def test_trials_of_one_batch_differ(searcher):
    proposals = searcher.propose(SPACE, _seen(6), 8, seed=0)
    assert len({tuple(settings.values()) for settings in proposals}) == 8


@EVERY
def test_failed_trials_are_accepted(searcher):
    seen = [*_seen(5), ObservedTrial(_seen(6)[5].settings, None)]
    assert len(searcher.propose(SPACE, seen, 3, seed=0)) == 3


@pytest.mark.parametrize("searcher", [Random(), QuasiRandom()], ids=lambda s: type(s).__name__)
def test_rounds_continue_one_sequence(searcher):
    whole = searcher.propose(SPACE, [], 8, seed=0)
    first = searcher.propose(SPACE, [], 4, seed=0)
    seen = [ObservedTrial(settings, 1.0) for settings in first]
    assert first + searcher.propose(SPACE, seen, 4, seed=0) == whole


def test_quasi_random_proposals_are_spread_more_evenly_than_random_ones():
    space = {"x": Range(0.0, 1.0)}
    gaps = []
    for searcher in (QuasiRandom(), Random()):
        values = sorted(settings["x"] for settings in searcher.propose(space, [], 32, seed=0))
        gaps.append(np.diff(values).max())
    assert gaps[0] < 0.6 * gaps[1]


@pytest.mark.parametrize("searcher", [TPE(), GaussianProcess()], ids=lambda s: type(s).__name__)
def test_what_was_learnt_leads_to_better_settings_than_chance(searcher):
    space = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}

    def best_of(searcher):
        seen = []
        while len(seen) < 40:
            batch = searcher.propose(space, seen, 5, seed=0)
            seen += [ObservedTrial(each, (each["x"] - 0.3) ** 2 + (each["y"] - 0.8) ** 2) for each in batch]
        return np.median([trial.value for trial in seen[20:]])

    assert best_of(searcher) < 0.4 * best_of(Random())


def test_a_searcher_needs_a_first_trial():
    with pytest.raises(ParameterError, match="first must be at least 1, got 0"):
        TPE(first=0)
