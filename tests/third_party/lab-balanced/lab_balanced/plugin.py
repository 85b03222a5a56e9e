"""Sampler that balances classes."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_samplers() -> dict[str, str]:
    """Sampler that balances classes."""
    return {"balanced": "lab_balanced.samplers:Balanced"}
