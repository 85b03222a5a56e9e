"""Looking at one source again and again, with what is the same for all looks made once.

A weighted sum over the source has two gradients: one towards the weights, which the step before needs at once, and one
towards the keys, which waits (``deferred``) until all looks are known and is then a single batched product. Inside, the
batch comes first, so that the first n sentences lie together and small products need no copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from lab.training.cpu import without_onednn
from lab_seq2seq.deferred import Deferred, Stage, defer, product_type

__all__ = ["DotScores", "Look", "TanhScores", "WeightedSums"]

_CHUNK = 300_000  # values: 1.2 MB in float32, about what the caches of two cores hold beside others


class Look(Stage):
    """``Σ softmax(scores) · keys``: queries (n, Q) of the first n sentences -> their context (n, K).

    Args:
        scores: queries (n, Q) -> (n, S).
        keys: (S, B, K).
        mask: (S, B) bool, True = a real token; None attends to padding, too.
    """

    def __init__(self, scores: Stage, keys: Tensor, mask: Tensor | None) -> None:
        self._scores, self._sums = scores, WeightedSums(keys)
        self._padding = None if mask is None else ~mask.t()  # (B, S)
        self.gates = (*scores.gates, *self._sums.gates)

    def ahead(self, x: Tensor) -> tuple[Tensor, Any]:
        scores, of_scores = self._scores.ahead(x)
        if self._padding is not None:
            scores = scores.masked_fill(self._padding[: x.size(0)], -math.inf)
        weights = scores.softmax(1, dtype=_exact(scores))
        context, of_sums = self._sums.ahead(weights)
        return context, (weights, of_scores, of_sums)

    def back(self, gradient: Tensor, kept: Any, *, needed: bool = True) -> Tensor:
        weights, of_scores, of_sums = kept
        towards_weights = self._sums.back(gradient, of_sums)
        of_softmax = torch.ops.aten._softmax_backward_data(towards_weights, weights, 1, weights.dtype)
        return self._scores.back(of_softmax, of_scores)


class WeightedSums(Stage):
    """``Σ weights · keys`` over the source: weights (n, S) of the first n sentences -> (n, K).

    Args:
        keys: (S, B, K).
    """

    def __init__(self, keys: Tensor) -> None:
        self._uses = _Pairs(keys.shape)
        self._keys = _batch_first(keys, _exact(keys))
        self.gates = (defer(self._uses, keys),)

    def ahead(self, x: Tensor) -> tuple[Tensor, Any]:
        weights = x.to(self._keys.dtype)
        return _sums(weights, self._keys), weights

    def back(self, gradient: Tensor, kept: Tensor, *, needed: bool = True) -> Tensor:
        gradient = gradient.to(self._keys.dtype)
        self._uses.note(kept, gradient)
        return _answers(gradient, self._keys)


class DotScores(Stage):
    """``scale · (query · prepared)``: queries (n, P) of the first n sentences -> (n, S).

    Args:
        prepared: (S, B, P).
        scale: of every score.
    """

    def __init__(self, prepared: Tensor, scale: float = 1.0) -> None:
        self._uses, self._scale = _Pairs(prepared.shape), scale
        self._prepared = _batch_first(prepared, _exact(prepared))
        self.gates = (defer(self._uses, prepared),)

    def ahead(self, x: Tensor) -> tuple[Tensor, Any]:
        query = x.to(self._prepared.dtype) * self._scale
        return _answers(query, self._prepared), query

    def back(self, gradient: Tensor, kept: Tensor, *, needed: bool = True) -> Tensor:
        gradient = gradient.to(self._prepared.dtype)
        self._uses.note(gradient, kept)
        return _sums(gradient, self._prepared) * self._scale


class TanhScores(Stage):
    """``v · tanh(prepared + query)``: queries (n, P) of the first n sentences -> (n, S).

    ``tanh x`` is computed as ``2 σ(2x) - 1``, the same to rounding and several times as fast on a CPU, and for some
    sentences at a time, so that it stays in the cache. The backward pass makes it again: to keep it of all steps is
    costlier.

    Args:
        prepared: (S, B, P).
        score_weight: ``v``, (P,).
    """

    def __init__(self, prepared: Tensor, score_weight: Tensor) -> None:
        kind = product_type(score_weight)
        self._weight = score_weight.detach().to(kind)
        self._prepared = _batch_first(prepared, kind) * 2
        self._shift = -self._weight.sum()
        most = max(1, _CHUNK // max(1, self._prepared[0].numel()))
        self._signals, self._slopes = (self._prepared.new_empty(most, *self._prepared.shape[1:]) for _ in range(2))
        self._uses = _TanhUses(self._prepared, self._weight)
        self.gates = (defer(self._uses, prepared, score_weight),)

    def ahead(self, x: Tensor) -> tuple[Tensor, Any]:
        query = x.to(self._prepared.dtype)
        scores = query.new_empty(query.size(0), self._prepared.shape[1])
        with _exact_products():
            for rows, signals in self._seen(query):
                torch.addmv(self._shift, signals.flatten(0, 1), self._weight, alpha=2, out=scores[rows].view(-1))
        return scores, query

    def back(self, gradient: Tensor, kept: Tensor, *, needed: bool = True) -> Tensor:
        gradient = gradient.to(kept.dtype).contiguous()
        towards_query = torch.empty_like(kept)
        with _exact_products():
            for rows, signals in self._seen(kept):
                given, slopes = gradient[rows], self._slopes[: signals.size(0)]
                torch.ops.aten.sigmoid_backward.grad_input(given.unsqueeze(2), signals, grad_input=slopes)
                self._uses.note(rows, signals, slopes, given)
                torch.sum(slopes, 1, out=towards_query[rows])
        return towards_query.mul_(4 * self._weight)

    def _seen(self, query: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Some sentences at a time, and their ``σ(2 (prepared + query))``, (m, S, P), in the place of the last."""
        count, most = query.size(0), self._signals.size(0)
        for start in range(0, count, most):
            rows = slice(start, min(start + most, count))
            signals = self._signals[: rows.stop - start]
            yield rows, torch.add(self._prepared[rows], query[rows].unsqueeze(1), alpha=2, out=signals).sigmoid_()


