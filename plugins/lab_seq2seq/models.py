"""The recurrent encoder–decoder, with and without attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lab.errors import ParameterError, ShapeError
from lab.training.rng import part
from lab_seq2seq.attention import Attention, Memory
from lab_seq2seq.dropout import Dropout
from lab_seq2seq.initial import draw_by_xavier
from lab_seq2seq.layout import Layout, ends_of, stretches
from lab_seq2seq.projection import Unprojected
from lab_seq2seq.recurrent import CELLS, Cell, Hidden, Recurrent
from lab_seq2seq.unrolled import DeferredLinear

__all__ = ["DecoderState", "Encoded", "Encoder", "Seq2SeqRNN", "Step"]

Attend = Literal["before", "after"]


class Encoded(NamedTuple):
    """What the encoder knows of a source.

    Attributes:
        keys: (S, B, K), the outputs of its last layer; 0 at masked padding.
        hidden: its last states, each (layers, B, K).
        mask: (S, B) bool, True = a real token; None where padding is not masked.
    """

    keys: Tensor
    hidden: Hidden
    mask: Tensor | None


class DecoderState(NamedTuple):
    """All that the decoder needs to go on; the batch is dimension 1 of every tensor.

    Attributes:
        hidden: the recurrent state, each (layers, B, E).
        memory: the source for the attention; None without attention.
    """

    hidden: Hidden
    memory: Memory | None

    def select(self, rows: Tensor) -> DecoderState:
        """The sentences of these indices, in this order; an index may come several times."""
        memory = None if self.memory is None else self.memory.select(rows)
        return DecoderState(tuple(part.index_select(1, rows) for part in self.hidden), memory)

    def reorder(self, rows: Tensor) -> DecoderState:
        """``select`` for indices that stand for the same sources as the rows they replace, as in a beam."""
        return DecoderState(tuple(part.index_select(1, rows) for part in self.hidden), self.memory)

    def first(self, count: int) -> DecoderState:
        """The first ``count`` sentences."""
        if count == self.hidden[0].shape[1]:
            return self
        memory = None if self.memory is None else self.memory.first(count)
        return DecoderState(tuple(part[:, :count].contiguous() for part in self.hidden), memory)


class Step(NamedTuple):
    """One step of the decoder.

    Attributes:
        logits: (B, V) scores of the next token.
        state: to go on from.
        weights: (S, B) attention over the source; None without attention.
    """

    logits: Tensor
    state: DecoderState
    weights: Tensor | None


class Encoder(nn.Module):
    """Embedding, dropout and recurrent layers over the source: (S, B) ids -> ``Encoded``.

    With ``mask_padding`` every sentence ends at its own last token; otherwise the recurrence runs over the padding.
    """

    def __init__(
        self,
        vocab_size: int,
        vectors: Tensor | None,
        pad_id: int,
        *,
        embedding_dim: int,
        hidden_size: int,
        layers: int,
        cell: Cell,
        bidirectional: bool,
        mask_padding: bool,
        embedding_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pad_id, self.mask_padding = pad_id, mask_padding
        with part("source_embedding"):
            self.embedding = _embedding(vocab_size, embedding_dim, vectors, pad_id, "source")
        self.embedding_dropout = Dropout(embedding_dropout)
        with part("encoder"):
            self.recurrent = Recurrent(
                cell, embedding_dim, hidden_size, layers, dropout=dropout, bidirectional=bidirectional
            )

    @property
    def output_size(self) -> int:
        """Width K of keys and states."""
        return self.recurrent.output_size

    def forward(self, source: Tensor) -> Encoded:
        if not self.mask_padding:
            keys, hidden = self.recurrent(self.embedding_dropout(self.embedding(source)))
            return Encoded(keys, hidden, None)
        lengths = ends_of(source, self.pad_id)
        words = pack_padded_sequence(source, lengths, enforce_sorted=False)
        packed, hidden = self.recurrent(words._replace(data=self.embedding_dropout(self.embedding(words.data))))
        keys, _ = pad_packed_sequence(packed, total_length=len(source))
        mask = torch.arange(len(source)).unsqueeze(1) < lengths
        return Encoded(keys, hidden, mask.to(source.device))


class Bridge(nn.Module):
    """From the encoder's last states to the decoder's first: dropout, then a linear map without bias for each."""

    def __init__(self, states: int, input_size: int, output_size: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.maps = nn.ModuleList([nn.Linear(input_size, output_size, bias=False) for _ in range(states)])

    def forward(self, hidden: Hidden) -> Hidden:
        return tuple(linear(self.dropout(state)) for linear, state in zip(self.maps, hidden, strict=True))


class Projection(nn.Module):
    """Scores of every word: ``logits = W x + b``; ``W`` is the embedding's own weight where that is given."""

    def __init__(self, input_size: int, vocab_size: int, tied_to: nn.Embedding | None) -> None:
        super().__init__()
        linear = nn.Linear(input_size, vocab_size)
        self.weight = linear.weight if tied_to is None else tied_to.weight
        self.bias = linear.bias

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(features, self.weight, self.bias)


