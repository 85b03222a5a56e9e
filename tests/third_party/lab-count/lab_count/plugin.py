"""Command that counts the runs of a study."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, str]:
    """``lab count``."""
    return {"count": "lab_count.commands:count"}
