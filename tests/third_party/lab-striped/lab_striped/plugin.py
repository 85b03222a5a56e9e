"""Strided sampler."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_samplers() -> dict[str, str]:
    """Strided sampler."""
    return {"striped": "lab_striped.samplers:Striped"}
