"""Contents: ``report.html`` and ``runs.csv`` after every study, and commands that write them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, tuple[str, str]]:
    """Add ``lab report`` and ``lab compare``."""
    return {
        "compare": ("lab_report.compare_command:compare", "Compare a study's arms: text, Markdown, LaTeX, CSV."),
        "report": ("lab_report.report_command:report", "Write a study's report again."),
    }


@hookimpl
def lab_study_finished(results: Any, record: Any, sections: Sequence[Any]) -> list[str]:
    """Write the report and return its path in a line for the terminal."""
    if record is None:
        return []
    from lab_report.html import runs_beside, write_report

    path = write_report(record, results, sections)
    return [f"report: {path}", f"one row per run: {runs_beside(path)}"]
