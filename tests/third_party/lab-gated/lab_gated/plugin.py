"""A network with gates."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_architectures() -> dict[str, str]:
    """A network with gates."""
    return {"gated": "lab_gated.model:Gated"}
