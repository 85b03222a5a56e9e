"""Plain Transformer for translation."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_architectures() -> dict[str, str]:
    """Plain Transformer for translation."""
    return {"translator": "lab_translator.model:Translator"}
