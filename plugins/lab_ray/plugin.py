"""What is in here: the executor ``ray``."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_executors() -> dict[str, Any]:
    """Runs on the nodes of a Ray cluster."""
    return {"ray": "lab_ray.executor:RayCluster"}


@hookimpl
def lab_conformance() -> str:
    """When the conformance kit can try the executor."""
    return "lab_ray.conformance:support"
