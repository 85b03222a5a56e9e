"""Report section that ranks the arms by their mean validation loss."""

from __future__ import annotations

from typing import Any

from lab import Section, hookimpl


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> list[Section]:
    """Return the ranking."""
    from lab_podium.podium import podium

    return [podium(study, runs)]
