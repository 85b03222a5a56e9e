"""An observer of a third party or a study file changes no number of a run whose key does not mention it."""

from __future__ import annotations

import random
from collections.abc import Callable as Function
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab import Callback, Experiment, Study, run_study, use
from lab.training.callback import Callback as Base
from lab.training.state import CancelEpoch


def base(*callbacks: Any) -> Experiment:
    return Experiment(
        dataset=use("points", count=96),
        architecture=use("mlp", dropout=0.2),
        loss="cross_entropy",
        callbacks=list(callbacks),
        lr=0.1,
        batch_size=32,
        epochs=2,
    )


def observer(event: str, act: Function[[Any], Any]) -> type[Callback]:
    """Return a callback that says it observes, and acts at an event."""

    def method(self: Any, learner: Any) -> None:
        act(learner)

    return type("Watcher", (Callback,), {"observer": True, event: method})


def run(folder: Path, *callbacks: Any) -> Any:
    [record] = run_study(Study(base(*callbacks), seeds=1), runs=folder, fresh=True).runs
    return record


def scale(learner: Any) -> None:
    with torch.no_grad():
        next(learner.model.parameters()).mul_(0.5)


def scale_data(learner: Any) -> None:
    next(learner.model.parameters()).data.mul_(0.5)


def to_eval(learner: Any) -> None:
    learner.model.eval()


def cancel(learner: Any) -> None:
    raise CancelEpoch


CHANGES = [
    ("after_epoch", scale, "the weights ("),
    ("after_epoch", scale_data, "the weights ("),
    ("after_batch", scale, "the weights ("),
    ("before_batch", scale_data, "the weights ("),
    ("after_backward", lambda learner: next(learner.model.parameters()).grad.zero_(), "the gradients ("),
    ("before_batch", lambda learner: learner.batch[0].add_(1), "the batch (tensor 0)"),
    ("before_epoch", lambda learner: learner.set_lr(0.5), "the settings of the optimizer"),
    ("before_batch", to_eval, "the mode of the model"),
    ("before_epoch", cancel, "raises CancelEpoch"),
    ("after_epoch", lambda learner: learner.history[-1].update(valid_loss=0.0), "the history (valid_loss)"),
]


def zero_targets(learner: Any) -> None:
    learner.data.valid.tensors[1].zero_()


def zero_inputs(learner: Any) -> None:
    learner.data.train.tensors[0].data.zero_()


@pytest.mark.parametrize("act", [zero_targets, zero_inputs])
@pytest.mark.parametrize("event", ["before_fit", "after_epoch"])
def test_an_observer_that_writes_into_the_data_ends_its_run(tmp_path: Path, event: str, act: Any) -> None:
    record = run(tmp_path, observer(event, act))
    assert record.status == "failed"
    assert "the examples were changed while callback 'watcher' took part" in record.result["error"]
    # and the next run has its data as they were
    assert run(tmp_path).metrics == run(tmp_path / "other").metrics


@pytest.mark.parametrize(("event", "act", "what"), CHANGES)
def test_an_observer_that_changes_a_number_ends_its_run(tmp_path: Path, event: str, act: Any, what: str) -> None:
    record = run(tmp_path, observer(event, act))
    assert record.status == "failed"
    error = record.result["error"]
    assert what in error
    assert f"in {event}, though it says observer = True" in error


DRAWS = [
    lambda learner: torch.manual_seed(0),
    lambda learner: torch.rand(3),
    lambda learner: random.random(),
    lambda learner: np.random.rand(2),
]


@pytest.mark.parametrize("event", ["before_fit", "before_epoch", "after_batch"])
@pytest.mark.parametrize("act", DRAWS)
def test_what_an_observer_draws_or_seeds_moves_no_number(tmp_path: Path, event: str, act: Any) -> None:
    observed, alone = run(tmp_path, observer(event, act)), run(tmp_path)
    assert observed.key == alone.key
    assert observed.status == "finished"
    assert observed.metrics["valid_loss"] == alone.metrics["valid_loss"]


def test_an_observer_may_add_columns_of_its_own_and_look_at_the_model(tmp_path: Path) -> None:
    def look(learner: Any) -> None:
        learner.model.eval()
        with torch.no_grad():
            learner.model(torch.zeros(1, 8))
        learner.model.train()
        learner.history[-1]["norm"] = float(next(learner.model.parameters()).detach().norm())

    assert run(tmp_path, observer("after_epoch", look)).status == "finished"


def test_observers_that_come_with_lab_are_not_watched() -> None:
    assert Base.is_watched is False
