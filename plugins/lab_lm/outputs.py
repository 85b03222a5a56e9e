"""Outputs onto large vocabularies: adaptive softmax, and the loss that projects in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lab_attention.fused.projection import projected_cross_entropy
from lab_text.losses import sequence_nll
from torch import Tensor, nn

from lab.errors import ParameterError, ShapeError

__all__ = ["AdaptiveSoftmax", "ProjectedNLL", "Unprojected", "gives_unprojected"]


class Unprojected(NamedTuple):
    """Features whose output onto the vocabulary is left to the loss.

    Attributes:
        features: (T, B, E).
        output: the layer that makes logits (T, B, V) of them.
    """

    features: Tensor
    output: nn.Module


class AdaptiveSoftmax(nn.Module):
    """Adaptive softmax: frequent tokens have outputs of their own, rare ones share that of their cluster.

    Grave, Joulin, Cissé, Grangier & Jégou 2017, arXiv:1609.04309, by ``nn.AdaptiveLogSoftmaxWithLoss``. Ids must be
    ordered by frequency, as vocabularies of ``text`` are. ``ProjectedNLL`` computes the clusters of the targets alone.

    Args:
        width: width E of the features.
        vocab_size: tokens V.
        cutoffs: ids at which a new cluster begins, increasing, in [1, V - 1).
        div_value: the features of each cluster are so many times narrower than those of the one before.

    Shapes:
        features (…, E) → log-probabilities (…, V)

    Raises:
        ParameterError: the cutoffs do not increase or leave the vocabulary, or a cluster has no width.
    """

    def __init__(self, width: int, vocab_size: int, cutoffs: Sequence[int], *, div_value: float = 4.0) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs or cutoffs != sorted(set(cutoffs)) or cutoffs[0] < 1 or cutoffs[-1] > vocab_size - 2:
            raise ParameterError(
                f"cutoffs {cutoffs} for {vocab_size:,} tokens",
                where="adaptive softmax",
                hint=f"increasing ids from 1 to {vocab_size - 2:,}, for example {vocab_size // 5:,}",
            )
        if width // div_value ** len(cutoffs) < 1:
            raise ParameterError(
                f"the last of {len(cutoffs)} clusters is narrower than 1: {width} / {div_value:g}^{len(cutoffs)}",
                where="adaptive softmax",
                hint="fewer cutoffs, or a wider model",
            )
        self.clusters = nn.AdaptiveLogSoftmaxWithLoss(width, vocab_size, cutoffs, div_value)

    def forward(self, features: Tensor) -> Tensor:
        """Return the log-probability of every token."""
        return self.clusters.log_prob(features.flatten(0, -2)).unflatten(0, features.shape[:-1])

    def nll(self, features: Tensor, target: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of targets (N,), in nats, for features (N, E)."""
        loss: Tensor = self.clusters(features, target).loss
        return loss


class ProjectedNLL(nn.Module):
    """Mean negative log-likelihood per token, in nats, that never holds all logits of a training batch.

    The stepper ``next_token`` leaves the output of ``rnn_lm``, ``awd_lstm`` and ``gpt`` to this loss, which projects a
    chunk of tokens, scores it and computes its gradients before it projects the next one; of an adaptive softmax it
    computes the clusters of the targets alone. In validation, and with other steppers and models, it is
    ``sequence_nll``.

    Attributes:
        accepts_unprojected: a stepper may hand over ``Unprojected`` features.
    """

    accepts_unprojected = True

    def forward(self, output: Tensor | Unprojected, target: Tensor) -> Tensor:
        """Return the loss of logits (T, B, V) or features, target (T, B)."""
        if not isinstance(output, Unprojected):
            return sequence_nll(output, target)
        features, layer = output
        if features.shape[:-1] != target.shape:
            raise ShapeError(f"the target {tuple(target.shape)} does not fit features {tuple(features.shape)}")
        rows, ids = features.flatten(0, 1), target.flatten()
        if isinstance(layer, AdaptiveSoftmax):
            return layer.nll(rows, ids)
        assert isinstance(layer, nn.Linear)
        return projected_cross_entropy(rows, layer.weight, layer.bias, ids)

    def mean_over(self, output: Any, target: Tensor) -> int:
        """Return the number of predicted tokens."""
        return target.numel() if isinstance(output, Unprojected) else target[-len(output) :].numel()


def gives_unprojected(model: Any) -> bool:
    """Return whether a loss may compute the output of a model: not if it was replaced or hooks expect its call."""
    output = getattr(model, "output", None)
    return (
        getattr(model, "leaves_output", False)
        and type(output) in (nn.Linear, AdaptiveSoftmax)
        and not (output._forward_hooks or output._forward_pre_hooks)
    )
