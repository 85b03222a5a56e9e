"""An epoch of ratings by `lab`, by a plain loop over the same tensors, and by a loader that takes row after row."""

from __future__ import annotations

import pytest
import torch
from lab_basics.losses import mse
from lab_basics.optimizers import adamw
from lab_collab.data import Ratings, RatingsData
from lab_collab.models import DotBias
from torch.utils.data import DataLoader, TensorDataset

from lab.training import Checkpoint, Learner
from tests.benchmarks.turns import in_turns, seconds, typical_speeds

COUNT, USERS, ITEMS, BATCH, ROUNDS = 200_000, 2_000, 3_000, 512, 5
BOUND = 0.7
"""Steps take 0.4 ms here, so the loop's constant tenth of a millisecond shows; the bound guards against worse."""

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_epoch_costs_little_more_than_a_plain_loop_over_tensors(figure, tmp_path):
    split = _ratings()
    plain, rows, lab = _plain(split), _rows(split), _lab(split, tmp_path)
    bare, ours = in_turns([plain, lab], ROUNDS)
    speeds = typical_speeds(COUNT, ours, bare)
    figure.ratio("ratings", **speeds, unit="ratings/s", beside="a plain loop over tensors", at_least=BOUND)
    speeds["peer"] = COUNT / seconds(rows)
    figure.ratio("ratings", **speeds, unit="ratings/s", beside="a loader row by row", at_least=3)


def _ratings():
    generator = torch.Generator().manual_seed(0)
    users = torch.randint(1, USERS, (COUNT,), generator=generator)
    items = torch.randint(1, ITEMS, (COUNT,), generator=generator)
    return Ratings(users, items, 5 * torch.rand(COUNT, generator=generator))


def _model():
    torch.manual_seed(0)
    return DotBias(USERS, ITEMS, 2.5, (0.0, 5.0))


def _lab(split, folder):
    data = RatingsData(split, None, collate=lambda batch: batch)
    learner = Learner(
        _model(), data, mse, optimizer=adamw, batch_size=BATCH, callbacks=[Checkpoint()], folder=folder, progress=False
    )
    return lambda: learner.fit(1)


def _plain(split):
    return _loop(lambda: (split.__getitems__(rows) for rows in torch.randperm(COUNT).split(BATCH)))


def _rows(split):
    dataset = TensorDataset(split.users, split.items, split.target)
    return _loop(lambda: DataLoader(dataset, BATCH, shuffle=True))


def _loop(batches):
    model = _model()
    optimizer = adamw(model.parameters(), lr=1e-3)

    def epoch():
        model.train()
        for users, items, target in batches():
            mse(model(users, items), target).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch
