"""What is in here: the executor ``slurm``."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_executors() -> dict[str, Any]:
    """Runs as jobs of SLURM."""
    return {"slurm": "lab_slurm.executor:Slurm"}


@hookimpl
def lab_conformance() -> str:
    """How the conformance kit can try the executor."""
    return "lab_slurm.conformance:support"
