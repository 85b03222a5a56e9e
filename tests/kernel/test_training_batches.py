"""Batches of a ``TensorDataset`` are selected from its tensors, and are those that a ``DataLoader`` stacks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lab.training import Checkpoint, Data, Learner
from lab.training.data import SequentialSampler, ShuffleSampler, TensorBatches

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


def calls_per_batch(run: Callable[[], object], batches: int) -> float:
    counted: Counter[str] = Counter()
    sys.setprofile(lambda _, event, __: counted.update([event]) if event == "call" else None)
    try:
        run()
    finally:
        sys.setprofile(None)
    return counted["call"] / batches


def test_the_loop_makes_at_most_thirty_calls_per_batch_beside_those_of_a_plain_loop() -> None:
    def data(batches: int) -> TensorDataset:
        return TensorDataset(torch.randn(batches * 4, 2), torch.randint(2, (batches * 4,)))

    def plain(batches: int) -> Callable[[], object]:
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        points, classes = data(batches).tensors

        def epoch() -> None:
            for start in range(0, len(points), 4):
                loss = nn.functional.cross_entropy(model(points[start : start + 4]), classes[start : start + 4])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

        return epoch

    def with_lab(batches: int) -> Callable[[], object]:
        learner = Learner(
            nn.Linear(2, 2),
            Data(data(batches), None),
            nn.functional.cross_entropy,
            optimizer=torch.optim.SGD,
            batch_size=4,
            callbacks=[Checkpoint()],
        )
        return lambda: learner.fit(1)

    def per_batch(make: Callable[[int], Callable[[], object]]) -> float:
        for batches in (40, 140):  # torch looks up much at its first steps
            make(batches)()
        few, many = (calls_per_batch(make(batches), 100) for batches in (40, 140))
        return many - few

    assert per_batch(with_lab) - per_batch(plain) <= 30
