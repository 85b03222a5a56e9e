"""The command ``lab predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.main import Session
from lab.cli.options import OutputFile, loading_options, runs_option, warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["predict"]


@click.command(
    epilog="""Examples:

\b
  lab predict 3f9a2c new.csv
  lab predict 3f9a2c new.csv -o predicted.csv
  lab predict 3f9a2c test.csv --keep Id --as SalePrice -o submission.csv
  lab predict 3f9a2c 81bb07 d44e19 test.csv --keep Id --as SalePrice -o submission.csv
  lab predict $(lab runs --study cv --arm base --keys) test.csv -o mean_of_folds.csv
  lab predict 3f9a2c test/ --submission class -o submission.csv

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="CSV file to write; default: standard output.")
@click.option("--only", is_flag=True, help="Write only the predictions, without the columns of TABLE.")
@click.option(
    "--keep", metavar="COLUMN", multiple=True, help="Write only this column of TABLE, such as an id; repeatable."
)
@click.option(
    "--as",
    "name",
    metavar="COLUMN",
    help="Name of the column of predictions; the probabilities of classes are left out.",
)
@click.option(
    "--probability", metavar="CLASS", help="Write the probability of CLASS in place of the most probable class."
)
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
    keys: tuple[str, ...],
    table: Path,
    output: Path | None,
    only: bool,
    keep: tuple[str, ...],
    name: str | None,
    probability: str | None,
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
    folder, a zip or a picture for one on pictures. Several runs, such as those of other seeds or folds, give the mean
    of their predictions, or of the probabilities of classes.
    """
    from lab.errors import LabError
    from lab.files import atomic_path
    from lab_basics.prediction import load_predictor, mean_of_answers

    if only and keep:
        raise LabError("--only leaves out all columns of TABLE", hint="--keep COLUMN alone keeps just these")
    reading = {option: value for option, value in (("separator", separator), ("encoding", encoding)) if value}
    if submission and (only or keep or name or probability):
        raise LabError(
            "--submission has columns of its own",
            hint="leave out --only, --keep, --as and --probability, or --submission",
        )
    answers: dict[str, pd.DataFrame] = {}
    for key in keys:
        predictor, learner = load_predictor(
            key, folder, catalog=session.catalog(), file=file, stored_source=stored_source, anyway=anyway, warn=warn
        )
        if submission and not predictor.makes_submissions:
            raise LabError("--submission is for runs on pictures", hint="--keep and --as choose columns")
        # the columns of the file are those of the first answer
        answers[key] = predictor.predict(learner, table, only=bool(answers), reading=reading)
    answer = mean_of_answers(predictor, learner, answers)
    if submission:
        answer = predictor.submission(answer, submission)
    else:
        answer = _chosen(answer, only=only, keep=keep, name=name, probability=probability)
    if output is None:
        click.echo(answer.to_csv(index=False), nl=False)
        return
    with atomic_path(output) as path:
        answer.to_csv(path, index=False)
    of_runs = f", means of {len(answers)} runs" if len(answers) > 1 else ""
    click.echo(f"{len(answer):,} rows predicted{of_runs}: {output}", err=True)


def _chosen(
    answer: pd.DataFrame, *, only: bool, keep: tuple[str, ...], name: str | None, probability: str | None
) -> pd.DataFrame:
    """Return the columns of an answer that were asked for, in the order of a submission.

    Raises:
        UnknownNameError: there is no such column, or no such class.
    """
    from lab.errors import UnknownNameError
    from lab_basics.prediction import PREDICTION, answer_columns

    own = answer_columns(answer)
    table = [column for column in answer.columns if column not in own]
    for column in keep:
        if column not in table:
            raise UnknownNameError.among("column", column, table, hint=f"columns: {', '.join(map(str, table))}")
    if probability is not None:
        classes = [column[2:-1] for column in own if column != PREDICTION]
        if probability not in classes:
            hint = f"classes: {', '.join(classes)}" if classes else "this run predicts numbers, which have none"
            raise UnknownNameError.among("class", probability, classes, hint=hint)
        answer = answer.assign(**{PREDICTION: answer[f"p({probability})"]})
    shown = [PREDICTION] if name is not None or probability is not None else own
    kept = list(keep) if keep else [] if only else table
    if name is not None and name in kept:
        kept.remove(name)
    return answer[[*kept, *shown]].rename(columns={PREDICTION: name or PREDICTION})
