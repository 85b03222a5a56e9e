"""Text generation: characters sampled one by one from the predicted distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lab.errors import LabError, ParameterError
from lab_charlm.data import UNKNOWN_ID, CharVocabulary

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["choose", "generate"]

MAX_SHOWN = 10
MAX_PROMPT = 200


def generate(
    learner: Learner,
    prompt: str,
    length: int = 400,
    *,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    greedy: bool = False,
    seed: int = 0,
) -> str:
    """Continue a prompt by ``length`` generated characters; returns both.

    The model reads the prompt first to warm up its hidden state. The learner is left unchanged.

    Args:
        learner: a learner trained on a text of characters.
        prompt: at least one character; in lower case if the training text was lower-cased.
        length: number of generated characters.
        temperature: divisor of the logits, above 0; values below 1 sharpen the distribution.
        top_k: sample from the k most likely characters only.
        top_p: nucleus sampling: sample from the smallest set of most likely characters whose probability is at least
            this, in (0, 1] (Holtzman et al. 2020, arXiv:1904.09751).
        greedy: always take the most likely character; nothing is sampled.
        seed: seed of the sampling; the same seed gives the same text.

    Raises:
        ParameterError: a value is out of range, or the prompt has characters that are not in the vocabulary.
        LabError: the learner was not trained on characters.
    """
    vocabulary = _vocabulary(learner)
    _check(length, temperature, top_k, top_p)
    ids = _encoded(prompt, vocabulary)
    generator = torch.Generator().manual_seed(seed)
    with learner.evaluating():
        advance = _reader(learner)
        logits = advance(ids)
        made = []
        for _ in range(length):
            # Padding and unknown have no written form, so they must not be sampled.
            logits[[0, UNKNOWN_ID]] = -torch.inf
            made.append(int(logits.argmax()) if greedy else choose(logits, temperature, top_k, top_p, generator))
            logits = advance(torch.tensor(made[-1:]))
    return prompt + vocabulary.decode(made)


def choose(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> int:
    """Sample one id from logits (V,)."""
    # In double precision the probabilities sum to 1 closely enough for top_p=1 to keep every character.
    logits = logits.double() / temperature
    if top_k is not None and top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    probabilities = logits.softmax(0)
    if top_p is not None:
        ranked, order = probabilities.sort(descending=True)
        # The probability before each character, so that the one that crosses top_p is still kept.
        behind = ranked.cumsum(0) - ranked >= top_p
        probabilities[order[behind]] = 0.0
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _vocabulary(learner: Learner) -> CharVocabulary:
    vocabulary = getattr(learner.data, "vocab", None)
    if not isinstance(vocabulary, CharVocabulary):
        raise LabError(
            "text generation needs a model that was trained on characters",
            where=type(learner.data).__name__,
            hint="dataset='char_text'",
        )
    return vocabulary


def _check(length: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    if length < 1:
        raise ParameterError(f"length must be at least 1, got {length}", where="generate")
    if temperature <= 0:
        raise ParameterError(
            f"temperature must be above 0, got {temperature}",
            where="generate",
            hint="greedy=True always takes the most likely character",
        )
    if top_k is not None and top_k < 1:
        raise ParameterError(f"top_k must be at least 1, got {top_k}", where="generate")
    if top_p is not None and not 0 < top_p <= 1:
        raise ParameterError(f"top_p must lie in (0, 1], got {top_p}", where="generate")


def _encoded(prompt: str, vocabulary: CharVocabulary) -> Tensor:
    if not prompt:
        raise ParameterError("the prompt is empty", where="generate", hint="at least one character is needed")
    unknown = vocabulary.unknown_in(prompt)
    if unknown:
        lower = "" if vocabulary.unknown_in(prompt.lower()) else "write it in lower case\n"
        known = "".join(c for c in vocabulary.characters[2:] if c.isprintable())
        raise ParameterError(
            f"not in the vocabulary: {', '.join(map(repr, unknown[:MAX_SHOWN]))}"
            + (f" and {len(unknown) - MAX_SHOWN:,} more" if len(unknown) > MAX_SHOWN else ""),
            where=f"prompt {prompt[:MAX_PROMPT]!r}",
            hint=f"{lower}known: {known[:MAX_PROMPT]}{' …' if len(known) > MAX_PROMPT else ''}",
        )
    return vocabulary.encode(prompt)


def _reader(learner: Learner) -> Callable[[Tensor], Tensor]:
    """Return a function from the next characters (N,) to the logits (V,) of the one after; it keeps the context."""
    model, device = learner.model, learner.device
    # A recurrent model that predicts every position needs one step per character; others read their whole window again.
    if hasattr(model, "read") and getattr(model, "predict", "each") == "each":
        return _with_state(model, device)
    return _with_window(model, getattr(model, "context", None) or learner.data.bptt, device)


def _with_state(model: Any, device: torch.device) -> Callable[[Tensor], Tensor]:
    state = None

    def advance(ids: Tensor) -> Tensor:
        nonlocal state
        logits, state = model.read(ids.to(device).unsqueeze(1), state)
        last: Tensor = logits[-1, 0].cpu()
        return last

    return advance


def _with_window(model: Any, width: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Feed a fixed window of the last characters, left-padded if the prompt is shorter."""
    # Zeros are the padding id.
    seen = torch.zeros(width, dtype=torch.long)

    def advance(ids: Tensor) -> Tensor:
        nonlocal seen
        seen = torch.cat([seen, ids])[-width:]
        last: Tensor = model(seen.to(device).unsqueeze(1))[-1, 0].cpu()
        return last

    return advance