_Advance = Callable[[Tensor, Sequence[int], Hidden], tuple[Tensor, Hidden]]
"""Words (N, E), how many of them at each step, and a state, to features (N, E) and a state."""


class Seq2SeqRNN(nn.Module):
    """Recurrent encoder–decoder for translation, optionally with attention over the source.

    Sutskever, Vinyals & Le 2014, arXiv:1409.3215; attention after Bahdanau, Cho & Bengio 2015, arXiv:1409.0473. Layout
    and default values follow fast.ai's 2018 translation lesson: a bridge without bias from the encoder's states to
    a decoder of the embedding's width; the attention is asked with the top state before the step, and its context,
    joined to the embedding and projected to the embedding's width, is the step's input. Differs from the lesson: the
    output weight is the very parameter of the target embedding (the lesson shared its storage, with gradients and
    optimizer state apart), padding is masked, and the sequence is computed as described in ``forward``.

    With ``attend="after"`` the attention is asked with the top state behind the step, which has seen the last word,
    and the output is made of ``tanh(W [state; context])``: Luong, Pham & Manning 2015, arXiv:1508.04025, with a bias
    and without their input feeding, so that all forced steps pass through the recurrence at once.

    Args:
        source_vocab_size, target_vocab_size: numbers of words.
        source_vectors, target_vectors: (vocab_size, embedding_dim) initial word vectors; None draws them from N(0, 1).
        pad_id, bos_id, eos_id: ids of padding, of the first input of the decoder, of the end of a sentence.
        max_length: tokens, ``eos`` included, after which a translation that did not end is cut.
        embedding_dim: width of both embeddings and of the decoder.
        hidden_size: width of the encoder, per direction.
        layers: recurrent layers of the encoder and of the decoder.
        cell: "gru", "lstm" or "rnn".
        bidirectional: the encoder reads in both directions.
        attention: makes the attention, called with ``query_size`` and ``key_size``; None goes without.
        attend: whether the attention is asked "before" each step of the decoder or "after" it.
        mask_padding: keep padding out of encoder and attention. False is the lesson's behaviour.
        tie_output: the output's weight is the target embedding's.
        embedding_dropout, encoder_dropout, decoder_dropout, output_dropout: probabilities: of the source embedding,
            between the layers of encoder and decoder, before the output.
        bridge_dropout: probability before the bridge; None is the lesson's: 0.05 when bidirectional, otherwise 0.
        xavier_init: weights begin as Glorot & Bengio 2010 draw them, uniformly, every gate's matrix for itself, biases
            at 0, and words without given vectors as N(0, 0.1²). False is the lesson's: as torch draws them.

    Shapes:
        source (S, B) ids, target (T, B) ids -> logits (T, B, V).

    Raises:
        ParameterError: word vectors do not fit the vocabulary or ``embedding_dim``; an unknown cell.
        ShapeError: source, target or coins disagree; the message gives the shapes.
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
        embedding_dim: int = 300,
        hidden_size: int = 256,
        layers: int = 2,
        cell: Cell = "gru",
        bidirectional: bool = False,
        attention: Callable[..., Attention] | None = None,
        attend: Attend = "before",
        mask_padding: bool = True,
        tie_output: bool = True,
        embedding_dropout: float = 0.15,
        encoder_dropout: float = 0.25,
        bridge_dropout: float | None = None,
        decoder_dropout: float = 0.1,
        output_dropout: float = 0.35,
        xavier_init: bool = False,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ParameterError(f"unknown cell '{cell}'", where="Seq2SeqRNN", hint=f"one of: {', '.join(CELLS)}")
        if attend not in get_args(Attend):
            raise ParameterError(f"attend must be 'before' or 'after', not {attend!r}", where="Seq2SeqRNN")
        if bridge_dropout is None:
            bridge_dropout = 0.05 if bidirectional else 0.0
        self.pad_id, self.bos_id, self.eos_id, self.max_length = pad_id, bos_id, eos_id, max_length
        self.attend = attend
        self.encoder = Encoder(
            source_vocab_size,
            source_vectors,
            pad_id,
            embedding_dim=embedding_dim,
            hidden_size=hidden_size,
            layers=layers,
            cell=cell,
            bidirectional=bidirectional,
            mask_padding=mask_padding,
            embedding_dropout=embedding_dropout,
            dropout=encoder_dropout,
        )
        key_size = self.encoder.output_size
        with part("bridge"):
            self.bridge = Bridge(len("hc" if cell == "lstm" else "h"), key_size, embedding_dim, dropout=bridge_dropout)
        with part("target_embedding"):
            self.embedding = _embedding(target_vocab_size, embedding_dim, target_vectors, pad_id, "target")
        with part("attention"):
            self.attention = None if attention is None else attention(query_size=embedding_dim, key_size=key_size)
        with part("context"):
            self.context = None if attention is None else nn.Linear(embedding_dim + key_size, embedding_dim)
        with part("decoder"):
            self.decoder = Recurrent(cell, embedding_dim, embedding_dim, layers, dropout=decoder_dropout)
        self.output_dropout = Dropout(output_dropout)
        with part("output"):
            self.output = Projection(embedding_dim, target_vocab_size, self.embedding if tie_output else None)
        if xavier_init:
            sides = ((self.encoder.embedding, source_vectors), (self.embedding, target_vectors))
            with part("xavier"):
                draw_by_xavier(self, given=[embedding for embedding, vectors in sides if vectors is not None])

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
        """Scores of the target's tokens.

        The coins of teacher forcing are known beforehand. So runs of forced steps pass through the recurrence in one
        call (step by step only where attention needs the state before), the projection onto the vocabulary is made
        once over all steps, and beforehand, without gradient, only at the steps whose prediction is the next input.

        Args:
            source: (S, B) ids.
            target: (T, B) ids; gives T steps. None runs freely until every sentence has ended, or ``max_length``.
            forced: T coins; at step t the decoder is given ``target[t - 1]`` where true and its own best guess where
                false. The first input is always ``bos``. None forces no step.
            packed: leave out what lies behind the end of each target; gives the logits as a packed sequence,
                ``data`` (N, V) for N real tokens.
            unprojected: with ``packed``, leave the projection onto the vocabulary to the loss.
            at_least: without a target, the least number of steps.
        """
        _check_batch(source, target, forced)
        if unprojected and not packed:
            raise ParameterError("features are left unprojected only where they are packed", where="Seq2SeqRNN")
        if target is None:
            return self._run_freely(self.start(source), at_least)
        forced = [True, *(forced or [False] * len(target))[1:]]
        layout = Layout.of(target, self.pad_id) if packed else Layout.full(*target.shape)
        state = self.start(source if layout.order is None else source.index_select(1, layout.order))
        features = self._run(state, target, forced, layout)
        if unprojected:
            return Unprojected(layout.pack(features), self.output.weight, self.output.bias)
        logits = self.output(features)
        return layout.pack(logits) if packed else logits.view(*target.shape, -1)

    @property
    def gives_unprojected(self) -> bool:
        """Whether the projection may be left to the loss: it is the model's own, and nobody watches it."""
        return type(self.output) is Projection and not (self.output._forward_hooks or self.output._forward_pre_hooks)

    def start(self, source: Tensor) -> DecoderState:
        """The decoder before its first step."""
        encoded = self.encoder(source)
        memory = None if self.attention is None else self.attention.remember(encoded.keys, encoded.mask)
        return DecoderState(self.bridge(encoded.hidden), memory)

    def step(self, tokens: Tensor, state: DecoderState) -> Step:
        """One step from the last tokens (B,)."""
        entering, hidden, weights = _Entering(self), state.hidden, None
        words = entering.words(self.embedding(tokens))
        attend = None if self.attention is None else self.attend
        if attend == "before":
            context, weights = self.attention.attend(hidden[0][-1], state.memory)
            words = entering.with_context(words, context)
        features, hidden = self.decoder.go_on(words, [len(tokens)], hidden)
        if attend == "after":
            context, weights = self.attention.attend(features, state.memory)
            features = self._read(features, context)
        state = state._replace(hidden=hidden)
        return Step(self.output(self.output_dropout(features)), state, weights)

    def layer_groups(self) -> list[list[nn.Module]]:
        """Encoder; everything behind it."""
        behind = [self.bridge, self.embedding, self.attention, self.context, self.decoder, self.output]
        return [[self.encoder], [module for module in behind if module is not None]]

    def _run(self, state: DecoderState, target: Tensor, forced: Sequence[bool], layout: Layout) -> Tensor:
        """Features of every step, packed (N, E), ready for the projection; the state's sentences are in order."""
        bos = target.new_full((1, target.shape[1]), self.bos_id)
        entering = _Entering(self, sum(layout.sizes))
        known = entering.words(self.embedding(layout.take(torch.cat([bos, target[:-1]]))))
        outputs: list[Tensor] = []
        advance, together = self._advancing(state.memory, entering, sum(layout.sizes))
        state = state._replace(memory=None)
        at_once = all(forced)  # otherwise a guess is made of what dropout has left
        spans = stretches(forced[: len(layout.sizes)], together=together)
        parts = known.split([sum(layout.sizes[start:end]) for start, end in spans])
        for (start, end), words in zip(spans, parts, strict=True):
            sizes = layout.sizes[start:end]
            state = state.first(sizes[0])
            if not forced[start]:
                guessed = self._best_guess(outputs[-1][-layout.sizes[start - 1] :][: sizes[0]])
                words = torch.cat([entering.words(self.embedding(guessed)), words[sizes[0] :]])
            features, hidden = advance(words, sizes, state.hidden)
            state = state._replace(hidden=hidden)
            outputs.append(features if at_once else self.output_dropout(features))
        features = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return self.output_dropout(features) if at_once else features

    def _advancing(self, memory: Memory | None, entering: _Entering, rows: int) -> tuple[_Advance, bool]:
        """How a stretch of steps is made, and whether it may have more than one."""
        if self.attention is None or memory is None:
            return self.decoder.go_on, True
        if self.attend == "after":
            return self._advancing_before_attention(memory), True
        by_hand = self.attention.look_by_hand(memory)
        attended = None if by_hand is None else self.decoder.attended(by_hand, entering.of_context, rows)
        if attended is not None:
            return attended, True
        look, step = self.attention.looking(memory), self.decoder.unrolled(rows)

        def advance(words: Tensor, sizes: Sequence[int], hidden: Hidden) -> tuple[Tensor, Hidden]:
            context, _ = look(hidden[0][-1])
            return step(entering.with_context(words, context), hidden)

        return advance, False

    def _advancing_before_attention(self, memory: Memory) -> _Advance:
        look = self.attention.looking(memory)

        def advance(words: Tensor, sizes: Sequence[int], hidden: Hidden) -> tuple[Tensor, Hidden]:
            states, hidden = self.decoder.go_on(words, sizes, hidden)
            contexts = torch.cat([look(queries)[0] for queries in states.split(list(sizes))])
            return self._read(states, contexts), hidden

        return advance

    def _read(self, states: Tensor, contexts: Tensor) -> Tensor:
        """Features (N, E) for the output, where the attention is asked after the step."""
        return torch.tanh(self.context(torch.cat([states, contexts], 1)))

    def _run_freely(self, state: DecoderState, at_least: int) -> Tensor:
        batch = state.hidden[0].shape[1]
        tokens = torch.full((batch,), self.bos_id, device=state.hidden[0].device)
        ended = torch.zeros_like(tokens, dtype=torch.bool)
        logits: list[Tensor] = []
        for step in range(max(self.max_length, at_least)):
            if step >= at_least and bool(ended.all()):
                break
            step_logits, state, _ = self.step(tokens, state)
            logits.append(step_logits)
            tokens = step_logits.argmax(1)
            ended = ended | (tokens == self.eos_id)
        return torch.stack(logits)

    @torch.no_grad()
    def _best_guess(self, features: Tensor) -> Tensor:
        return self.output(features).argmax(1)


