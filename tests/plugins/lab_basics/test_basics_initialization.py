"""The callback that draws the initial weights of a model."""

from __future__ import annotations

import math

import pytest
import torch
from lab_basics.initialization import Init
from torch import nn

from lab.errors import ParameterError
from lab.training import Callback, Checkpoint


class First(Callback):
    """Notes the weights before the first step."""

    after = ("init",)

    def before_fit(self, learner):
        self.weights = {name: value.detach().clone() for name, value in learner.model.named_parameters()}


class Many(nn.Module):
    """A layer of each kind, on three inputs."""

    def __init__(self, width: int = 400) -> None:
        super().__init__()
        self.inner = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.wide = nn.Linear(width, width)
        self.table = nn.Embedding(5, width)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.wide(torch.relu(self.norm(self.inner(x)))) + self.table.weight[0])


def started(make_learner, callback, model=None):
    first = First()
    make_learner(model=model or Many(), callbacks=[callback, first], lr=1e-12).fit(1)
    return first.weights


@pytest.mark.parametrize(
    ("rule", "deviation"),
    [
        ("normal", 0.01),
        ("xavier_uniform", math.sqrt(2 / 800)),
        ("xavier_normal", math.sqrt(2 / 800)),
        ("kaiming_uniform", math.sqrt(2 / 400)),
        ("kaiming_normal", math.sqrt(2 / 400)),
        ("orthogonal", math.sqrt(1 / 400)),
    ],
)
def test_weights_have_the_deviation_of_the_rule(make_learner, rule, deviation):
    wide = started(make_learner, Init(weights=rule))["wide.weight"]
    assert wide.std().item() == pytest.approx(deviation, rel=0.02)
    assert wide.mean().item() == pytest.approx(0, abs=deviation / 50)


def test_orthogonal_weights_keep_lengths(make_learner):
    wide = started(make_learner, Init(weights="orthogonal"))["wide.weight"]
    assert torch.allclose(wide @ wide.T, torch.eye(400), atol=1e-5)


def test_a_constant_is_the_same_everywhere(make_learner):
    weights = started(make_learner, Init(weights="constant", value=0.5, bias=0.25))
    assert (weights["wide.weight"] == 0.5).all()
    assert (weights["wide.bias"] == 0.25).all()


def test_embeddings_norms_and_what_is_frozen_keep_their_weights(make_learner):
    model = Many()
    model.inner.requires_grad_(False)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    after = started(make_learner, Init(), model)
    kept = {name for name in after if torch.equal(after[name], before[name])}
    assert kept == {"inner.weight", "inner.bias", "norm.weight", "norm.bias", "table.weight"}


def test_a_function_of_ones_own_sets_the_weights(make_learner):
    def corners(weight, generator):
        weight.bernoulli_(generator=generator)

    assert set(started(make_learner, Init(weights=corners))["wide.weight"].unique().tolist()) == {0.0, 1.0}


def test_a_function_that_returns_new_weights_instead_is_told(make_learner):
    learner = make_learner(callbacks=[Init(weights=lambda weight, generator: torch.ones_like(weight))])
    with pytest.raises(ParameterError, match=r"left numbers of 0\.weight unset"):
        learner.fit(1)


def test_named_modules_alone_are_set(make_learner):
    model = Many()
    before = model.wide.weight.detach().clone()
    weights = started(make_learner, Init(weights="constant", modules=("head",)), model)
    assert torch.equal(weights["wide.weight"], before)
    assert (weights["head.weight"] == 0.1).all()


def test_one_layer_more_changes_no_other(make_learner):
    class More(Many):
        def __init__(self):
            super().__init__()
            self.aside = nn.Linear(2, 2)

    plain, more = started(make_learner, Init()), started(make_learner, Init(), More())
    assert all(torch.equal(plain[name], more[name]) for name in ("inner.weight", "wide.weight", "head.weight"))


def test_a_learner_that_is_trained_further_keeps_its_weights(make_learner):
    first = First()
    learner = make_learner(callbacks=[Init(weights="constant"), first])
    learner.fit(1)
    trained = [value.detach().clone() for value in learner.model.parameters()]
    learner.fit(1)
    assert all(torch.equal(a, b) for a, b in zip(trained, first.weights.values(), strict=True))


def test_a_run_that_is_resumed_ends_as_one_left_in_peace(make_learner, tmp_path):
    class Dies(Callback):
        def after_batch(self, learner):
            if learner.position.step == 6:
                raise KeyboardInterrupt

    whole = make_learner(callbacks=[Init(weights="orthogonal")])
    whole.fit(3)

    killed = make_learner(callbacks=[Init(weights="orthogonal"), Dies(), Checkpoint()], folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        killed.fit(3)
    resumed = make_learner(callbacks=[Init(weights="orthogonal"), Checkpoint()], folder=tmp_path)
    resumed.resume(3)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True))


def test_a_model_without_layers_and_an_unknown_module_are_told(make_learner):
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x[:, :1] * self.scale

    with pytest.raises(ParameterError, match="no layer has a matrix"):
        make_learner(model=Bare(), callbacks=[Init()]).fit(1)
    with pytest.raises(ParameterError, match="no module 'haed'"):
        make_learner(model=Many(), callbacks=[Init(modules=("haed",))]).fit(1)
