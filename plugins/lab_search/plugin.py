"""Hyper-parameter search: searchers for ``Study.search``, and the importance of settings."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_searchers() -> dict[str, Any]:
    """Algorithms that propose the trials of a search."""
    return {
        "gaussian_process": "lab_search.searchers:GaussianProcess",
        "quasi_random": "lab_search.searchers:QuasiRandom",
        "random": "lab_search.searchers:Random",
        "tpe": "lab_search.searchers:TPE",
    }


@hookimpl
def lab_rounds() -> dict[str, str]:
    """The rounds of a search."""
    return {"search": "lab_search.rounds:next_arms"}


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab importance``."""
    return {
        "importance": ("lab_search.commands:importance", "Show which settings of a search mattered.", "Read the answer")
    }


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Best settings of a search, and the importance of settings."""
    if getattr(study, "searching", None) is None:
        return []
    from lab_search.report import sections

    return sections(study, runs)


@hookimpl
def lab_scaffolds() -> dict[str, str]:
    """Add the template of a searcher."""
    return {"searcher": "lab_search:scaffolds/searcher"}
