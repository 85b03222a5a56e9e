"""Freezing layer groups in a study, and decay by group."""

from __future__ import annotations

import pytest
import torch
from lab_basics.freezing import Freeze
from lab_basics.optimizers import adamw, sgd
from torch import nn
from torch.utils.data import TensorDataset

from lab import Callback, Data, Learner
from lab.errors import ParameterError


class Layered(nn.Sequential):
    """Three layers, each a group."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def layer_groups(self) -> list[nn.Module]:
        return list(self)


class Watching(Callback):
    """Notes which layers are trained in each epoch."""

    after = ("freeze",)

    def __init__(self) -> None:
        self.trained: list[list[int]] = []

    def before_epoch(self, learner: Learner) -> None:
        layers = enumerate(learner.model)
        self.trained.append([i for i, layer in layers if all(w.requires_grad for w in layer.parameters())])


def _learner(*callbacks: Callback, model: nn.Module | None = None, **options: object) -> Learner:
    points = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    split = TensorDataset(points, (points.sum(1) > 0).long())
    return Learner(
        model or Layered(), Data(split, split, fingerprint="points"), nn.functional.cross_entropy,
        callbacks=callbacks, progress=False, **options,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("freeze", "trained"),
    [
        (Freeze(), [[2], [2], [2]]),
        (Freeze(epochs=1), [[2], [0, 1, 2], [0, 1, 2]]),
        (Freeze(epochs=1, gradual=True), [[2], [1, 2], [0, 1, 2]]),
        (Freeze(to=1, epochs=2), [[1, 2], [1, 2], [0, 1, 2]]),
    ],
)
def test_layer_groups_thaw_as_asked(freeze, trained):
    watching = Watching()
    _learner(freeze, watching).fit(3)
    assert watching.trained == trained


def test_frozen_batch_norm_keeps_its_statistics_and_everything_is_trained_after_the_fit():
    learner = _learner(Freeze())
    learner.fit(1)
    assert torch.equal(learner.model[1].running_mean, torch.zeros(4))
    assert all(weight.requires_grad for weight in learner.model.parameters())


def test_a_layer_group_that_is_not_there_is_told_before_training():
    with pytest.raises(ParameterError, match="there is no layer group -2: the model has 1"):
        _learner(Freeze(to=-2), model=nn.Linear(4, 2)).fit(1)


def test_biases_and_norms_are_left_without_decay_by_choice():
    learner = _learner(optimizer=lambda groups, lr: adamw(groups, lr, weight_decay=0.1, decay_biases=False))
    decays = {w: group["weight_decay"] for group in learner.optimizer.param_groups for w in group["params"]}
    assert [decays[w] for w in learner.model.parameters()] == [0.1, 0.0, 0.0, 0.0, 0.1, 0.0]


def test_decay_may_differ_by_layer_group():
    learner = _learner(optimizer=lambda groups, lr: sgd(groups, lr, weight_decay=(0.1, 0.2, 0.3)))
    assert [group["weight_decay"] for group in learner.optimizer.param_groups] == [0.1, 0.2, 0.3]


def test_decays_must_be_as_many_as_layer_groups():
    with pytest.raises(ParameterError, match="weight_decay has 2 values, the model has 3 layer groups"):
        _learner(optimizer=lambda groups, lr: sgd(groups, lr, weight_decay=(0.1, 0.2)))


def test_split_groups_keep_their_learning_rates():
    learner = _learner(
        optimizer=lambda groups, lr: adamw(groups, lr, weight_decay=0.1, decay_biases=False), lr=[0.1, 0.2, 0.3]
    )
    rates = {w: group["lr"] for group in learner.optimizer.param_groups for w in group["params"]}
    assert [rates[w] for w in learner.model.parameters()] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
