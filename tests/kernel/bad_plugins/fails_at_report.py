"""Works until the end, and then does not."""

from lab import hookimpl


@hookimpl
def lab_report_sections(study, runs):
    raise ZeroDivisionError("division by zero")


@hookimpl
def lab_study_finished(study, runs):
    raise SystemExit(3)
