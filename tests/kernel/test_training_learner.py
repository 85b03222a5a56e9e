"""The learner by itself, without registries."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from lab.errors import DataError, ParameterError
from lab.training import Data, Evaluation, Learner, Supervised
from lab.training.data import SequentialSampler, call_with, fact_types, to_device
from tests.kernel.training_toys import toy_data, toy_learner, toy_model


class Grouped(nn.Module):
    """Three layers, each a group; the last shares its weight with the first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)])
        self.tied = self.layers[0].weight

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            points = layer(points)
        return points

    def layer_groups(self) -> list[list[nn.Module | nn.Parameter]]:
        return [[self.layers[0]], [self.layers[1]], [self.layers[2], self.tied]]


def _grouped(**options: object) -> Learner:
    return Learner(Grouped(), toy_data(), nn.functional.cross_entropy, progress=False, **options)  # type: ignore[arg-type]


def test_a_slice_of_learning_rates_spreads_geometrically_over_layer_groups() -> None:
    learner = _grouped(lr=slice(1e-4, 1e-2))
    assert [group["lr"] for group in learner.optimizer.param_groups] == pytest.approx([1e-4, 1e-3, 1e-2])


def test_a_list_gives_each_layer_group_its_rate() -> None:
    learner = _grouped(lr=[0.1, 0.2, 0.3])
    assert [group["initial_lr"] for group in learner.optimizer.param_groups] == [0.1, 0.2, 0.3]


def test_a_list_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ParameterError, match="lr has 2 values, the model has 3 layer groups"):
        _grouped(lr=[0.1, 0.2])


def test_a_weight_that_groups_share_belongs_to_the_first() -> None:
    assert [len(group) for group in _grouped().layer_groups()] == [2, 2, 2]


def test_frozen_groups_do_not_move() -> None:
    learner = _grouped(lr=0.1)
    learner.freeze_to(-1)
    before = [layer.weight.clone() for layer in learner.model.layers]
    learner.fit(1)
    moved = [not torch.equal(a, b.weight) for a, b in zip(before, learner.model.layers, strict=True)]
    assert moved == [False, False, True]
    learner.unfreeze()
    assert all(weight.requires_grad for weight in learner.model.parameters())


def test_validation_weighs_batches_by_their_size() -> None:
    learner = toy_learner(valid_batch_size=7)
    points, labels = learner.data.valid.tensors
    learner.model.eval()
    expected = nn.functional.cross_entropy(learner.model(points), labels).detach()
    assert learner.validate()["valid_loss"] == pytest.approx(float(expected), rel=1e-6)


def test_prediction_is_made_in_evaluation_mode_and_leaves_training_mode() -> None:
    learner = toy_learner()
    points = learner.data.valid.tensors[0]
    assert torch.equal(learner.predict(points), learner.predict(points))
    assert learner.model.training


class Share:
    """A metric that sees the batch."""

    higher_is_better = True

    def reset(self) -> None:
        self.right = self.seen = 0

    def update(self, output: torch.Tensor, target: torch.Tensor, batch: tuple[torch.Tensor, ...]) -> None:
        assert torch.equal(batch[1], target)
        self.right += int((output.argmax(1) == target).sum())
        self.seen += len(target)

    def compute(self) -> float:
        return self.right / self.seen


def test_a_metric_may_ask_for_the_batch() -> None:
    history = toy_learner(metrics={"share": Share()}).fit(2)
    assert 0 <= history[-1]["valid_share"] <= 1


def test_methods_of_plugins_are_methods_of_the_learner() -> None:
    learner = toy_learner(methods={"double": lambda learner, x, times=2: learner.lr * x * times})
    assert learner.double(3, times=1) == pytest.approx(0.03)
    assert "double" in dir(learner)
    with pytest.raises(AttributeError, match="a learner has no 'triple'; plugins add: double"):
        learner.triple  # noqa: B018


def test_a_split_that_is_absent_or_empty_is_named() -> None:
    data = Data(TensorDataset(torch.zeros(0, 4)), TensorDataset(torch.zeros(2, 4)))
    with pytest.raises(DataError, match="the train split is empty"):
        data.split("train")
    with pytest.raises(DataError, match="this data has no test split"):
        data.split("test")


