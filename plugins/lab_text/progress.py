"""Progress bar over bytes, for reading and downloading large corpora."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["progress_bar"]

_QUIET_BYTES = 20_000_000


def progress_bar(title: str, total: int | None, *, done: int = 0) -> Any:
    """Return a ``tqdm`` bar over bytes on stderr; disabled for small files and without a terminal.

    Args:
        title: label of the bar.
        total: total bytes; None if unknown.
        done: bytes already there.
    """
    from tqdm.auto import tqdm

    # A log file would get a line for every update.
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    # A bar that flashes for a second only distracts.
    small = total is not None and total < _QUIET_BYTES
    return tqdm(
        desc=title, total=total, initial=done, unit="B", unit_scale=True, leave=False, disable=small or not watched
    )