class _Entering:
    """What enters the decoder in one forward pass: the embedding, or ``context``'s map of it beside attention's.

    ``W [e; c] + b`` is ``W₁ e + b`` plus ``W₂ c``: the first is made of all known words in one product, and the
    gradient of ``W₂`` is made once.

    Args:
        model: has the map.
        rows: how many will come in all steps together, if that is known.

    Attributes:
        of_context: ``W₂``; only where the model has attention.
    """

    def __init__(self, model: Seq2SeqRNN, rows: int = 0) -> None:
        self._context = model.context if model.attend == "before" else None
        if self._context is not None:
            width = model.embedding.embedding_dim
            self._of_words = DeferredLinear(self._context.weight[:, :width], self._context.bias, rows=rows)
            self.of_context = DeferredLinear(self._context.weight[:, width:], rows=rows)

    def words(self, embedded: Tensor) -> Tensor:
        """Words (N, E), as far as they can be taken without the attention."""
        if self._context is None:
            return embedded
        return self._of_words(embedded)

    def with_context(self, words: Tensor, context: Tensor) -> Tensor:
        """Words (B, E) with what attention brings (B, K)."""
        return words + self.of_context(context)


def _embedding(vocab_size: int, dim: int, vectors: Tensor | None, pad_id: int, side: str) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, dim, padding_idx=pad_id)
    if vectors is not None:
        _check_vectors(vectors, vocab_size, dim, side)
        with torch.no_grad():
            embedding.weight.copy_(vectors)
    return embedding


