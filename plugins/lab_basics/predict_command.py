"""The command ``lab predict``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import OutputFile, loading_options, runs_option, warn

__all__ = ["predict"]


@click.command(
    epilog="""Examples:

\b
  lab predict 3f9a2c new.csv
  lab predict 3f9a2c new.csv -o predicted.csv
  lab predict 3f9a2c test/ --submission class -o submission.csv

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
@click.argument("key")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="CSV file to write; default: standard output.")
@click.option("--only", is_flag=True, help="Write only the predictions, without the columns of TABLE.")
@click.option("--separator", help="Column separator of TABLE: a character, or tab; default: as in training.")
@click.option("--encoding", help="Encoding of TABLE; default: as in training.")
@click.option(
    "--submission",
    type=click.Choice(["class", "probabilities"]),
    help="Of pictures: a file for a competition, id and label, or id and a column for each class.",
)
@runs_option
@loading_options
@click.pass_obj
def predict(
    session: Session,
    key: str,
    table: Path,
    output: Path | None,
    only: bool,
    separator: str | None,
    encoding: str | None,
    submission: str | None,
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Predict the rows of TABLE with the finished run KEY and append the predictions.

    TABLE is a CSV, Parquet or Excel file for a run on a table, a CSV, TSV or JSON-lines file for one on texts, and a
    folder, a zip or a picture for one on pictures.
    """
    from lab.errors import LabError
    from lab.files import atomic_path
    from lab_basics.prediction import load_predictor

    predictor, learner = load_predictor(
        key, folder, catalog=session.catalog(), file=file, stored_source=stored_source, anyway=anyway, warn=warn
    )
    if submission and not predictor.makes_submissions:
        raise LabError("--submission is for runs on pictures", hint="leave it out; --only writes predictions alone")
    given = {"separator": separator, "encoding": encoding, "submission": submission}
    reading = {name: value for name, value in given.items() if value}
    answer = predictor.predict(learner, table, only=only, reading=reading)
    if output is None:
        click.echo(answer.to_csv(index=False), nl=False)
        return
    with atomic_path(output) as path:
        answer.to_csv(path, index=False)
    click.echo(f"{len(answer):,} rows predicted: {output}", err=True)