class _Pairs(Deferred):
    """Two factors (n, S) and (n, X) of every use; their products' sum is a gradient (S, B, X)."""

    def __init__(self, shape: torch.Size) -> None:
        self._batch = shape[1]
        self._left: list[Tensor] = []
        self._right: list[Tensor] = []

    def note(self, left: Tensor, right: Tensor) -> None:
        self._left.append(left)
        self._right.append(right)

    def gradients(self) -> tuple[Tensor, ...] | None:
        if not self._left:
            return None
        left, right = _stacked(self._left, self._batch), _stacked(self._right, self._batch)
        self._left.clear()
        self._right.clear()
        with _exact_products():
            return (_time_first(left.permute(1, 2, 0) @ right.transpose(0, 1)),)  # (B, S, T) (B, T, X)


def _stacked(parts: list[Tensor], batch: int) -> Tensor:
    """(n, X) each, n at most ``batch``, as (T, B, X) with zeros behind."""
    whole = parts[0].new_zeros(len(parts), batch, parts[0].shape[1])
    for place, part in enumerate(parts):
        whole[place, : len(part)] = part
    return whole


class _TanhUses(Deferred):
    """Sums over all uses: of the gradients of ``σ`` (B, S, P), before ``v``, and of those of ``v``."""

    def __init__(self, prepared: Tensor, weight: Tensor) -> None:
        self._shape, self._weight = prepared.shape, weight
        self._of_prepared: Tensor | None = None
        self._of_weight: Tensor | None = None

    def note(self, rows: slice, signals: Tensor, slopes: Tensor, gradient: Tensor) -> None:
        """Some sentences of a use: ``σ`` and the gradient times ``σ'`` (m, S, P), the gradient (m, S) of the scores."""
        if self._of_prepared is None or self._of_weight is None:
            exact = _exact(signals)
            self._of_prepared = torch.zeros(self._shape, dtype=exact, device=signals.device)
            self._of_weight = torch.zeros(self._shape[2], dtype=exact, device=signals.device)
        self._of_prepared[rows].add_(slopes, alpha=4)
        self._of_weight.add_(gradient.flatten() @ signals.flatten(0, 1), alpha=2).sub_(gradient.sum())

    def gradients(self) -> tuple[Tensor, ...] | None:
        of_prepared, of_weight = self._of_prepared, self._of_weight
        self._of_prepared = self._of_weight = None
        if of_prepared is None or of_weight is None:
            return None
        return _time_first(of_prepared.mul_(self._weight)), of_weight


def _sums(weights: Tensor, values: Tensor) -> Tensor:
    """(n, S) and (B, S, X) -> (n, X)."""
    with _exact_products():
        return torch.bmm(weights.unsqueeze(1), values[: weights.size(0)]).squeeze(1)


def _answers(query: Tensor, values: Tensor) -> Tensor:
    """(n, X) and (B, S, X) -> (n, S)."""
    with _exact_products():
        return torch.bmm(query.unsqueeze(1), values[: query.size(0)].transpose(1, 2)).squeeze(1)


def _batch_first(values: Tensor, kind: torch.dtype) -> Tensor:
    """(S, B, X) as (B, S, X), apart from its graph."""
    return values.detach().transpose(0, 1).to(kind).contiguous()


def _time_first(values: Tensor) -> Tensor:
    """(B, S, X) as (S, B, X), put in order: what autograd makes of it next is slow where it is not."""
    return values.transpose(0, 1).contiguous()


def _exact(tensor: Tensor) -> torch.dtype:
    """At least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _exact_products() -> AbstractContextManager[Any]:
    """Inside, products have the type of their factors, and none is compiled: small ones, of a shape for every step."""
    return _without_autocast() if torch.is_autocast_enabled("cpu") else without_onednn()


@contextmanager
def _without_autocast() -> Iterator[None]:
    with torch.autocast("cpu", enabled=False), without_onednn():
        yield