@attrs.define(eq=False)
class Facts(Data):
    """Data with facts."""

    classes: int = 2
    width: int = 4

    @property
    def area(self) -> int:
        """A fact that is computed."""
        return self.classes * self.width


def test_facts_are_the_attributes_of_a_subclass() -> None:
    data = Facts([1], [1], classes=3)
    assert data.facts() == {"data": data, "classes": 3, "width": 4, "area": 12}
    assert set(fact_types(Facts)) == {"classes", "width", "area"}


def test_a_need_that_the_data_does_not_offer_names_both() -> None:
    def model(vocab_size: int, *, layers: int = 1) -> None:
        """Needs a vocabulary."""

    with pytest.raises(ParameterError) as caught:
        call_with(model, {"classes": 2})
    assert str(caught.value) == "model needs 'vocab_size', which the data does not offer\n  offered: classes"


def test_moving_a_batch_keeps_its_structure() -> None:
    batch = Evaluation(torch.ones(1), {"a": [torch.ones(2), "text"]}, None, 3)
    moved = to_device(batch, torch.device("meta"))
    assert isinstance(moved, Evaluation)
    assert moved.output["a"][0].device.type == "meta"
    assert moved.output["a"][1] == "text"


def test_the_learner_says_one_line_per_epoch_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    Learner(toy_model(), toy_data(), nn.functional.cross_entropy, stepper=Supervised()).fit(2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2"]


def test_the_loader_asks_a_dataset_for_whole_batches_where_it_can() -> None:
    asked: list[list[int]] = []

    class Whole(TensorDataset):
        def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
            asked.append(list(indices))
            return tuple(tensor[indices] for tensor in self.tensors)

    data = toy_data()
    data.train, data.collate = Whole(*data.train.tensors), lambda batch: batch
    data.valid = Whole(*data.valid.tensors)
    Learner(toy_model(), data, nn.functional.cross_entropy, batch_size=36, progress=False).fit(1)
    assert [len(batch) for batch in asked] == [36, 36, 24]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU on this machine")
def test_training_works_on_a_gpu() -> None:
    assert toy_learner(device="cuda").fit(1)[-1]["train_loss"] > 0


def test_the_order_of_validation_may_be_chosen() -> None:
    seen: list[int] = []

    class Reversed(SequentialSampler):
        def __iter__(self):
            batches = [list(reversed(batch)) for batch in super().__iter__()]
            seen.extend(index for batch in batches for index in batch)
            return iter(batches)

    learner = toy_learner(valid_sampler=Reversed, valid_batch_size=10)
    learner.validate()
    assert seen[:10] == list(range(9, -1, -1))
    assert sorted(seen) == list(range(len(learner.data.valid)))


class Normed(nn.Module):
    """A body with batch norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(points))

    def layer_groups(self) -> list[nn.Module]:
        return [self.body, self.head]


def _normed() -> Learner:
    return Learner(Normed(), toy_data(), nn.functional.cross_entropy, progress=False)


def test_bn_freeze_keeps_the_statistics_of_frozen_batch_norm_only() -> None:
    learner = _normed()
    learner.freeze_to(-1)
    learner.bn_freeze()
    learner.fit(1)
    assert torch.equal(learner.model.body[1].running_mean, torch.zeros(4))
    assert not torch.equal(learner.model.head[0].running_mean, torch.zeros(4))


def test_frozen_batch_norm_goes_on_counting_without_bn_freeze() -> None:
    learner = _normed()
    learner.freeze_to(-1)
    learner.fit(1)
    assert not torch.equal(learner.model.body[1].running_mean, torch.zeros(4))


def test_rates_reach_layer_groups_that_the_optimizer_has_split() -> None:
    def split(groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
        halves = [{**group, "params": [weight]} for group in groups for weight in group["params"]]  # type: ignore[union-attr]
        return torch.optim.SGD(halves, lr=lr)

    learner = _grouped(lr=1.0, optimizer=split)
    learner.set_lr([0.1, 0.2, 0.3])
    assert [group["lr"] for group in learner.optimizer.param_groups] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
