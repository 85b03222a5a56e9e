"""Transformer blocks: attention and a feed-forward network, with norms before or after each.

Shapes: B sentences, T steps, S source steps, E width, H heads, D = E / H. The batch comes first.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.errors import ParameterError
from lab_attention.dropout import Dropout
from lab_attention.multihead import KeyValues, MultiHeadAttention, attention_weights
from lab_attention.positions import Positions

__all__ = ["BlockOptions", "CausalBlock", "DecoderBlock", "EncoderBlock", "FeedForward", "causal_mask", "make_norm"]

Activation = Literal["relu", "gelu", "swiglu"]
Norm = Literal["layer", "rms"]


class BlockOptions(NamedTuple):
    """Options that all blocks of a model share.

    Attributes:
        width: width E of the model.
        heads: number of attention heads.
        feed_forward: width of the feed-forward network.
        dropout: probability after attention, inside and after the feed-forward network.
        attention_dropout: probability of an attention weight.
        norm_first: normalize the input of each part ("pre-norm", Xiong et al. 2020, arXiv:2002.04745), not the sum
            behind it ("post-norm", Vaswani et al. 2017).
        activation: "relu", "gelu" or "swiglu" (Shazeer 2020, arXiv:2002.05202).
        norm: "layer" (Ba et al. 2016, arXiv:1607.06450) or "rms" (Zhang & Sennrich 2019, arXiv:1910.07467).
        bias: whether the projections of attention have a bias; the feed-forward network always has.
    """

    width: int
    heads: int
    feed_forward: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    norm_first: bool = False
    activation: Activation = "relu"
    norm: Norm = "layer"
    bias: bool = True

    def attention(self) -> MultiHeadAttention:
        """Return an attention of these options."""
        return MultiHeadAttention(self.width, self.heads, bias=self.bias, dropout=self.attention_dropout)


def make_norm(options: BlockOptions) -> nn.Module:
    """Return a norm over the width."""
    if options.norm not in get_args(Norm):
        raise ParameterError(f"unknown norm '{options.norm}'", hint=f"one of: {', '.join(get_args(Norm))}")
    return nn.LayerNorm(options.width) if options.norm == "layer" else nn.RMSNorm(options.width, eps=1e-6)


class FeedForward(nn.Module):
    """Feed-forward network of a block, ``W₂ f(W₁ x)``; SwiGLU is ``W₂ (silu(W₁ x) · W₃ x)``."""

    def __init__(self, options: BlockOptions) -> None:
        super().__init__()
        if options.activation not in get_args(Activation):
            known = ", ".join(get_args(Activation))
            raise ParameterError(f"unknown activation '{options.activation}'", hint=f"one of: {known}")
        self.activation = options.activation
        gates = 2 if self.activation == "swiglu" else 1
        self.inner = nn.Linear(options.width, gates * options.feed_forward)
        self.outer = nn.Linear(options.feed_forward, options.width)
        self.dropout = Dropout(options.dropout)
        for linear in (self.inner, self.outer):
            for matrix in linear.weight.chunk(gates if linear is self.inner else 1):
                nn.init.xavier_uniform_(matrix)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, E) of (…, E)."""
        x = self.inner(x)
        if self.activation == "swiglu":
            gate, x = x.chunk(2, -1)
            x = functional.silu(gate) * x
        else:
            x = functional.relu(x) if self.activation == "relu" else functional.gelu(x)
        return self.outer(self.dropout(x))


class _Block(nn.Module):
    """Residual connections around the parts of a block."""

    def __init__(self, options: BlockOptions) -> None:
        super().__init__()
        self.norm_first, self.dropout = options.norm_first, Dropout(options.dropout)

    def entering(self, x: Tensor, norm: nn.Module) -> Tensor:
        """Return the input of a part."""
        return norm(x) if self.norm_first else x

    def leaving(self, x: Tensor, part: Tensor, norm: nn.Module) -> Tensor:
        """Return the sum of a part's input and its output."""
        total = x + self.dropout(part)
        return total if self.norm_first else norm(total)


