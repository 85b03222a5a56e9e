"""Text generation: tokens sampled one by one from the predicted distribution, the likeliest, or by beam search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lab.errors import LabError, ParameterError
from lab.training.cpu import without_onednn

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["PromptVocabulary", "choose", "generate"]


class PromptVocabulary(ABC):
    """Contract of the attribute ``vocab`` of data whose models generate text."""

    @property
    @abstractmethod
    def unwritable(self) -> Sequence[int]:
        """Ids that must not be generated, such as that of padding."""

    @abstractmethod
    def prompt_ids(self, prompt: str) -> Tensor:
        """Return the ids (N,) of a prompt, N at least 1; a ParameterError if it has none."""

    @abstractmethod
    def known_part(self, prompt: str) -> str:
        """Return the prompt without its unknown tokens; the most frequent token if none is known."""

    @abstractmethod
    def continued(self, prompt: str, ids: Sequence[int]) -> str:
        """Return the prompt with the generated tokens behind it."""


def generate(
    learner: Learner,
    prompt: str,
    length: int = 400,
    *,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    greedy: bool = False,
    beam: int | None = None,
    seed: int = 0,
) -> str:
    """Continue a prompt by ``length`` generated tokens; returns both.

    The model reads the prompt first to warm up its hidden state, or its cache of keys and values. The learner is left
    unchanged.

    Args:
        learner: a learner trained on running text; its tokens are characters, words or subwords.
        prompt: at least one token; in lower case if the training text was lower-cased.
        length: number of generated tokens.
        temperature: divisor of the logits, above 0; values below 1 sharpen the distribution.
        top_k: sample from the k most likely tokens only.
        top_p: nucleus sampling: sample from the smallest set of most likely tokens whose probability is at least
            this, in (0, 1] (Holtzman et al. 2020, arXiv:1904.09751).
        greedy: always take the most likely token; nothing is sampled.
        beam: width of a beam search for the most likely continuation; nothing is sampled.
        seed: seed of the sampling; the same seed gives the same text.

    Raises:
        ParameterError: a value is out of range, the prompt has tokens that are not in the vocabulary, or prompt and
            continuation are longer than the model's positions.
        LabError: the learner was not trained on running text.
    """
    vocabulary = _vocabulary(learner)
    _check(length, temperature, top_k, top_p, beam)
    ids = vocabulary.prompt_ids(prompt)
    longest = getattr(learner.model, "max_length", None)
    if longest is not None and len(ids) + length > longest:
        raise ParameterError(
            f"a prompt of {len(ids):,} tokens and {length:,} more are longer than the model's {longest:,} positions",
            where="generate",
            hint=f"length={longest - len(ids)}" if len(ids) < longest else "shorten the prompt",
        )
    # A single token is too small a product for oneDNN, and a growing window has a new shape at every step.
    with learner.evaluating(), without_onednn():
        if beam is not None:
            made = _searched(learner, ids, length, beam, vocabulary.unwritable)
        else:
            draw: Callable[[Tensor], int] = lambda logits: int(logits.argmax())  # noqa: E731
            if not greedy:
                generator = torch.Generator().manual_seed(seed)
                draw = lambda logits: choose(logits, temperature, top_k, top_p, generator)  # noqa: E731
            made = _drawn(learner, ids, length, draw, vocabulary.unwritable)
    return vocabulary.continued(prompt, made)


def choose(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> int:
    """Sample one id from logits (V,)."""
    # In double precision the probabilities sum to 1 closely enough for top_p=1 to keep every token.
    logits = logits.double() / temperature
    if top_k is not None and top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    probabilities = logits.softmax(0)
    if top_p is not None:
        ranked, order = probabilities.sort(descending=True)
        # The probability before each token, so that the one that crosses top_p is still kept.
        behind = ranked.cumsum(0) - ranked >= top_p
        probabilities[order[behind]] = 0.0
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _vocabulary(learner: Learner) -> PromptVocabulary:
    vocabulary = getattr(learner.data, "vocab", None)
    if not isinstance(vocabulary, PromptVocabulary):
        raise LabError(
            "text generation needs a model that was trained on running text",
            where=type(learner.data).__name__,
            hint="dataset='char_text'",
        )
    return vocabulary


def _check(length: int, temperature: float, top_k: int | None, top_p: float | None, beam: int | None) -> None:
    if length < 1:
        raise ParameterError(f"length must be at least 1, got {length}", where="generate")
    if temperature <= 0:
        raise ParameterError(
            f"temperature must be above 0, got {temperature}",
            where="generate",
            hint="greedy=True always takes the most likely token",
        )
    if top_k is not None and top_k < 1:
        raise ParameterError(f"top_k must be at least 1, got {top_k}", where="generate")
    if top_p is not None and not 0 < top_p <= 1:
        raise ParameterError(f"top_p must lie in (0, 1], got {top_p}", where="generate")
    if beam is not None and beam < 1:
        raise ParameterError(f"beam must be at least 1, got {beam}", where="generate")


def _drawn(
    learner: Learner, ids: Tensor, length: int, draw: Callable[[Tensor], int], unwritable: Sequence[int]
) -> list[int]:
    """Return ids, each drawn from the logits (V,) behind those before it."""
    advance, banned = _reader(learner), torch.tensor([*unwritable], dtype=torch.long)
    logits, made = advance(ids.unsqueeze(1))[0], []
    for done in range(1, length + 1):
        logits[banned] = -torch.inf
        made.append(draw(logits))
        if done < length:
            logits = advance(torch.tensor(made[-1:]).unsqueeze(1))[0]
    return made


def _searched(learner: Learner, ids: Tensor, length: int, beam: int, unwritable: Sequence[int]) -> list[int]:
    """Return the ids of the continuation that a beam search finds most likely."""
    advance, banned = _reader(learner), torch.tensor([*unwritable], dtype=torch.long)
    logits = advance(ids.unsqueeze(1))
    scores, made = torch.zeros(1), torch.empty(1, 0, dtype=torch.long)
    for done in range(1, length + 1):
        logits[:, banned] = -torch.inf
        totals = (scores.unsqueeze(1) + logits.double().log_softmax(1)).flatten()
        scores, best = totals.topk(min(beam, int(totals.isfinite().sum())))
        rows, tokens = best // logits.shape[1], best % logits.shape[1]
        made = torch.cat([made[rows], tokens.unsqueeze(1)], 1)
        if done < length:
            logits = advance(tokens.unsqueeze(0), rows)
    return [int(each) for each in made[0]]


def _reader(learner: Learner) -> Callable[..., Tensor]:
    """Return a function from the next tokens (T, B) to the logits (B, V) of the one after; it keeps the context.

    Its second argument, rows (B,), chooses the texts that go on.
    """
    model, device = learner.model, learner.device
    # A model that predicts every position and has a state needs one step per token; others read their window again.
    if hasattr(model, "read") and getattr(model, "predict", "each") == "each":
        return _with_state(model, device)
    return _with_window(model, getattr(model, "context", None) or learner.data.bptt, device)  # type: ignore[attr-defined]


def _with_state(model: Any, device: torch.device) -> Callable[..., Tensor]:
    state = None
    # A model whose state is no nesting of tensors (…, B, H) selects by itself.
    select = getattr(model, "select_state", _select)

    def advance(tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        nonlocal state
        state = state if rows is None else select(state, rows.to(device))
        logits, state = model.read(tokens.to(device), state)
        last: Tensor = logits[-1].cpu()
        return last

    return advance


def _select(state: Any, rows: Tensor) -> Any:
    if isinstance(state, (tuple, list)):
        return tuple(_select(each, rows) for each in state)
    return state.index_select(1, rows)


def _with_window(model: Any, width: int, device: torch.device) -> Callable[..., Tensor]:
    """Feed a fixed window of the last tokens, left-padded if the prompt is shorter."""
    # Zeros are the padding id.
    seen = torch.zeros(width, 1, dtype=torch.long)

    def advance(tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        nonlocal seen
        seen = torch.cat([seen if rows is None else seen[:, rows], tokens])[-width:]
        last: Tensor = model(seen.to(device))[-1].cpu()
        return last

    return advance
