"""Two half-moons, one inside the other."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_datasets() -> dict[str, str]:
    """Two half-moons, one inside the other."""
    return {"moons": "lab_moons.data:moons"}
