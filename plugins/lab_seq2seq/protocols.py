"""Protocols of translation models, by level; each level gives more, and the plain one is enough to train and score."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lab.errors import LabError, ParameterError, ShapeError, describe_error
from lab.training.loop import is_out_of_memory
from lab.training.structure import describe_structure

__all__ = [
    "DecodingState",
    "PrefixDecoder",
    "StepwiseModel",
    "TranslationModel",
    "almost_stepwise",
    "check_agreement",
    "check_decoding",
    "generated_by_steps",
    "is_plain",
    "stepwise",
]

AGREEING_STEPS = 4
"""Steps that are compared with ``forward``."""
DISAGREEMENT = 0.05
"""Difference in shares of the largest logit; bfloat16 rounds to less."""

_PAGE = "docs/translation.md#decoding-step-by-step"


class TranslationModel(Protocol):
    """Trainable: logits of every next token, from a source and the tokens so far.

    ``forward(source, prefix)`` takes ids (S, B) and (T, B), time first, and returns logits (T, B, V) of the tokens that
    follow. The prefix begins with ``bos``; position t may depend on the prefix up to t only. Such a model is trained
    with teacher forcing, validated by greedy decoding, scored, and translates, at the cost of one forward pass per
    token.
    """

    def forward(self, source: Tensor, prefix: Tensor) -> Tensor: ...


class DecodingState(Protocol):
    """State between two steps of decoding; rows are the sentences, or hypotheses of them, that are still decoded."""

    def select(self, rows: Tensor) -> DecodingState:
        """Return the state of the rows (R,) long, in this order; a row may occur several times, or not at all."""

    def reorder(self, rows: Tensor) -> DecodingState:
        """Return ``select`` for rows of the same sources, as in a beam: what was computed of them may stay."""


@runtime_checkable
class StepwiseModel(Protocol):
    """Decodable: ``start`` with a source, then ``step``, which need not compute the tokens so far again.

    ``start(source)`` takes ids (S, B) and returns a ``DecodingState``. ``step(tokens, state)`` takes the last tokens
    (B,), at first ``bos_id``, and returns three values: logits (B, V), the next state, and weights, (S, B) attention
    over the source or None. The model is explainable if its weights are not None.

    Its ``forward`` is that of a ``TranslationModel``; or it knows the forcing mask, and is called as ``model(source,
    target, forced)`` in training, with a list of a bool per step, true where the input is the true previous token, and
    as ``model(source, at_least=T)`` in validation, which decodes greedily to the end of every sentence and at least T
    steps. If such a ``forward`` takes ``packed``, it gets ``packed=True`` with a loss that has ``accepts_packed``, and
    may then return the logits of the real tokens alone, as a PackedSequence.
    """

    bos_id: int
    eos_id: int
    max_length: int

    def start(self, source: Tensor) -> Any: ...

    def step(self, tokens: Tensor, state: Any) -> Any: ...


def is_plain(model: nn.Module) -> bool:
    """Return whether ``forward`` of a model is that of a ``TranslationModel``: it knows no forcing mask.

    Raises:
        ParameterError: its ``forward`` takes neither a source and a prefix, nor a source, a target and a mask; or the
            mask, but no ``at_least``.
    """
    signature = inspect.signature(model.forward)
    knows_mask = "forced" in signature.parameters
    # A third argument of another name is a forcing mask, too, where a model decodes by itself.
    if knows_mask or (isinstance(model, StepwiseModel) and "at_least" in signature.parameters):
        for what, options in (("(source, target, forced)", {}), ("(source, at_least=T)", {"at_least": 1})):
            try:
                signature.bind(*[None] * (1 if options else 3), **options)
            except TypeError as error:
                raise ParameterError(
                    f"forward of a {type(model).__name__} must take {what}: {error}",
                    where=f"it is forward{signature}",
                    hint=f"or let it take (source, prefix), without a forcing mask; {_PAGE}",
                ).blaming("architecture") from None
        return False
    try:
        signature.bind(None, None)
    except TypeError:
        raise ParameterError(
            f"forward of a {type(model).__name__} must take (source, prefix), not {signature}",
            where="ids (S, B) and (T, B), time first; it returns logits (T, B, V)",
            hint="docs/translation.md#a-model-of-your-own",
        ).blaming("architecture") from None
    return True


def stepwise(model: nn.Module, data: Any) -> StepwiseModel:
    """Return what can be decoded: the model itself, or a plain model with the ids and the maximum length of its data.

    Raises:
        LabError: neither is possible; the message says what is lacking.
    """
    if isinstance(model, StepwiseModel):
        return model
    lacking = [name for name in ("bos_id", "eos_id", "max_length") if not hasattr(data, name)]
    if lacking:
        raise LabError(
            f"a {type(model).__name__} cannot translate: {type(data).__name__} has no {' and no '.join(lacking)}",
            hint="use a dataset of sentence pairs, such as fr_en_questions",
        )
    if not is_plain(model):
        raise LabError(
            f"a {type(model).__name__} cannot translate: it has no `start` and `step`",
            hint="use seq2seq_rnn, or a model whose forward takes (source, prefix)",
        )
    return PrefixDecoder(model, data.bos_id, data.eos_id, data.max_length)


def almost_stepwise(model: nn.Module) -> str:
    """Return the attributes that keep a model with ``start`` or ``step`` from decoding by itself; empty for others."""
    lacking = [name for name in ("start", "step", "bos_id", "eos_id", "max_length") if not hasattr(model, name)]
    has_any = any(callable(getattr(model, name, None)) for name in ("start", "step"))
    return " and no ".join(f"`{name}`" for name in lacking) if has_any and lacking else ""


@torch.no_grad()
def check_decoding(model: StepwiseModel, source: Tensor, *, beam: int = 2) -> bool:
    """Try some steps of decoding, as after training; rows are repeated, swapped and left out as by a beam.

    Returns whether the steps give attention weights.

    Args:
        model: in evaluation mode.
        source: (S, B) ids.
        beam: hypotheses per sentence; with 1 no row is swapped, and the state needs no ``reorder``.

    Raises:
        LabError: what is wrong, in the words of ``StepwiseModel`` and ``DecodingState``.
    """
    length, batch = source.shape
    rows = torch.arange(batch, device=source.device).repeat_interleave(beam)
    swapped = rows.view(batch, beam).flip(1).flatten()
    state = _tried(model, f"start(source {tuple(source.shape)})", lambda: model.start(source))
    tokens = torch.full((batch,), model.bos_id, device=source.device)
    moves = [("select", rows), ("reorder", swapped)] if beam > 1 else []
    # In the end all but one row have finished.
    for method, chosen in [*moves, ("select", rows[-1:])]:
        state = _moved(model, state, method, chosen)
        tokens = tokens.new_full(chosen.shape, model.bos_id)
        _, state, weights = _checked_step(model, tokens, state, length)
    return weights is not None


@torch.no_grad()
def check_agreement(model: StepwiseModel, source: Tensor) -> None:
    """Raise if steps compute something else than ``forward`` with the same tokens.

    Models whose ``forward`` knows a forcing mask are left to the conformance kit.

    Args:
        model: in evaluation mode.
        source: (S, B) ids.

    Raises:
        LabError: the step, and by how much it differs.
    """
    if not is_plain(model):
        return
    state = _tried(model, f"start(source {tuple(source.shape)})", lambda: model.start(source))
    prefix = torch.full_like(source[:1], model.bos_id)
    for step in range(1, min(AGREEING_STEPS, model.max_length) + 1):
        logits, state, _ = _checked_step(model, prefix[-1], state, len(source))
        whole = PrefixDecoder(model, model.bos_id, model.eos_id, model.max_length).logits(source, prefix)[-1]
        same_shape = logits.shape == whole.shape
        if not same_shape or (logits - whole).abs().max() > DISAGREEMENT * whole.abs().max():
            by = f"by up to {float((logits - whole).abs().max()):.3g}" if same_shape else "in shape"
            raise LabError(
                f"step {step} of a {type(model).__name__} gives other logits than `forward` with the same tokens",
                where=f"they differ {by}",
                hint=f"does the state hold all that later steps need, and the number of tokens so far? {_PAGE}",
            ).blaming("architecture")
        prefix = torch.cat([prefix, logits.argmax(-1).unsqueeze(0)])


def _moved(model: StepwiseModel, state: Any, method: str, rows: Tensor) -> Any:
    if not callable(getattr(state, method, None)):
        raise LabError(
            f"the state of a {type(model).__name__} has no `{method}`",
            where=f"the state is {describe_structure(state)}",
            hint=f"a state has select(rows) and reorder(rows), which return it for other rows of the batch; {_PAGE}",
        ).blaming("architecture")
    return _tried(model, f"{method}(rows {tuple(rows.shape)}) of the state", lambda: getattr(state, method)(rows))


def _checked_step(model: StepwiseModel, tokens: Tensor, state: Any, length: int) -> tuple[Tensor, Any, Tensor | None]:
    """Take a step; return its logits, the next state, and attention weights."""
    call = f"step(tokens {tuple(tokens.shape)}, state)"
    given = _tried(model, call, lambda: model.step(tokens, state))
    values = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    problem = ""
    if len(values) != 3:
        problem = f"must return three values (logits, state, weights), not {len(values)}"
    elif not isinstance(values[0], Tensor) or values[0].dim() != 2 or len(values[0]) != len(tokens):
        problem = f"must return logits (B, V) = {(len(tokens), 'V')} first, not {describe_structure(values[0])}"
    elif values[2] is not None and getattr(values[2], "shape", None) != (length, len(tokens)):
        problem = (
            f"must return weights (S, B) = {(length, len(tokens))} or None last, not {describe_structure(values[2])}"
        )
    if problem:
        raise LabError(
            f"`step` of a {type(model).__name__} {problem}",
            where=f"{call} returned {describe_structure(given)}",
            hint="a model without attention over the source returns None as weights; " + _PAGE,
        ).blaming("architecture")
    return values[0], values[1], values[2]


def _tried(model: StepwiseModel, call: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except LabError:
        raise
    except Exception as error:
        # The loop answers a lack of memory by itself.
        if is_out_of_memory(error):
            raise
        raise LabError(
            f"a {type(model).__name__} cannot decode: {call} fails",
            where=describe_error(error),
            hint=f"see what each call receives and returns: {_PAGE}",
        ).blaming("architecture") from error


@torch.no_grad()
def generated_by_steps(model: StepwiseModel, source: Tensor, at_least: int) -> Tensor:
    """Return the logits of greedy decoding (T, B, V), to the end of every sentence and at least so many steps."""
    state = _tried(model, f"start(source {tuple(source.shape)})", lambda: model.start(source))
    tokens = torch.full_like(source[0], model.bos_id)
    ended = torch.zeros_like(tokens, dtype=torch.bool)
    steps = []
    for step in range(1, max(model.max_length, at_least) + 1):
        logits, state, _ = _checked_step(model, tokens, state, len(source))
        steps.append(logits)
        tokens = logits.argmax(-1)
        ended |= tokens == model.eos_id
        if step >= at_least and bool(ended.all()):
            break
    return torch.stack(steps)


class PrefixState(NamedTuple):
    """State of decoding by prefixes.

    Attributes:
        source: (S, B) ids.
        prefix: (T, B) ids so far.
    """

    source: Tensor
    prefix: Tensor

    def select(self, rows: Tensor) -> PrefixState:
        """Return the state of some sentences."""
        return PrefixState(self.source.index_select(1, rows), self.prefix.index_select(1, rows))

    reorder = select


class PrefixStep(NamedTuple):
    """One step: logits (B, V), the next state, and no attention weights."""

    logits: Tensor
    state: PrefixState
    weights: None = None


class PrefixDecoder:
    """Decoder over a plain model: every step calls ``model(source, prefix)`` on all tokens so far.

    Args:
        model: a ``TranslationModel``.
        bos_id: id that every prefix begins with.
        eos_id: id that ends a sentence.
        max_length: maximum number of tokens.
    """

    def __init__(self, model: Any, bos_id: int, eos_id: int, max_length: int) -> None:
        self.model, self.bos_id, self.eos_id, self.max_length = model, bos_id, eos_id, max_length

    def start(self, source: Tensor) -> PrefixState:
        """Return the state before the first token: (S, B) ids."""
        return PrefixState(source, source.new_empty(0, source.shape[1]))

    def step(self, tokens: Tensor, state: PrefixState) -> PrefixStep:
        """Return the logits of the next token: (B,) ids."""
        prefix = torch.cat([state.prefix, tokens.unsqueeze(0)])
        return PrefixStep(self.logits(state.source, prefix)[-1], PrefixState(state.source, prefix))

    def logits(self, source: Tensor, prefix: Tensor) -> Tensor:
        """Return the logits of every next token.

        Raises:
            ShapeError: the model gives none of shape (T, B, V).
        """
        logits: Tensor = self.model(source, prefix)
        if not isinstance(logits, Tensor) or logits.dim() != 3 or logits.shape[:2] != prefix.shape:
            raise ShapeError(
                f"a translation model returns logits (T, B, V) = {(*prefix.shape, 'V')}, not {_shape_of(logits)}",
                where=f"forward(source {tuple(source.shape)}, prefix {tuple(prefix.shape)})",
                hint=_shape_hint(logits, prefix),
            ).blaming("architecture")
        return logits

    def forced(self, source: Tensor, target: Tensor, mask: list[bool]) -> Tensor:
        """Return the training logits (T, B, V).

        Args:
            source: (S, B) ids.
            target: (T, B) ids.
            mask: a flag per step, true where the input is the true previous token, else the likeliest one of the model.
        """
        inputs = torch.cat([torch.full_like(target[:1], self.bos_id), target[:-1]])
        if not all(mask[1:]):
            with torch.no_grad():
                for step, is_forced in enumerate(mask[1 : len(target)], 1):
                    if not is_forced:
                        inputs[step] = self.logits(source, inputs[:step])[-1].argmax(-1)
        return self.logits(source, inputs)

    def generated(self, source: Tensor, at_least: int) -> Tensor:
        """Return the logits of greedy decoding (T, B, V), to the end of every sentence and at least so many steps."""
        prefix = torch.full_like(source[:1], self.bos_id)
        ended = torch.zeros_like(source[0], dtype=torch.bool)
        logits = self.logits(source, prefix)
        for step in range(1, max(self.max_length, at_least)):
            tokens = logits[-1].argmax(-1)
            ended |= tokens == self.eos_id
            if step >= at_least and bool(ended.all()):
                break
            prefix = torch.cat([prefix, tokens.unsqueeze(0)])
            logits = self.logits(source, prefix)
        return logits


def _shape_of(output: Any) -> str:
    return str(tuple(output.shape)) if isinstance(output, Tensor) else describe_structure(output)


def _shape_hint(output: Any, prefix: Tensor) -> str:
    if not isinstance(output, Tensor):
        return "it returns the logits alone, as one tensor; attention weights are returned by `step`"
    if output.dim() == 3 and output.shape[:2] == prefix.shape[::-1]:
        return "time comes first: transpose the output, logits.transpose(0, 1); layers with batch_first=True may stay"
    return "there is a row of logits for every token of the prefix, time first"
