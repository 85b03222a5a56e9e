"""Ray: an executor that trains runs on the nodes of a cluster."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_executors() -> dict[str, Any]:
    """Runs on the nodes of a Ray cluster."""
    return {"ray": "lab_ray.executor:RayCluster"}


@hookimpl
def lab_conformance() -> str:
    """Cases for the conformance kit."""
    return "lab_ray.conformance:support"
