"""Gives text where a section is wanted."""

from lab import hookimpl


@hookimpl
def lab_report_sections(study, runs):
    return ["all went well"]
