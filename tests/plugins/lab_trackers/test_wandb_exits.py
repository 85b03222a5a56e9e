"""W&B replaces functions of ``sys`` when a run begins; what a user's code calls later is Python's own again."""

from __future__ import annotations

import sys

from lab_trackers.wandb import _keeping_exits


def test_functions_of_sys_are_restored() -> None:
    before = sys.exit, sys.excepthook
    with _keeping_exits():
        sys.exit = sys.excepthook = print  # type: ignore[assignment]
    assert (sys.exit, sys.excepthook) == before
