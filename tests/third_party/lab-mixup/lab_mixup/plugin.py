"""Mixup."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_steppers() -> dict[str, str]:
    """Mixup."""
    return {"mixup": "lab_mixup.steppers:Mixup"}
