"""Attention mechanisms, the components of the registry ``attentions``.

An attention is built by ``factory(query_size=…, key_size=…)``. ``prepare`` computes what depends on the source alone,
once per batch; ``score`` computes what depends on the query, at every step. Masking, softmax and the weighted sum are
the same for all and belong to the base class.

Shapes: S source steps, B sentences, K key width, Q query width, P width of the prepared keys.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lab.errors import ParameterError, ShapeError
from lab_attention.fused.attention import DotScores, TanhScores
from lab_attention.fused.linear import DeferredLinear
from lab_attention.fused.stages import Chain, Stage

__all__ = [
    "AdditiveAttention",
    "Attention",
    "DotAttention",
    "GeneralAttention",
    "Memory",
    "ScaledDotAttention",
    "masked_softmax",
]


class Memory(NamedTuple):
    """Source, prepared for attention; the batch is dimension 1 of every tensor.

    Attributes:
        keys: (S, B, K), the encoder's outputs; also the values of the weighted sum.
        prepared: (S, B, P), computed from the keys once.
        mask: (S, B) bool, True = a real token; None attends to padding, too.
    """

    keys: Tensor
    prepared: Tensor
    mask: Tensor | None

    def select(self, rows: Tensor) -> Memory:
        """Return the sentences at these indices, in this order."""
        return Memory(*(None if part is None else part.index_select(1, rows) for part in self))  # type: ignore[arg-type]

    def first(self, count: int) -> Memory:
        """Return the first ``count`` sentences, without a copy."""
        return Memory(*(None if part is None else part[:, :count] for part in self))  # type: ignore[arg-type]


class Attention(nn.Module):
    """Base class: ``weights = softmax(score(query, keys))`` over the source, ``context = Σ weights · keys``.

    A subclass defines ``score`` and, if something can be computed once per source, ``prepare``. Defining
    ``fused_scores``, too, makes training on a CPU faster: consecutive forced steps are then computed in one pass.

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
        """Compute what depends on the keys alone: (S, B, K) -> (S, B, P). By default the keys themselves."""
        return keys

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Compute the score of each key for the query: (B, Q), (S, B, P) -> (S, B)."""
        raise NotImplementedError

    def remember(self, keys: Tensor, mask: Tensor | None = None) -> Memory:
        """Return the source (S, B, K), prepared to be attended to step by step."""
        # Once per batch; ``attend`` runs at every step and stays without checks.
        self._check(keys, mask)
        return Memory(keys, self.prepare(keys), mask)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend to a prepared source: query (B, Q) -> context (B, K), weights (S, B)."""
        weights = masked_softmax(self.score(query, memory.prepared), memory.mask)  # (S, B)
        context = (weights.unsqueeze(2) * memory.keys).sum(0)  # (B, K)
        return context, weights

    def fused_scores(self, prepared: Tensor) -> Stage | None:
        """Return ``score`` with a hand-written backward pass: queries (n, Q) of the first n sentences -> (n, S).

        Optional, for speed in training on a CPU. Used only if the class that defines ``score`` defines it, too.
        """
        return None

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Prepare the source and attend to it in one call."""
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
    """Additive attention, ``score(q, k) = v · f(W k + U q + b)``; ``f`` is tanh unless said otherwise.

    Bahdanau, Cho & Bengio 2015, arXiv:1409.0473, section A.1.2, in the form of fast.ai's 2018 translation lesson,
    which the initial values follow: ``W`` and ``v`` normal with variance 1 / rows. Differs from the paper: the bias
    ``b``.

    Args:
        query_size: width Q of the decoder's state.
        key_size: width K of the encoder's outputs.
        size: width P of the projection; None for ``query_size``, as in the lesson.
        activation: "tanh", or "relu", which was asked for in the lesson.

    Raises:
        ParameterError: an unknown activation.
    """

    def __init__(
        self, query_size: int, key_size: int, *, size: int | None = None, activation: Literal["tanh", "relu"] = "tanh"
    ) -> None:
        super().__init__(query_size, key_size)
        if activation not in ("tanh", "relu"):
            raise ParameterError(
                f"unknown activation '{activation}'", where="attention 'additive'", hint="one of: tanh, relu"
            )
        self.activation = activation
        size = query_size if size is None else size
        # A plain parameter and not nn.Linear: the lesson draws it from N(0, 1 / rows), and its name is part of saved
        # weights.
        self.key_weight = nn.Parameter(torch.randn(key_size, size) / math.sqrt(key_size))
        self.query_projection = nn.Linear(query_size, size)
        self.score_weight = nn.Parameter(torch.randn(size) / math.sqrt(size))

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.key_weight  # (S, B, P)

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        activate = torch.tanh if self.activation == "tanh" else torch.relu
        return activate(prepared + self.query_projection(query)) @ self.score_weight  # (S, B)

    def fused_scores(self, prepared: Tensor) -> Stage | None:
        if self.activation != "tanh":
            return None
        project = DeferredLinear(self.query_projection.weight, self.query_projection.bias)
        return Chain(project, TanhScores(prepared, self.score_weight))


class DotAttention(Attention):
    """Dot-product attention, ``score(q, k) = q · k``; queries and keys must have one width.

    Luong, Pham & Manning 2015, arXiv:1508.04025, section 3.1. Differs from the paper: the query is the previous
    decoder state, and the context enters the step's input, as for every attention here.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__(query_size, key_size)
        # Checked here and not in ``score``: a study is then refused before training starts.
        if query_size != key_size:
            raise ParameterError(
                f"dot attention needs queries and keys of one width, got {query_size} and {key_size}",
                where="attention 'dot'",
                hint="make embedding_dim equal to the encoder's width (hidden_size, twice that when bidirectional), "
                "or take 'general'",
            )

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return (prepared * query).sum(2)

    def fused_scores(self, prepared: Tensor) -> Stage:
        return DotScores(prepared)


class GeneralAttention(Attention):
    """Bilinear attention, ``score(q, k) = q · W k``.

    Luong, Pham & Manning 2015, arXiv:1508.04025, section 3.1, "general". Differs from the paper as ``DotAttention``
    does.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__(query_size, key_size)
        self.key_projection = nn.Linear(key_size, query_size, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key_projection(keys)

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return (prepared * query).sum(2)

    def fused_scores(self, prepared: Tensor) -> Stage:
        return DotScores(prepared)


class ScaledDotAttention(Attention):
    """Scaled dot-product attention with one head, ``score(q, k) = (U q) · (W k) / √size``.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1. Differs from the paper: the values are the keys themselves,
    so that the context has the encoder's width for every attention here.

    Args:
        query_size: width Q of the decoder's state.
        key_size: width K of the encoder's outputs.
        size: width P of the projections; None for ``query_size``.
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

    def fused_scores(self, prepared: Tensor) -> Stage:
        return Chain(DeferredLinear(self.query_projection.weight), DotScores(prepared, 1 / math.sqrt(self.size)))


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return the softmax over the source (S, B), with weight 0 where the mask is False; a sentence of padding has 0."""
    if mask is None:
        return scores.softmax(0)
    # -inf and not a large negative number: the weight of padding is then exactly 0 in every dtype. The second fill
    # concerns only a sentence without any real token: its NaN becomes 0, and no gradient passes.
    return scores.masked_fill(~mask, -math.inf).softmax(0).masked_fill(~mask, 0.0)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
