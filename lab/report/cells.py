"""Figures as readers see them: the same words in the terminal, in ``report.html`` and in tables for papers."""

from __future__ import annotations

import math

from lab.study.compare import ArmComparison, Summary
from lab.study.results import ArmRow

__all__ = [
    "BUDGET",
    "budget_cells",
    "difference_cells",
    "duration",
    "figure_cell",
    "is_judged",
    "number",
    "size",
]

BUDGET = {
    "parameters": "{:,.0f}",
    "steps": "{:,.0f}",
    "examples_per_second": "{:,.0f}",
    "seconds": "{:.1f}",
    "peak_memory_mb": "{:,.0f}",
}
NOTHING = "–"


def is_judged(metric: str) -> bool:
    """Whether a figure belongs into a table of results: it was measured on the validation or test split."""
    return metric.startswith(("valid_", "test_"))


def figure_cell(row: ArmRow, name: str) -> str:
    """A figure over the seeds of an arm: ``0.7333 ± 0.063``."""
    summary = row.figures.get(name)
    return NOTHING if summary is None else _summary(summary)


def _summary(summary: Summary) -> str:
    return f"{summary.mean:.4g}" + ("" if math.isnan(summary.spread) else f" ± {summary.spread:.2g}")


def difference_cells(comparison: ArmComparison | None) -> tuple[str, str, str]:
    """Difference with its interval, corrected p and verdict; empty for the base."""
    if comparison is None:
        return "", "", "(what the others are compared with)"
    if comparison.n < 2:
        return (f"{comparison.difference:+.3g}" if comparison.n else NOTHING), NOTHING, comparison.verdict
    interval = f"{comparison.difference:+.3g} [{comparison.low:+.3g}, {comparison.high:+.3g}]"
    return interval, f"{comparison.p_corrected:.2g}", comparison.verdict


def budget_cells(row: ArmRow) -> list[str]:
    """What a run of an arm cost, in the order of ``BUDGET``."""
    return [text.format(row.figures[name].mean) if name in row.figures else NOTHING for name, text in BUDGET.items()]


def number(value: object) -> str:
    """Any value of a row.

    >>> number(0.123456), number(1234567), number("adam"), number(None)
    ('0.1235', '1,234,567', 'adam', '–')
    """
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def duration(seconds: float) -> str:
    """A duration for a reader.

    >>> duration(0.42), duration(75), duration(8000)
    ('0.4 s', '1.2 minutes', '2.2 hours')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def size(count: float) -> str:
    """A number of bytes.

    >>> size(980), size(2_500_000)
    ('980 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
