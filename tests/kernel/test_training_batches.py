"""Batches of a ``TensorDataset`` are selected from its tensors, and are those that a ``DataLoader`` stacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lab.training import Data
from lab.training.data import SequentialSampler, ShuffleSampler, TensorBatches
from tests.benchmarks.test_loop_overhead import CALLS_BOUND, extra_calls_per_batch

SIZE = 23
TENSORS = {
    "vectors and classes": (torch.randn(SIZE, 5), torch.randint(3, (SIZE,))),
    "pictures": (torch.rand(SIZE, 3, 4, 4),),
    "channels last": (torch.rand(SIZE, 3, 4, 4).contiguous(memory_format=torch.channels_last), torch.arange(SIZE)),
    "transposed": (torch.rand(5, SIZE).t(), torch.ones(SIZE, dtype=torch.bool)),
    "expanded": (torch.rand(1, 4).expand(SIZE, 4),),
    "bytes, halves, complex": (
        torch.arange(SIZE, dtype=torch.uint8),
        torch.rand(SIZE, 2).half(),
        torch.randn(SIZE, 2, dtype=torch.complex64),
    ),
    "nothing in them": (torch.zeros(SIZE, 0),),
    "with a graph": (torch.rand(SIZE, 2, requires_grad=True) * 2,),
}
BATCHES: dict[str, Callable[[], Any]] = {
    "in order": lambda: SequentialSampler(SIZE, 4),
    "shuffled": lambda: ShuffleSampler(SIZE, 4, torch.Generator().manual_seed(1)),
    "tensors": lambda: torch.arange(SIZE).split(5),
    "ranges": lambda: [range(3), range(10, 2, -3)],
    "numpy's numbers": lambda: [np.arange(4), [np.int64(3), np.int64(1)]],
    "from the end": lambda: [[-1, 0, -SIZE], [2]],
    "one again": lambda: [[7, 7, 7]],
}


def stacked(split: TensorDataset, batches: Any) -> DataLoader[Any]:
    return DataLoader(split, batch_sampler=batches)


@pytest.mark.parametrize("tensors", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES)
def test_selected_batches_are_stacked_ones(tensors: tuple[Tensor, ...], batches: Callable[[], Any]) -> None:
    split = TensorDataset(*tensors)
    found, expected = list(Data(split, None).loader(split, batches())), list(stacked(split, batches()))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert type(one) is type(other)
        for mine, theirs in zip(one, other, strict=True):
            assert (mine.dtype, mine.shape, mine.stride()) == (theirs.dtype, theirs.shape, theirs.stride())
            assert torch.equal(mine, theirs)
            assert mine.requires_grad == theirs.requires_grad


@pytest.mark.parametrize("batch", [[0, SIZE], [0, None], [], [0.5]], ids=str)
def test_indices_that_do_not_exist_are_refused_with_the_same_error(batch: list[Any]) -> None:
    split = TensorDataset(torch.rand(SIZE, 2))
    with pytest.raises((IndexError, RuntimeError, TypeError)) as expected:
        list(stacked(split, [batch]))
    with pytest.raises(type(expected.value)) as found:
        list(Data(split, None).loader(split, [batch]))
    assert str(found.value) == str(expected.value)


def test_a_batch_that_is_changed_in_place_leaves_the_data_as_it_is() -> None:
    split = TensorDataset(torch.rand(SIZE, 2))
    before = split.tensors[0].clone()
    loader = Data(split, None).loader(split, SequentialSampler(SIZE, 4))
    assert isinstance(loader, TensorBatches)
    for batch in loader:
        batch[0].zero_()
    assert torch.equal(split.tensors[0], before)


def test_the_loop_makes_few_calls_per_batch_beside_those_of_a_plain_loop() -> None:
    assert extra_calls_per_batch() <= CALLS_BOUND
