"""Batches of a table of a million rows by slices, and by a loader that takes row after row; Rossmann's preparation.

pytest tests/benchmarks/test_tabular_throughput.py -n 0 --benchmark-enable -s
"""

from __future__ import annotations

import os
import time

import pytest
import torch
from lab_tabular.data import Rows, TableBatch
from torch.utils.data import DataLoader, TensorDataset

from lab.training.data import Data, SequentialSampler, ShuffleSampler

COUNT, CATEGORIES, NUMBERS, BATCH = 1_000_000, 8, 6, 512
BOUND, PREPARATION_S = 10, 60


@pytest.fixture(autouse=True)
def one_thread(request: pytest.FixtureRequest):
    if not (request.config.getoption("benchmark_enable") or request.config.getoption("benchmark_only")):
        pytest.skip("measures time: run with --benchmark-enable on a machine that does nothing else")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_an_epoch_of_batches_is_ten_times_faster_than_row_by_row(benchmark):
    generator = torch.Generator().manual_seed(0)
    tensors = (
        torch.randint(0, 50, (COUNT, CATEGORIES), generator=generator),
        torch.randn(COUNT, NUMBERS, generator=generator),
        torch.randn(COUNT, generator=generator),
    )
    data = Data(Rows(*tensors), None, collate=lambda batch: batch)
    slices = data.loader(data.train, ShuffleSampler(COUNT, BATCH, generator))
    rows = DataLoader(TensorDataset(*tensors), BATCH, shuffle=True)
    ours, theirs = _seconds(slices), _seconds(rows)
    assert isinstance(next(iter(data.loader(data.train, SequentialSampler(COUNT, BATCH)))), TableBatch)
    print(
        f"\nrow by row {COUNT / theirs:,.0f} rows/s, lab {COUNT / ours:,.0f}, ratio {theirs / ours:.1f} (bound {BOUND})"
    )
    benchmark.extra_info.update(ratio=theirs / ours)
    benchmark.pedantic(_seconds, (slices,), rounds=1)
    assert theirs / ours >= BOUND


def test_rossmanns_million_rows_are_prepared_in_a_minute(benchmark):
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: the real table is not here")
    from lab_tabular.rossmann import rossmann

    started = time.perf_counter()
    data = benchmark.pedantic(rossmann, rounds=1)
    seconds = time.perf_counter() - started
    print(f"\n{len(data.train):,} + {len(data.valid):,} rows prepared in {seconds:.1f} s (bound {PREPARATION_S})")
    assert seconds <= PREPARATION_S


def _seconds(batches):
    started = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - started
