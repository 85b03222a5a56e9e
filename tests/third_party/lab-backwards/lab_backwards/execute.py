"""Executor with the last run first."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Backwards"]


class Backwards:
    """Train the runs in this process in reverse order."""

    def submit(
        self, runs: Sequence[Any], listener: Any, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Any, Any]]:
        """Yield each run with its record."""
        for run in reversed(runs):
            if stop.is_set():
                raise KeyboardInterrupt
            yield run, run.execute(listener, stop, fresh=fresh)
