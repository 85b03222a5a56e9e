"""Multi-head attention over batches of queries, with a key/value cache.

Shapes: B sentences, T queries, S keys, E width, H heads, D = E / H width of a head. The batch comes first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.errors import ParameterError
from lab_attention.attention import Attention, Memory
from lab_attention.dropout import dropout as drop

__all__ = ["KeyValues", "MultiHeadAttention", "MultiHeadPooling", "attention_weights", "dot_product_attention"]

# Copying up to so many steps takes no longer than writing one in place; at 2,048 steps it took 1.7 times as long.
_MIN_STEPS_IN_PLACE = 128


class _Room:
    """Memory for the keys and values of a growing text; ``used`` steps of it are taken."""

    def __init__(self, pairs: KeyValues, steps: int) -> None:
        batch, heads, self.used, width = pairs.keys.shape
        self.steps = steps
        self.both = [pairs.keys.new_empty(batch, heads, steps, width) for _ in range(2)]
        for room, tensor in zip(self.both, pairs[:2], strict=True):
            room[:, :, : self.used] = tensor


class KeyValues(NamedTuple):
    """Keys and values of one attention, split into heads: each (B, H, S, D).

    Attributes:
        keys, values: the tensors.
        room: memory that they begin, for further steps; None if there is none yet.
    """

    keys: Tensor
    values: Tensor
    room: _Room | None = None

    def extend(self, new: KeyValues) -> KeyValues:
        """Return these and the new ones behind them; without gradients, long texts are not copied at every step."""
        start, end = self.keys.shape[2], self.keys.shape[2] + new.keys.shape[2]
        if torch.is_grad_enabled() or end < _MIN_STEPS_IN_PLACE:
            return KeyValues(torch.cat([self.keys, new.keys], 2), torch.cat([self.values, new.values], 2))
        room = self.room
        # Another text that goes on from the same steps may have taken those that follow.
        if room is None or room.used != start or room.steps < end:
            room = _Room(self, 2 * end)
        for whole, tensor in zip(room.both, new[:2], strict=True):
            whole[:, :, start:end] = tensor
        room.used = end
        return KeyValues(room.both[0][:, :, :end], room.both[1][:, :, :end], room)

    def select(self, rows: Tensor) -> KeyValues:
        """Return the sentences at these indices, in this order."""
        return KeyValues(self.keys.index_select(0, rows), self.values.index_select(0, rows))


def attention_weights(query: Tensor, keys: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Return the weights of scaled dot-product attention, ``softmax(q · k / √D + bias)``.

    A query that may attend to nothing has the weight 0 everywhere, not NaN.

    Args:
        query: (…, T, D).
        keys: (…, S, D).
        mask: bool, broadcast to (…, T, S), True = may be attended to.
        bias: broadcast to (…, T, S).
    """
    scores = query @ keys.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias
    if mask is None:
        return scores.softmax(-1)
    # The second fill turns the NaN of a row without any key into 0 and stops its gradient.
    return scores.masked_fill(~mask, -math.inf).softmax(-1).masked_fill(~mask, 0.0)


def dot_product_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return ``dropout(attention_weights) · values``: (…, T, D), (…, S, D), (…, S, V) -> (…, T, V).

    Without dropout, or on another device than a CPU, by torch's ``scaled_dot_product_attention``, which keeps no
    weights. Masks and biases as of ``attention_weights``.
    """
    if dropout and query.is_cpu:
        # torch draws one number after the other here.
        return drop(attention_weights(query, keys, mask, bias), dropout) @ values
    allowed = mask
    if bias is not None:
        allowed = bias if mask is None else bias.masked_fill(~mask, -math.inf)
    pooled = functional.scaled_dot_product_attention(query, keys, values, allowed, dropout)
    if mask is None:
        return pooled
    # Kernels differ in rows without any key: some give NaN.
    return pooled.masked_fill(~mask.any(-1, keepdim=True), 0.0)


class MultiHeadAttention(nn.Module):
    """Multi-head attention, ``W_o [head_1; …; head_H]`` (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2).

    Args:
        width: width E of queries and outputs, divided among the heads.
        heads: number of heads.
        key_width, value_width: widths of keys and values; None for ``width``.
        bias: whether the four projections have one.
        dropout: probability of a weight, in training.

    Raises:
        ParameterError: the heads do not divide the width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        key_width: int | None = None,
        value_width: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_heads(width, heads, "multi-head attention")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width, bias)
        self.key = nn.Linear(width if key_width is None else key_width, width, bias)
        self.value = nn.Linear(width if value_width is None else value_width, width, bias)
        self.output = nn.Linear(width, width, bias)
        for linear in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return (B, T, E) of queries (B, T, E), keys and values (B, S, …); mask as of ``attention_weights``."""
        pairs = self.project(keys, values)
        return self.pool(self.split(self.query(query)), pairs, mask)

    def split(self, x: Tensor) -> Tensor:
        """Return (B, T, E) split into heads: (B, H, T, D)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def project(self, keys: Tensor, values: Tensor | None = None) -> KeyValues:
        """Return projected keys and values, to be cached; values None are the keys."""
        return KeyValues(self.split(self.key(keys)), self.split(self.value(keys if values is None else values)))

    def pool(self, query: Tensor, pairs: KeyValues, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Return the output (B, T, E) of projected queries (B, H, T, D)."""
        pooled = dot_product_attention(
            query, pairs.keys, pairs.values, mask, bias, self.dropout if self.training else 0.0
        )
        return self.output(pooled.transpose(1, 2).flatten(2))


class MultiHeadPooling(Attention):
    """Multi-head attention for recurrent decoders, with values of their own and dropout on the weights.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2. The weights that are shown are the mean of the heads'.

    Args:
        query_size: width Q of the decoder's state.
        key_size: width K of the encoder's outputs.
        heads: number of heads.
        size: width of all heads together; None for ``query_size``.
        dropout: probability of a weight, in training.

    Raises:
        ParameterError: the heads do not divide the size.
    """

    def __init__(
        self, query_size: int, key_size: int, *, heads: int = 4, size: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__(query_size, key_size)
        size = query_size if size is None else size
        check_heads(size, heads, "attention 'multi_head'")
        self.heads, self.dropout = heads, dropout
        self.query_projection = nn.Linear(query_size, size, bias=False)
        self.pair_projection = nn.Linear(key_size, 2 * size, bias=False)
        self.output = nn.Linear(size, key_size, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.pair_projection(keys)  # (S, B, 2 · size)

    def attend(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        keys, values = memory.prepared.unflatten(2, (2, self.heads, -1)).permute(2, 1, 3, 0, 4)  # each (B, H, S, D)
        queries = self.query_projection(query).unflatten(1, (self.heads, -1)).unsqueeze(2)  # (B, H, 1, D)
        mask = None if memory.mask is None else memory.mask.t()[:, None, None]  # (B, 1, 1, S)
        weights = attention_weights(queries, keys, mask)  # (B, H, 1, S)
        pooled = drop(weights, self.dropout if self.training else 0.0) @ values
        return self.output(pooled.flatten(1)), weights.mean(1).squeeze(1).t()


def check_heads(width: int, heads: int, where: str) -> None:
    """Raise a ParameterError unless the heads divide the width."""
    if heads < 1 or width % heads:
        fitting = [number for number in range(1, width + 1) if width % number == 0 and number <= 2 * max(heads, 1)]
        raise ParameterError(
            f"{heads} heads do not divide a width of {width}",
            where=where,
            hint=f"heads that do: {', '.join(map(str, fitting))}",
        )
