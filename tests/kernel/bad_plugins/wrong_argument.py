"""Asks a hook for what it does not give."""

from lab import hookimpl


@hookimpl
def lab_report_sections(study, pages):
    return []
