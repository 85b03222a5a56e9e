"""``lab compare``: how the arms of a study compare, as a table for a paper."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.options import runs_option, study_argument

__all__ = ["compare"]


@click.command(
    epilog="""Examples:

\b
  lab compare bidir_vs_attn
  lab compare bidir_vs_attn --format latex > table.tex
  lab compare bidir_vs_attn --metric valid_bleu --format markdown
"""
)
@study_argument
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "markdown", "latex", "csv"]),
    default="text",
    show_default=True,
    help="How to lay it out.",
)
@click.option("--metric", default="", metavar="NAME", help="The figure to compare; the study's own unless given.")
@runs_option
def compare(study: str, layout: str, metric: str, folder: Path) -> None:
    """Compare the arms of STUDY, paired by seed, from what the store holds now.

    LaTeX needs the package booktabs. In CSV there are plain numbers, one row per arm.
    """
    from lab.report.tables import FORMATS, comparison_table
    from lab.study.record import read_study
    from lab.study.store import Store

    store = Store(folder)
    results = read_study(store, study).results(store)
    click.echo(FORMATS[layout](comparison_table(results, metric)))
