"""Transformer that decodes step by step."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_architectures() -> dict[str, str]:
    """Transformer that decodes step by step."""
    return {"stepwise": "lab_stepwise.model:Stepwise"}
