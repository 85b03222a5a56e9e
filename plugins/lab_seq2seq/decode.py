"""Decoding: from a trained model to sentences, greedily or by beam search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lab.errors import LabError, ParameterError
from lab_seq2seq.protocols import StepwiseModel, stepwise

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = [
    "Hypothesis",
    "StepwiseModel",
    "alignments",
    "beam_search",
    "decode",
    "exhaustive_search",
    "greedy",
    "translate",
]


class Hypothesis(NamedTuple):
    """One translation.

    Attributes:
        ids: its tokens, with the closing ``eos`` unless it was cut at the maximum length.
        score: log-probability of these tokens given the source.
        weights: (len(ids), S) attention over the source, if requested and the model has attention.
    """

    ids: list[int]
    score: float
    weights: Tensor | None = None


@torch.no_grad()
def greedy(
    model: StepwiseModel, source: Tensor, *, max_length: int | None = None, with_weights: bool = False
) -> list[Hypothesis]:
    """Decode greedily: the likeliest token at every step. Finished sentences leave the batch.

    Args:
        model: in evaluation mode.
        source: (S, B) ids.
        max_length: maximum number of tokens; None for the model's.
        with_weights: return the attention of every step.
    """
    state = model.start(source)
    batch = source.shape[1]
    # Index in the batch of each row that is still decoded.
    live = list(range(batch))
    tokens = torch.full((batch,), model.bos_id, device=source.device)
    ids: list[list[int]] = [[] for _ in live]
    scores = [0.0] * batch
    weights: list[list[Tensor]] = [[] for _ in live]
    for _ in range(max_length or model.max_length):
        logits, state, attended = model.step(tokens, state)
        best, tokens = logits.log_softmax(1).max(1)
        # One transfer for the whole batch: reading tensors value by value would synchronize with a GPU each time.
        for row, (sentence, token, score) in enumerate(zip(live, tokens.tolist(), best.tolist(), strict=True)):
            ids[sentence].append(token)
            scores[sentence] += score
            if with_weights and attended is not None:
                weights[sentence].append(attended[:, row])
        going_on = (tokens != model.eos_id).nonzero().squeeze(1)
        # Rows are only copied when a sentence has ended.
        if len(going_on) < len(live):
            live = [live[row] for row in going_on.tolist()]
            if not live:
                break
            state, tokens = state.select(going_on), tokens[going_on]
    stacked = [torch.stack(steps) if steps else None for steps in weights]
    return [Hypothesis(*found) for found in zip(ids, scores, stacked, strict=True)]


@torch.no_grad()
def beam_search(
    model: StepwiseModel,
    source: Tensor,
    width: int = 5,
    *,
    length_normalization: float = 1.0,
    max_length: int | None = None,
) -> list[Hypothesis]:
    """Decode by beam search and return the best translation of each sentence. Finished sentences leave the batch.

    Each step extends the ``width`` best unfinished hypotheses of a sentence; those of the ``width`` best extensions
    that end with ``eos`` are finished. A sentence is done after ``width`` finished hypotheses, or at the maximum
    length. The finished hypothesis with the highest ``score / length ** length_normalization`` wins (Graves 2012,
    arXiv:1211.3711; Wu et al. 2016, arXiv:1609.08144, use a similar divisor). A width of 1 is ``greedy``.

    Args:
        model: in evaluation mode.
        source: (S, B) ids.
        width: hypotheses per sentence, at least 1.
        length_normalization: 0 prefers short translations, 1 compares the mean score per token.
        max_length: maximum number of tokens, ``eos`` included; None for the model's.
    """
    if width < 1:
        raise ParameterError(f"the width of a beam must be at least 1, got {width}", where="beam_search")
    beam = _Beam(model, source, width, length_normalization)
    longest = max_length or model.max_length
    for length in range(1, longest + 1):
        if not beam.advance(last=length == longest):
            break
    return [max(found, key=beam.normalized) for found in beam.finished]


@torch.no_grad()
def exhaustive_search(
    model: StepwiseModel,
    source: Tensor,
    *,
    max_length: int | None = None,
    length_normalization: float = 1.0,
    limit: int = 200_000,
) -> list[Hypothesis]:
    """Score every possible translation of each sentence and return the best one: what a beam search approximates.

    The cost is |V|^T steps for V words and T tokens, against |V| · T of greedy decoding and k · |V| · T of a beam of k;
    so it is for tests and lessons with small vocabularies.

    Args:
        model: in evaluation mode.
        source: (S, B) ids.
        max_length: maximum number of tokens, ``eos`` included; None for the model's.
        length_normalization: as of ``beam_search``.
        limit: maximum number of translations of a sentence.

    Raises:
        ParameterError: there are more than ``limit`` translations; the message gives their number.
    """
    length = max_length or model.max_length
    return [
        _exhaust(model, source[:, [column]], length, length_normalization, limit) for column in range(source.shape[1])
    ]


def _exhaust(model: StepwiseModel, source: Tensor, longest: int, normalization: float, limit: int) -> Hypothesis:
    state, tokens = model.start(source), source.new_full((1,), model.bos_id)
    history, scores = tokens.new_zeros(1, 0), torch.zeros(1, device=source.device)
    best: Hypothesis | None = None
    for length in range(1, longest + 1):
        logits, state, _ = model.step(tokens, state)
        words = logits.shape[1]
        if words**longest > limit:
            raise ParameterError(
                f"{words} words and {longest} tokens give {words**longest:.2g} translations, more than {limit:,}",
                where="exhaustive_search",
                hint="shorten max_length, or use beam_search",
            )
        total = scores.unsqueeze(1) + logits.log_softmax(1)  # (rows, words)
        # At the maximum length every translation is cut, so each counts as finished.
        finished = total if length == longest else total[:, [model.eos_id]]
        score, index = finished.flatten().max(0)
        if best is None or float(score) / length**normalization > best.score / len(best.ids) ** normalization:
            row, token = divmod(int(index), finished.shape[1])
            last = token if length == longest else model.eos_id
            best = Hypothesis([*history[row].tolist(), last], float(score))
        rest = torch.tensor([word for word in range(words) if word != model.eos_id], device=source.device)
        rows = torch.arange(len(total), device=source.device).repeat_interleave(len(rest))
        tokens = rest.repeat(len(total))
        history, scores = torch.cat([history[rows], tokens.unsqueeze(1)], 1), total[rows, tokens]
        if length < longest:
            state = state.select(rows)
    assert best is not None
    return best


class _Beam:
    """Unfinished hypotheses of a batch: ``width`` rows for every sentence that is not done."""

    def __init__(self, model: StepwiseModel, source: Tensor, width: int, length_normalization: float) -> None:
        batch, device = source.shape[1], source.device
        self.model, self.width, self.length_normalization = model, width, length_normalization
        self.live = list(range(batch))
        self.finished: list[list[Hypothesis]] = [[] for _ in self.live]
        self.state = model.start(source).select(torch.arange(batch, device=device).repeat_interleave(width))
        self.tokens = torch.full((batch * width,), model.bos_id, device=device)
        self.history = self.tokens.new_zeros(batch * width, 0)
        self.scores = torch.full((batch, width), -torch.inf, device=device)
        # All rows of a sentence are equal at first, so only one of them may be extended.
        self.scores[:, 0] = 0

    def normalized(self, found: Hypothesis) -> float:
        return float(found.score / len(found.ids) ** self.length_normalization)

    def advance(self, *, last: bool) -> bool:
        """Compute one step for every sentence; return False when none is left."""
        logits, self.state, _ = self.model.step(self.tokens, self.state)
        scores, rows, tokens = self._extensions(logits.log_softmax(1))
        ended = tokens == self.model.eos_id
        self._collect(scores, rows, tokens, torch.ones_like(ended) if last else ended)
        if last:
            return False
        # Finished hypotheses leave the beam: at most ``width`` of the 2 · width extensions end, so enough are left.
        self.scores, best = scores.masked_fill(ended, -torch.inf).topk(self.width, 1)
        rows, tokens = rows.gather(1, best), tokens.gather(1, best)
        return self._leave(rows, tokens)

    def _extensions(self, log_probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best 2 · width extensions of each sentence: enough, as at most width of them end with ``eos``."""
        vocabulary = log_probs.shape[1]
        total = (self.scores.view(-1, 1) + log_probs).view(len(self.live), -1)
        scores, index = total.topk(min(2 * self.width, total.shape[1]), 1)
        first_rows = torch.arange(len(self.live), device=index.device).unsqueeze(1) * self.width
        return scores, first_rows + index // vocabulary, index % vocabulary

    def _collect(self, scores: Tensor, rows: Tensor, tokens: Tensor, ended: Tensor) -> None:
        # Only the best ``width`` extensions may finish; -inf marks rows without a hypothesis.
        ended = ended[:, : self.width] & scores[:, : self.width].isfinite()
        for sentence, rank in ended.nonzero().tolist():
            ids = [*self.history[rows[sentence, rank]].tolist(), int(tokens[sentence, rank])]
            self.finished[self.live[sentence]].append(Hypothesis(ids, float(scores[sentence, rank])))

    def _leave(self, rows: Tensor, tokens: Tensor) -> bool:
        """Reorder the rows and remove finished sentences."""
        staying = [at for at, sentence in enumerate(self.live) if len(self.finished[sentence]) < self.width]
        if not staying:
            return False
        # The common case needs no copy of the source's memory, which is the largest part of the state.
        if len(staying) == len(self.live):
            self.state = self.state.reorder(rows.flatten())
        else:
            self.live = [self.live[at] for at in staying]
            keep = torch.tensor(staying, device=rows.device)
            rows, tokens, self.scores = rows[keep], tokens[keep], self.scores[keep]
            self.state = self.state.select(rows.flatten())
        self.tokens = tokens.flatten()
        self.history = torch.cat([self.history[rows.flatten()], self.tokens.unsqueeze(1)], 1)
        return True


