"""Transformer for translation that decodes step by step, and keeps what it has computed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lab import part

__all__ = ["State", "Stepwise"]


class State(NamedTuple):
    """State between two steps, with a row per sentence or hypothesis.

    Attributes:
        memory: (S, B, E), the encoded source.
        padding: (B, S) bool, True = padding.
        known: per layer (T, B, E), its inputs of the tokens so far; T is 0 at first.
    """

    memory: Tensor
    padding: Tensor
    known: tuple[Tensor, ...]

    def select(self, rows: Tensor) -> State:
        """Return the state of these rows: sentences that go on, or each one as often as a beam is wide."""
        return State(self.memory.index_select(1, rows), self.padding.index_select(0, rows), self._known(rows))

    def reorder(self, rows: Tensor) -> State:
        """Return the state after hypotheses of the same sources changed places; the memory need not move."""
        return self._replace(known=self._known(rows))

    def _known(self, rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(each.index_select(1, rows) for each in self.known)


class Layer(nn.Module):
    """Layer of the decoder: attention to the tokens so far, attention to the source, a network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.own, self.cross = nn.MultiheadAttention(width, heads), nn.MultiheadAttention(width, heads)
        self.net = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(self, new: Tensor, known: Tensor, later: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Return the output for the new tokens (T, B, E) and their attention over the source (B, T, S)."""
        seen, _ = self.own(new, known, known, attn_mask=later, need_weights=False)
        new = self.norms[0](new + seen)
        read, weights = self.cross(new, state.memory, state.memory, key_padding_mask=state.padding)
        new = self.norms[1](new + read)
        return self.norms[2](new + self.net(new)), weights


class Stepwise(nn.Module):
    """Transformer, post-norm, with learned positions. Vaswani et al. 2017, arXiv:1706.03762.

    Args:
        source_vocab_size: number of source words.
        target_vocab_size: number of target words.
        pad_id: id of padding.
        bos_id: id that every translation begins with.
        eos_id: id that ends a sentence.
        max_length: longest translation in tokens, ``eos`` included.
        width: size of embeddings and layers, a multiple of ``heads``.
        heads: number of attention heads.
        layers: number of layers of the encoder, and of the decoder.
        max_positions: maximum number of tokens of a sentence.

    Shapes:
        source (S, B) ids, prefix (T, B) ids -> (T, B, target_vocab_size)
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        pad_id: int,
        bos_id: int,
        eos_id: int,
        max_length: int,
        *,
        width: int = 32,
        heads: int = 4,
        layers: int = 1,
        max_positions: int = 256,
    ) -> None:
        super().__init__()
        self.pad_id, self.bos_id, self.eos_id, self.max_length = pad_id, bos_id, eos_id, max_length
        with part("source_embedding"):
            self.source = nn.Embedding(source_vocab_size, width)
        with part("target_embedding"):
            self.target = nn.Embedding(target_vocab_size, width)
        with part("positions"):
            self.positions = nn.Embedding(max_positions, width)
        with part("encoder"):
            layer = nn.TransformerEncoderLayer(width, heads, 2 * width)
            self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        with part("decoder"):
            self.decoder = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        with part("output"):
            self.output = nn.Linear(width, target_vocab_size)

    def forward(self, source: Tensor, prefix: Tensor) -> Tensor:
        """Return the logits (T, B, V) of the token after each one of the prefix."""
        return self._decode(prefix, self.start(source))[0]

    def start(self, source: Tensor) -> State:
        """Return the state before the first token."""
        padding = (source == self.pad_id).T
        memory = self.encoder(self._placed(self.source(source), 0), src_key_padding_mask=padding)
        return State(memory, padding, (memory[:0],) * len(self.decoder))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Return the logits (B, V) after the last tokens (B,), the next state, and attention weights (S, B)."""
        logits, state, weights = self._decode(tokens.unsqueeze(0), state)
        return logits[0], state, weights[:, 0].T

    def _decode(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Compute new tokens (T, B) behind those of the state; the weights (B, T, S) are those of the last layer."""
        before = len(state.known[0])
        new = self._placed(self.target(tokens), before)
        later = torch.ones(len(new), before + len(new), dtype=torch.bool, device=new.device).triu(1 + before)
        known = []
        for layer, past in zip(self.decoder, state.known, strict=True):
            known.append(torch.cat([past, new]))
            new, weights = layer(new, known[-1], later, state)
        return self.output(new), state._replace(known=tuple(known)), weights

    def _placed(self, embedded: Tensor, first: int) -> Tensor:
        return embedded + self.positions.weight[first : first + len(embedded)].unsqueeze(1)
