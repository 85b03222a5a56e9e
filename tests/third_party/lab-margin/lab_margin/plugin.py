"""Multi-class hinge loss."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_losses() -> dict[str, str]:
    """Multi-class hinge loss."""
    return {"margin": "lab_margin.losses:margin"}
