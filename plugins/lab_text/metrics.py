"""Metrics of next-token prediction, averaged over all predicted positions of the epoch.

Logits (T', B, V), T' < T if a model predicts only the last positions, and target (T, B).
"""

from __future__ import annotations

import math

from lab_basics.metrics import Mean
from torch import Tensor
from torch.nn import functional

from lab.errors import ParameterError
from lab_text.losses import matching

__all__ = ["BitsPerCharacter", "NextTokenAccuracy", "NextTokenPerplexity", "PerplexityPerWord"]


class NextTokenPerplexity(Mean):
    """Perplexity per token: e to the power of the mean negative log-likelihood of a token."""

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = matching(output, target)
        return functional.cross_entropy(output.flatten(0, 1), target.flatten(), reduction="sum"), target.numel()

    def finish(self, mean: Tensor) -> Tensor:
        return mean.exp()


class BitsPerCharacter(NextTokenPerplexity):
    """Mean negative log-likelihood per character in bits, by which tokens of different sizes compare.

    Args:
        tokens_per_character: tokens of the validation text divided by its characters, a fact of the data; 1 where
            tokens are characters.

    Raises:
        ParameterError: it is not positive.
    """

    def __init__(self, tokens_per_character: float) -> None:
        super().__init__()
        _check(tokens_per_character, "bits_per_character")
        self.tokens_per_character = tokens_per_character

    def finish(self, mean: Tensor) -> Tensor:
        return mean * self.tokens_per_character / math.log(2)


class PerplexityPerWord(NextTokenPerplexity):
    """Perplexity per word, by which tokens of different sizes compare; the end of a line counts as a word.

    Args:
        tokens_per_word: tokens of the validation text divided by its words, a fact of the data.

    Raises:
        ParameterError: it is not positive.
    """

    def __init__(self, tokens_per_word: float) -> None:
        super().__init__()
        _check(tokens_per_word, "perplexity_per_word")
        self.tokens_per_word = tokens_per_word

    def finish(self, mean: Tensor) -> Tensor:
        return (mean * self.tokens_per_word).exp()


class NextTokenAccuracy(Mean):
    """Fraction of positions whose most likely token is correct."""

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = matching(output, target)
        return (output.argmax(-1) == target).sum(), target.numel()


def _check(ratio: float, metric: str) -> None:
    if not ratio > 0:
        raise ParameterError(f"tokens per unit must be positive, got {ratio}", where=f"metric '{metric}'")
