"""Poolings: one vector from those of the words of a text."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lab.errors import ParameterError

__all__ = [
    "AttentionPooling",
    "ConcatPooling",
    "FirstPooling",
    "LastPooling",
    "MaxPooling",
    "MeanPooling",
    "Pooling",
    "pooling_factory",
]


class Pooling(nn.Module):
    """Base class of poolings.

    Args:
        input_size: width W of the words' vectors.

    Attributes:
        output_size: width of the result.

    Shapes:
        x (B, T, W), mask (B, T) bool, True = a word; every text has one → (B, output_size)
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size


class MaxPooling(Pooling):
    """Greatest value of each feature."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the maximum over words."""
        return x.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(1)


class MeanPooling(Pooling):
    """Mean of each feature."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the mean over words."""
        return (x * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)


class FirstPooling(Pooling):
    """Vector of the first word."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the first word's vector."""
        return x[:, 0]


class LastPooling(Pooling):
    """Vector of the last word."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the last word's vector."""
        return x[torch.arange(len(x), device=x.device), mask.sum(1) - 1]


class ConcatPooling(Pooling):
    """Last vector, maximum and mean (Howard & Ruder 2018, arXiv:1801.06146, section 3.3)."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)
        self.parts = nn.ModuleList(kind(input_size) for kind in (LastPooling, MaxPooling, MeanPooling))
        self.output_size = 3 * input_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the three side by side."""
        return torch.cat([part(x, mask) for part in self.parts], 1)


class AttentionPooling(Pooling):
    """Mean weighted by ``softmax(u · tanh(W x))`` (Yang et al. 2016, section 2.2)."""

    def __init__(self, input_size: int) -> None:
        super().__init__(input_size)
        self.hidden = nn.Linear(input_size, input_size)
        self.score = nn.Linear(input_size, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted mean over words."""
        scores = self.score(torch.tanh(self.hidden(x))).squeeze(2).masked_fill(~mask, -torch.inf)
        return (scores.softmax(1).unsqueeze(2) * x).sum(1)


_BUILT_IN = {
    "attention": AttentionPooling,
    "concat": ConcatPooling,
    "first": FirstPooling,
    "last": LastPooling,
    "max": MaxPooling,
    "mean": MeanPooling,
}


def pooling_factory(pooling: str | Callable[..., Pooling]) -> Callable[..., Pooling]:
    """Return a factory of poolings, from the name of a built-in one or the factory itself."""
    if not isinstance(pooling, str):
        return pooling
    if pooling not in _BUILT_IN:
        raise ParameterError(f"unknown pooling {pooling!r}", hint=f"built in: {', '.join(_BUILT_IN)}")
    return _BUILT_IN[pooling]
