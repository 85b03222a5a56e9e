"""Contents: a pool of worker processes, and runs that several processes train together."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_executors() -> dict[str, str]:
    """Executors beside the kernel's own, which trains in this process."""
    return {
        "processes": "lab_executors.pool:ProcessPool",
        "torchrun": "lab_executors.torchrun:TorchrunExecutor",
    }
