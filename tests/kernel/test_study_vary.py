"""Only the sources of randomness that an experiment varies differ between seeds."""

from __future__ import annotations

import pytest
import torch

from lab.errors import StudyError
from lab.study.build import build_learner
from lab.study.experiment import checked
from lab.training.rng import SOURCES, Streams
from tests.kernel.toys import experiment, points


def learner(catalog, seed, vary):
    resolved = checked(experiment(vary=vary), catalog)
    return build_learner(resolved, points(), seed=seed, catalog=catalog)


def weights(learner):
    return torch.cat([weight.detach().flatten() for weight in learner.model.parameters()])


def batches(learner):
    learner.train_sampler.start_at(0)
    return [batch[0].tolist() for batch in learner.train_loader]


def test_with_init_alone_the_weights_differ_and_the_batches_do_not(catalog):
    one, other = (learner(catalog, seed, "init") for seed in (1, 2))
    assert not torch.equal(weights(one), weights(other))
    assert batches(one) == batches(other)


def test_with_order_alone_the_batches_differ_and_the_weights_do_not(catalog):
    one, other = (learner(catalog, seed, ("order",)) for seed in (1, 2))
    assert torch.equal(weights(one), weights(other))
    assert batches(one) != batches(other)


def test_with_every_source_runs_are_those_without_a_choice(catalog):
    one, other = learner(catalog, 3, list(SOURCES)), learner(catalog, 3, None)
    assert torch.equal(weights(one), weights(other))
    assert batches(one) == batches(other)


def test_a_run_without_the_choice_has_no_trace_of_it(catalog):
    assert "vary" not in checked(experiment(), catalog).to_json()
    assert checked(experiment(vary="init"), catalog).to_json()["vary"] == ["init"]


def test_an_unknown_source_gives_close_matches(catalog):
    with pytest.raises(StudyError, match=r"unknown source 'inti'(.|\n)*init"):
        checked(experiment(vary=("inti",)), catalog)


def test_the_streams_of_a_source_move_together():
    held = Streams(5, ["order"])
    assert held.seed("sampler", 1) == Streams(5).seed("sampler", 1)
    assert held.seed("workers/valid") == Streams(5).seed("workers/valid")
    assert held.seed("init", "encoder") == Streams(0).seed("init", "encoder")
