"""The arms of a study in the order of their mean figure."""

from __future__ import annotations

from statistics import mean
from typing import Any

from lab import Section

__all__ = ["podium"]


def podium(study: Any, runs: Any) -> Section:
    """The best arm first; losses are better when lower."""
    figures: dict[str, list[float]] = {}
    for run in runs:
        if run.status == "finished":
            figures.setdefault(run.arm, []).append(run.metrics["valid_loss"])
    ordered = sorted(figures, key=lambda arm: mean(figures[arm]))
    return Section("Podium", "\n".join(f"{place}. {arm}" for place, arm in enumerate(ordered, 1)))
