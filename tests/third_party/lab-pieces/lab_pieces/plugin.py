"""Pieces of words."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_tokenizers() -> dict[str, str]:
    """Pieces of words."""
    return {"pieces": "lab_pieces.tokenizers:Pieces"}
