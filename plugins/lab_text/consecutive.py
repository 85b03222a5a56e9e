"""Sampler of consecutive spans of random length, in a module of its own so that other samplers keep their keys."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lab.errors import DataError, ParameterError
from lab_text.windows import Windows

__all__ = ["ConsecutiveSpans"]


class ConsecutiveSpans:
    """Consecutive spans of random length, read in order, so that a stateful network carries its state along.

    The char-rnn article reads one stream (``batch_size=1``) from the first character on, in spans of 10 to 40
    characters, each of which starts where the previous one ended. With a larger batch, as many blocks of equal size are
    read in parallel, in spans of the same length; the remainder that does not fill the blocks is dropped. The first
    span of an epoch starts anew. Lengths are drawn uniformly for each epoch; then some of them are changed by one,
    until they add up to the block, so that every epoch has the same number of batches.

    Args:
        shortest, longest: range of the length, both ends included.

    Raises:
        ParameterError: the range is empty.
        DataError: the text is shorter than one batch of the shortest spans.
    """

    def __init__(
        self,
        size: int,
        bptt: int,
        batch_size: int,
        generator: torch.Generator,
        *,
        shortest: int = 10,
        longest: int = 40,
    ) -> None:
        if not 1 <= shortest <= longest:
            raise ParameterError(
                f"spans have 1 ≤ shortest ≤ longest, got {shortest} and {longest}", where="sampler 'consecutive_spans'"
            )
        self.block = size * bptt // batch_size
        if self.block < shortest:
            raise DataError(
                f"a text of {size * bptt} positions is shorter than one batch of {batch_size} spans of {shortest}",
                hint="use a smaller batch_size or shortest, or a longer text",
            )
        self.shortest, self.longest, self.batch_size, self.generator = shortest, longest, batch_size, generator

    def __len__(self) -> int:
        expected = round(2 * self.block / (self.shortest + self.longest))
        return max(1, min(expected, self.block // self.shortest))

    def __iter__(self) -> Iterator[Windows]:
        start = 0
        for length in self._lengths().tolist():
            yield Windows(range(start, self.batch_size * self.block, self.block), length, start > 0)
            start += length

    def _lengths(self) -> Tensor:
        lengths = torch.randint(self.shortest, self.longest + 1, (len(self),), generator=self.generator)
        # At most the whole block; with a narrow range, no sum of lengths may reach it.
        target = min(self.block, len(self) * self.longest)
        while gap := target - int(lengths.sum()):
            step = 1 if gap > 0 else -1
            changeable = (lengths < self.longest if gap > 0 else lengths > self.shortest).nonzero().flatten()
            drawn = changeable[torch.randperm(len(changeable), generator=self.generator)[: abs(gap)]]
            lengths[drawn] += step
        return lengths
