"""Protocols of translation models, by level; each level gives more, and the plain one is enough to train and score."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lab.errors import LabError, ParameterError, ShapeError

__all__ = ["PrefixDecoder", "StepwiseModel", "TranslationModel", "is_plain", "stepwise"]


class TranslationModel(Protocol):
    """Trainable: logits of every next token, from a source and the tokens so far.

    ``forward(source, prefix)`` takes ids (S, B) and (T, B), time first, and returns logits (T, B, V) of the tokens that
    follow. The prefix begins with ``bos``; position t may depend on the prefix up to t only. Such a model is trained
    with teacher forcing, validated by greedy decoding, scored, and translates, at the cost of one forward pass per
    token.
    """

    def forward(self, source: Tensor, prefix: Tensor) -> Tensor: ...


@runtime_checkable
class StepwiseModel(Protocol):
    """Decodable: ``start`` with a source, then ``step``, which need not compute the tokens so far again.

    A state has ``select(rows)`` and ``reorder(rows)``; a step has ``logits`` (B, V), ``state`` and ``weights``
    ((S, B) attention over the source, or None). A model with these methods is called as ``model(source, target,
    forced)`` with a flag per step in training, and as ``model(source, at_least=T)`` in validation. It is explainable if
    its weights are not None.
    """

    bos_id: int
    eos_id: int
    max_length: int

    def start(self, source: Tensor) -> Any: ...

    def step(self, tokens: Tensor, state: Any) -> Any: ...


def is_plain(model: nn.Module) -> bool:
    """Return whether a model is a plain ``TranslationModel``: its ``forward`` knows no forcing mask.

    Raises:
        ParameterError: its ``forward`` takes neither a source and a prefix nor a forcing mask.
    """
    signature = inspect.signature(model.forward)
    if "forced" in signature.parameters or isinstance(model, StepwiseModel):
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
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ShapeError(
                f"a translation model returns logits (T, B, V) = {(*prefix.shape, 'V')}, not {given}",
                where=f"forward(source {tuple(source.shape)}, prefix {tuple(prefix.shape)})",
                hint="time comes first; use batch_first=True inside, and transpose the output",
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
