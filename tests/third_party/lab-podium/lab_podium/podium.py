"""Ranking of the arms by their mean validation loss."""

from __future__ import annotations

from statistics import mean
from typing import Any

from lab import Section

__all__ = ["podium"]


def podium(study: Any, runs: Any) -> Section:
    """Return the section, with the lowest loss first."""
    losses: dict[str, list[float]] = {}
    for run in runs:
        if run.status == "finished":
            losses.setdefault(run.arm, []).append(run.metrics["valid_loss"])
    ordered = sorted(losses, key=lambda arm: mean(losses[arm]))
    return Section("Podium", "\n".join(f"{place}. {arm}" for place, arm in enumerate(ordered, 1)))
