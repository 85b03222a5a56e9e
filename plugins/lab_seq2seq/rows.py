"""Matrices for products, in round numbers of rows.

The libraries behind matrix products compile one for every shape that they meet, and keep it. Sentences that end, step
by step, would let them meet hundreds, which costs more time and memory than a few rows too many.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Rows", "in_round_rows", "round_number"]

_SMALL, _FINE, _COARSE = 256, 16, 128


def round_number(rows: int, device: torch.device) -> int:
    """``rows``, or a few more.

    >>> round_number(125, torch.device("cpu")), round_number(1_187, torch.device("cpu"))
    (128, 1280)
    """
    grain = _FINE if rows <= _SMALL else _COARSE
    return rows + (-rows % grain if device.type == "cpu" else 0)


def in_round_rows(x: Tensor) -> Tensor:
    """``x`` (N, …) with rows of zeros behind it, up to a round number of rows."""
    missing = round_number(len(x), x.device) - len(x)
    return torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x


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
        self._whole = like.new_empty(self._room(max(count, len(like)), like.device), like.shape[1])

    def add(self, part: Tensor) -> Tensor:
        """Keep a further part; gives it in round rows."""
        start, self.count = self.count, self.count + len(part)
        if self._room(self.count, part.device) > len(self._whole):
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
        self._whole = old.new_empty(self._room(4 * self.count, old.device), old.shape[1])
        self._whole[: len(old)] = old

    @staticmethod
    def _room(count: int, device: torch.device) -> int:
        """Rows for all of ``count`` in round numbers, and for a small part at the very end."""
        return max(round_number(count, device), count + _FINE - 1)
