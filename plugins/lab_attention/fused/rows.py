"""Matrices padded to a few row counts, and blocked products of them.

oneDNN compiles a kernel for every shape of a matrix product and keeps it: 1 ms and 0.5 MB each. The number of
unfinished sentences changes from step to step and the number of tokens from batch to batch, which makes thousands of
shapes. With padded rows there are about a dozen for each weight.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

__all__ = ["Rows", "aligned", "pad_rows", "padded_size", "round_down", "times", "weight_gradient"]

_BLOCK = 1024
# Up to N rows, pad to a multiple of this: coarse steps for many rows, where padding is cheap relative to the product.
_MULTIPLES = {128: 16, 512: 128, _BLOCK: 256}
_MAX_PADDING = max(_MULTIPLES.values()) - 1
_CACHE_LINE = 64  # bytes


@cache
def padded_size(rows: int) -> int:
    """Return ``rows`` rounded up to one of the few sizes that products are compiled for.

    >>> padded_size(125), padded_size(1_187)
    (128, 1280)
    """
    # Whole blocks have one shape anyway; only the last one is padded.
    rest = rows % _BLOCK
    return rows + -rest % _multiple(rest)


def round_down(rows: int) -> int:
    """Return ``rows`` rounded down to such a size, at most one block; a number below the smallest stays.

    >>> round_down(5_000), round_down(500), round_down(9)
    (1024, 384, 9)
    """
    rows = min(rows, _BLOCK)
    return (rows - rows % _multiple(rows)) or rows


def _multiple(rows: int) -> int:
    return next(multiple for most, multiple in _MULTIPLES.items() if rows <= most)


def pad_rows(x: Tensor) -> Tensor:
    """Return ``x`` (N, …) with zero rows appended up to ``padded_size``; on a CPU only."""
    count = x.size(0)
    # cuBLAS does not compile per shape.
    missing = padded_size(count) - count if x.is_cpu else 0
    return torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x


def aligned(matrix: Tensor) -> Tensor:
    """Return a copy whose rows begin on cache lines."""
    # Measured: products with such a factor are a third faster than with 300 contiguous columns, more for few rows.
    rows, columns = matrix.shape
    line = _CACHE_LINE // matrix.element_size()
    return matrix.new_empty(rows, -(-columns // line) * line)[:, :columns].copy_(matrix)


def times(x: Tensor, factor: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x · factor + bias``, without a graph; fastest if ``factor`` is ``aligned``."""
    count = x.size(0)
    if count > _BLOCK and x.is_cpu:
        product = x.new_empty(count, factor.shape[1])
        for rows in _blocks(x):
            product[rows] = times(x[rows], factor, bias)
        return product
    x = pad_rows(x)
    product = torch.mm(x, factor) if bias is None else torch.addmm(bias, x, factor)
    return product[:count]


def weight_gradient(gradients: Tensor, inputs: Tensor) -> Tensor:
    """Return ``gradientsᵀ · inputs``, the gradient of a weight over all rows: (N, O), (N, I) -> (O, I)."""
    first, *others = _blocks(gradients)
    total = pad_rows(gradients[first]).t() @ pad_rows(inputs[first])
    # Accumulated in place, block by block.
    for rows in others:
        total.addmm_(pad_rows(gradients[rows]).t(), pad_rows(inputs[rows]))
    return total


def _blocks(matrix: Tensor) -> list[slice]:
    """Return slices of at most one block of rows, so that few shapes occur; a single slice unless on a CPU."""
    count = matrix.size(0)
    size = _BLOCK if matrix.is_cpu else count
    return [slice(start, start + size) for start in range(0, count, size)] or [slice(0)]


class Rows:
    """Growing matrix of parts (n, X), one after the other.

    ``read`` returns a part padded with the rows after it, which may hold any values; the caller drops what it computes
    from them.

    Args:
        like: tensor with the dtype, the device and the width X.
        count: expected number of rows, if known.
    """

    def __init__(self, like: Tensor, count: int = 0) -> None:
        self.count = 0
        self._whole = like.new_empty(self._room(count), like.shape[1])

    def add(self, part: Tensor) -> int:
        """Append a part; return its first row."""
        start = self.reserve(part.size(0))
        self.write(start, part)
        return start

    def reserve(self, count: int) -> int:
        """Make room for a part; return its first row."""
        start, self.count = self.count, self.count + count
        if self._room(self.count) > self._whole.size(0):
            self._grow()
        return start

    def write(self, start: int, part: Tensor) -> None:
        """Write a part at its first row."""
        self._whole[start : start + part.size(0)] = part

    def read(self, start: int, count: int) -> Tensor:
        """Return the part at ``start``, in padded rows."""
        return self._whole[start : start + padded_size(count)]

    def part(self, start: int, count: int) -> Tensor:
        """Return the part at ``start`` without padding."""
        return self._whole[start : start + count]

    def like(self, width: int) -> Tensor:
        """Return an empty tensor (0, width) of the same dtype and device."""
        return self._whole.new_empty(0, width)

    @property
    def width(self) -> int:
        """Width X."""
        return self._whole.shape[1]

    def all(self, count: int) -> Tensor:
        """Return the first ``count`` rows, padded with zeros."""
        size = padded_size(count)
        # These rows take part in products over all rows.
        self._whole[count:size].zero_()
        return self._whole[:size]

    def _grow(self) -> None:
        old = self._whole
        # Doubling keeps the number of copies logarithmic if the number of rows was unknown.
        self._whole = old.new_empty(self._room(2 * self.count), old.shape[1])
        self._whole[: len(old)] = old

    @staticmethod
    def _room(count: int) -> int:
        """Return the rows to allocate: ``read`` may reach past the last part by the largest padding."""
        return count + _MAX_PADDING
