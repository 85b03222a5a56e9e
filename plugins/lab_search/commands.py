"""The command ``lab importance``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.completion import complete_metric
from lab.cli.main import Session
from lab.cli.options import runs_option, study_argument, variant_option

__all__ = ["importance"]


@click.command(
    epilog="""Examples:

\b
  lab importance which_settings_matter
  lab importance which_settings_matter -o importance.png --effects effects.png
"""
)
@study_argument
@variant_option
@runs_option
@click.option(
    "--metric", metavar="NAME", shell_complete=complete_metric, help="Use another metric than the primary one."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Plot the importances to a file.")
@click.option("--effects", type=click.Path(path_type=Path), help="Plot the effect of every setting to a file.")
@click.pass_obj
def importance(
    session: Session,
    study: str,
    variant: str,
    folder: Path,
    metric: str | None,
    output: Path | None,
    effects: Path | None,
) -> None:
    """Estimate which settings of the search STUDY mattered, with a random forest on its trials."""
    from lab_basics.lines import save_figure

    from lab.cli.options import report_variants
    from lab.errors import LabError
    from lab.study.record import read_study
    from lab.study.store import Store
    from lab_search.importance import importances
    from lab_search.plots import plot_effects, plot_importances
    from lab_search.report import describe, trials_of

    store = Store(folder)
    record = read_study(store, study, variant)
    if record.study.searching is None:
        raise LabError(
            f"'{record.study.name}' is not a search", hint="search settings: Study(base).search({path: (low, high)})"
        )
    results = record.results(store)
    if metric is not None:
        results = results.judged_by(metric)
    space = record.study.searching.space
    trials = [trial for _, trial in trials_of(results)]
    found = importances(space, trials, metric=results.study.compare)
    click.echo(describe(found))
    if output is not None:
        save_figure(plot_importances(found), output)
        click.echo(f"plot: {output}")
    if effects is not None:
        save_figure(plot_effects(found, space, trials), effects)
        click.echo(f"plot: {effects}")
    report_variants(record)
