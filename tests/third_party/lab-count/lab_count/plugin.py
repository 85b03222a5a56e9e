"""A command: how many runs is this study?"""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, str]:
    """``lab count``."""
    return {"count": "lab_count.commands:count"}
