"""Network with gated linear units."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_architectures() -> dict[str, str]:
    """Network with gated linear units."""
    return {"gated": "lab_gated.model:Gated"}
