"""A sampler in stripes."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_samplers() -> dict[str, str]:
    """A sampler in stripes."""
    return {"striped": "lab_striped.samplers:Striped"}
