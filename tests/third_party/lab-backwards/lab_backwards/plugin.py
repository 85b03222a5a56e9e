"""Executor with the last run first."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_executors() -> dict[str, str]:
    """Executor with the last run first."""
    return {"backwards": "lab_backwards.execute:Backwards"}
