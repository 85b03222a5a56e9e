"""Transformer encoder–decoder: training in one pass, decoding step by step with a key/value cache.

Shapes at line ends: S source steps, T target steps, B sentences, E width, H heads, V words. Ids come time first, as for
`Seq2SeqRNN`; inside, the batch comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from lab_attention.blocks import BlockOptions, DecoderBlock, EncoderBlock, make_norm
from lab_attention.dropout import Dropout
from lab_attention.multihead import KeyValues, check_heads
from lab_attention.positions import Positions, positions_factory
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from lab.errors import ParameterError
from lab.training.rng import part
from lab_seq2seq.fused.projection import Unprojected
from lab_seq2seq.models import Projection, Step, check_batch, copy_vectors, sentence_lengths

__all__ = ["AttentionWeights", "Transformer", "TransformerState"]


class TransformerState(NamedTuple):
    """State of the decoder between two steps; the batch is dimension 0 of every tensor.

    Attributes:
        source: keys and values of the source, for each layer.
        mask: (B, 1, 1, S) bool, True = a real token.
        caches: keys and values of the steps so far, for each layer; empty before the first step.
    """

    source: tuple[KeyValues, ...]
    mask: Tensor
    caches: tuple[KeyValues, ...] = ()

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return self.caches[0].keys.shape[2] if self.caches else 0

    def select(self, rows: Tensor) -> TransformerState:
        """Return the sentences at these indices, in this order; an index may occur several times."""
        source = tuple(pairs.select(rows) for pairs in self.source)
        return TransformerState(source, self.mask.index_select(0, rows), self._cached(rows))

    def reorder(self, rows: Tensor) -> TransformerState:
        """Return ``select`` for rows that only swap hypotheses of the same sources, as in a beam."""
        return self._replace(caches=self._cached(rows))

    def _cached(self, rows: Tensor) -> tuple[KeyValues, ...]:
        return tuple(pairs.select(rows) for pairs in self.caches)


class AttentionWeights(NamedTuple):
    """Attention of every layer and head; padding of the source has the weight 0.

    Attributes:
        encoder: (layers, H, B, S, S).
        decoder: (layers, H, B, T, T), causal.
        cross: (layers, H, B, T, S), of the decoder over the source.
    """

    encoder: Tensor
    decoder: Tensor
    cross: Tensor


class Transformer(nn.Module):
    """Transformer for translation (Vaswani et al. 2017, arXiv:1706.03762).

    Embeddings, drawn from N(0, 1 / width), are multiplied by √width; projections are drawn as in Glorot & Bengio 2010.
    Differs from the paper: dropout also acts on attention weights and inside the feed-forward network, as in torch and
    fairseq; the output has a bias.

    With a target, forced steps are computed in one pass. Where a step is not forced, the inputs are found step by step
    without gradient first; these predictions see dropout masks of their own.

    Args:
        source_vocab_size, target_vocab_size: numbers of words.
        source_vectors, target_vectors: (vocab_size, width) initial word vectors; None draws them.
        pad_id, bos_id, eos_id: ids of padding, of the first input of the decoder, of the end of a sentence.
        max_length: longest translation in tokens, ``eos`` included.
        width: width of embeddings and blocks.
        heads: number of attention heads, which divides the width.
        encoder_layers, decoder_layers: numbers of blocks.
        feed_forward: width of the feed-forward networks.
        dropout: probability after the embeddings, after each part of a block and inside its feed-forward network.
        attention_dropout: probability of an attention weight; None for ``dropout``.
        positions: scheme of positions, from the registry ``positions``.
        norm_first: normalize before each part ("pre-norm") and once at the end, not behind each part ("post-norm").
        activation: "relu", "gelu" or "swiglu".
        norm: "layer" or "rms".
        attention_bias: whether the projections of attention have a bias.
        scale_embedding: multiply embeddings by √width.
        tie_output: the output's weight is the target embedding's.
        share_embedding: one embedding for both languages; needs one vocabulary for both.

    Shapes:
        source (S, B) ids, target (T, B) ids -> logits (T, B, V).

    Raises:
        ParameterError: heads that do not divide the width, an unknown option, word vectors that do not fit, or a shared
            embedding of different vocabularies.
        ShapeError: source, target or forcing mask disagree; the message gives the shapes.
        DataError: a sentence is longer than learned positions.
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        source_vectors: Tensor | None,
        target_vectors: Tensor | None,
        pad_id: int,
        bos_id: int,
        eos_id: int,
        max_length: int,
        *,
        width: int = 256,
        heads: int = 4,
        encoder_layers: int = 3,
        decoder_layers: int = 3,
        feed_forward: int = 1024,
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        positions: str | Callable[..., Positions] = "sinusoidal",
        norm_first: bool = False,
        activation: Literal["relu", "gelu", "swiglu"] = "relu",
        norm: Literal["layer", "rms"] = "layer",
        attention_bias: bool = True,
        scale_embedding: bool = True,
        tie_output: bool = True,
        share_embedding: bool = False,
    ) -> None:
        super().__init__()
        check_heads(width, heads, "Transformer")
        for name, layers in (("encoder_layers", encoder_layers), ("decoder_layers", decoder_layers)):
            if layers < 1:
                raise ParameterError(f"{name} must be at least 1, got {layers}", where="Transformer")
        if share_embedding and source_vocab_size != target_vocab_size:
            raise ParameterError(
                f"one embedding cannot serve vocabularies of {source_vocab_size} and {target_vocab_size} words",
                where="Transformer",
                hint="give the dataset one vocabulary for both languages, or share_embedding=False",
            )
        self.pad_id, self.bos_id, self.eos_id, self.max_length = pad_id, bos_id, eos_id, max_length
        self.scale = math.sqrt(width) if scale_embedding else 1.0
        weights = dropout if attention_dropout is None else attention_dropout
        options = BlockOptions(
            width, heads, feed_forward, dropout, weights, norm_first, activation, norm, attention_bias
        )
        # Each part draws from its own random stream: arms that share a part start it from the same weights.
        with part("source_embedding"):
            self.source_embedding = _embedding(source_vocab_size, width, source_vectors, pad_id, "source")
        with part("target_embedding"):
            own = None if share_embedding else _embedding(target_vocab_size, width, target_vectors, pad_id, "target")
            self.target_embedding = self.source_embedding if own is None else own
        with part("positions"):
            self.positions = positions_factory(positions)(width=width, heads=heads)
        with part("encoder"):
            self.encoder = nn.ModuleList(EncoderBlock(options) for _ in range(encoder_layers))
        with part("decoder"):
            self.decoder = nn.ModuleList(DecoderBlock(options) for _ in range(decoder_layers))
        self.encoder_norm, self.decoder_norm = (make_norm(options) if norm_first else nn.Identity() for _ in range(2))
        self.dropout = Dropout(dropout)
        with part("output"):
            self.output = Projection(width, target_vocab_size, self.target_embedding if tie_output else None)

    def forward(
        self,
        source: Tensor,
        target: Tensor | None = None,
        forced: Sequence[bool] | None = None,
        *,
        packed: bool = False,
        unprojected: bool = False,
        at_least: int = 0,
    ) -> Tensor | PackedSequence | Unprojected:
        """Return the logits of the target's tokens; arguments as of ``Seq2SeqRNN.forward``."""
        check_batch(source, target, forced, "Transformer")
        if unprojected and not packed:
            raise ParameterError("unprojected=True needs packed=True", where="Transformer")
        state = self.start(source)
        if target is None:
            return self._generate(state, at_least)  # (T, B, V)
        # The first input is always ``bos``.
        forced = [True, *(forced or [False] * len(target))[1:]]
        features = self._decode(self._inputs(state, target, forced), state)[0].transpose(0, 1)  # (T, B, E)
        if not packed:
            return self.output(features)
        only_real = pack_padded_sequence(features, sentence_lengths(target, self.pad_id), enforce_sorted=False)
        if unprojected:
            return Unprojected(only_real, self.output.weight, self.output.bias)
        return only_real._replace(data=self.output(only_real.data))

    def start(self, source: Tensor) -> TransformerState:
        """Encode (S, B) ids and return the decoder's first state."""
        encoded, mask = self._encode(source)
        return TransformerState(tuple(block.cross.project(encoded) for block in self.decoder), mask)

    def step(self, tokens: Tensor, state: TransformerState) -> Step:
        """Compute one step of the decoder from the last tokens (B,).

        Its weights are those of the last layer, the mean of the heads; ``attention_weights`` has all of them.
        """
        weights: list[tuple[Tensor, Tensor]] = []
        features, caches = self._decode(tokens.unsqueeze(1), state, weights)
        shown = weights[-1][1].mean(1).squeeze(1).t()  # (S, B)
        return Step(self.output(features[:, 0]), state._replace(caches=caches), shown)

    @torch.no_grad()
    def attention_weights(self, source: Tensor, target: Tensor) -> AttentionWeights:
        """Return the attention of every layer and head with the target (T, B) as input."""
        encoder: list[Tensor] = []
        decoder: list[tuple[Tensor, Tensor]] = []
        encoded, mask = self._encode(source, encoder)
        state = TransformerState(tuple(block.cross.project(encoded) for block in self.decoder), mask)
        self._decode(self._shifted(target), state, decoder)
        stacks = (encoder, *zip(*decoder, strict=True))
        return AttentionWeights(*(torch.stack(list(each)).transpose(1, 2) for each in stacks))

    def _encode(self, source: Tensor, weights: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return the encoded source (B, S, E) and its mask (B, 1, 1, S)."""
        source = source.t()
        mask = (source != self.pad_id)[:, None, None]  # (B, 1, 1, S)
        x = self.dropout(self.positions.add(self.source_embedding(source) * self.scale))  # (B, S, E)
        for block in self.encoder:
            x = block(x, mask, self.positions, weights)
        return self.encoder_norm(x), mask

    def _decode(
        self, inputs: Tensor, state: TransformerState, weights: list[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, tuple[KeyValues, ...]]:
        """Return the features (B, T, E) of input ids (B, T) behind those of the state, and the new caches."""
        x = self.dropout(self.positions.add(self.target_embedding(inputs) * self.scale, state.steps))
        caches = []
        known = state.caches or (None,) * len(self.decoder)
        for block, source, cache in zip(self.decoder, state.source, known, strict=True):
            x, cache = block(x, source, state.mask, self.positions, cache, weights)
            caches.append(cache)
        return self.decoder_norm(x), tuple(caches)

    def _shifted(self, target: Tensor) -> Tensor:
        """Return the inputs (B, T) that come before the tokens of a target (T, B)."""
        return torch.cat([torch.full_like(target[:1], self.bos_id), target[:-1]]).t()

    @torch.no_grad()
    def _inputs(self, state: TransformerState, target: Tensor, forced: Sequence[bool]) -> Tensor:
        """Return the inputs (B, T): the true previous token where a step is forced, otherwise the likeliest one."""
        inputs = self._shifted(target).contiguous()
        if all(forced):
            return inputs
        last = max(step for step, each in enumerate(forced) if not each)
        for step in range(last):
            logits, state, _ = self.step(inputs[:, step], state)
            if not forced[step + 1]:
                inputs[:, step + 1] = logits.argmax(1)
        return inputs

    def _generate(self, state: TransformerState, at_least: int) -> Tensor:
        """Return the logits (T, B, V) of greedy decoding until every sentence has ended."""
        tokens = torch.full_like(state.mask[:, 0, 0, 0], self.bos_id, dtype=torch.long)  # (B,)
        ended = torch.zeros_like(tokens, dtype=torch.bool)  # (B,)
        logits: list[Tensor] = []
        for step in range(max(self.max_length, at_least)):
            scores, state, _ = self.step(tokens, state)  # (B, V)
            logits.append(scores)
            tokens = scores.argmax(1)  # (B,)
            ended |= tokens == self.eos_id
            if step + 1 >= at_least and bool(ended.all()):
                break
        return torch.stack(logits)

    @property
    def gives_unprojected(self) -> bool:
        """Return whether the loss may compute the projection: not if it was replaced or hooks expect its call."""
        hooks = self.output._forward_hooks or self.output._forward_pre_hooks
        return type(self.output) is Projection and not hooks

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the encoder and the rest as groups of layers."""
        encoder = [self.source_embedding, self.encoder, self.encoder_norm]
        rest = [self.positions, self.decoder, self.decoder_norm, self.output]
        if self.target_embedding is not self.source_embedding:
            rest.insert(0, self.target_embedding)
        return [encoder, rest]


def _embedding(vocab_size: int, width: int, vectors: Tensor | None, pad_id: int, side: str) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, width, padding_idx=pad_id)
    if vectors is not None:
        copy_vectors(embedding, vectors, side, "Transformer", "width")
    else:
        with torch.no_grad():
            embedding.weight.mul_(width**-0.5)
    return embedding
