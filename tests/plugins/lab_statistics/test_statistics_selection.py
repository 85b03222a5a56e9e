"""The epoch that is reported is not chosen by the examples that score it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lab_statistics.examples import scores_of_examples
from lab_statistics.selection import CrossFitted, LastEpochs, cross_fitted, half_of_examples
from torch import nn

from lab import Callback, Learner, Study
from lab.errors import ParameterError
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.training.checkpoint import Checkpoint
from tests.kernel.toys import experiment, points


def learner(*callbacks: Callback) -> Learner:
    torch.manual_seed(0)
    return Learner(
        nn.Linear(2, 1), points(size=48), nn.functional.mse_loss, callbacks=callbacks, progress=False, lr=0.3
    )


def test_each_half_is_scored_at_the_epoch_that_the_other_chose() -> None:
    halves = np.array([[0.5, 0.9, 0.7], [0.8, 0.6, 0.1]])
    # the first half chooses epoch 1, where the second has 0.6; the second chooses epoch 0, where the first has 0.5
    assert float(cross_fitted(halves, higher_is_better=True)) == pytest.approx((0.6 + 0.5) / 2)
    assert float(cross_fitted(halves, higher_is_better=False)) == pytest.approx((0.8 + 0.7) / 2)


def test_halves_are_the_same_in_every_run_and_as_large() -> None:
    assert half_of_examples(9).sum() == 4
    assert (half_of_examples(50) == half_of_examples(50)).all()


class Halves(Callback):
    """Keeps the scores of examples in each epoch."""

    name = "halves"

    def __init__(self) -> None:
        self.losses: list[np.ndarray] = []

    def after_epoch(self, learner: Learner) -> None:
        self.losses.append(scores_of_examples(learner)["loss"])


def test_the_column_has_the_cross_fitted_score_of_the_epochs_so_far() -> None:
    kept = Halves()
    history = learner(CrossFitted(), kept).fit(4)
    first = half_of_examples(16)
    halves = np.array([[losses[half].mean() for losses in kept.losses] for half in (first, ~first)])
    assert history[-1]["cross_fitted_valid_loss"] == pytest.approx(float(cross_fitted(halves, higher_is_better=False)))
    assert history[0]["cross_fitted_valid_loss"] == pytest.approx(history[0]["valid_loss"])


def test_cross_fitting_changes_no_number_of_the_training() -> None:
    plain, watched = learner().fit(3), learner(CrossFitted()).fit(3)
    assert [row["valid_loss"] for row in plain] == [row["valid_loss"] for row in watched]


def test_the_row_of_the_best_epoch_cannot_be_cross_fitted() -> None:
    with pytest.raises(ParameterError, match=r"the row of the best epoch would be reported(.|\n)*selection='last'"):
        learner(Checkpoint(select="best"), CrossFitted()).fit(1)


def test_a_column_of_training_cannot_be_cross_fitted() -> None:
    with pytest.raises(ParameterError, match="of must be a column of validation, got 'train_loss'"):
        CrossFitted(of="train_loss")


def test_the_mean_of_the_last_epochs_is_a_column() -> None:
    history = learner(LastEpochs(count=2)).fit(3)
    losses = [row["valid_loss"] for row in history]
    assert history[0]["last_2_valid_loss"] == pytest.approx(losses[0])
    assert history[-1]["last_2_valid_loss"] == pytest.approx((losses[1] + losses[2]) / 2)


def test_fewer_than_two_epochs_are_no_mean() -> None:
    with pytest.raises(ParameterError, match="count must be at least 2, got 1"):
        LastEpochs(count=1)


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(ParameterError, match="unknown metric 'valid_accuracy'"):
        learner(LastEpochs(of="valid_accuracy")).fit(1)


@pytest.mark.parametrize("column", ["cross_fitted_valid_loss", "last_3_valid_loss"])
def test_a_study_compares_the_column(catalog: Catalog, tmp_path: Path, column: str) -> None:
    base = experiment(epochs=3, callbacks=["cross_fitted", "last_epochs"])
    study = Study(base, seeds=3, compare=column, name="chosen").swap("lr", {"slow": 1e-5})
    results = run_study(study, runs=tmp_path, catalog=catalog)
    assert results.compare()[1].comparison.is_better is False
