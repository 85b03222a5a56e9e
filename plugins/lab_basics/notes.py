"""Notes and warnings about the data that a dataset has read."""

from __future__ import annotations

import logging
from collections.abc import Sequence

__all__ = ["counted", "log_notes", "percent"]


def log_notes(name: str, notes: Sequence[str], warnings: Sequence[str]) -> None:
    """Log notes at the level INFO and warnings as one warning, each under the name of the data."""
    log = logging.getLogger("lab")
    if notes:
        log.info("%s:\n%s", name, "\n".join(f"  {note}" for note in notes))
    if warnings:
        log.warning("%s: %s", name, warnings[0] if len(warnings) == 1 else "\n  " + "\n  ".join(warnings))


def percent(part: float, whole: float) -> str:
    """Return a share in percent, with the digits that tell it from 0 and 100.

    >>> percent(9, 102_000), percent(1, 5), percent(5, 5), percent(2999, 3000)
    ('0.0088 %', '20 %', '100 %', '99.97 %')
    """
    value = 100 * part / whole if whole else 0.0
    if value < 1:
        return f"{value:.2g} %"
    return f"{value:.2f} %" if 99 < value < 100 else f"{value:.3g} %"


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number and what is counted: ``1 pair``, ``3,000 pairs``."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
