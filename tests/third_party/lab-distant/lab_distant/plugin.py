"""Attention with a Gaussian kernel."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_attentions() -> dict[str, str]:
    """Attention with a Gaussian kernel."""
    return {"distant": "lab_distant.attention:Distant"}
