"""Python's garbage collector, switched off where it only costs time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["own_process", "without_collection"]

MANY_MODULES = 200
_process = {"is_own": False}


def own_process() -> None:
    """Say that this process is a command or a worker of ours: what it imports stays until it ends.

    A notebook is not: what its user made before an import must still be collected after it.
    """
    _process["is_own"] = True


@contextmanager
def without_collection() -> Iterator[None]:
    """Do not collect garbage inside the block, for work that makes many objects, all of which stay.

    Large imports are such work: torch and its compiler take an eighth longer with collection. In a process of our own,
    later collections leave out what such an import loaded; each would visit a million objects.
    """
    was_on, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if _process["is_own"] and len(sys.modules) - before > MANY_MODULES:
            gc.freeze()
        if was_on:
            gc.enable()
