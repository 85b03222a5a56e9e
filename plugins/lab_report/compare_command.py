"""``lab compare``: how the arms of a study compare, as a table for a paper."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.options import report_damage, report_variants, runs_option, study_argument, variant_option

__all__ = ["compare"]


@click.command(
    epilog="""Examples:

\b
  lab compare bidir_vs_attn
  lab compare bidir_vs_attn --format latex > table.tex
  lab compare bidir_vs_attn --metric valid_bleu --format markdown
  lab compare bidir_vs_attn --effects --format csv
  lab compare cifar_ladder --stepwise
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
@variant_option
@click.option("--metric", default="", metavar="NAME", help="The figure to compare; the study's own unless given.")
@click.option("--effects", "only_effects", is_flag=True, help="Only the main effects and interactions of a grid.")
@click.option("--stepwise", is_flag=True, help="Each arm with the one before it, as in a ladder, not with the base.")
@runs_option
def compare(
    study: str, layout: str, variant: str, metric: str, only_effects: bool, stepwise: bool, folder: Path
) -> None:
    """Compare the arms of STUDY, paired by seed, from what the store holds now.

    Of a grid, the main effects and interactions follow in a table of their own. LaTeX needs the package booktabs. In
    CSV there are plain numbers, one row per arm, or one per effect with --effects.
    """
    if only_effects and stepwise:
        raise click.UsageError("--effects and --stepwise exclude each other: effects are not of one arm")
    from lab.study.record import read_study
    from lab.study.store import Store
    from lab_report.tables import FORMATS, Table, comparison_table, effects_table

    store = Store(folder)
    record = read_study(store, study, variant)
    results = record.results(store)
    tables: list[Table] = [] if only_effects else [comparison_table(results, metric, stepwise=stepwise)]
    if only_effects or (layout != "csv" and results.effects(metric)):
        tables.append(effects_table(results, metric))
    click.echo("\n\n".join(FORMATS[layout](table) for table in tables))
    report_variants(record)
    report_damage(results)
