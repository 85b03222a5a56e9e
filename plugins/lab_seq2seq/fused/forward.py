"""Forward pass of `Seq2SeqRNN` with a target, computed faster than step by step.

Which steps are forced is known before the pass. So consecutive forced steps go through the recurrence in one call (step
by step only where attention needs the previous state), nothing is computed for padding, and the projection onto the
vocabulary is computed once for all steps; before that, without gradient, only for predictions that become inputs. When
training on a CPU, the recurrence and the attention have hand-written backward passes. On a GPU torch's own layers are
used, because cuDNN's are faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lab_attention.attention import Attention, Memory, masked_softmax
from lab_attention.fused.attention import FusedAttention, WeightedSums
from lab_attention.fused.linear import DeferredLinear
from lab_attention.fused.stages import Stage
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lab_seq2seq.fused.attended import AttendedGRU
from lab_seq2seq.fused.gru import FusedGRU
from lab_seq2seq.fused.layout import Layout, known_runs
from lab_seq2seq.fused.projection import Unprojected

__all__ = ["fused_attention", "fused_forward", "stepwise_attention"]

# Words (N, I), the number of rows of each step, and a state -> features (N, E) and a state.
_StepFn = Callable[[Tensor, Sequence[int], Any], tuple[Tensor, Any]]


def fused_forward(
    model: Any,
    source: Tensor,
    target: Tensor,
    forced: Sequence[bool],
    lengths: Tensor | None,
    *,
    unprojected: bool = False,
) -> Tensor | PackedSequence | Unprojected:
    """Compute what ``Seq2SeqRNN.forward`` computes with a target.

    Args:
        model: a ``Seq2SeqRNN``.
        source: (S, B) ids.
        target: (T, B) ids.
        forced: T flags, the first of them true.
        lengths: (B,) of the targets; the logits are then packed. None computes every sentence to the last step.
        unprojected: with ``lengths``, leave the projection to the loss.
    """
    layout = Layout.full(*target.shape) if lengths is None else Layout.of(lengths, target)
    source = source if layout.order is None else source.index_select(1, layout.order)
    # The encoder is called as a module, so that hooks on it run; only the recurrence is replaced.
    rnn = model.encoder.recurrent.rnn
    state = model.start(source, FusedGRU(rnn) if _by_hand(rnn) else None)
    features = _decode(model, state, target, forced, layout)
    if unprojected:
        return Unprojected(layout.pack(features), model.output.weight, model.output.bias)
    logits = model.output(features)
    return logits.view(*target.shape, -1) if lengths is None else layout.pack(logits)


def _decode(model: Any, state: Any, target: Tensor, forced: Sequence[bool], layout: Layout) -> Tensor:
    """Return the features of every step, packed (N, E); the sentences of the ``DecoderState`` are sorted."""
    rows, hidden = sum(layout.sizes), state.hidden
    decoder_input = _DecoderInput(model, rows, state.summary)
    bos = target.new_full((1, target.shape[1]), model.bos_id)
    words = decoder_input.words(model.embedding(layout.take(torch.cat([bos, target[:-1]]))), layout.sizes)  # (N, E)
    step_fn, multi_step = _make_step_fn(model, state.memory, decoder_input, rows)
    runs = known_runs(forced[: len(layout.sizes)], multi_step=multi_step)
    parts = words.split([sum(layout.sizes[start:end]) for start, end in runs])
    # A prediction that becomes an input has to see the dropout mask of the loss, so it is drawn run by run.
    all_forced = all(forced)
    outputs: list[Tensor] = []
    for (start, end), words in zip(runs, parts, strict=True):
        sizes = layout.sizes[start:end]
        # Sentences are sorted, so the unfinished ones are the first rows.
        if sizes[0] < hidden[0].shape[1]:
            hidden = tuple(part[:, : sizes[0]].contiguous() for part in hidden)
        if not forced[start]:
            # Gradients do not flow through the prediction; the projection is computed again with gradient at the end.
            predicted = _predict(model, outputs[-1][-layout.sizes[start - 1] :][: sizes[0]])
            words = torch.cat([decoder_input.words(model.embedding(predicted), sizes[:1]), words[sizes[0] :]])
        features, hidden = step_fn(words, sizes, hidden)
        outputs.append(features if all_forced else model.output_dropout(features))
    features = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return model.output_dropout(features) if all_forced else features


@torch.no_grad()
def _predict(model: Any, features: Tensor) -> Tensor:
    return model.output(features).argmax(1)


class _DecoderInput:
    """Input of the decoder: the word's embedding, combined with the context if attention comes before the step.

    ``W [e; c] + b`` is ``W₁ e + b`` plus ``W₂ c``. The first is one product for all known words, and the gradient of
    ``W₂`` is one product for all steps.

    Args:
        model: a ``Seq2SeqRNN``.
        rows: total rows of all steps.
        summary: (1, B, K), stands behind the words of every step; None for nothing.

    Attributes:
        of_context: ``W₂``; only if attention comes before the step.
    """

    def __init__(self, model: Any, rows: int, summary: Tensor | None = None) -> None:
        self._summary = summary
        self._context = model.context if model.attend == "before" else None
        if self._context is not None:
            width = model.embedding.embedding_dim
            self._of_words = DeferredLinear(self._context.weight[:, :width], self._context.bias, rows=rows)
            self.of_context = DeferredLinear(self._context.weight[:, width:], rows=rows)

    def words(self, embedded: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the share of the words (N, E), with ``sizes`` rows of each step."""
        if self._summary is not None:
            # Sentences are sorted, so the unfinished ones are the first rows.
            return torch.cat([embedded, torch.cat([self._summary[0, :size] for size in sizes])], 1)
        return embedded if self._context is None else self._of_words(embedded)