def _check_vectors(vectors: Tensor, vocab_size: int, dim: int, side: str) -> None:
    rows, width = vectors.shape
    if width != dim:
        raise ParameterError(
            f"the {side} vectors are {width} wide, but embedding_dim is {dim}",
            where="Seq2SeqRNN",
            hint=f"set architecture.embedding_dim={width}, or give the dataset vectors of width {dim}",
        )
    if rows != vocab_size:
        raise ParameterError(f"{rows} {side} vectors for a vocabulary of {vocab_size} words", where="Seq2SeqRNN")


def _check_batch(source: Tensor, target: Tensor | None, forced: Sequence[bool] | None) -> None:
    if source.dim() != 2:
        raise ShapeError(f"a source must have the shape (S, B), got {tuple(source.shape)}", where="Seq2SeqRNN")
    if target is None:
        if forced is not None:
            raise ParameterError("steps cannot be forced without a target", where="Seq2SeqRNN")
        return
    if target.dim() != 2 or target.shape[1] != source.shape[1]:
        raise ShapeError(
            f"a target must have the shape (T, {source.shape[1]}), got {tuple(target.shape)} "
            f"for a source of {tuple(source.shape)}",
            where="Seq2SeqRNN",
            hint="sequences are time first: (steps, batch)",
        )
    if forced is not None and len(forced) != len(target):
        raise ShapeError(f"{len(forced)} coins for {len(target)} steps", where="Seq2SeqRNN")
