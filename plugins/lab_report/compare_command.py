"""``lab compare``: how the arms of a study or of a file compare, as a table for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli.completion import complete_metric
from lab.cli.main import Session
from lab.cli.options import report_damage, report_variants, runs_option, variant_option
from lab_report.outside import outside_options, source_argument

if TYPE_CHECKING:
    from lab.study.results import Results

__all__ = ["compare"]


@click.command(
    epilog="""Examples:

\b
  lab compare bidir_vs_attn
  lab compare bidir_vs_attn --format latex > table.tex
  lab compare bidir_vs_attn --format methods > methods.tex
  lab compare bidir_vs_attn --format bibtex > methods.bib
  lab compare bidir_vs_attn --metric valid_bleu --format markdown
  lab compare bidir_vs_attn --effects --format csv
  lab compare cifar_ladder --stepwise
  lab compare bidir_vs_attn --margin 0.05
  lab compare bidir_vs_attn --format json | jq .arms[1].comparison
  lab compare results.csv --arm model --metric accuracy --higher-is-better
  lab compare results.csv --arm model --metric accuracy --base resnet --report report
  lab compare results.csv --factors width,depth --metric valid_loss --effects
  lab compare table.tsv --wide arms --metric accuracy
  lab compare mlruns --arm model --metric valid_accuracy --where experiment=depth
  lab compare events --names "{arm}/seed{seed}" --metric valid/loss --lower-is-better
  lab compare sqlite:///optuna.db --arm optimizer --metric value
"""
)
@source_argument
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "markdown", "latex", "csv", "json", "methods", "bibtex"]),
    default="text",
    show_default=True,
    help="How to lay it out.",
)
@variant_option
@click.option(
    "--metric",
    default="",
    metavar="NAME",
    shell_complete=complete_metric,
    help="The metric to compare; the study's own unless given.",
)
@click.option("--effects", "only_effects", is_flag=True, help="Only the main effects and interactions of a grid.")
@click.option("--stepwise", is_flag=True, help="Each arm with the one before it, as in a ladder, not with the base.")
@click.option(
    "--margin",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    metavar="X",
    help="Smallest difference in the metric that matters: arms within ± X are equivalent. Default: the study's.",
)
@click.option(
    "--unpaired",
    is_flag=True,
    help="Take the seeds of two arms for unrelated: Welch's test. Arms without a common seed are compared so anyway.",
)
@outside_options
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="DIR",
    help="Of a file: write report.html and runs.csv there too; a study has its own.",
)
@runs_option
@click.pass_obj
def compare(
    session: Session,
    study: str,
    layout: str,
    variant: str,
    metric: str,
    only_effects: bool,
    stepwise: bool,
    margin: float | None,
    unpaired: bool,
    report: Path | None,
    folder: Path,
    **options: Any,
) -> None:
    """Compare the arms of a study, paired by seed, from what the store holds now, or of a file.

    A file gives results from elsewhere: CSV, TSV, JSON, JSON lines or Parquet, also as W&B and
    MLflow export them; a store of MLflow, a folder of TensorBoard events, a storage of Optuna. Every run is a row.
    --arm, --seed and --metric name the columns; columns called arm and seed need no option, and what a tracker writes
    before a name (metrics., params., config.) may be left out. --wide is for tables with a column per arm or seed.

    Of a grid, the main effects and interactions follow in a table of their own. LaTeX needs the package booktabs. In
    CSV there are plain numbers, one row per arm, or one per effect with --effects. JSON is a document of the schema
    lab.compare/1 with all of them, and nothing else is printed to stdout. Methods is a paragraph for a paper (LaTeX,
    natbib) that says what was compared and how: seeds, what varied, tests, corrections, looks, selection, failures,
    machine and versions; bibtex has its references.
    """
    if only_effects and stepwise:
        raise click.UsageError("--effects and --stepwise exclude each other: effects are not of one arm")
    if only_effects and (unpaired or margin is not None):
        option = "--unpaired" if unpaired else "--margin"
        raise click.UsageError(f"--effects and {option} exclude each other: effects are paired, and have no margin")
    from lab_report.outside import comparison_shown, source_of

    source = source_of(study, folder, variant, metric, options, is_paired=not unpaired)
    results = source.results if margin is None else source.results.with_margin(margin, metric)
    results = results.unrelated() if unpaired else results
    if report is not None and source.record is not None:
        raise click.UsageError(f"--report is for files; lab report {study} writes the report of a study")
    remarks: list[str] = []
    if source.record is not None:
        remarks = comparison_shown(session, source, results, metric, paired=not unpaired, stepwise=stepwise)
    if layout == "json":
        from lab.cli.documents import dump
        from lab.report.documents import comparison_document

        click.echo(dump(comparison_document(results, metric, stepwise=stepwise)))
    elif layout in ("methods", "bibtex"):
        from lab_report.methods import as_bibtex, as_methods

        if layout == "bibtex":
            click.echo(as_bibtex(results, metric))
        else:
            click.echo(as_methods(results, source.record, metric, remarks))
    else:
        _print_tables(results, layout, metric, only_effects=only_effects, stepwise=stepwise, paired=not unpaired)
    if report is not None:
        from lab_report.html import write_outside_report

        click.echo(f"report: {write_outside_report(report, study, results.judged_by(metric))}", err=True)
    if source.record is not None:
        report_variants(source.record)
        for line in remarks:
            click.echo(f"note: {line}", err=True)
    report_damage(results)


def _print_tables(
    results: Results, layout: str, metric: str, *, only_effects: bool, stepwise: bool, paired: bool
) -> None:
    from lab_report.tables import FORMATS, Table, comparison_table, effects_table

    tables: list[Table] = [] if only_effects else [comparison_table(results, metric, stepwise=stepwise, paired=paired)]
    # effects are means over pairs of runs
    if only_effects or (layout != "csv" and paired and results.effects(metric)):
        tables.append(effects_table(results, metric))
    click.echo("\n\n".join(FORMATS[layout](table) for table in tables))