def _make_step_fn(model: Any, memory: Memory | None, decoder_input: _DecoderInput, rows: int) -> tuple[_StepFn, bool]:
    """Return the function that computes a run of steps, and whether a run may have several steps."""

    def recur(words: Tensor, sizes: Sequence[int], hidden: Any) -> tuple[Tensor, Any]:
        return _recur(model.decoder, words, sizes, hidden)

    if model.attention is None or memory is None:
        return recur, True
    if model.attend == "after":
        attend = stepwise_attention(model.attention, memory)

        def recur_and_attend(words: Tensor, sizes: Sequence[int], hidden: Any) -> tuple[Tensor, Any]:
            states, hidden = recur(words, sizes, hidden)
            # The new states are all known after the recurrence; a query per step keeps the rows of unfinished
            # sentences.
            contexts = torch.cat([attend(queries)[0] for queries in states.split(list(sizes))])
            return model.combine(states, contexts), hidden

        return recur_and_attend, True
    # The query is the previous state, so the recurrence has to stop at every step.
    rnn = model.decoder.rnn
    attention = fused_attention(model.attention, memory) if _by_hand(rnn) else None
    if attention is not None:
        attended = AttendedGRU(rnn, attention, decoder_input.of_context, rows)

        def attend_and_recur(words: Tensor, sizes: Sequence[int], hidden: Any) -> tuple[Tensor, Any]:
            outputs, state = attended.run(words, sizes, hidden[0])
            return outputs, (state,)

        return attend_and_recur, True
    attend = stepwise_attention(model.attention, memory)
    gru = FusedGRU(rnn, rows) if _by_hand(rnn) else None

    def attend_and_step(words: Tensor, sizes: Sequence[int], hidden: Any) -> tuple[Tensor, Any]:
        context, _ = attend(hidden[0][-1])
        words = words + decoder_input.of_context(context)
        if gru is None:
            return recur(words, sizes, hidden)
        outputs, state = gru.step(words, hidden[0])
        return outputs, (state,)

    return attend_and_step, False


def _recur(recurrent: Any, words: Tensor, sizes: Sequence[int], hidden: Any) -> tuple[Tensor, Any]:
    """Run packed words (N, I) through the decoder's layers.

    Returns the outputs (N, H), packed, and for every row the state after its own last step.
    """
    # A single step has nothing to share; torch's own layer is the fastest there.
    if len(sizes) == 1:
        outputs, hidden = recurrent(words.unsqueeze(0), hidden)
        return outputs[0], hidden
    if _by_hand(recurrent.rnn):
        outputs, state = FusedGRU(recurrent.rnn).run(words, sizes, hidden[0])
        return outputs, (state,)
    outputs, hidden = recurrent(PackedSequence(words, torch.tensor(sizes)), hidden)
    return outputs.data, hidden


def fused_attention(attention: Attention, memory: Memory) -> FusedAttention | None:
    """Return the context as a stage for one forward pass; None if the attention itself has to be called."""
    scores = _fused_scores(attention, memory)
    return None if scores is None else FusedAttention(scores, memory.keys, memory.mask)


def stepwise_attention(attention: Attention, memory: Memory) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return ``attend`` as a function for the steps of one forward pass, with gradients computed once if possible.

    The function takes queries (n, Q) of the first n sentences and returns their context (n, K) and weights (S, n).
    """
    scores = _fused_scores(attention, memory)
    if scores is None:
        return lambda query: attention.attend(query, memory.first(len(query)))
    weighted_sums = WeightedSums(memory.keys)

    def attend(query: Tensor) -> tuple[Tensor, Tensor]:
        mask = None if memory.mask is None else memory.mask[:, : len(query)]
        weights = masked_softmax(scores(query).t(), mask)
        return weighted_sums(weights.t()), weights

    return attend


def _fused_scores(attention: Attention, memory: Memory) -> Stage | None:
    if not torch.is_grad_enabled() or memory.keys.device.type != "cpu":
        return None
    if type(attention).attend is not Attention.attend:
        return None
    # A subclass that overrides only ``score`` must not be computed with the fused scores of its parent.
    scoring = next(each for each in type(attention).__mro__ if "score" in vars(each))
    return attention.fused_scores(memory.prepared) if "fused_scores" in vars(scoring) else None


def _by_hand(rnn: nn.RNNBase) -> bool:
    """Return whether to use the hand-written GRU: only in training on a CPU is it faster than torch's."""
    weight = rnn.weight_ih_l0
    return isinstance(rnn, nn.GRU) and torch.is_grad_enabled() and weight.is_cpu and weight.requires_grad
