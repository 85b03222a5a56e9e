"""Sampler that balances classes by their effective number of examples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lab.errors import DataError, ParameterError

__all__ = ["EffectiveNumber"]


class EffectiveNumber:
    """Batches drawn with replacement, an example as often as one over the effective number of its class.

    Cui, Jia, Lin, Song & Belongie 2019, arXiv:1901.05555: n examples of a class count as ``(1 - beta^n)/(1 - beta)``.
    Differs from the paper: examples are drawn in this proportion; there, their losses are weighted by it.

    Args:
        size: number of examples.
        batch_size: number of examples per batch.
        generator: generator of the draws, restarted for every epoch.
        targets: class of every example.
        beta: in [0, 1]; 0 draws every example equally often, 1 every class.

    Shapes:
        targets (size) long

    Raises:
        ParameterError: ``beta`` is out of range.
        DataError: targets are not classes.
    """

    # an epoch has as many draws as there are examples, and may draw one twice and another one never
    with_replacement = True

    def __init__(
        self, size: int, batch_size: int, generator: torch.Generator, targets: Tensor, *, beta: float = 0.999
    ) -> None:
        if not 0 <= beta <= 1:
            raise ParameterError(f"effective_number: beta must be in [0, 1], not {beta}")
        targets = torch.as_tensor(targets)
        if targets.is_floating_point() or targets.dim() != 1:
            raise DataError(
                f"effective_number: targets are {targets.dtype} {tuple(targets.shape)}, not one class per example",
                hint="balance classes only where there are some",
            )
        self.size, self.batch_size, self.generator = size, batch_size, generator
        counts = targets.unique(return_inverse=True, return_counts=True)
        self.weights = 1 / effective_numbers(counts[2], beta)[counts[1]]

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        drawn = torch.multinomial(self.weights, self.size, replacement=True, generator=self.generator)
        for batch in drawn.split(self.batch_size):
            yield batch.tolist()


def effective_numbers(counts: Tensor, beta: float) -> Tensor:
    """Return the effective number of classes of so many examples each: 1 for ``beta`` 0, their count for 1."""
    counts = counts.double()
    # the limit, where the quotient is 0 / 0
    return counts if beta == 1 else (1 - beta**counts) / (1 - beta)
