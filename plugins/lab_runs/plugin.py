"""Contents: commands that inspect the run store."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, tuple[str, str]]:
    """Add ``lab runs`` and ``lab reproduce``."""
    return {
        "reproduce": (
            "lab_runs.reproduce_command:reproduce",
            "Train a finished run again and compare every metric.",
        ),
        "runs": ("lab_runs.runs_command:runs", "List, show, compare and remove runs."),
    }
