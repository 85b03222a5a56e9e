"""Progress bar over bytes, for reading and downloading large corpora."""

from __future__ import annotations

import sys
from typing import Any

from lab.notebook import in_notebook

__all__ = ["progress_bar"]

_QUIET_BYTES = 20_000_000


def progress_bar(title: str, total: int | None, *, done: int = 0) -> Any:
    """Return a ``tqdm`` bar over bytes on stderr; disabled for small files and without a terminal.

    Args:
        title: label of the bar.
        total: total bytes; None if unknown.
        done: bytes already there.
    """
    # Not tqdm.auto: without ipywidgets it warns.
    from tqdm import tqdm

    # A log file would get a line for every update; in a notebook the bar goes to stdout, since stderr is red there.
    notebook = in_notebook()
    watched = sys.stderr.isatty() or notebook
    # A bar that flashes for a second only distracts.
    small = total is not None and total < _QUIET_BYTES
    return tqdm(
        desc=title,
        total=total,
        initial=done,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=small or not watched,
        file=sys.stdout if notebook else sys.stderr,
    )
