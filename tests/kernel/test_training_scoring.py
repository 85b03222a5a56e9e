"""Scores of an epoch: one number or none, with a reason, and kept training when a metric fails."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lab.errors import LabError, NonFiniteLossError, ParameterError
from lab.training import Callback, Checkpoint, Learner
from lab.training.scoring import check_arguments, check_direction, directions, score_of
from tests.kernel.training_toys import toy_learner


class Fixed:
    """Gives what it was made with."""

    higher_is_better = True

    def __init__(self, value: Any, undefined: str = "") -> None:
        self.value, self.undefined = value, undefined

    def update(self, output: Tensor, target: Tensor) -> None:
        pass

    def compute(self) -> Any:
        return self.value

    def reset(self) -> None:
        pass


@pytest.mark.parametrize("value", [0.5, 1, torch.tensor(0.5), torch.tensor([0.5])])
def test_one_number_is_a_score(value: Any) -> None:
    assert score_of("m", Fixed(value)) == (float(value), "")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": 1.0}, "{'a': float}"),
        (torch.ones(3), "float32 (3,)"),
        (None, "None"),
        ("0.5", "str"),
        ([0.5, 0.6], "[float, float]"),
        (1j, "complex"),
    ],
)
def test_anything_else_is_told_by_its_structure(value: Any, told: str) -> None:
    with pytest.raises(LabError) as caught:
        score_of("m", Fixed(value))
    assert f"metric 'm': compute gives {told}, not one number" in str(caught.value)


def test_a_score_with_a_reason_against_it_is_undefined() -> None:
    score, reason = score_of("m", Fixed(0.0, "only class 1"))
    assert (math.isnan(score), reason) == (True, "only class 1")


def test_the_learner_keeps_the_reasons_of_its_last_validation() -> None:
    learner = toy_learner(metrics={"m": Fixed(0.0, "only class 1")})
    row = learner.validate()
    assert math.isnan(row["valid_m"])
    assert learner.undefined == {"valid_m": "only class 1"}
    learner.metrics["m"].undefined = ""
    assert learner.validate()["valid_m"] == 0.0
    assert learner.undefined == {}


@pytest.mark.parametrize("direction", [None, 1, "max"])
def test_a_metric_without_direction_is_told_with_the_remedy(direction: Any) -> None:
    metric = Fixed(1.0)
    metric.higher_is_better = direction
    with pytest.raises(ParameterError) as caught:
        check_direction("m", metric)
    assert str(caught.value) == (
        "metric 'm' does not say whether higher or lower is better\n"
        f"  Fixed.higher_is_better is {direction!r}\n"
        "  class FixedWithDirection(Fixed): higher_is_better = True  (or False)"
    )


def test_swapped_arguments_are_told_by_their_names() -> None:
    class Swapped(Fixed):
        def update(self, y_true: Tensor, y_pred: Tensor) -> None:  # type: ignore[override]
            pass

    with pytest.raises(ParameterError, match=r"takes its arguments the other way round: update\(y_true, y_pred\)"):
        check_arguments("m", Swapped(1.0))
    check_arguments("m", Fixed(1.0))


class Norm(Callback):
    """Adds a column and declares it."""

    metrics = {"weight_norm": False}  # noqa: RUF012

    def after_validate(self, learner: Learner) -> None:
        learner.history[-1]["weight_norm"] = 1.0


def test_columns_of_callbacks_have_the_direction_that_they_declare() -> None:
    learner = toy_learner(callbacks=[Norm()], metrics={"m": Fixed(1.0)})
    assert directions(learner) == {
        "train_loss": False,
        "valid_loss": False,
        "valid_m": True,
        "weight_norm": False,
    }


def test_the_best_epoch_may_be_chosen_by_a_declared_column() -> None:
    toy_learner(callbacks=[Norm(), Checkpoint(monitor="weight_norm")]).fit(1)


def test_the_best_epoch_is_not_chosen_by_a_metric_without_direction() -> None:
    metric = Fixed(1.0)
    metric.higher_is_better = None
    with pytest.raises(ParameterError, match="metric 'm' does not say whether higher or lower is better"):
        toy_learner(metrics={"m": metric}, callbacks=[Checkpoint(monitor="valid_m")]).fit(1)


class Late(Fixed):
    """Raises at its second epoch, once."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.epochs = 0

    def compute(self) -> float:
        self.epochs += 1
        if self.epochs == 2:
            raise ZeroDivisionError("late")
        return 1.0


def test_a_metric_that_fails_late_costs_no_training(tmp_path: Path) -> None:
    metric = Late()
    broken = toy_learner(metrics={"m": metric}, folder=tmp_path, callbacks=[Checkpoint(min_interval_s=math.inf)])
    with pytest.raises(ZeroDivisionError, match="late"):
        broken.fit(3)
    steps: list[int] = []

    class Counts(Callback):
        def after_batch(self, learner: Learner) -> None:
            steps.append(learner.position.epoch)

    again = toy_learner(metrics={"m": metric}, folder=tmp_path, callbacks=[Checkpoint(), Counts()])
    again.resume(3)
    assert set(steps) == {2}
    whole = toy_learner(metrics={"m": Fixed(1.0)})
    whole.fit(3)
    assert [row["train_loss"] for row in again.history] == [row["train_loss"] for row in whole.history]
    assert [row["valid_loss"] for row in again.history] == [row["valid_loss"] for row in whole.history]


def test_a_validation_loss_that_is_not_finite_fails_the_fit_and_its_resumption(tmp_path: Path) -> None:
    def learner() -> Learner:
        return toy_learner(lr=1e30, optimizer=torch.optim.SGD, batch_size=72, folder=tmp_path, callbacks=[Checkpoint()])

    for _ in range(2):
        with pytest.raises(NonFiniteLossError, match="the validation loss is nan after epoch 1"):
            learner().resume(1)
