"""``lab variance``: how much of the spread of scores each source of randomness makes."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.completion import complete_metric
from lab.cli.options import report_variants, runs_option, study_argument, variant_option

__all__ = ["variance"]


@click.command(
    epilog="""Examples:

\b
  lab run experiments/where_does_variance_come_from.py
  lab variance where_does_variance_come_from
  lab variance where_does_variance_come_from --metric valid_rmse
"""
)
@study_argument
@variant_option
@runs_option
@click.option(
    "--metric",
    default="",
    metavar="NAME",
    shell_complete=complete_metric,
    help="Use another metric than the primary one.",
)
def variance(study: str, variant: str, folder: Path, metric: str) -> None:
    """Show which share of the variance of STUDY each source of randomness makes, and what follows for its seeds.

    The study varies one source at a time, the others being held: Study(base, seeds=10).sources() adds an arm for the
    initial weights, the order of batches, dropout, augmentation and every other draw, and with
    split="dataset.split_seed" other splits of the data.
    """
    from lab.study.record import read_study
    from lab.study.store import Store
    from lab_statistics.variance import describe

    store = Store(folder)
    record = read_study(store, study, variant)
    results = record.results(store)
    if metric:
        results = results.judged_by(metric)
    click.echo("\n".join(describe(results)))
    report_variants(record)
