"""How well the next character is foreseen. All are means over every place of the epoch that was foreseen."""

from __future__ import annotations

import math

from lab_basics.metrics import Mean
from torch import Tensor
from torch.nn import functional

from lab_charlm.losses import matching

__all__ = ["BitsPerCharacter", "CharAccuracy", "CharPerplexity"]


class BitsPerCharacter(Mean):
    """Mean negative log likelihood in bits; logits (T', B, V), target (T, B)."""

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = matching(output, target)
        total = functional.cross_entropy(output.flatten(0, 1), target.flatten(), reduction="sum")
        return total / math.log(2), target.numel()


class CharPerplexity(BitsPerCharacter):
    """Two to the bits per character: between how many equally likely characters the model wavers."""

    def finish(self, mean: Tensor) -> Tensor:
        return (mean * math.log(2)).exp()


class CharAccuracy(Mean):
    """Share of places at which the likeliest character is the right one; logits (T', B, V), target (T, B)."""

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = matching(output, target)
        return (output.argmax(-1) == target).sum(), target.numel()
