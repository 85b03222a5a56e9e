"""Designs of studies, and what results say beyond one table: seeds, looks, variance, examples, tuning, datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_statistics.examples import keep_scores
    from lab_statistics.sequential import until_decided

__all__ = ["keep_scores", "until_decided"]


def __getattr__(name: str) -> Any:
    # imported late: lab looks into every plugin when it starts, and must not import numpy for that
    if name == "until_decided":
        from lab_statistics.sequential import until_decided

        return until_decided
    if name == "keep_scores":
        from lab_statistics.examples import keep_scores

        return keep_scores
    raise AttributeError(f"module 'lab_statistics' has no attribute '{name}'")
