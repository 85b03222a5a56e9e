"""Text that a network makes: character by character, each drawn from what the network foresees."""

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
    """The prompt and ``length`` characters that the network goes on with.

    The network reads the prompt first, so that its state knows it. Nothing of the learner changes.

    Args:
        learner: a learner on a text of characters.
        prompt: at least one character; written in small letters where the text was.
        length: how many characters are made.
        temperature: the logits are divided by it, above 0: below 1 likely characters become likelier.
        top_k: only so many of the likeliest characters may come.
        top_p: only the likeliest characters that together have at least this probability may come, in (0, 1]
            (Holtzman et al. 2020, arXiv:1904.09751).
        greedy: always the likeliest character; then nothing is drawn.
        seed: of the draws; the same seed gives the same text.

    Raises:
        ParameterError: a value out of its range, or characters in the prompt that the network has never seen.
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
            logits[[0, UNKNOWN_ID]] = -torch.inf
            made.append(int(logits.argmax()) if greedy else choose(logits, temperature, top_k, top_p, generator))
            logits = advance(torch.tensor(made[-1:]))
    return prompt + vocabulary.decode(made)


def choose(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> int:
    """One draw from logits (V,)."""
    logits = logits.double() / temperature
    if top_k is not None and top_k < len(logits):
        logits = logits.masked_fill(logits < logits.topk(top_k).values[-1], -torch.inf)
    probabilities = logits.softmax(0)
    if top_p is not None:
        ranked, order = probabilities.sort(descending=True)
        behind = ranked.cumsum(0) - ranked >= top_p
        probabilities[order[behind]] = 0.0
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _vocabulary(learner: Learner) -> CharVocabulary:
    vocabulary = getattr(learner.data, "vocab", None)
    if not isinstance(vocabulary, CharVocabulary):
        raise LabError(
            "text is made by networks that were trained on characters",
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
            hint="greedy=True always takes the likeliest character",
        )
    if top_k is not None and top_k < 1:
        raise ParameterError(f"top_k must be at least 1, got {top_k}", where="generate")
    if top_p is not None and not 0 < top_p <= 1:
        raise ParameterError(f"top_p must lie in (0, 1], got {top_p}", where="generate")


def _encoded(prompt: str, vocabulary: CharVocabulary) -> Tensor:
    if not prompt:
        raise ParameterError("the prompt is empty", where="generate", hint="give it a character to begin with")
    unknown = vocabulary.unknown_in(prompt)
    if unknown:
        small = "" if vocabulary.unknown_in(prompt.lower()) else "write it in small letters\n"
        known = "".join(c for c in vocabulary.characters[2:] if c.isprintable())
        raise ParameterError(
            f"the network has never seen {', '.join(map(repr, unknown[:MAX_SHOWN]))}"
            + (f" and {len(unknown) - MAX_SHOWN:,} more" if len(unknown) > MAX_SHOWN else ""),
            where=f"prompt {prompt[:MAX_PROMPT]!r}",
            hint=f"{small}it knows: {known[:MAX_PROMPT]}{' …' if len(known) > MAX_PROMPT else ''}",
        )
    return vocabulary.encode(prompt)


def _reader(learner: Learner) -> Callable[[Tensor], Tensor]:
    """Takes the next characters, (N,), and gives the logits (V,) of what follows them; it remembers what it read."""
    model, device = learner.model, learner.device
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
    """For networks that see a window: what is missing before a short prompt is padding."""
    seen = torch.zeros(width, dtype=torch.long)

    def advance(ids: Tensor) -> Tensor:
        nonlocal seen
        seen = torch.cat([seen, ids])[-width:]
        last: Tensor = model(seen.to(device).unsqueeze(1))[-1, 0].cpu()
        return last

    return advance
