"""Tokenizer of word pieces."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_tokenizers() -> dict[str, str]:
    """Tokenizer of word pieces."""
    return {"pieces": "lab_pieces.tokenizers:Pieces"}
