"""``lab report``: write a study's report again from the store."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import runs_option, study_argument, variant_option

__all__ = ["report"]


@click.command(epilog="Examples:  lab report bidir_vs_attn  ·  lab report bidir_vs_attn --open")
@study_argument
@variant_option
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@runs_option
@click.pass_obj
def report(session: Session, study: str, variant: str, show: bool, folder: Path) -> None:
    """Write report.html and runs.csv of STUDY again, from what the store holds now."""
    from lab.cli.options import report_damage, report_variants
    from lab.report.section import sections_of
    from lab.study.record import read_study
    from lab.study.store import Store
    from lab_report.figures import section_of_runs
    from lab_report.html import write_report

    store = Store(folder)
    record = read_study(store, study, variant)
    results = record.results(store)
    sections = sections_of(results, session.catalog())
    pictures = section_of_runs(results, sections)
    path = write_report(record, results, [*sections, *([pictures] if pictures else [])])
    click.echo(path)
    report_variants(record)
    report_damage(results)
    if show:
        click.launch(path.resolve().as_uri())
