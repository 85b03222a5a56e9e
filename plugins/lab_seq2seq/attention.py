"""Attention: where the decoder looks in the source, and what it brings back.

The contract of the registry ``attentions``. An attention is made by ``factory(query_size=…, key_size=…)``. What
depends on the source alone is computed once per batch (``prepare``), what depends on the query at every step
(``score``); masking, softmax and the weighted sum are the same for all and stand in the base class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lab.errors import ParameterError, ShapeError
from lab_seq2seq.deferred import Chain, Stage
from lab_seq2seq.looking import DotScores, Look, TanhScores, WeightedSums
from lab_seq2seq.unrolled import DeferredLinear

__all__ = ["AdditiveAttention", "Attention", "DotAttention", "GeneralAttention", "Memory", "ScaledDotAttention"]


class Memory(NamedTuple):
    """A source as an attention sees it; the batch is dimension 1 of every tensor.

    Attributes:
        keys: (S, B, K), the encoder's outputs; also what is averaged.
        prepared: (S, B, P), what the attention computes from the keys once.
        mask: (S, B) bool, True = a real token; None attends to padding, too.
    """

    keys: Tensor
    prepared: Tensor
    mask: Tensor | None

    def select(self, rows: Tensor) -> Memory:
        """The sentences of these indices, in this order."""
        return Memory(*(None if part is None else part.index_select(1, rows) for part in self))  # type: ignore[arg-type]

    def first(self, count: int) -> Memory:
        """The first ``count`` sentences, without a copy."""
        return Memory(*(None if part is None else part[:, :count] for part in self))  # type: ignore[arg-type]


class Attention(nn.Module):
    """Base class: ``weights = softmax(score(query, keys))`` over the source, ``context = Σ weights · keys``.

    A subclass defines ``score`` and, where something can be computed once per source, ``prepare``. With
    ``scores_by_hand`` beside it training is faster: runs of forced steps are then made in one go (``attended``).

    Args:
        query_size: width Q of the decoder's state.
        key_size: width K of the encoder's outputs.

    Shapes:
        query (B, Q), keys (S, B, K), mask (S, B) bool, True = a real token
        -> context (B, K), weights (S, B); each column of weights sums to 1.

    Raises:
        ShapeError: widths or batch sizes disagree; the message gives both shapes.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        self.query_size, self.key_size = query_size, key_size

    def prepare(self, keys: Tensor) -> Tensor:
        """What depends on the keys alone: (S, B, K) -> (S, B, P). By default the keys themselves."""
        return keys

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        """How well each key answers the query: (B, Q), (S, B, P) -> (S, B)."""
        raise NotImplementedError

    def remember(self, keys: Tensor, mask: Tensor | None = None) -> Memory:
        """The source, made ready to be attended to step by step."""
        self._check(keys, mask)
        return Memory(keys, self.prepare(keys), mask)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """One look at a source made ready by ``remember``: (B, Q) -> context (B, K), weights (S, B)."""
        weights = _weights(self.score(query, memory.prepared), memory.mask)
        return (weights.unsqueeze(2) * memory.keys).sum(0), weights

    def looking(self, memory: Memory) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """``attend``, to be called step after step in one forward pass; make a new one for every pass.

        The function takes queries (n, Q) of the first n sentences and gives their context (n, K) and weights (S, n).
        Where gradients are taken on a CPU and ``scores_by_hand`` can be used, those towards the source are made once
        for all steps; the numbers are those of ``attend`` to rounding.
        """
        scores = self._written_scores(memory)
        if scores is None:
            return lambda query: self.attend(query, memory.first(len(query)))
        mix = WeightedSums(memory.keys)

        def look(query: Tensor) -> tuple[Tensor, Tensor]:
            weights = _weights(scores(query).t(), None if memory.mask is None else memory.mask[:, : len(query)])
            return mix(weights.t()), weights

        return look

    def look_by_hand(self, memory: Memory) -> Look | None:
        """The context alone, differentiated by hand, for one forward pass; None where this attention is to be asked.

        It is asked, by ``attend``, where no gradient is taken, on other devices than a CPU, and where ``attend`` or
        ``score`` are its own without ``scores_by_hand`` beside them.
        """
        scores = self._written_scores(memory)
        return None if scores is None else Look(scores, memory.keys, memory.mask)

    def scores_by_hand(self, prepared: Tensor) -> Stage | None:
        """``score`` with both passes written out: queries (n, Q) of the first n sentences -> (n, S); None has none.

        Optional, for speed in training. It is used only where the same class defines ``score``.
        """
        return None

    def _written_scores(self, memory: Memory) -> Stage | None:
        trained = torch.is_grad_enabled() and memory.keys.device.type == "cpu"
        if not trained or type(self).attend is not Attention.attend:
            return None
        scoring = next(each for each in type(self).__mro__ if "score" in vars(each))
        return self.scores_by_hand(memory.prepared) if "scores_by_hand" in vars(scoring) else None

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``remember`` and ``attend`` in one call."""
        if query.dim() != 2 or query.shape != (keys.shape[1], self.query_size):
            raise ShapeError(
                f"a query must have the shape (B, {self.query_size}), got {_shape(query)} for keys {_shape(keys)}",
                where=type(self).__name__,
            )
        return self.attend(query, self.remember(keys, mask))

    def _check(self, keys: Tensor, mask: Tensor | None) -> None:
        if keys.dim() != 3 or keys.shape[2] != self.key_size:
            raise ShapeError(
                f"keys must have the shape (S, B, {self.key_size}), got {_shape(keys)}", where=type(self).__name__
            )
        if mask is not None and mask.shape != keys.shape[:2]:
            raise ShapeError(
                f"a mask must have the shape (S, B) = {_shape(keys[..., 0])}, got {_shape(mask)}",
                where=type(self).__name__,
            )


class AdditiveAttention(Attention):
    """Additive attention, ``score(q, k) = v · tanh(W k + U q + b)``.

    Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, section A.1.2, in the form of fast.ai's 2018 translation lesson,
    which the initial values follow: ``W`` and ``v`` normal with variance 1 / rows. Differs from the paper: the bias
    ``b``.

    Args:
        query_size: width Q of the decoder's state.
        key_size: width K of the encoder's outputs.
        size: width of the projection; None takes ``query_size``, as the course does.
    """

    def __init__(self, query_size: int, key_size: int, *, size: int | None = None) -> None:
        super().__init__(query_size, key_size)
        size = query_size if size is None else size
        self.key_weight = nn.Parameter(torch.randn(key_size, size) / math.sqrt(key_size))
        self.query_projection = nn.Linear(query_size, size)
        self.score_weight = nn.Parameter(torch.randn(size) / math.sqrt(size))

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.key_weight

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return torch.tanh(prepared + self.query_projection(query)) @ self.score_weight

    def scores_by_hand(self, prepared: Tensor) -> Stage:
        project = DeferredLinear(self.query_projection.weight, self.query_projection.bias)
        return Chain(project, TanhScores(prepared, self.score_weight))


class DotAttention(Attention):
    """Dot-product attention, ``score(q, k) = q · k``; queries and keys must have one width.

    Luong, Pham & Manning 2015, arXiv:1508.04025, section 3.1. Differs from the paper: the query is the state before
    the step, and the context enters the step's input, as for every attention here.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__(query_size, key_size)
        if query_size != key_size:
            raise ParameterError(
                f"dot attention needs queries and keys of one width, got {query_size} and {key_size}",
                where="attention 'dot'",
                hint="make embedding_dim equal to the encoder's width (hidden_size, twice that when bidirectional), "
                "or take 'general'",
            )

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return (prepared * query).sum(2)

    def scores_by_hand(self, prepared: Tensor) -> Stage:
        return DotScores(prepared)


