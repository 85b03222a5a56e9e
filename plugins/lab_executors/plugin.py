"""Contents: a pool of worker processes, and distributed runs under torchrun."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_executors() -> dict[str, str]:
    """Register the pool and torchrun; the kernel's own executor trains in this process."""
    return {
        "processes": "lab_executors.pool:ProcessPool",
        "torchrun": "lab_executors.torchrun:TorchrunExecutor",
    }
