"""Strided sampler."""

from __future__ import annotations

from collections.abc import Iterator

import torch

__all__ = ["Striped"]


class Striped:
    """Batches of examples at equal distances in the dataset, in random order.

    Args:
        size: number of examples.
        batch_size: maximum number of examples per batch.
        generator: generator of the order of the batches.
        reverse: whether each batch is in reverse order.
    """

    def __init__(self, size: int, batch_size: int, generator: torch.Generator, *, reverse: bool = False) -> None:
        self.size, self.generator, self.reverse = size, generator, reverse
        self.stripes = -(-size // batch_size)

    def __len__(self) -> int:
        return self.stripes

    def __iter__(self) -> Iterator[list[int]]:
        for first in torch.randperm(self.stripes, generator=self.generator).tolist():
            stripe = list(range(first, self.size, self.stripes))
            yield stripe[::-1] if self.reverse else stripe
