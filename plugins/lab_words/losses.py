"""Objectives of word vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError
from lab.training.means import mean_over

__all__ = ["glove_loss", "negative_sampling", "path_nll", "word_nll"]


def negative_sampling(output: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of the true word and the negatives, as a mean over all of them, in nats.

    word2vec's objective (Mikolov et al. 2013, equation 4) is the sum over the true word and its K negatives, which is
    K + 1 times as much.

    Shapes:
        output (B, C) logits, target (B, C) of 0 and 1
    """
    _check(output, target)
    return functional.binary_cross_entropy_with_logits(output, target.to(output.dtype))


@mean_over(lambda output, target: len(target))
def path_nll(output: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of words in a hierarchical softmax, as a mean over words, in nats.

    Shapes:
        output (B, D) logits of the nodes, target (B, D) of branches 0 and 1, -1 at padding
    """
    _check(output, target)
    present = target >= 0
    each = functional.binary_cross_entropy_with_logits(output, target.clamp(min=0).to(output.dtype), reduction="none")
    return (each * present).sum() / len(target)


@mean_over(lambda output, target: len(target))
def word_nll(output: Tensor, target: Tensor) -> Tensor:
    """Objective that the data's ``objective`` asks for, as a mean over predicted words, in nats.

    Cross-entropy of word numbers (B,); GloVe's weighted squared error of counts (B,), which is in squared nats; of a
    target (B, C), the sum of the binary cross-entropies that are not padding: word2vec's negative sampling, or a
    hierarchical softmax. So ``dataset.objective`` can be swapped alone.

    Shapes:
        output (B, V) and target (B,) long, output and target (B,) float, or output and target (B, C)
    """
    if target.dim() != 1:
        return path_nll(output, target)
    return glove_loss(output, target) if target.is_floating_point() else functional.cross_entropy(output, target)


def glove_loss(output: Tensor, target: Tensor, *, x_max: float = 100.0, alpha: float = 0.75) -> Tensor:
    """Weighted squared error of the logarithm of counts (Pennington et al. 2014, equations 8 and 9), as a mean.

    Args:
        output: (B,) products plus biases.
        target: (B,) counts above 0.
        x_max: counts from here on have the weight 1.
        alpha: a smaller count x has the weight (x / x_max) ** alpha.
    """
    _check(output, target)
    weight = (target / x_max).clamp(max=1.0) ** alpha
    # A count is never 0 in the data; the clamp keeps foreign targets finite.
    logarithm = torch.log(target.clamp(min=torch.finfo(torch.float32).tiny))
    return (weight * (output - logarithm) ** 2).mean()


def _check(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape:
        raise ShapeError(f"output and target must have one shape, got {tuple(output.shape)} and {tuple(target.shape)}")
