"""Dataset of two interleaving half-circles."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_datasets() -> dict[str, str]:
    """Dataset of two interleaving half-circles."""
    return {"moons": "lab_moons.data:moons"}
