"""Attention over one source at many steps, computing what all steps share once.

A weighted sum over the source has two gradients: one towards the weights, which the previous step needs at once, and
one towards the keys, which waits (``stages``) until all steps are known and is then one batched product. Inside, the
batch comes first, so that the first n sentences are contiguous and small products need no copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from lab.training.cpu import without_onednn
from lab_attention.fused.stages import Deferred, Stage, defer, product_type

__all__ = ["DotScores", "FusedAttention", "TanhScores", "WeightedSums"]

_CHUNK = 300_000  # values: 1.2 MB in float32, about what the caches of two cores hold besides other data


class FusedAttention(Stage):
    """``Σ softmax(scores) · keys``: queries (n, Q) of the first n sentences -> their context (n, K).

    Args:
        scores: queries (n, Q) -> (n, S).
        keys: (S, B, K).
        mask: (S, B) bool, True = a real token; None attends to padding, too.
    """

    def __init__(self, scores: Stage, keys: Tensor, mask: Tensor | None) -> None:
        self._scores, self._sums = scores, WeightedSums(keys)
        self._padding = None if mask is None else ~mask.t()  # (B, S)
        self.anchors = (*scores.anchors, *self._sums.anchors)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        scores, of_scores = self._scores.forward(x)
        if self._padding is not None:
            scores = scores.masked_fill(self._padding[: x.size(0)], -math.inf)
        # Like autocast, which computes softmax in float32.
        weights = scores.softmax(1, dtype=_at_least_float32(scores))
        if self._padding is not None:
            # A sentence of nothing but padding would have NaN.
            weights = weights.masked_fill_(self._padding[: x.size(0)], 0.0)
        context, of_sums = self._sums.forward(weights)
        return context, (weights, of_scores, of_sums)

    def backward(self, gradient: Tensor, saved: Any, *, needed: bool = True) -> Tensor:
        weights, of_scores, of_sums = saved
        towards_weights = self._sums.backward(gradient, of_sums)
        # Weights that are exactly 0 (padding) get no gradient, so the mask needs no backward pass of its own.
        of_softmax = torch.ops.aten._softmax_backward_data(towards_weights, weights, 1, weights.dtype)
        return self._scores.backward(of_softmax, of_scores)


class WeightedSums(Stage):
    """``Σ weights · keys`` over the source: weights (n, S) of the first n sentences -> (n, K).

    Args:
        keys: (S, B, K).
    """

    def __init__(self, keys: Tensor) -> None:
        self._uses = _Pairs(keys.shape)
        self._keys = _batch_first(keys, _at_least_float32(keys))
        self.anchors = (defer(self._uses, keys),)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        weights = x.to(self._keys.dtype)
        return _weighted_sum(weights, self._keys), weights

    def backward(self, gradient: Tensor, saved: Tensor, *, needed: bool = True) -> Tensor:
        gradient = gradient.to(self._keys.dtype)
        self._uses.save(saved, gradient)
        return _dot_products(gradient, self._keys)


class DotScores(Stage):
    """``scale · (query · prepared)``: queries (n, P) of the first n sentences -> (n, S).

    Args:
        prepared: (S, B, P).
        scale: of every score.
    """

    def __init__(self, prepared: Tensor, scale: float = 1.0) -> None:
        self._uses, self._scale = _Pairs(prepared.shape), scale
        self._prepared = _batch_first(prepared, _at_least_float32(prepared))
        self.anchors = (defer(self._uses, prepared),)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        query = x.to(self._prepared.dtype) * self._scale
        return _dot_products(query, self._prepared), query

    def backward(self, gradient: Tensor, saved: Tensor, *, needed: bool = True) -> Tensor:
        gradient = gradient.to(self._prepared.dtype)
        self._uses.save(gradient, saved)
        return _weighted_sum(gradient, self._prepared) * self._scale


class TanhScores(Stage):
    """``v · tanh(prepared + query)``: queries (n, P) of the first n sentences -> (n, S).

    Args:
        prepared: (S, B, P).
        score_weight: ``v``, (P,).
    """

    def __init__(self, prepared: Tensor, score_weight: Tensor) -> None:
        dtype = product_type(score_weight)
        self._weight = score_weight.detach().to(dtype)
        # tanh x = 2 σ(2x) - 1: the same up to rounding, and σ is several times faster than tanh on a CPU. So the keys
        # are doubled once, and the -1 becomes a shift of every score.
        self._prepared = _batch_first(prepared, dtype) * 2
        self._shift = -self._weight.sum()
        # As many sentences as fit into the cache, at least one.
        most = max(1, _CHUNK // max(1, self._prepared[0].numel()))
        # Two buffers for all steps: allocating (n, S, P) at every step would clear fresh pages each time.
        self._signals, self._slopes = (self._prepared.new_empty(most, *self._prepared.shape[1:]) for _ in range(2))
        self._uses = _TanhUses(self._prepared, self._weight)
        self.anchors = (defer(self._uses, prepared, score_weight),)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        query = x.to(self._prepared.dtype)
        scores = query.new_empty(query.size(0), self._prepared.shape[1])
        with _plain_products():
            for rows, signals in self._chunks(query):
                torch.addmv(self._shift, signals.flatten(0, 1), self._weight, alpha=2, out=scores[rows].view(-1))
        return scores, query

    def backward(self, gradient: Tensor, saved: Tensor, *, needed: bool = True) -> Tensor:
        gradient = gradient.to(saved.dtype).contiguous()
        towards_query = torch.empty_like(saved)
        with _plain_products():
            # σ is computed again: reading (n, S, P) of every step back from memory costs more.
            for rows, signals in self._chunks(saved):
                part, slopes = gradient[rows], self._slopes[: signals.size(0)]
                torch.ops.aten.sigmoid_backward.grad_input(part.unsqueeze(2), signals, grad_input=slopes)
                self._uses.save(rows, signals, slopes, part)
                torch.sum(slopes, 1, out=towards_query[rows])
        return towards_query.mul_(4 * self._weight)

    def _chunks(self, query: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield some sentences and their ``σ(2 (prepared + query))``, (m, S, P), in a buffer that is reused."""
        count, most = query.size(0), self._signals.size(0)
        for start in range(0, count, most):
            rows = slice(start, min(start + most, count))
            signals = self._signals[: rows.stop - start]
            yield rows, torch.add(self._prepared[rows], query[rows].unsqueeze(1), alpha=2, out=signals).sigmoid_()


