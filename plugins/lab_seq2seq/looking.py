"""Looking at one source again and again, with what is the same for all looks made once.

A weighted sum over the source has two gradients: one towards the weights, which the step before needs at once, and one
towards the keys, which waits (``deferred``) until all looks are known and is then a single batched product.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lab.training.machine import products_of_any_shape
from lab_seq2seq.deferred import Deferred, defer, product_type

__all__ = ["TanhScores", "WeightedSums"]


class WeightedSums:
    """``Σ weights · keys`` over the source, used many times in one forward pass.

    Args:
        keys: (S, B, K).

    Shapes:
        weights (S, n) of the first n sentences -> (n, K).
    """

    def __init__(self, keys: Tensor) -> None:
        self._uses = _SumUses(keys.shape)
        self._keys = keys.detach().transpose(0, 1).to(_exact(keys)).contiguous()  # (B, S, K)
        self._gate = defer(self._uses, keys)

    def __call__(self, weights: Tensor) -> Tensor:
        sums: Tensor = _WeightedSum.apply(weights, self._gate, self._keys, self._uses)  # type: ignore[no-untyped-call]
        return sums


class _SumUses(Deferred):
    """Weights (n, S) and gradients (n, K) of every use."""

    def __init__(self, shape: torch.Size) -> None:
        self.shape = shape
        self.weights: list[Tensor] = []
        self.given: list[Tensor] = []

    def gradients(self) -> tuple[Tensor, ...] | None:
        if not self.given:
            return None
        batch = self.shape[1]
        weights, given = _stacked(self.weights, batch), _stacked(self.given, batch)
        self.weights.clear()
        self.given.clear()
        with _exact_products():
            return ((weights.permute(1, 2, 0) @ given.transpose(0, 1)).transpose(0, 1),)  # (B, S, T) (B, T, K)


def _stacked(parts: list[Tensor], batch: int) -> Tensor:
    """(n, X) each, n at most ``batch``, as (T, B, X) with zeros behind."""
    whole = parts[0].new_zeros(len(parts), batch, parts[0].shape[1])
    for place, part in enumerate(parts):
        whole[place, : len(part)] = part
    return whole


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, gate: Tensor, keys: Tensor, uses: _SumUses) -> Tensor:
        rows = weights.t().to(keys.dtype).contiguous()  # (n, S)
        ctx.save_for_backward(rows)
        ctx.keys, ctx.uses = keys[: len(rows)], uses
        with _exact_products():
            return torch.bmm(rows.unsqueeze(1), ctx.keys).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        ctx.uses.weights.extend(ctx.saved_tensors)
        ctx.uses.given.append(gradient)
        with _exact_products():
            towards_weights = torch.bmm(ctx.keys, gradient.unsqueeze(2)).squeeze(2).t()
        return towards_weights, None, None, None


class TanhScores:
    """``v · tanh(prepared + query)``, used many times in one forward pass.

    ``tanh x`` is computed as ``2 σ(2x) - 1``, the same to rounding and several times as fast on a CPU.

    Args:
        prepared: (S, B, P).
        score_weight: ``v``, (P,).

    Shapes:
        query (n, P) of the first n sentences -> (S, n).
    """

    def __init__(self, prepared: Tensor, score_weight: Tensor) -> None:
        kind = product_type(score_weight)
        self._prepared, self._weight = 2 * prepared.detach().to(kind), score_weight.detach().to(kind)
        self._uses = _ScoreUses(self._weight, prepared)
        self._gate = defer(self._uses, prepared, score_weight)

    def __call__(self, query: Tensor) -> Tensor:
        scores: Tensor = _TanhScore.apply(query, self._gate, self._prepared, self._weight, self._uses)  # type: ignore[no-untyped-call]
        return scores


class _ScoreUses(Deferred):
    """Sums over all uses: of the gradients of ``tanh`` (S, B, P), before ``v``, and of those of ``v``."""

    def __init__(self, weight: Tensor, prepared: Tensor) -> None:
        self._weight, self._shape = weight, prepared.shape
        self._of_prepared: Tensor | None = None
        self._of_weight: Tensor | None = None

    def note(self, slopes: Tensor, signals: Tensor, gradient: Tensor) -> None:
        """One use: ``σ'`` and ``σ`` (S, n, P), and the gradient (S, n) of its scores."""
        if self._of_prepared is None or self._of_weight is None:
            exact = _exact(gradient)
            self._of_prepared = torch.zeros(self._shape, dtype=exact, device=gradient.device)
            self._of_weight = torch.zeros(self._shape[2], dtype=exact, device=gradient.device)
        self._of_prepared[:, : gradient.shape[1]].addcmul_(slopes, gradient.unsqueeze(2), value=4)
        with _exact_products():
            self._of_weight += 2 * (gradient.flatten() @ signals.flatten(0, 1)) - gradient.sum()

    def gradients(self) -> tuple[Tensor, ...] | None:
        of_prepared, of_weight = self._of_prepared, self._of_weight
        self._of_prepared = self._of_weight = None
        return None if of_prepared is None or of_weight is None else (of_prepared.mul_(self._weight), of_weight)


class _TanhScore(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, gate: Tensor, prepared: Tensor, weight: Tensor, uses: _ScoreUses) -> Tensor:
        query = query.to(prepared.dtype)
        ctx.save_for_backward(query)
        ctx.prepared, ctx.weight, ctx.uses = prepared, weight, uses
        with _exact_products():
            return 2 * (_signals(prepared, query) @ weight) - weight.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        signals = _signals(ctx.prepared, *ctx.saved_tensors)  # made again: to keep those of all steps is costlier
        slopes = torch.addcmul(signals, signals, signals, value=-1)  # σ' = σ (1 - σ)
        ctx.uses.note(slopes, signals, gradient)
        with _exact_products():
            towards_query = torch.bmm(gradient.t().unsqueeze(1), slopes.transpose(0, 1)).squeeze(1)
        return towards_query * (4 * ctx.weight), None, None, None, None


def _signals(prepared: Tensor, query: Tensor) -> Tensor:
    """``σ(prepared + 2 query)``, (S, n, P)."""
    return torch.add(prepared[:, : len(query)], query, alpha=2).sigmoid_()


def _exact(tensor: Tensor) -> torch.dtype:
    """At least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


@contextmanager
def _exact_products() -> Iterator[None]:
    """Inside, products have the type of their factors, and none is compiled: small ones, of a shape for every step."""
    with torch.autocast("cpu", enabled=False), products_of_any_shape():
        yield
