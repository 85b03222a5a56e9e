"""Contents: a sampler."""

from __future__ import annotations

from lab import hookimpl

plugin_api = ">=1,<2"


@hookimpl
def lab_samplers() -> dict[str, str]:
    """Sampler that balances classes."""
    return {"effective_number": "lab_effective.samplers:EffectiveNumber"}
