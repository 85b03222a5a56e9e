"""Gradient centralization."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_callbacks() -> dict[str, str]:
    """Gradient centralization."""
    return {"centred": "lab_centred.callbacks:Centred"}
