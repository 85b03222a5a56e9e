"""Sets of numbers, and a number that each set determines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import attrs
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lab import Data

__all__ = ["NumberSets", "SetBatch", "number_sets"]


class SetBatch(NamedTuple):
    """A batch of sets, padded to the largest one.

    Shapes:
        elements (B, N, 1), mask (B, N) bool, True = an element, target (B)
    """

    elements: Tensor
    mask: Tensor
    target: Tensor


@attrs.define(eq=False, kw_only=True)
class NumberSets(Data):
    """Sets of numbers.

    Attributes:
        element_size: 1.
        output_size: 1.
    """

    element_size: int = 1
    output_size: int = 1


class _Sets(Sequence[tuple[Tensor, Tensor]]):
    """Map-style split: (numbers (N), target ()) each."""

    def __init__(self, sets: list[Tensor], targets: Tensor) -> None:
        self.sets, self.numbers = sets, targets

    def __len__(self) -> int:
        return len(self.sets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.sets[index], self.numbers[index]


def number_sets(
    *, count: int = 400, largest: int = 9, of: Literal["sum", "maximum"] = "sum", data_seed: int = 0
) -> NumberSets:
    """Return sets of 1 to ``largest`` numbers in [0, 1), a quarter of them for validation.

    Args:
        count: number of sets.
        largest: maximum number of elements.
        of: the target is this number of each set.
        data_seed: seed of the dataset.

    Shapes:
        elements (B, N, 1), mask (B, N) bool, True = an element, target (B)
    """
    generator = torch.Generator().manual_seed(data_seed)
    sizes = torch.randint(1, largest + 1, (count,), generator=generator).tolist()
    sets = [torch.rand(size, generator=generator) for size in sizes]
    targets = torch.stack([each.sum() if of == "sum" else each.max() for each in sets])
    cut = count * 3 // 4
    content = torch.cat([*sets, targets]).numpy().tobytes()
    return NumberSets(
        train=_Sets(sets[:cut], targets[:cut]),
        valid=_Sets(sets[cut:], targets[cut:]),
        collate=_collate,
        length=_sizes,
        fingerprint=hashlib.sha256(content).hexdigest(),
    )


def _sizes(split: _Sets) -> list[int]:
    return [len(each) for each in split.sets]


def _collate(examples: Sequence[tuple[Tensor, Tensor]]) -> SetBatch:
    sizes = torch.tensor([len(elements) for elements, _ in examples])
    elements = pad_sequence([elements for elements, _ in examples], batch_first=True)
    mask = torch.arange(elements.shape[1]) < sizes.unsqueeze(1)
    return SetBatch(elements.unsqueeze(2), mask, torch.stack([target for _, target in examples]))
