"""The projection onto the vocabulary and its cross-entropy in one, chunk by chunk.

Logits are the largest thing in a step: with 10,000 words a batch of 1,750 tokens has 70 MB of them, and cross-entropy,
its gradient and the product before it each read and write as much. Here a chunk of rows is projected, judged, and
turned into the gradients of features, weight and bias while it is still in the cache; then its memory serves the next
chunk. The numbers are those of the plain computation to rounding. The price: the gradients are made in the forward
pass, so that a loss of which no gradient is taken should be computed without one (``torch.no_grad``).

After Wijmans, Huval, Hertzberg, Koltun & Krähenbühl 2025, arXiv:2411.09009, and Hsu et al. 2024, arXiv:2410.10989 (the
gradients in the forward pass). Differs from them: plain torch, on any device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence

from lab_seq2seq.rows import in_round_rows, rounded_down

__all__ = ["Unprojected", "projected_cross_entropy"]

_CHUNK = 5_000_000  # logits: 20 MB in float32, less than a processor's last cache


class Unprojected(NamedTuple):
    """Features whose logits ``W x + b`` are left to the loss, so that they need never be whole.

    Attributes:
        features: packed, ``data`` (N, E) for N real tokens.
        weight: (V, E).
        bias: (V,).
    """

    features: PackedSequence
    weight: Tensor
    bias: Tensor


def projected_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor, target: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy of ``features · weightᵀ + bias``; logits exist for one chunk at a time.

    Under autocast the products are made in its type, and the rest in float32, as autocast does it.

    Args:
        features: (N, E).
        weight: (V, E).
        bias: (V,).
        target: (N,) ids in [0, V).
        label_smoothing: share of the target probability spread over all words, in [0, 1).
    """
    fast = None
    if torch.is_autocast_enabled(features.device.type):
        fast = torch.get_autocast_dtype(features.device.type)
    mean: Tensor = _ProjectedCrossEntropy.apply(features, weight, bias, target, label_smoothing, fast)  # type: ignore[no-untyped-call]
    return mean


class _ProjectedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        label_smoothing: float,
        fast: torch.dtype | None,
    ) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            work = _Chunks(features, weight, bias, ctx.needs_input_grad[:3], label_smoothing, fast)
            loss = work.judge(target)
        ctx.save_for_backward(*work.gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        made = ctx.saved_tensors
        if gradient.device.type != "cpu" or gradient != 1:  # elsewhere a look at it would wait for the device
            made = [None if each is None else each * gradient.to(each.dtype) for each in made]
        return *made, None, None, None


class _Chunks:
    """One pass over the rows: the losses, and of what asks for it the gradient."""

    def __init__(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        wanted: tuple[bool, ...],
        label_smoothing: float,
        fast: torch.dtype | None,
    ) -> None:
        self._features, self._bias, self._smoothing = features, bias, label_smoothing
        self._fast = fast or features.dtype
        self._exact = torch.promote_types(features.dtype, torch.float32)
        self._weight = weight.to(self._fast)
        self.gradients = [
            torch.zeros_like(of) if wants else None for of, wants in zip((features, weight, bias), wanted, strict=True)
        ]

    def judge(self, target: Tensor) -> Tensor:
        """The mean loss."""
        rows, vocabulary = len(target), len(self._weight)
        size = rounded_down(max(1, _CHUNK // vocabulary))
        losses = [self._chunk(slice(start, start + size), target, rows) for start in range(0, rows, size)]
        return torch.cat(losses).mean() if losses else self._features.new_zeros(()) / 0

    def _chunk(self, rows: slice, target: Tensor, count: int) -> Tensor:
        """Losses (n,) of some rows; their share of the gradients is added."""
        ids = target[rows].unsqueeze(1)
        features = in_round_rows(self._features[rows].to(self._fast))
        whole = (features @ self._weight.t()).to(self._exact)  # in round rows
        logits = whole[: len(ids)].add_(self._bias)  # (n, V)
        wanted = logits.gather(1, ids).squeeze(1)
        top = logits.amax(1)
        spread = logits.mean(1) if self._smoothing else wanted
        probabilities = torch.softmax(logits, 1, out=logits)
        normalizer = top - probabilities.amax(1).log()  # log Σ exp; the greatest probability is at least 1 / V
        losses = normalizer - torch.lerp(wanted, spread, self._smoothing)
        whole[len(ids) :].zero_()
        self._learn(rows, features, whole, ids, count)
        return losses

    def _learn(self, rows: slice, features: Tensor, whole: Tensor, ids: Tensor, count: int) -> None:
        """Gradients of some rows, from their features and probabilities with rows of zeros behind."""
        of_features, of_weight, of_bias = self.gradients
        if of_features is None and of_weight is None and of_bias is None:
            return
        error = whole[: len(ids)]  # the probabilities (n, V), of which the targets' own is one less
        if self._smoothing:
            error -= self._smoothing / error.shape[1]
        error.scatter_add_(1, ids, error.new_full(ids.shape, self._smoothing - 1))
        if of_bias is not None:
            of_bias.add_(error.sum(0), alpha=1 / count)
        error = whole.to(self._fast)
        if of_features is not None:
            torch.mul((error @ self._weight)[: len(ids)], 1 / count, out=of_features[rows])
        if of_weight is not None and error.dtype == of_weight.dtype:
            of_weight.addmm_(error.t(), features, alpha=1 / count)
        elif of_weight is not None:
            of_weight.add_(error.t() @ features, alpha=1 / count)
