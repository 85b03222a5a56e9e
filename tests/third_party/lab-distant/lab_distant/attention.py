"""Attention with a Gaussian kernel."""

from __future__ import annotations

from lab_attention.attention import Attention
from torch import Tensor, nn

__all__ = ["Distant"]


class Distant(Attention):
    """Attention with a Gaussian kernel, ``score(q, k) = -|q - W k|² / (2 · scale²)``.

    As in Nadaraya–Watson regression (1964).

    Args:
        query_size: size Q of the decoder state.
        key_size: size K of the encoder outputs.
        scale: width of the kernel, above 0.
    """

    def __init__(self, query_size: int, key_size: int, *, scale: float = 1.0) -> None:
        super().__init__(query_size, key_size)
        self.projection = nn.Linear(key_size, query_size)
        self.scale = scale

    def prepare(self, keys: Tensor) -> Tensor:
        """Project the keys, once per source: (S, B, K) -> (S, B, Q)."""
        return self.projection(keys)

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Return the scores of one step: (B, Q), (S, B, Q) -> (S, B)."""
        return -(query - prepared).square().sum(2) / (2 * self.scale**2)
