"""The command ``lab ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.cli.documents import dump, format_option
from lab.cli.main import Session
from lab.cli.options import loading_options, runs_option, warn

if TYPE_CHECKING:
    from lab_basics.ensembles import Average, EnsembleScores

__all__ = ["ensemble"]

SCHEMA = "lab.ensemble/1"


@click.command(
    epilog="""Examples:

\b
  lab ensemble 3f9a2c 81bb07 d44e19
  lab ensemble $(lab runs --study heads --arm base --keys)
  lab ensemble 3f9a2c 81bb07 --split test
  lab ensemble 3f9a2c 81bb07 --average values
  lab ensemble 3f9a2c 81bb07 --format json

`lab predict KEY... TABLE` writes the mean predictions of a file; `Study.ensemble` adds an arm to a study.
"""
)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option(
    "--split", type=click.Choice(["valid", "test"]), default="valid", show_default=True, help="Split to evaluate."
)
@click.option(
    "--average",
    type=click.Choice(["classes", "binary", "values"]),
    help="What is averaged: softmax probabilities, sigmoid probabilities, or outputs; default: by the loss.",
)
@format_option(SCHEMA)
@runs_option
@loading_options
@click.pass_obj
def ensemble(
    session: Session,
    keys: tuple[str, ...],
    split: str,
    average: str | None,
    layout: str,
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Evaluate the mean of the predictions of the finished runs KEY..., beside each run alone.

    The runs may have other architectures, seeds or recipes; they must predict the same targets of the same examples.
    Loss and metrics are those of the first run.
    """
    from lab.errors import LabError
    from lab.study.rebuild import finished_run, load
    from lab.study.store import Store
    from lab_basics.ensembles import KINDS, average_for, check_average, outputs_of, score_ensemble

    store = Store(folder)
    records = {}
    for key in keys:
        record = finished_run(store, key)
        if record.key in records:
            raise LabError(f"run {record.key} is given twice", hint="give every member once")
        records[record.key] = record
    learners = {
        key: load(
            key, folder, catalog=session.catalog(), file=file, anyway=anyway, stored_source=stored_source, warn=warn
        )
        for key in records
    }
    first = next(iter(records.values()))
    loss = str(first.experiment()["experiment"]["loss"]["component"])
    chosen: Average = average or average_for(loss)  # type: ignore[assignment]
    check_average(chosen, loss)
    scores = score_ensemble(learners, split, chosen)
    labels = {key: (record.experiment()["arm"], record.experiment()["seed"]) for key, record in records.items()}
    if layout == "json":
        click.echo(dump(_document(scores, labels, split)))
        return
    for line in _table(scores, labels):
        click.echo(line)
    if chosen == "values" and outputs_of(loss) != "values":
        click.echo(f"the outputs are {KINDS[outputs_of(loss)]}: this is the geometric mean of the probabilities")


def _document(scores: EnsembleScores, labels: dict[str, tuple[str, int]], split: str) -> dict[str, Any]:
    from lab.report.documents import finite

    return {
        "schema": SCHEMA,
        "split": split,
        "examples": scores.examples,
        "average": scores.average,
        "members": [
            {"key": key, "arm": labels[key][0], "seed": labels[key][1], "metrics": finite(own)}
            for key, own in scores.members.items()
        ],
        "mean": finite(scores.mean),
    }


def _table(scores: EnsembleScores, labels: dict[str, tuple[str, int]]) -> list[str]:
    names = list(scores.mean)
    rows = [["run", "arm", "seed", *names]]
    rows += [
        [key[:12], labels[key][0], str(labels[key][1]), *(f"{own[n]:.4f}" if n in own else "–" for n in names)]
        for key, own in scores.members.items()
    ]
    rows.append(["mean", "", "", *(f"{scores.mean[name]:.4f}" for name in names)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    what = {
        "classes": "softmax probabilities",
        "binary": "sigmoid probabilities",
        "values": "outputs",
    }[scores.average]
    return [*lines, f"mean: of the {what} of {len(scores.members)} runs, {scores.examples:,} examples"]
