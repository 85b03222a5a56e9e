"""Projection onto the vocabulary and its cross-entropy in one pass, chunk by chunk.

Logits are the largest tensor of a training step: with 10,000 words a batch of 1,750 tokens has 70 MB of them, and
cross-entropy, its gradient and the product before it each read and write as much. Here a chunk of rows is projected,
scored and turned into the gradients of features, weight and bias while it is still in the cache; then its memory is
reused. The numbers are those of the plain computation up to rounding. The gradients are computed in the forward pass,
so compute a loss that needs no gradient under ``torch.no_grad``.

After Wijmans, Huval, Hertzberg, Koltun & Krähenbühl 2025, arXiv:2411.09009, and Hsu et al. 2024, arXiv:2410.10989 (the
gradients in the forward pass). Differs from them: plain torch, on any device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lab_attention.fused.rows import pad_rows, round_down

__all__ = ["projected_cross_entropy"]

_CHUNK = 5_000_000  # logits: 20 MB in float32, less than a processor's last-level cache


def projected_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross-entropy of ``features · weightᵀ + bias``, with the logits of one chunk at a time.

    Under autocast, products have its dtype and the rest is float32, as with torch's own operations.

    Args:
        features: (N, E).
        weight: (V, E).
        bias: (V,) or None.
        target: (N,) ids in [0, V).
        label_smoothing: share of the target probability spread over all words, in [0, 1).
    """
    # The autograd function disables autocast inside, so the dtype is read here.
    device = features.device.type
    lowered = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    mean: Tensor = _ProjectedCrossEntropy.apply(features, weight, bias, target, label_smoothing, lowered)  # type: ignore[no-untyped-call]
    return mean


class _ProjectedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        label_smoothing: float,
        lowered: torch.dtype | None,
    ) -> Tensor:
        # Casts are explicit below: autocast would cast the whole weight for every chunk.
        with torch.autocast(features.device.type, enabled=False):
            chunks = _Chunks(features, weight, bias, ctx.needs_input_grad[:3], label_smoothing, lowered)
            loss = chunks.mean_loss(target)
        ctx.save_for_backward(*chunks.gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        # A plain loss.backward() has a gradient of 1. On a GPU the comparison would wait for the device.
        if gradient.device.type != "cpu" or gradient != 1:
            saved = [None if each is None else each * gradient.to(each.dtype) for each in saved]
        return *saved, None, None, None


class _Chunks:
    """One pass over the rows, which computes the losses and the gradients that are needed."""

    def __init__(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        needed: tuple[bool, ...],
        label_smoothing: float,
        lowered: torch.dtype | None,
    ) -> None:
        self._features, self._bias, self._smoothing = features, bias, label_smoothing
        self._product_type = lowered or features.dtype
        # Softmax and losses in bfloat16 would lose the small differences between words.
        self._exact = torch.promote_types(features.dtype, torch.float32)
        self._weight = weight.to(self._product_type)
        self.gradients = [
            torch.zeros_like(of) if of is not None and needs else None
            for of, needs in zip((features, weight, bias), needed, strict=True)
        ]

    def mean_loss(self, target: Tensor) -> Tensor:
        rows, vocabulary = len(target), len(self._weight)
        size = round_down(max(1, _CHUNK // vocabulary))
        # Row counts of one size, so that few shapes are compiled.
        losses = [self._chunk(slice(start, start + size), target, rows) for start in range(0, rows, size)]
        return torch.cat(losses).mean() if losses else self._features.new_zeros(()) / 0

    def _chunk(self, rows: slice, target: Tensor, count: int) -> Tensor:
        """Return the losses (n,) of some rows and add their share of the gradients."""
        ids = target[rows].unsqueeze(1)
        features = pad_rows(self._features[rows].to(self._product_type))
        whole = (features @ self._weight.t()).to(self._exact)  # padded rows
        logits = whole[: len(ids)]  # (n, V)
        if self._bias is not None:
            logits += self._bias
        of_target = logits.gather(1, ids).squeeze(1)
        top = logits.amax(1)
        # Label smoothing mixes the target's logit with the mean logit.
        spread = logits.mean(1) if self._smoothing else of_target
        # In place: the chunk stays in the cache, and logits are not needed after this.
        probabilities = torch.softmax(logits, 1, out=logits)
        # log Σ exp from the softmax: its largest entry is exp(top) / Σ exp, at least 1 / V, so the log is safe.
        normalizer = top - probabilities.amax(1).log()
        losses = normalizer - torch.lerp(of_target, spread, self._smoothing)
        # The padding rows take part in the weight's product.
        whole[len(ids) :].zero_()
        self._add_gradients(rows, features, whole, ids, count)
        return losses

    def _add_gradients(self, rows: slice, features: Tensor, whole: Tensor, ids: Tensor, count: int) -> None:
        """Add the gradients of some rows.

        Args:
            rows: of the batch.
            features: their features, in padded rows.
            whole: their probabilities, padded with zeros; overwritten.
            ids: their targets (n, 1).
            count: rows of the whole batch.
        """
        of_features, of_weight, of_bias = self.gradients
        if of_features is None and of_weight is None and of_bias is None:
            return
        error = whole[: len(ids)]  # (n, V): the probabilities, minus 1 at the target
        if self._smoothing:
            error -= self._smoothing / error.shape[1]
        error.scatter_add_(1, ids, error.new_full(ids.shape, self._smoothing - 1))
        if of_bias is not None:
            of_bias.add_(error.sum(0), alpha=1 / count)
        error = whole.to(self._product_type)
        if of_features is not None:
            torch.mul((error @ self._weight)[: len(ids)], 1 / count, out=of_features[rows])
        if of_weight is not None and error.dtype == of_weight.dtype:
            # Accumulates in place; only possible if the dtypes agree.
            of_weight.addmm_(error.t(), features, alpha=1 / count)
        elif of_weight is not None:
            of_weight.add_(error.t() @ features, alpha=1 / count)
