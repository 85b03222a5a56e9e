"""spaCy's own tokenizer over texts in memory, in whatever process this is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_loaded: dict[str, tuple[Any, list[str]]] = {}


def load(path: str, language: str) -> None:
    """Read the texts and build the tokenizer."""
    import spacy

    _loaded[language] = spacy.blank(language), Path(path).read_text(encoding="utf-8").splitlines()


def tokenize(language: str) -> int:
    """The number of tokens."""
    pipeline, texts = _loaded[language]
    return sum(map(len, pipeline.tokenizer.pipe(texts)))
