"""Batches of a table of a million rows by slices, and by a loader that takes row after row; Rossmann's preparation."""

from __future__ import annotations

import os
from collections import deque
from functools import partial

import pytest
import torch
from lab_tabular.data import Rows, TableBatch
from torch.utils.data import DataLoader, TensorDataset

from lab.training.data import Data, SequentialSampler, ShuffleSampler
from tests.benchmarks.turns import seconds

CATEGORIES, NUMBERS, BATCH = 8, 6, 512
BOUND, PREPARATION_S = 10, 60

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_epoch_of_batches_is_ten_times_faster_than_row_by_row(figure, short):
    count = 50_000 if short else 1_000_000
    generator = torch.Generator().manual_seed(0)
    tensors = (
        torch.randint(0, 50, (count, CATEGORIES), generator=generator),
        torch.randn(count, NUMBERS, generator=generator),
        torch.randn(count, generator=generator),
    )
    data = Data(Rows(*tensors), None, collate=lambda batch: batch)
    slices = data.loader(data.train, ShuffleSampler(count, BATCH, generator))
    rows = DataLoader(TensorDataset(*tensors), BATCH, shuffle=True)
    ours, theirs = (seconds(partial(deque, batches, maxlen=0)) for batches in (slices, rows))
    assert isinstance(next(iter(data.loader(data.train, SequentialSampler(count, BATCH)))), TableBatch)
    what, beside = f"batches of a table of {count:,} rows", "a loader row by row"
    figure.ratio(what, lab=count / ours, peer=count / theirs, unit="rows/s", beside=beside, at_least=BOUND)


def test_rossmanns_million_rows_are_prepared_in_a_minute(figure, short):
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: the real table is not here")
    from lab_tabular.rossmann import rossmann

    found = []
    taken = seconds(lambda: found.append(rossmann(stores=100 if short else None)))
    rows = len(found[0].train) + len(found[0].valid)
    figure.value(f"preparing Rossmann's {rows:,} rows", taken, "s", at_most=PREPARATION_S)
