"""A sampler that mixes the data without randomness inside a batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

__all__ = ["Striped"]


class Striped:
    """Every batch takes examples at even distances over the whole data; the batches come in random order.

    Args:
        size: number of examples.
        batch_size: examples in a batch, at most.
        generator: the source of the order of the batches.
        reverse: the last example first inside a batch.
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
