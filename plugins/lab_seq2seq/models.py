"""Recurrent encoder–decoder with attention, computed one step after the other.

One batch can be followed here from top to bottom: `Encoder`, then `Seq2SeqRNN.step` for each target word. Training
calls `fused.forward`, which computes the same numbers faster; `fused=False` runs the code below.

Shapes at line ends: S source steps, T target steps, B sentences, E embedding width, H hidden width per direction,
K width of the encoder's outputs (H, or 2 H if bidirectional), V words. Time comes first, as in `nn.GRU`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from lab_attention.attention import Attention, Memory
from lab_attention.dropout import Dropout
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lab.errors import ParameterError, ShapeError
from lab.training.rng import part
from lab_seq2seq.fused.forward import fused_forward
from lab_seq2seq.fused.projection import Unprojected
from lab_seq2seq.initial import draw_by_xavier

__all__ = [
    "DecoderState",
    "Encoded",
    "Encoder",
    "Projection",
    "Recurrent",
    "Seq2SeqRNN",
    "Step",
    "check_batch",
    "copy_vectors",
    "sentence_lengths",
]

Attend = Literal["before", "after"]
Context = Literal["first", "each_step"]
Cell = Literal["gru", "lstm", "rnn"]
Hidden = tuple[Tensor, ...]
Layers = Callable[[Any, Any], tuple[Any, Any]]  # inputs and state -> outputs and state, as ``nn.GRU`` computes them
CELLS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Encoded(NamedTuple):
    """Output of the encoder.

    Attributes:
        keys: (S, B, K), outputs of its last layer; 0 at masked padding.
        hidden: its last states, each (layers, B, K).
        mask: (S, B) bool, True = a real token; None if padding is not masked.
    """

    keys: Tensor
    hidden: Hidden
    mask: Tensor | None


class DecoderState(NamedTuple):
    """State of the decoder between two steps; the batch is dimension 1 of every tensor.

    Attributes:
        hidden: the recurrent state, each (layers, B, E).
        memory: the source, prepared for the attention; None without attention.
        summary: (1, B, K), the encoder's last state, if it is an input of every step.
    """

    hidden: Hidden
    memory: Memory | None
    summary: Tensor | None = None

    def select(self, rows: Tensor) -> DecoderState:
        """Return the sentences at these indices, in this order; an index may occur several times."""
        memory = None if self.memory is None else self.memory.select(rows)
        summary = None if self.summary is None else self.summary.index_select(1, rows)
        return DecoderState(tuple(part.index_select(1, rows) for part in self.hidden), memory, summary)

    def reorder(self, rows: Tensor) -> DecoderState:
        """Return ``select`` for rows that only swap hypotheses of the same sources, as in a beam."""
        return self._replace(hidden=tuple(part.index_select(1, rows) for part in self.hidden))


class Step(NamedTuple):
    """Output of one decoder step.

    Attributes:
        logits: (B, V) of the next token.
        state: input of the next step.
        weights: (S, B) attention over the source; None without attention.
    """

    logits: Tensor
    state: DecoderState
    weights: Tensor | None


class Recurrent(nn.Module):
    """Stacked recurrent layers with a tuple as state: ``(h,)``, or ``(h, c)`` for an LSTM.

    Args:
        cell: "gru" (Cho et al. 2014), "lstm" (Hochreiter & Schmidhuber 1997) or "rnn" (Elman 1990, tanh).
        input_size, hidden_size, layers: as in torch.
        dropout: probability between layers; a single layer has none.
        bidirectional: two directions, their states concatenated.
        upper_layers: further layers behind these, in one direction and as wide as their outputs.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        layers: int,
        *,
        dropout: float,
        bidirectional: bool = False,
        upper_layers: int = 0,
    ) -> None:
        super().__init__()
        between = [dropout if each > 1 else 0.0 for each in (layers, upper_layers)]  # torch warns after the only layer
        self.directions = 2 if bidirectional else 1
        self.rnn = CELLS[cell](input_size, hidden_size, layers, dropout=between[0], bidirectional=bidirectional)
        self.upper_dropout = Dropout(dropout)
        self.upper = None
        if upper_layers:
            self.upper = CELLS[cell](self.output_size, self.output_size, upper_layers, dropout=between[1])

    @property
    def output_size(self) -> int:
        """Width of the outputs and of each state."""
        return self.directions * self.rnn.hidden_size

    def forward(
        self,
        inputs: Tensor | PackedSequence,
        hidden: Hidden | None = None,
        rnn: Layers | None = None,
    ) -> tuple[Any, Hidden]:
        """Return outputs and last states; ``rnn`` computes the layers in place of torch's."""
        state = hidden if hidden is None or len(hidden) == 2 else hidden[0]
        outputs, state = (rnn or self.rnn)(inputs, state)  # (T, B, K), each (layers · directions, B, H)
        states = state if isinstance(state, tuple) else (state,)
        if self.directions == 2:
            by_direction = (state.unflatten(0, (-1, 2)) for state in states)  # (layers, 2, B, H)
            states = tuple(state.transpose(1, 2).flatten(2) for state in by_direction)  # (layers, B, K)
        return (outputs, states) if self.upper is None else self._through_upper(outputs, states)

    def _through_upper(self, outputs: Any, states: Hidden) -> tuple[Any, Hidden]:
        """Run the further layers over the outputs; return theirs, and the states of all layers."""
        assert self.upper is not None
        if isinstance(outputs, PackedSequence):
            outputs = outputs._replace(data=self.upper_dropout(outputs.data))
        else:
            outputs = self.upper_dropout(outputs)
        outputs, last = self.upper(outputs)
        last = last if isinstance(last, tuple) else (last,)
        return outputs, tuple(torch.cat(each) for each in zip(states, last, strict=True))


