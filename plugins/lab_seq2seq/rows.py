"""Matrices for products, in round numbers of rows, and products of them, in blocks.

The libraries behind matrix products compile one for every shape that they meet, and keep it: a millisecond and half a
megabyte each. Sentences that end, step by step, and batches of any length would let them meet thousands; here they meet
a dozen for each weight.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

__all__ = ["Rows", "aligned", "gathered", "in_round_rows", "round_number", "rounded_down", "times"]

_BLOCK = 1024
_GRAINS = {128: 16, 512: 128, _BLOCK: 256}  # up to so many rows: a multiple of this number is round
_MOST_MISSING = max(_GRAINS.values()) - 1
_CACHE_LINE = 64  # bytes


@cache
def round_number(rows: int) -> int:
    """``rows``, or a few more.

    >>> round_number(125), round_number(1_187)
    (128, 1280)
    """
    rest = rows % _BLOCK
    return rows + -rest % _grain(rest)


def rounded_down(rows: int) -> int:
    """``rows``, or a few less, at most a block; a number below the least round one stays.

    >>> rounded_down(5_000), rounded_down(500), rounded_down(9)
    (1024, 384, 9)
    """
    rows = min(rows, _BLOCK)
    return (rows - rows % _grain(rows)) or rows


def _grain(rows: int) -> int:
    return next(grain for most, grain in _GRAINS.items() if rows <= most)


def in_round_rows(x: Tensor) -> Tensor:
    """``x`` (N, …) with rows of zeros behind it, up to a round number of rows; only a CPU needs that."""
    count = x.size(0)
    missing = round_number(count) - count if x.is_cpu else 0
    return torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x


def aligned(matrix: Tensor) -> Tensor:
    """A copy whose rows each begin on a cache line: products with it are a third faster, and more for few rows."""
    rows, columns = matrix.shape
    line = _CACHE_LINE // matrix.element_size()
    return matrix.new_empty(rows, -(-columns // line) * line)[:, :columns].copy_(matrix)


def times(x: Tensor, factor: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x · factor + bias``, without a graph; fastest where ``factor`` is ``aligned``."""
    count = x.size(0)
    if count > _BLOCK and x.is_cpu:
        product = x.new_empty(count, factor.shape[1])
        for rows in _blocks(x):
            product[rows] = times(x[rows], factor, bias)
        return product
    x = in_round_rows(x)
    product = torch.mm(x, factor) if bias is None else torch.addmm(bias, x, factor)
    return product[:count]


def gathered(given: Tensor, inputs: Tensor) -> Tensor:
    """``givenᵀ · inputs`` (N, O), (N, I) -> (O, I): the gradient of a weight over all rows."""
    first, *others = _blocks(given)
    total = in_round_rows(given[first]).t() @ in_round_rows(inputs[first])
    for rows in others:
        total.addmm_(in_round_rows(given[rows]).t(), in_round_rows(inputs[rows]))
    return total


def _blocks(matrix: Tensor) -> list[slice]:
    """Its rows, few enough at a time for shapes to be met again; on other devices than a CPU all at once."""
    count = matrix.size(0)
    size = _BLOCK if matrix.is_cpu else count
    return [slice(start, start + size) for start in range(0, count, size)] or [slice(0)]


class Rows:
    """Parts (n, X), one behind the other in one matrix.

    A part is read together with the rows behind it, up to a round number; these may hold anything, and what is
    computed of them is to be left out.

    Args:
        like: has the type, the device and the width X.
        count: how many rows are to be expected, if that is known.
    """

    def __init__(self, like: Tensor, count: int = 0) -> None:
        self.count = 0
        self._whole = like.new_empty(self._room(count), like.shape[1])

    def add(self, part: Tensor) -> int:
        """Keep a further part; gives the row where it begins."""
        start = self.reserve(part.size(0))
        self.write(start, part)
        return start

    def reserve(self, count: int) -> int:
        """Room for a further part; gives the row where it begins."""
        start, self.count = self.count, self.count + count
        if self._room(self.count) > self._whole.size(0):
            self._grow()
        return start

    def write(self, start: int, part: Tensor) -> None:
        """Write a part where it belongs."""
        self._whole[start : start + part.size(0)] = part

    def read(self, start: int, count: int) -> Tensor:
        """The part that begins there, in round rows."""
        return self._whole[start : start + round_number(count)]

    def part(self, start: int, count: int) -> Tensor:
        """The part that begins there, alone."""
        return self._whole[start : start + count]

    def like(self, width: int) -> Tensor:
        """An empty tensor of the same type and device, (0, width)."""
        return self._whole.new_empty(0, width)

    @property
    def width(self) -> int:
        """X"""
        return self._whole.shape[1]

    def all(self, count: int) -> Tensor:
        """The first ``count`` rows, with zeros behind them up to a round number."""
        size = round_number(count)
        self._whole[count:size].zero_()
        return self._whole[:size]

    def _grow(self) -> None:
        old = self._whole
        self._whole = old.new_empty(self._room(2 * self.count), old.shape[1])
        self._whole[: len(old)] = old

    @staticmethod
    def _room(count: int) -> int:
        """Rows for ``count``, and for those that are read behind the last part."""
        return count + _MOST_MISSING
