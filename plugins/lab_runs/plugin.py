"""Contents: commands that inspect the run store."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """Add ``lab pack``, ``lab reproduce``, ``lab runs`` and ``lab unpack``."""
    return {
        "pack": ("lab_runs.pack_command:pack", "Write a study with its runs into one file.", "Runs"),
        "unpack": ("lab_runs.pack_command:unpack", "Put a packed study into the folder of runs.", "Runs"),
        "reproduce": (
            "lab_runs.reproduce_command:reproduce",
            "Train a finished run again and compare every metric.",
            "Runs",
        ),
        "runs": ("lab_runs.runs_command:runs", "List, show, compare and remove runs.", "Runs"),
    }
