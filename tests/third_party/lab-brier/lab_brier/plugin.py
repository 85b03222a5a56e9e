"""The Brier score."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_metrics() -> dict[str, str]:
    """The Brier score."""
    return {"brier": "lab_brier.metrics:Brier"}
