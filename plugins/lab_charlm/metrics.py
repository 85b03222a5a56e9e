"""Metrics of next-character prediction, averaged over all predicted positions of the epoch."""

from __future__ import annotations

import math

from lab_basics.metrics import Mean
from torch import Tensor
from torch.nn import functional

from lab_charlm.losses import matching

__all__ = ["BitsPerCharacter", "CharAccuracy", "CharPerplexity"]


class BitsPerCharacter(Mean):
    """Mean negative log-likelihood per character in bits; logits (T', B, V), target (T, B)."""

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = matching(output, target)
        total = functional.cross_entropy(output.flatten(0, 1), target.flatten(), reduction="sum")
        return total / math.log(2), target.numel()


class CharPerplexity(BitsPerCharacter):
    """Perplexity per character: two to the power of the bits per character."""

    def finish(self, mean: Tensor) -> Tensor:
        return (mean * math.log(2)).exp()


class CharAccuracy(Mean):
    """Fraction of positions whose most likely character is correct; logits (T', B, V), target (T, B)."""

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = matching(output, target)
        return (output.argmax(-1) == target).sum(), target.numel()