@torch.no_grad()
def alignments(model: StepwiseModel, source: Tensor, target: Tensor) -> Tensor:
    """Return the attention with the target as input: (S, B), (T, B) ids -> weights (T, S, B).

    Raises:
        LabError: the model has no attention.
    """
    # Step by step, since ``forward`` does not return weights.
    state = model.start(source)
    previous = torch.cat([torch.full_like(target[:1], model.bos_id), target[:-1]])
    steps = []
    for tokens in previous:
        _, state, weights = model.step(tokens, state)
        if weights is None:
            raise LabError("this model has no attention", hint="set architecture.attention, e.g. to additive")
        steps.append(weights)
    return torch.stack(steps)


def decode(
    model: StepwiseModel, source: Tensor, *, beam: int = 1, length_normalization: float = 1.0
) -> list[Hypothesis]:
    """Return the translations of greedy decoding, or of beam search if ``beam`` is greater than 1."""
    if beam == 1:
        return greedy(model, source)
    return beam_search(model, source, beam, length_normalization=length_normalization)


def translate(
    learner: Learner,
    text: str | Sequence[str],
    *,
    beam: int = 1,
    length_normalization: float = 1.0,
    batch_size: int = 64,
) -> str | list[str]:
    """Translate one sentence, or several at once: ``learner.translate("où sont-ils ?")``.

    Args:
        learner: its data has ``encode`` and ``decode``, its model is a ``TranslationModel`` or a ``StepwiseModel``.
        text: a sentence, or a list of them.
        beam: width of the beam; 1 decodes greedily, as validation metrics do.
        length_normalization: of the beam's scores, see ``beam_search``.
        batch_size: sentences per batch; those of similar length share one.

    Raises:
        LabError: the model or the data cannot translate.
    """
    _check_translates(learner)
    if isinstance(text, str):
        return translate(learner, [text], beam=beam, length_normalization=length_normalization)[0]
    data, model = cast("Any", learner.data), stepwise(learner.model, learner.data)
    translations = [""] * len(text)
    with learner.evaluating():
        # Sentences of similar length share a batch, so that little is computed for padding.
        for places in _by_length(text, batch_size):
            source = data.encode([text[place] for place in places]).to(learner.device)
            found = decode(model, source, beam=beam, length_normalization=length_normalization)
            for place, sentence in zip(places, sentences(data, found), strict=True):
                translations[place] = sentence
    return translations


def sentences(data: Any, found: Sequence[Hypothesis]) -> list[str]:
    """Return the texts of translations."""
    ids = pad_sequence([torch.tensor(one.ids) for one in found], padding_value=data.pad_id)
    return list(data.decode(ids))


def _by_length(texts: Sequence[str], batch_size: int) -> Iterator[list[int]]:
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    return (order[start : start + batch_size] for start in range(0, len(order), batch_size))


def _check_translates(learner: Learner) -> None:
    if not (hasattr(learner.data, "encode") and hasattr(learner.data, "decode")):
        raise LabError(
            f"{type(learner.data).__name__} cannot turn text into ids and back", hint="it needs encode and decode"
        )