class GeneralAttention(Attention):
    """Bilinear attention, ``score(q, k) = q · W k``.

    Luong, Pham & Manning 2015, arXiv:1508.04025, section 3.1, "general". Differs from the paper: as ``DotAttention``.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__(query_size, key_size)
        self.key_projection = nn.Linear(key_size, query_size, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key_projection(keys)

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return (prepared * query).sum(2)

    def scores_by_hand(self, prepared: Tensor) -> Stage:
        return DotScores(prepared)


class ScaledDotAttention(Attention):
    """Scaled dot-product attention with one head, ``score(q, k) = (U q) · (W k) / √size``.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1. Differs from the paper: the values are the keys themselves,
    so that the context has the encoder's width for every attention here.

    Args:
        query_size: width Q of the decoder's state.
        key_size: width K of the encoder's outputs.
        size: width of the projections; None takes ``query_size``.
    """

    def __init__(self, query_size: int, key_size: int, *, size: int | None = None) -> None:
        super().__init__(query_size, key_size)
        self.size = query_size if size is None else size
        self.query_projection = nn.Linear(query_size, self.size, bias=False)
        self.key_projection = nn.Linear(key_size, self.size, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key_projection(keys)

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return (prepared * self.query_projection(query)).sum(2) / math.sqrt(self.size)

    def scores_by_hand(self, prepared: Tensor) -> Stage:
        return Chain(DeferredLinear(self.query_projection.weight), DotScores(prepared, 1 / math.sqrt(self.size)))


def _weights(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the source, of the real tokens alone."""
    return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(0)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
