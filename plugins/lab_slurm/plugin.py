"""SLURM: an executor that trains each run as a job."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_executors() -> dict[str, Any]:
    """Runs as jobs of SLURM."""
    return {"slurm": "lab_slurm.executor:Slurm"}


@hookimpl
def lab_conformance() -> str:
    """Cases for the conformance kit."""
    return "lab_slurm.conformance:support"
