"""What the tests of ratings share."""

from __future__ import annotations

import os

import pytest
from lab_basics.losses import mse
from lab_basics.optimizers import adamw
from lab_collab.data import ratings
from lab_collab.models import DotBias

from lab import Learner


@pytest.fixture
def lab_data():
    folder = os.environ.get("LAB_DATA")
    if not folder:
        pytest.skip("LAB_DATA is not set: the real ratings are not here")
    return folder


def needs(data, *more):
    """What every model of ratings asks the data for."""
    names = ("user_count", "item_count", "mean_rating", "rating_range", *more)
    return [getattr(data, name) for name in names]


@pytest.fixture(scope="session")
def learner():
    """A factor model that was trained on the embedded ratings."""
    data = ratings()
    model = DotBias(*needs(data), n_factors=10)
    learner = Learner(
        model, data, mse, optimizer=lambda groups, lr: adamw(groups, lr, weight_decay=0.2),
        lr=1e-2, batch_size=128, progress=False,
    )  # fmt: skip
    learner.fit_one_cycle(5)
    return learner
