"""The progress bar over bytes, for what may take minutes: reading a large corpus, downloading one."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["progress_bar"]

_QUIET_BYTES = 20_000_000


def progress_bar(title: str, total: int | None, *, done: int = 0) -> Any:
    """A ``tqdm`` bar on stderr that is told bytes by ``update``; silent for little data and where nobody watches.

    Args:
        title: stands before the bar.
        total: bytes in all; None where unknown.
        done: bytes already there.
    """
    from tqdm.auto import tqdm

    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    small = total is not None and total < _QUIET_BYTES
    return tqdm(
        desc=title, total=total, initial=done, unit="B", unit_scale=True, leave=False, disable=small or not watched
    )
