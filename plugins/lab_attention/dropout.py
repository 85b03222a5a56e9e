"""Dropout with fast random numbers on a CPU.

On a CPU torch draws one random number after the other, which took longer than any elementwise operation of a training
step; here each draw of 64 bits decides on four values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout", "dropout", "scaled_mask"]

_LEVELS = 2**16


def dropout(x: Tensor, probability: float) -> Tensor:
    """Return ``x`` with values zeroed with this probability and the rest scaled to keep the mean.

    On a CPU the probability is taken to the nearest 1/65,536; other devices have torch's own dropout.
    """
    # Probabilities that round to 0 or 1 would leave no level for the other outcome.
    if x.device.type != "cpu" or not 0 < round(probability * _LEVELS) < _LEVELS:
        return functional.dropout(x, probability)
    return x * scaled_mask(x, probability)


def scaled_mask(x: Tensor, probability: float) -> Tensor:
    """Return the factors of ``dropout``, with the shape and dtype of ``x``: 0, or 1 / (1 - probability)."""
    dropped = round(probability * _LEVELS)
    if x.device.type != "cpu" or not 0 < dropped < _LEVELS:
        return functional.dropout(torch.ones_like(x), probability)
    # A 64-bit draw costs as much as a float, and its four 16-bit parts are independent: 4.0 -> 0.5 ms for 0.5 M values.
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # type: ignore[call-overload]
    # The int16 values are uniform on [-32768, 32767], so the threshold is shifted by half of the levels.
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _LEVELS // 2
    return kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))


class Dropout(nn.Dropout):
    """``dropout`` as a module: in training only.

    Args:
        p: probability of a zero, in [0, 1].
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own word)
        """Apply dropout in training; any shape -> the same shape."""
        return dropout(input, self.p) if self.training else input
