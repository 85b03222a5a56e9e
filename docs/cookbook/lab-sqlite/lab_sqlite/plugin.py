"""Contents: a tracker."""

from __future__ import annotations

from lab import hookimpl

plugin_api = ">=1,<2"


@hookimpl
def lab_trackers() -> dict[str, str]:
    """Tracker of an SQLite database."""
    return {"sqlite": "lab_sqlite.tracker:SQLite"}
