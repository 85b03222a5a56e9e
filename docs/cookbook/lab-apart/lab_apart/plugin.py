"""Contents: an executor."""

from __future__ import annotations

from lab import hookimpl

plugin_api = ">=1,<2"


@hookimpl
def lab_executors() -> dict[str, str]:
    """Executor with a process for each run."""
    return {"apart": "lab_apart.executor:Apart"}
