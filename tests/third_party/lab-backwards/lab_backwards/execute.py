"""An executor that begins at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Backwards"]


class Backwards:
    """One run after the other in this process, the last one first."""

    def submit(
        self, runs: Sequence[Any], listener: Any, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Any, Any]]:
        """Each run with its record."""
        for run in reversed(runs):
            if stop.is_set():
                raise KeyboardInterrupt
            yield run, run.execute(listener, stop, fresh=fresh)
