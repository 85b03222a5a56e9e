"""Contents: rules of seeds, methods of studies, commands and report sections."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, tuple[str, str]]:
    """Add ``lab plan``."""
    return {"plan": ("lab_statistics.plan_command:plan", "Show how many seeds a study needs to detect a difference.")}


@hookimpl
def lab_rounds() -> dict[str, str]:
    """Further seeds for arms that are not decided."""
    return {"until_decided": "lab_statistics.sequential:next_arms"}


@hookimpl
def lab_study_finished(study: Any, results: Any) -> list[str]:
    """Seeds per arm and the runs saved by a sequential study."""
    from lab_statistics.sequential import finished_lines

    return finished_lines(study, results)
