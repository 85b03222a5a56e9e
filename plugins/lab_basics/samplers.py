"""Batch samplers.

A sampler is an iterable of batches, each a list of indices. Every index occurs exactly once per epoch, except those
that ``drop_last`` drops. The number of batches is known in advance, and the same state of ``generator`` gives the same
epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from lab.errors import DataError, ParameterError

__all__ = ["Bucket", "FullBatch", "Sampler", "Sequential", "Shuffle", "Sort", "Sortish"]


class Sampler(ABC):
    """Base class: an order of the indices, cut into batches.

    A subclass sets ``starts``, the first position of every batch, and implements ``order``. Positions from ``end`` on,
    if set, are dropped.
    """

    starts: np.ndarray
    end: int | None = None

    @abstractmethod
    def order(self) -> np.ndarray:
        """Return the indices of one epoch, each once, as an int array."""

    def cut(self) -> list[list[int]]:
        """Return the batches of one epoch in order."""
        order = self.order()[: self.end].tolist()
        return [order[start:end] for start, end in pairwise([*self.starts.tolist(), len(order)])]

    def _cut_evenly(self, size: int, batch_size: int, drop_last: bool) -> None:
        """Cut into batches of one size; the remainder is the last batch, or dropped."""
        self.starts = _even_starts(size, batch_size)
        if drop_last and size % batch_size and len(self.starts) > 1:
            self.end = int(self.starts[-1])
            self.starts = self.starts[:-1]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.cut())

    def __len__(self) -> int:
        return len(self.starts)


class Sequential(Sampler):
    """Batches in the order of the data.

    Args:
        drop_last: drop the last batch if it is not full, unless it is the only one. Batch norm cannot be trained on a
            batch of one.
    """

    def __init__(self, size: int, batch_size: int, *, drop_last: bool = False) -> None:
        self.size = size
        self._cut_evenly(size, batch_size, drop_last)

    def order(self) -> np.ndarray:
        return np.arange(self.size)


class FullBatch(Sampler):
    """A single batch of all examples: with ``sgd``, full-batch gradient descent."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.starts = np.arange(min(size, 1))

    def order(self) -> np.ndarray:
        return np.arange(self.size)


class Shuffle(Sampler):
    """Batches in a new random order every epoch.

    Args:
        drop_last: drop the last batch if it is not full, unless it is the only one. Batch norm cannot be trained on a
            batch of one.
    """

    def __init__(self, size: int, batch_size: int, generator: torch.Generator, *, drop_last: bool = False) -> None:
        self.size = size
        self.generator = generator
        self._cut_evenly(size, batch_size, drop_last)

    def order(self) -> np.ndarray:
        return _permutation(self.size, self.generator)


class Sort(Sampler):
    """Batches sorted by length, longest first: the least padding, and the same batches every epoch.

    Args:
        drop_last: drop the last batch, of the shortest examples, if it is not full, unless it is the only one. Batch
            norm cannot be trained on a batch of one.
    """

    def __init__(self, lengths: np.ndarray | Sequence[int], batch_size: int, *, drop_last: bool = False) -> None:
        self.lengths = _checked_lengths(lengths)
        self._cut_evenly(len(self.lengths), batch_size, drop_last)

    def order(self) -> np.ndarray:
        return _longest_first(self.lengths)


class Sortish(Sampler):
    """Batches of similar lengths in random order, the batch with the longest example first.

    ``SortishSampler`` of fast.ai 0.7 (``fastai/text.py``): permute, sort by length within chunks of 50 batches, cut
    into batches, move the batch with the longest example to the front (a batch that does not fit in memory fails at
    once), shuffle the others. Differs from it: the batch that is not full stays a batch of its own; fast.ai
    concatenated the indices and cut them again, so that every batch after the short one mixed the lengths of two.

    Args:
        lengths: length of every example; only their order matters.
        batch_size: examples per batch.
        generator: generator of both shuffles.
        chunk_batches: batches per chunk, at least 1; larger chunks have less padding and less randomness.
        drop_last: drop the batch that is not full, unless it is the only one. Batch norm cannot be trained on a batch
            of one.
    """

    def __init__(
        self,
        lengths: np.ndarray | Sequence[int],
        batch_size: int,
        generator: torch.Generator,
        *,
        chunk_batches: int = 50,
        drop_last: bool = False,
    ) -> None:
        _at_least_one("chunk_batches", chunk_batches, "sortish")
        self.lengths = _checked_lengths(lengths)
        self.generator = generator
        self.chunk = batch_size * chunk_batches
        self._cut_evenly(len(self.lengths), batch_size, drop_last)

    def order(self) -> np.ndarray:
        order = _permutation(len(self.lengths), self.generator)
        for start in range(0, len(order), self.chunk):
            chunk = order[start : start + self.chunk]
            order[start : start + self.chunk] = chunk[_longest_first(self.lengths[chunk])]
        return order

    def cut(self) -> list[list[int]]:
        batches = super().cut()
        if not batches:
            return batches
        # Batches are sorted inside, so the first example is the longest.
        longest = int(np.argmax([self.lengths[batch[0]] for batch in batches]))
        batches[0], batches[longest] = batches[longest], batches[0]
        return _shuffle_behind_first(batches, self.generator)


