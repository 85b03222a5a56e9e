"""The optimizer Lion."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_optimizers() -> dict[str, str]:
    """The optimizer Lion."""
    return {"lion": "lab_lion.optimizers:Lion"}
