"""Sampler that balances classes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["Balanced"]


class Balanced:
    """Batches drawn with replacement, in which every class is equally likely.

    Args:
        size: number of examples.
        batch_size: number of examples per batch.
        generator: generator of the draws.
        targets: class of every example.
        share: 1 balances completely, 0 draws every example equally often.

    Shapes:
        targets (size) long
    """

    with_replacement = True

    def __init__(
        self, size: int, batch_size: int, generator: torch.Generator, targets: Tensor, *, share: float = 1.0
    ) -> None:
        self.size, self.batch_size, self.generator = size, batch_size, generator
        targets = torch.as_tensor(targets)
        self.weights = targets.bincount()[targets].double() ** -share

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        drawn = torch.multinomial(self.weights, self.size, replacement=True, generator=self.generator)
        for batch in drawn.split(self.batch_size):
            yield batch.tolist()
