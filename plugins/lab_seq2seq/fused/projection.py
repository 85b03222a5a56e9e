"""Features that are left to the loss to project onto the vocabulary."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["Unprojected"]


class Unprojected(NamedTuple):
    """Features whose projection ``W x + b`` onto the vocabulary is left to the loss.

    Attributes:
        features: packed, ``data`` (N, E) for N real tokens.
        weight: (V, E).
        bias: (V,).
    """

    features: PackedSequence
    weight: Tensor
    bias: Tensor
