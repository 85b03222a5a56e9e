"""An attention that scores by distance."""

from __future__ import annotations

from lab_seq2seq.attention import Attention
from torch import Tensor, nn

__all__ = ["Distant"]


class Distant(Attention):
    """Attention to what is near, ``score(q, k) = -|q - W k|² / (2 · scale²)``.

    A Gaussian kernel, as in Nadaraya's and Watson's regression (1964).

    Args:
        query_size: width Q of the decoder's state.
        key_size: width K of the encoder's outputs.
        scale: how far is far, above 0.
    """

    def __init__(self, query_size: int, key_size: int, *, scale: float = 1.0) -> None:
        super().__init__(query_size, key_size)
        self.projection = nn.Linear(key_size, query_size)
        self.scale = scale

    def prepare(self, keys: Tensor) -> Tensor:
        """Once per source: (S, B, K) -> (S, B, Q)."""
        return self.projection(keys)

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        """At every step: (B, Q), (S, B, Q) -> (S, B)."""
        return -(query - prepared).square().sum(2) / (2 * self.scale**2)
