"""An attention by distance."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_attentions() -> dict[str, str]:
    """An attention by distance."""
    return {"distant": "lab_distant.attention:Distant"}
