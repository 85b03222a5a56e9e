"""The machine and the packages that a run is made with, and the memory that it takes."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed

from lab.registry.plugins import Catalog
from lab.study.interrupt import kill_group
from lab.study.packages import installed_packages
from lab.training.cpu import configure_cpu

__all__ = ["environment", "peak_memory_mb", "reset_peak_memory"]

GIT_TIMEOUT_S = 3.0

T = TypeVar("T")


def reset_peak_memory(device: str) -> None:
    """Count the peak of memory anew from here, where the system can."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        # "5" resets VmHWM, the peak of resident memory, of this process (proc(5))
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # not Linux, or not permitted in this container: the peak is then that of the whole process
        return


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak of memory in MiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return _peak_of_system() / 2**20


def _peak_of_system() -> float:
    """Return the peak of resident memory of this process in bytes, where there is no ``/proc``."""
    try:
        import resource
    except ImportError:
        # Windows counts it under another name
        import psutil

        return float(psutil.Process().memory_info().peak_wset)
    # in bytes on macOS and in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 2**10)


def environment(catalog: Catalog, device: str) -> dict[str, Any]:
    """Return the environment of a run: packages, plugins, git state, machine; constants of a process are read once.

    For information only: a fact that cannot be determined is None and never fails a run.
    """
    return {
        "python": platform.python_version(),
        "packages": _or_unknown(installed_packages) or {},
        "plugins": {plugin.name: plugin.version for plugin in catalog.plugins.values() if plugin.status == "loaded"},
        "git": _or_unknown(_git_state),
        "machine": {
            "platform": _or_unknown(platform.platform),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "processes": distributed.get_world_size() if distributed.is_initialized() else 1,
            **configure_cpu()._asdict(),
        },
        "device": (_or_unknown(lambda: torch.cuda.get_device_name(device)) or device)
        if device.startswith("cuda")
        else device,
    }


def _or_unknown(find: Callable[[], T]) -> T | None:
    """Return the result of ``find``, or None if it fails for any reason."""
    try:
        return find()
    except Exception:
        return None


@lru_cache
def _git_state() -> dict[str, Any] | None:
    if shutil.which("git") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    status = _git("status", "--porcelain")
    return {"commit": commit, "changed": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    """Return git's output; None if it fails or takes too long."""
    process = subprocess.Popen(
        # without optional locks, since `git status` would otherwise write the index and block the user's own git
        ["git", "--no-optional-locks", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # git's children (fsmonitor, hooks) hold the pipe, so a timeout has to kill the whole group
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=GIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        kill_group(process)
        process.communicate()
        return None
    return output.decode(errors="replace").strip() if process.returncode == 0 else None
