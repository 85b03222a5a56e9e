"""Diary of runs."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_callbacks() -> dict[str, str]:
    """Diary of runs."""
    return {"diary": "lab_diary.callbacks:Diary"}