class EncoderBlock(_Block):
    """Block of an encoder: self-attention and a feed-forward network, as ``nn.TransformerEncoderLayer``."""

    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.attention, self.attention_norm = options.attention(), make_norm(options)
        self.feed_forward, self.feed_forward_norm = FeedForward(options), make_norm(options)

    def forward(
        self, x: Tensor, mask: Tensor | None, positions: Positions, weights: list[Tensor] | None = None
    ) -> Tensor:
        """Return (B, S, E) of (B, S, E).

        Args:
            x: the input.
            mask: (B, 1, 1, S) bool, True = may be attended to.
            positions: of the model.
            weights: a list that gets the attention weights (B, H, S, S).
        """
        entering = self.entering(x, self.attention_norm)
        pairs = self.attention.project(entering)
        pairs = KeyValues(positions.rotate(pairs.keys), pairs.values)
        query = positions.rotate(self.attention.split(self.attention.query(entering)))
        bias = positions.bias(x.shape[1], x.shape[1], query)
        if weights is not None:
            weights.append(attention_weights(query, pairs.keys, mask, bias))
        x = self.leaving(x, self.attention.pool(query, pairs, mask, bias), self.attention_norm)
        part = self.feed_forward(self.entering(x, self.feed_forward_norm))
        return self.leaving(x, part, self.feed_forward_norm)


class DecoderBlock(_Block):
    """Block of a decoder: causal self-attention, attention over the source, and a feed-forward network.

    As ``nn.TransformerDecoderLayer``, with a cache of keys and values.
    """

    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.attention, self.attention_norm = options.attention(), make_norm(options)
        self.cross, self.cross_norm = options.attention(), make_norm(options)
        self.feed_forward, self.feed_forward_norm = FeedForward(options), make_norm(options)

    def forward(
        self,
        x: Tensor,
        source: KeyValues,
        mask: Tensor | None,
        positions: Positions,
        cache: KeyValues | None = None,
        weights: list[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Tensor, KeyValues]:
        """Return (B, T, E) and the keys and values of all steps so far.

        Args:
            x: (B, T, E), the steps behind those of the cache.
            source: keys and values of the source, from ``cross.project``.
            mask: (B, 1, 1, S) bool, of the source.
            positions: of the model.
            cache: what the call for the steps before returned.
            weights: a list that gets a pair of weights: (B, H, T, all steps so far) and (B, H, T, S).
        """
        entering = self.entering(x, self.attention_norm)
        start = 0 if cache is None else cache.keys.shape[2]
        new = self.attention.project(entering)
        new = KeyValues(positions.rotate(new.keys, start), new.values)
        pairs = new if cache is None else cache.extend(new)
        query = positions.rotate(self.attention.split(self.attention.query(entering)), start)
        steps, known = x.shape[1], pairs.keys.shape[2]
        bias = positions.bias(steps, known, query)
        # A single step may attend to everything that is known.
        causal = None if steps == 1 else causal_mask(steps, known, x.device)
        own = None if weights is None else attention_weights(query, pairs.keys, causal, bias)
        x = self.leaving(x, self.attention.pool(query, pairs, causal, bias), self.attention_norm)
        query = self.cross.split(self.cross.query(self.entering(x, self.cross_norm)))
        if weights is not None and own is not None:
            weights.append((own, attention_weights(query, source.keys, mask)))
        x = self.leaving(x, self.cross.pool(query, source, mask), self.cross_norm)
        part = self.feed_forward(self.entering(x, self.feed_forward_norm))
        return self.leaving(x, part, self.feed_forward_norm), pairs


class CausalBlock(_Block):
    """Block of a decoder without a source: causal self-attention and a feed-forward network, with a cache."""

    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.attention, self.attention_norm = options.attention(), make_norm(options)
        self.feed_forward, self.feed_forward_norm = FeedForward(options), make_norm(options)

    def forward(self, x: Tensor, positions: Positions, cache: KeyValues | None = None) -> tuple[Tensor, KeyValues]:
        """Return (B, T, E) and the keys and values of all steps so far.

        Args:
            x: (B, T, E), the steps behind those of the cache.
            positions: of the model.
            cache: what the call for the steps before returned.
        """
        entering = self.entering(x, self.attention_norm)
        start = 0 if cache is None else cache.keys.shape[2]
        new = self.attention.project(entering)
        new = KeyValues(positions.rotate(new.keys, start), new.values)
        pairs = new if cache is None else cache.extend(new)
        query = positions.rotate(self.attention.split(self.attention.query(entering)), start)
        steps, known = x.shape[1], pairs.keys.shape[2]
        # A single step may attend to everything that is known.
        mask = None if steps == 1 else causal_mask(steps, known, x.device)
        pooled = self.attention.pool(query, pairs, mask, positions.bias(steps, known, query))
        x = self.leaving(x, pooled, self.attention_norm)
        part = self.feed_forward(self.entering(x, self.feed_forward_norm))
        return self.leaving(x, part, self.feed_forward_norm), pairs


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """Return (queries, keys) bool: the queries are the last steps, and none sees a later one.

    >>> causal_mask(2, 3).tolist()
    [[True, True, False], [True, True, True]]
    """
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