class Encoder(nn.Module):
    """Embedding, dropout and recurrent layers over the source: (S, B) ids -> ``Encoded``.

    With ``mask_padding`` every sentence ends at its own last token; otherwise the recurrence runs over the padding.
    """

    def __init__(
        self, embedding: nn.Embedding, recurrent: Recurrent, pad_id: int, *, mask_padding: bool, dropout: float
    ) -> None:
        super().__init__()
        self.pad_id, self.mask_padding = pad_id, mask_padding
        self.embedding, self.embedding_dropout, self.recurrent = embedding, Dropout(dropout), recurrent

    def forward(self, source: Tensor, rnn: Layers | None = None) -> Encoded:
        """Encode (S, B) ids; ``rnn`` computes the recurrent layers in place of torch's."""
        # The lesson's behavior, kept to reproduce its numbers.
        if not self.mask_padding:
            words = self.embedding_dropout(self.embedding(source))  # (S, B, E)
            keys, hidden = self.recurrent(words, rnn=rnn)  # (S, B, K), each (layers, B, K)
            return Encoded(keys, hidden, None)
        lengths = sentence_lengths(source, self.pad_id)  # (B,)
        # Ids are packed before the embedding: dropout then draws for real tokens only.
        packed = pack_padded_sequence(source, lengths, enforce_sorted=False)  # data (N,), N real tokens
        words = self.embedding_dropout(self.embedding(packed.data))  # (N, E)
        outputs, hidden = self.recurrent(packed._replace(data=words), rnn=rnn)  # data (N, K), each (layers, B, K)
        keys, _ = pad_packed_sequence(outputs, total_length=len(source))  # (S, B, K)
        mask = torch.arange(len(source)).unsqueeze(1) < lengths  # (S, B)
        return Encoded(keys, hidden, mask.to(source.device))


