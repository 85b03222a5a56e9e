"""What the tests of tables share."""

from __future__ import annotations

import os

import pytest
import torch
from lab_basics.losses import mse
from lab_basics.optimizers import adamw
from lab_tabular.data import table_of_frame
from lab_tabular.models import TabularMLP
from lab_tabular.sources import towns, towns_frame

from lab import Learner

NEEDS = (*("category_sizes", "continuous_count", "output_size", "target_mean", "target_deviation", "category_names"),)


@pytest.fixture
def lab_data():
    folder = os.environ.get("LAB_DATA")
    if not folder:
        pytest.skip("LAB_DATA is not set: the real tables are not here")
    return folder


def net(data, **options):
    """A network for a table."""
    return TabularMLP(*(getattr(data, name) for name in NEEDS), **options)


def flats(**options):
    """A small table of rents."""
    return table_of_frame(towns_frame(300)[0], "rent", categorical=["town", "kind", "month"], **options)


@pytest.fixture(scope="session")
def learner():
    """A network that was trained on the generated rents."""
    torch.manual_seed(0)
    data = towns()
    learner = Learner(
        net(data, layers=[200, 100], embedding_dropout=0.02), data, mse,
        optimizer=lambda groups, lr: adamw(groups, lr, weight_decay=0.01),
        lr=5e-3, batch_size=64, valid_batch_size=2000, progress=False,
    )  # fmt: skip
    learner.fit_one_cycle(6)
    return learner
