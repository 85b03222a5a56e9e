"""Matrices for products, in round numbers of rows, and products of them, in blocks.

The libraries behind matrix products compile one for every shape that they meet, and keep it: a millisecond and half a
megabyte each. Sentences that end, step by step, and batches of any length would let them meet thousands; here they meet
a dozen for each weight.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Rows", "gathered", "in_round_rows", "linear", "round_number", "rounded_down"]

_FINE, _COARSE, _BLOCK = 16, 128, 512


def round_number(rows: int, device: torch.device) -> int:
    """``rows``, or a few more.

    >>> round_number(125, torch.device("cpu")), round_number(1_187, torch.device("cpu"))
    (128, 1280)
    """
    return rows + (-rows % _grain(rows) if device.type == "cpu" else 0)


def rounded_down(rows: int) -> int:
    """``rows``, or a few less; a number below the least round one stays.

    >>> rounded_down(512), rounded_down(500), rounded_down(9)
    (512, 384, 9)
    """
    return (rows - rows % _grain(rows)) or rows


def _grain(rows: int) -> int:
    return _FINE if rows <= _COARSE else _COARSE


def in_round_rows(x: Tensor) -> Tensor:
    """``x`` (N, …) with rows of zeros behind it, up to a round number of rows."""
    missing = round_number(len(x), x.device) - len(x)
    return torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x Wᵀ + b`` for ``x`` of round rows, without a graph."""
    if len(x) <= _BLOCK or x.device.type != "cpu":
        return functional.linear(x, weight, bias)
    product = x.new_empty(len(x), len(weight))
    for rows in _blocks(len(x)):
        if bias is None:
            torch.mm(x[rows], weight.t(), out=product[rows])
        else:
            torch.addmm(bias, x[rows], weight.t(), out=product[rows])
    return product


def gathered(given: Tensor, inputs: Tensor) -> Tensor:
    """``givenᵀ · inputs``, both of the same round rows: the gradient of a weight over all of them."""
    if len(given) <= _BLOCK or given.device.type != "cpu":
        return given.t() @ inputs
    first, *others = _blocks(len(given))
    total = given[first].t() @ inputs[first]
    for rows in others:
        total.addmm_(given[rows].t(), inputs[rows])
    return total


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


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
        self._whole = like.new_empty(self._room(max(count, len(like))), like.shape[1])

    def add(self, part: Tensor) -> Tensor:
        """Keep a further part; gives it in round rows."""
        start, self.count = self.count, self.count + len(part)
        if self._room(self.count) > len(self._whole):
            self._grow()
        self.write(start, part)
        return self.read(start, len(part))

    def write(self, start: int, part: Tensor) -> None:
        """Write a part where it belongs."""
        self._whole[start : start + len(part)] = part

    def read(self, start: int, count: int) -> Tensor:
        """The part that begins there, in round rows."""
        return self._whole[start : start + round_number(count, self._whole.device)]

    def all(self, count: int) -> Tensor:
        """The first ``count`` rows, with zeros behind them up to a round number."""
        size = round_number(count, self._whole.device)
        self._whole[count:size].zero_()
        return self._whole[:size]

    def _grow(self) -> None:
        old = self._whole
        self._whole = old.new_empty(self._room(2 * self.count), old.shape[1])
        self._whole[: len(old)] = old

    @staticmethod
    def _room(count: int) -> int:
        """Rows for ``count``, and for those that are read behind the last part."""
        return count + _COARSE - 1