class Bucket(Sampler):
    """Batches of similar lengths with a budget of tokens, padding included.

    Examples are sorted by length and cut from the longest on. The cuts depend on the sorted lengths only, so the number
    of batches is the same every epoch, and only examples of equal length are exchanged between batches. The batch with
    the longest example comes first, the others in random order.

    Args:
        lengths: tokens of every example.
        batch_size: examples per batch at the mean length, if ``tokens`` is not given.
        generator: generator of both shuffles.
        tokens: budget of a batch: its number of examples times the longest of them. The default is ``batch_size`` times
            the mean length, but at least the longest example.

    Raises:
        DataError: an example is longer than ``tokens``.
    """

    def __init__(
        self,
        lengths: np.ndarray | Sequence[int],
        batch_size: int,
        generator: torch.Generator,
        *,
        tokens: int | None = None,
    ) -> None:
        self.lengths = _checked_lengths(lengths)
        self.generator = generator
        self.tokens = self._default_tokens(batch_size) if tokens is None else self._checked_tokens(tokens)
        self.starts = self._budget_starts()

    def order(self) -> np.ndarray:
        order = _permutation(len(self.lengths), self.generator)
        return np.take(order, _longest_first(self.lengths[order]))

    def cut(self) -> list[list[int]]:
        return _shuffle_behind_first(super().cut(), self.generator)

    def _default_tokens(self, batch_size: int) -> int:
        _at_least_one("batch_size", batch_size, "bucket")
        if not len(self.lengths):
            return batch_size
        return max(int(self.lengths.max()), round(batch_size * float(self.lengths.mean())), 1)

    def _checked_tokens(self, tokens: int) -> int:
        _at_least_one("tokens", tokens, "bucket")
        if len(self.lengths) and self.lengths.max() > tokens:
            index = int(np.argmax(self.lengths))
            raise DataError(
                f"example {index} has {self.lengths[index]} tokens, more than a batch of {tokens}",
                where="sampler 'bucket', parameter 'tokens'",
                hint=f"set tokens to at least {self.lengths[index]}, or drop such long examples",
            )
        return tokens

    def _budget_starts(self) -> np.ndarray:
        # Empty examples count as one token, or a batch could hold any number of them.
        lengths = np.maximum(np.sort(self.lengths)[::-1], 1)
        starts, position = [], 0
        while position < len(lengths):
            starts.append(position)
            position += self.tokens // int(lengths[position])
        return np.asarray(starts, dtype=np.int64)


def _even_starts(size: int, batch_size: int) -> np.ndarray:
    _at_least_one("batch_size", batch_size)
    return np.arange(0, size, batch_size)


def _permutation(size: int, generator: torch.Generator) -> np.ndarray:
    return torch.randperm(size, generator=generator).numpy()


def _longest_first(lengths: np.ndarray) -> np.ndarray:
    """Return the positions by decreasing length; equal lengths keep their order."""
    return np.argsort(-lengths, kind="stable")


def _shuffle_behind_first(batches: list[list[int]], generator: torch.Generator) -> list[list[int]]:
    if not batches:
        return batches
    return batches[:1] + [batches[1 + position] for position in _permutation(len(batches) - 1, generator).tolist()]


def _checked_lengths(lengths: np.ndarray | Sequence[int]) -> np.ndarray:
    array = np.asarray(lengths)
    if array.ndim != 1:
        raise DataError(f"lengths must be one number per example, got an array of shape {array.shape}")
    if not len(array):
        return np.zeros(0, dtype=np.int64)
    if array.min() < 0:
        raise DataError(f"example {int(np.argmin(array))} has the negative length {array.min()}")
    # numpy's stable sort of 16-bit integers is a radix sort, several times faster than the merge sort of wider ones
    return array.astype(np.int16 if array.max() < 2**15 else np.int64)


def _at_least_one(name: str, value: int, sampler: str | None = None) -> None:
    if value < 1:
        where = f"sampler '{sampler}'" if sampler else None
        raise ParameterError(f"{name} must be at least 1, got {value}", where=where)
