"""The machine and the packages that a run is made with, and the memory that it takes."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lab.registry.plugins import Catalog
from lab.training.machine import tune

__all__ = ["environment", "peak_memory_mb", "reset_peak_memory"]

PACKAGES = (
    "lab",
    "torch",
    "numpy",
    "pandas",
    "pluggy",
    "attrs",
    "spacy",
    "fasttext-wheel",
    "nmslib",
    "tensorboard",
    "scipy",
)


def reset_peak_memory(device: str) -> None:
    """Count the peak of memory anew from here, where the system can."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed: the peak is then that of the process so far
        return


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that was in use, in MiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def environment(catalog: Catalog, device: str) -> dict[str, Any]:
    """Where a run was made: packages, plugins, git state, machine; what a process cannot change is asked once."""
    return {
        "python": platform.python_version(),
        "packages": _packages(),
        "plugins": {plugin.name: plugin.version for plugin in catalog.plugins.values() if plugin.status == "loaded"},
        "git": _git_state(),
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "processes": distributed.get_world_size() if distributed.is_initialized() else 1,
            **tune()._asdict(),
        },
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
    }


@lru_cache
def _packages() -> dict[str, str | None]:
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@lru_cache
def _git_state() -> dict[str, Any] | None:
    if shutil.which("git") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "changed": bool(_git("status", "--porcelain"))}


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip() if done.returncode == 0 else None