class _Pairs(Deferred):
    """Two factors (n, S) and (n, X) of every use; the sum of their products is a gradient (S, B, X)."""

    def __init__(self, shape: torch.Size) -> None:
        self._batch = shape[1]
        self._left: list[Tensor] = []
        self._right: list[Tensor] = []

    def save(self, left: Tensor, right: Tensor) -> None:
        self._left.append(left)
        self._right.append(right)

    def gradients(self) -> tuple[Tensor, ...] | None:
        if not self._left:
            return None
        # Zeros at the end of shorter steps add nothing to the product.
        left, right = _stack(self._left, self._batch), _stack(self._right, self._batch)
        self._left.clear()
        self._right.clear()
        with _plain_products():
            return (_time_first(left.permute(1, 2, 0) @ right.transpose(0, 1)),)  # (B, S, T) (B, T, X)


def _stack(parts: list[Tensor], batch: int) -> Tensor:
    """Stack parts (n, X), n at most ``batch``, as (T, B, X), padded with zeros."""
    # Not pad_sequence: the product needs all B rows, even if no step has them.
    whole = parts[0].new_zeros(len(parts), batch, parts[0].shape[1])
    for place, part in enumerate(parts):
        whole[place, : len(part)] = part
    return whole


class _TanhUses(Deferred):
    """Sums over all uses: the gradients of ``σ`` (B, S, P), before ``v``, and those of ``v``."""

    def __init__(self, prepared: Tensor, weight: Tensor) -> None:
        self._shape, self._weight = prepared.shape, weight
        self._of_prepared: Tensor | None = None
        self._of_weight: Tensor | None = None

    def save(self, rows: slice, signals: Tensor, slopes: Tensor, gradient: Tensor) -> None:
        """Add some sentences of a use.

        Args:
            rows: the sentences.
            signals: ``σ``, (m, S, P).
            slopes: gradient times ``σ'``, (m, S, P).
            gradient: of the scores, (m, S).
        """
        if self._of_prepared is None or self._of_weight is None:
            dtype = _at_least_float32(signals)
            self._of_prepared = torch.zeros(self._shape, dtype=dtype, device=signals.device)
            self._of_weight = torch.zeros(self._shape[2], dtype=dtype, device=signals.device)
        self._of_prepared[rows].add_(slopes, alpha=4)
        self._of_weight.add_(gradient.flatten() @ signals.flatten(0, 1), alpha=2).sub_(gradient.sum())

    def gradients(self) -> tuple[Tensor, ...] | None:
        of_prepared, of_weight = self._of_prepared, self._of_weight
        # A second backward pass over a retained graph starts from zero again.
        self._of_prepared = self._of_weight = None
        if of_prepared is None or of_weight is None:
            return None
        return _time_first(of_prepared.mul_(self._weight)), of_weight


def _weighted_sum(weights: Tensor, values: Tensor) -> Tensor:
    """Return (n, X) of weights (n, S) and values (B, S, X)."""
    with _plain_products():
        return torch.bmm(weights.unsqueeze(1), values[: weights.size(0)]).squeeze(1)


def _dot_products(query: Tensor, values: Tensor) -> Tensor:
    """Return (n, S) of queries (n, X) and values (B, S, X)."""
    with _plain_products():
        return torch.bmm(query.unsqueeze(1), values[: query.size(0)].transpose(1, 2)).squeeze(1)


def _batch_first(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (S, B, X) as (B, S, X), detached."""
    return values.detach().transpose(0, 1).to(dtype).contiguous()


def _time_first(values: Tensor) -> Tensor:
    """Return (B, S, X) as (S, B, X); contiguous, because autograd's next operation is slow on a transposed one."""
    return values.transpose(0, 1).contiguous()


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _plain_products() -> AbstractContextManager[Any]:
    """Disable autocast and oneDNN for products of the source.

    They have a shape per step and length, and oneDNN would compile a kernel for each. Autocast's context is entered
    only if autocast is on, because the products are small and every step enters it.
    """
    return _without_autocast() if torch.is_autocast_enabled("cpu") else without_onednn()


@contextmanager
def _without_autocast() -> Iterator[None]:
    with torch.autocast("cpu", enabled=False), without_onednn():
        yield