class Bridge(nn.Module):
    """Map from the encoder's last states to the decoder's first: dropout, then a linear map without bias for each.

    An ``output_size`` of None leaves the map out.
    """

    def __init__(self, states: int, input_size: int, output_size: int | None, *, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.maps = nn.ModuleList(
            nn.Identity() if output_size is None else nn.Linear(input_size, output_size, bias=False)
            for _ in range(states)
        )

    def forward(self, hidden: Hidden) -> Hidden:
        # Each (layers, B, K) -> (layers, B, E).
        return tuple(each(self.dropout(state)) for each, state in zip(self.maps, hidden, strict=True))


class Projection(nn.Module):
    """Logits of every word, ``W x + b``; ``W`` is the embedding's own weight if that is given."""

    def __init__(self, input_size: int, vocab_size: int, tied_to: nn.Embedding | None) -> None:
        super().__init__()
        # Drawn even with a tied weight: the bias then does not depend on tying.
        linear = nn.Linear(input_size, vocab_size)
        self.weight = linear.weight if tied_to is None else tied_to.weight
        self.bias = linear.bias

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(features, self.weight, self.bias)  # (…, E) -> (…, V)


class Seq2SeqRNN(nn.Module):
    """Recurrent encoder–decoder for translation, optionally with attention over the source.

    Sutskever, Vinyals & Le 2014, arXiv:1409.3215; attention after Bahdanau, Cho & Bengio 2015, arXiv:1409.0473. Layout
    and default values follow fast.ai's 2018 translation lesson: a bridge without bias from the encoder's states to a
    decoder of the embedding's width; the attention query is the previous top state of the decoder, and the context,
    concatenated with the embedding and projected to the embedding's width, is the step's input. Differs from the
    lesson: the output weight is the parameter of the target embedding (the lesson shared its storage, but had two
    gradients and two optimizer states), and padding is masked.

    With ``attend="after"`` the attention query is the new top state, which has seen the last word, and the output is
    computed from ``tanh(W [state; context])``: Luong, Pham & Manning 2015, arXiv:1508.04025, with a bias and without
    their input feeding, so that consecutive forced steps need one call of the recurrence.

    Args:
        source_vocab_size, target_vocab_size: numbers of words.
        source_vectors, target_vectors: (vocab_size, embedding_dim) initial word vectors; None draws them from N(0, 1).
        pad_id, bos_id, eos_id: ids of padding, of the first input of the decoder, of the end of a sentence.
        max_length: longest translation in tokens, ``eos`` included.
        embedding_dim: width of both embeddings and of the decoder.
        hidden_size: width of the encoder, per direction.
        layers: recurrent layers of the encoder and of the decoder.
        cell: "gru", "lstm" or "rnn".
        bidirectional: the encoder reads in both directions; "first" reads so in its first layer only, as Wu et al.
            2016, arXiv:1609.08144, and later layers are as wide as both directions together.
        attention: factory of the attention, called with ``query_size`` and ``key_size``; None for no attention.
        context: without attention, whether the source enters the "first" state only, or also "each_step", where the
            encoder's last state stands behind the word: Cho et al. 2014, arXiv:1406.1078, as *Dive into Deep Learning*,
            section 9.7, has it.
        attend: whether attention comes "before" each step of the decoder or "after" it; the query is the previous or
            the new decoder state.
        mask_padding: keep padding out of encoder and attention. False is the lesson's behavior.
        tie_output: the output's weight is the target embedding's.
        embedding_dropout, encoder_dropout, decoder_dropout, output_dropout: probabilities of the source embedding,
            between the layers of encoder and decoder, before the output.
        bridge: map the encoder's last states linearly to the decoder's first. False hands them over as they are, which
            needs an encoder output as wide as ``embedding_dim``; so *Dive into Deep Learning*, section 9.7, has it.
        bridge_dropout: probability before the bridge; None is the lesson's: 0.05 if bidirectional, otherwise 0.
        xavier_init: initialize weights as in Glorot & Bengio 2010, uniformly, each gate's matrix separately, biases
            with 0, and words without given vectors from N(0, 0.1²). False is the lesson's: torch's own initialization.
        fused: compute a pass with a target by `fused.forward`, which is faster, above all in training on a CPU. False
            computes it step by step; results are the same up to rounding, but dropout draws other masks.

    Shapes:
        source (S, B) ids, target (T, B) ids -> logits (T, B, V).

    Raises:
        ParameterError: word vectors do not fit the vocabulary or ``embedding_dim``; an unknown cell or option;
            attention together with ``context="each_step"``.
        ShapeError: source, target or forcing mask disagree; the message gives the shapes.
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
        bidirectional: bool | Literal["first"] = False,
        attention: Callable[..., Attention] | None = None,
        context: Context = "first",
        attend: Attend = "before",
        mask_padding: bool = True,
        tie_output: bool = True,
        embedding_dropout: float = 0.15,
        encoder_dropout: float = 0.25,
        bridge: bool = True,
        bridge_dropout: float | None = None,
        decoder_dropout: float = 0.1,
        output_dropout: float = 0.35,
        xavier_init: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ParameterError(f"unknown cell '{cell}'", where="Seq2SeqRNN", hint=f"one of: {', '.join(CELLS)}")
        if attend not in get_args(Attend):
            raise ParameterError(f"attend must be 'before' or 'after', not {attend!r}", where="Seq2SeqRNN")
        if context not in get_args(Context):
            raise ParameterError(f"context must be 'first' or 'each_step', not {context!r}", where="Seq2SeqRNN")
        if context == "each_step" and attention is not None:
            raise ParameterError(
                "attention already gives every step a context",
                where="Seq2SeqRNN",
                hint="leave out attention, or context='each_step'",
            )
        if bidirectional not in (False, True, "first"):
            raise ParameterError(
                f"bidirectional must be false, true or 'first', not {bidirectional!r}", where="Seq2SeqRNN"
            )
        bridge_dropout = (0.05 if bidirectional else 0.0) if bridge_dropout is None else bridge_dropout
        self.pad_id, self.bos_id, self.eos_id, self.max_length = pad_id, bos_id, eos_id, max_length
        self.attend, self.fused, self.summarizes = attend, fused, context == "each_step"
        # Each part draws from its own random stream: arms that share a part start it from the same weights.
        with part("source_embedding"):
            embedding = _embedding(source_vocab_size, embedding_dim, source_vectors, pad_id, "source")
        with part("encoder"):
            upper = layers - 1 if bidirectional == "first" else 0
            sizes = (embedding_dim, hidden_size, layers - upper)
            recurrent = Recurrent(
                cell, *sizes, dropout=encoder_dropout, bidirectional=bool(bidirectional), upper_layers=upper
            )
        self.encoder = Encoder(embedding, recurrent, pad_id, mask_padding=mask_padding, dropout=embedding_dropout)
        key_size = recurrent.output_size
        if not bridge and key_size != embedding_dim:
            raise ParameterError(
                f"without a bridge the encoder's output ({key_size}) must be as wide as embedding_dim={embedding_dim}",
                where="Seq2SeqRNN",
                hint="hidden_size counts once per direction",
            )
        states = len("hc" if cell == "lstm" else "h")
        with part("bridge"):
            self.bridge = Bridge(states, key_size, embedding_dim if bridge else None, dropout=bridge_dropout)
        with part("target_embedding"):
            self.embedding = _embedding(target_vocab_size, embedding_dim, target_vectors, pad_id, "target")
        with part("attention"):
            self.attention = None if attention is None else attention(query_size=embedding_dim, key_size=key_size)
        with part("context"):
            self.context = None if attention is None else nn.Linear(embedding_dim + key_size, embedding_dim)
        with part("decoder"):
            entering = embedding_dim + (key_size if self.summarizes else 0)
            self.decoder = Recurrent(cell, entering, embedding_dim, layers, dropout=decoder_dropout)
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
        """Return the logits of the target's tokens.

        Args:
            source: (S, B) ids.
            target: (T, B) ids, for T steps. None generates until every sentence has ended, or ``max_length``.
            forced: forcing mask, T flags: the input of step t is ``target[t - 1]`` if true, the model's own best
                prediction if false. The first input is always ``bos``. None forces no step.
            packed: leave out the padding of the target; returns the logits as a packed sequence, ``data`` (N, V) for N
                real tokens.
            unprojected: with ``packed`` and a fused model, leave the projection onto the vocabulary to the loss.
            at_least: without a target, the minimum number of steps.
        """
        check_batch(source, target, forced, "Seq2SeqRNN")
        if unprojected and not (packed and self.fused):
            raise ParameterError("unprojected=True needs packed=True and a model with fused=True", where="Seq2SeqRNN")
        if target is None:
            return self._decode(source, None, [], at_least)  # (T, B, V)
        lengths = sentence_lengths(target, self.pad_id) if packed else None  # (B,)
        # The first input is always ``bos``.
        forced = [True, *(forced or [False] * len(target))[1:]]
        if self.fused:
            return fused_forward(self, source, target, forced, lengths, unprojected=unprojected)
        logits = self._decode(source, target, forced)  # (T, B, V)
        return logits if lengths is None else pack_padded_sequence(logits, lengths, enforce_sorted=False)

    def _decode(self, source: Tensor, target: Tensor | None, forced: Sequence[bool], at_least: int = 0) -> Tensor:
        """Run the decoder step by step: as many steps as the target has, without one until every sentence ended."""
        state = self.start(source)
        tokens = torch.full_like(source[0], self.bos_id)  # (B,)
        ended = torch.zeros_like(tokens, dtype=torch.bool)  # (B,)
        logits: list[Tensor] = []
        for step in range(max(self.max_length, at_least) if target is None else len(target)):
            if target is not None and step > 0 and forced[step]:
                tokens = target[step - 1]  # (B,)
            scores, state, _ = self.step(tokens, state)  # (B, V)
            logits.append(scores)
            tokens = scores.argmax(1)  # (B,)
            ended |= tokens == self.eos_id
            if target is None and step + 1 >= at_least and bool(ended.all()):
                break
        return torch.stack(logits)  # (T, B, V)

    def start(self, source: Tensor, rnn: Layers | None = None) -> DecoderState:
        """Encode (S, B) ids and return the decoder's first state; ``rnn`` as for ``Encoder.forward``."""
        encoded = self.encoder(source, rnn)  # keys (S, B, K), hidden each (layers, B, K)
        memory = None if self.attention is None else self.attention.remember(encoded.keys, encoded.mask)
        summary = encoded.hidden[0][-1:] if self.summarizes else None  # (1, B, K)
        return DecoderState(self.bridge(encoded.hidden), memory, summary)  # hidden each (layers, B, E)

    def step(self, tokens: Tensor, state: DecoderState) -> Step:
        """Compute one step of the decoder from the last tokens (B,)."""
        hidden, memory, summary = state
        words, weights = self.embedding(tokens), None  # (B, E)
        if summary is not None:
            words = torch.cat([words, summary[0]], 1)  # (B, E + K)
        if memory is not None and self.attend == "before":
            context, weights = self.attention.attend(hidden[0][-1], memory)  # (B, K), (S, B)
            words = self.context(torch.cat([words, context], 1))  # (B, E)
        outputs, hidden = self.decoder(words.unsqueeze(0), hidden)  # (1, B, E), each (layers, B, E)
        features = outputs[0]  # (B, E)
        if memory is not None and self.attend == "after":
            context, weights = self.attention.attend(features, memory)  # (B, K), (S, B)
            features = self.combine(features, context)  # (B, E)
        logits = self.output(self.output_dropout(features))  # (B, V)
        return Step(logits, state._replace(hidden=hidden), weights)

    def combine(self, states: Tensor, contexts: Tensor) -> Tensor:
        """Return the features (N, E) of states (N, E) and contexts (N, K), if attention comes after the step."""
        return torch.tanh(self.context(torch.cat([states, contexts], 1)))

    @property
    def gives_unprojected(self) -> bool:
        """Return whether the loss may compute the projection: not if it was replaced or hooks expect its call."""
        # The fused loss reads the weight itself and never calls the module.
        hooks = self.output._forward_hooks or self.output._forward_pre_hooks
        return self.fused and type(self.output) is Projection and not hooks

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the encoder and the rest as groups of layers."""
        rest = [self.bridge, self.embedding, self.attention, self.context, self.decoder, self.output]
        return [[self.encoder], [module for module in rest if module is not None]]


def sentence_lengths(tokens: Tensor, pad_id: int) -> Tensor:
    """Return the lengths (B,) of (T, B) ids without the padding at the end, at least 1, on the CPU."""
    steps = torch.arange(1, len(tokens) + 1, device=tokens.device).unsqueeze(1)  # (T, 1)
    return (steps * (tokens != pad_id)).amax(0).clamp(min=1).cpu()


def _embedding(vocab_size: int, dim: int, vectors: Tensor | None, pad_id: int, side: str) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, dim, padding_idx=pad_id)
    if vectors is not None:
        copy_vectors(embedding, vectors, side, "Seq2SeqRNN", "embedding_dim")
    return embedding


def copy_vectors(embedding: nn.Embedding, vectors: Tensor, side: str, model: str, option: str) -> None:
    """Copy word vectors into an embedding.

    Args:
        embedding: of one language.
        vectors: (words, width).
        side: "source" or "target".
        model: name in messages.
        option: name of the model's option for the width.

    Raises:
        ParameterError: they do not fit.
    """
    rows, width = vectors.shape
    vocab_size, dim = embedding.weight.shape
    if width != dim:
        raise ParameterError(
            f"the {side} vectors are {width} wide, but {option} is {dim}",
            where=model,
            hint=f"set architecture.{option}={width}, or give the dataset vectors of width {dim}",
        )
    if rows != vocab_size:
        raise ParameterError(f"{rows} {side} vectors for a vocabulary of {vocab_size} words", where=model)
    with torch.no_grad():
        embedding.weight.copy_(vectors)


def check_batch(source: Tensor, target: Tensor | None, forced: Sequence[bool] | None, model: str) -> None:
    """Raise if the shapes of a batch disagree."""
    if source.dim() != 2:
        raise ShapeError(f"a source must have the shape (S, B), got {tuple(source.shape)}", where=model)
    if target is None and forced is not None:
        raise ParameterError("forced needs a target", where=model)
    if target is not None and (target.dim() != 2 or target.shape[1] != source.shape[1]):
        raise ShapeError(
            f"a target must have the shape (T, {source.shape[1]}), got {tuple(target.shape)} "
            f"for a source of {tuple(source.shape)}",
            where=model,
            hint="sequences are time first: (steps, batch)",
        )
    if target is not None and forced is not None and len(forced) != len(target):
        raise ShapeError(f"a forcing mask of {len(forced)} for {len(target)} steps", where=model)
