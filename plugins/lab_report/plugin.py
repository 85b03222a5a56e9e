"""Contents: ``report.html`` and ``runs.csv`` after every study, and commands that write them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab import hookimpl


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """Add ``lab report``, ``lab figures``, ``lab compare`` and ``lab check-claim``."""
    return {
        "check-claim": (
            "lab_report.claim_command:check_claim",
            "Exit with 0 if a comparison shows a claim, else with 1.",
            "Read the answer",
        ),
        "compare": (
            "lab_report.compare_command:compare",
            "Compare the arms of a study, or of a file from elsewhere.",
            "Read the answer",
        ),
        "figures": (
            "lab_report.figures_command:figures",
            "Write all pictures of a study as files.",
            "Read the answer",
        ),
        "report": ("lab_report.report_command:report", "Write a study's report again.", "Read the answer"),
    }


@hookimpl
def lab_study_finished(results: Any, record: Any, sections: Sequence[Any]) -> list[str]:
    """Write the report and return its path in a line for the terminal."""
    if record is None:
        return []
    from lab.study.record import shell_name
    from lab_report.figures import section_of_runs
    from lab_report.html import runs_beside, write_report

    pictures = section_of_runs(results, sections)
    path = write_report(record, results, [*sections, *([pictures] if pictures else [])])
    lines = [f"report: {path}", f"one row per run: {runs_beside(path)}"]
    if pictures:
        name = shell_name(record.study.name, record.folder.parent, record.variant if record.others else "")
        lines.append(f"pictures of runs are in the report; as files: lab figures {name} -o pictures")
    return lines
