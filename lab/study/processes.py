"""Processes that were started, and the children that they started in turn, on every platform."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

__all__ = ["kill_group", "terminate_group"]


def terminate_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a process that was started in a session of its own, and its children, to end."""
    _signal_group(process, "SIGTERM")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and its children, at once."""
    _signal_group(process, "SIGKILL")


def _signal_group(process: subprocess.Popen[bytes], name: str) -> None:
    if hasattr(os, "killpg"):
        # also reaches children whose parent has ended already
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, getattr(signal, name))
        return
    # Windows has neither sessions nor signals: a process is ended, and its children are found by their parent
    import psutil

    with suppress(psutil.Error):
        top = psutil.Process(process.pid)
        for each in [*top.children(recursive=True), top]:
            with suppress(psutil.Error):
                each.terminate()
