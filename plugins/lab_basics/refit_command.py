"""The command ``lab refit``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.main import Session
from lab.cli.options import loading_options, runs_option, warn

if TYPE_CHECKING:
    from lab.report.live import Display
    from lab.study.preflight import Plan

__all__ = ["refit"]


@click.command(
    epilog="""Examples:

\b
  lab refit 3f9a2c
  lab refit 3f9a2c --seeds 5
  lab predict $(lab runs --study cv-refit --keys) test.csv --keep Id --as SalePrice -o submission.csv

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
@click.argument("key")
@click.option("--seeds", type=click.IntRange(1), default=None, help="Train with this many seeds; else the run's own.")
@click.option("--epochs", type=click.IntRange(1), default=None, help="Epochs; those of the run unless given.")
@click.option("--device", help="Where to train; else as the run was.")
@runs_option
@loading_options
@click.option("--quiet", is_flag=True, help="No progress, only the keys.")
@click.pass_obj
def refit(
    session: Session,
    key: str,
    seeds: int | None,
    epochs: int | None,
    device: str | None,
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
    quiet: bool,
) -> int:
    """Train the recipe of the finished run KEY again, on its training and its validation examples.

    For the last step of a competition: settings are chosen with the validation split, or by cross-validation, and the
    model that predicts is trained on all examples. No score says how good it is, and its weights are those of the last
    epoch. The new runs belong to the study STUDY-refit; their keys are printed, for lab predict.
    """
    import attrs

    from lab.report.live import Display
    from lab.report.terminal import make_console
    from lab.study.execute import answer, finish
    from lab.study.rebuild import finished_run, recorded_experiment, study_source
    from lab.study.store import Store
    from lab.study.study import Study
    from lab.study.workspace import Workspace
    from lab_basics.refit import refitted

    catalog, store = session.catalog(), Store(folder)
    record = finished_run(store, key)
    content = record.experiment()
    source = study_source(record, file, stored_source=stored_source)
    experiment, found = recorded_experiment(content, catalog, source=source, anyway=anyway)
    recipe = refitted(experiment)
    recipe = recipe if epochs is None else attrs.evolve(recipe, epochs=epochs)
    study = Study(
        recipe,
        seeds=[content["seed"]] if seeds is None else seeds,
        compare="train_loss",
        name=f"{content['study'] or 'study'}-refit",
        question=f"The recipe of {content['arm']} (run {record.key}), trained on all examples.",
        file=str(found or ""),
    )
    if not quiet and record.result.get("selected") == "best":
        warn("the run chose its best epoch by validation; all epochs are trained here (--epochs changes that)")
    workspace, console = Workspace(catalog, store, device or content["device"]), make_console(stderr=True)

    @contextmanager
    def watch(plan: Plan) -> Iterator[Display]:
        with Display(console, plan.runs, compare=study.compare, found=plan.found, quiet=quiet) as display:
            yield display

    results, made = answer(study, workspace, executor=lambda plan: "in_process", watch=watch)
    finish(results, catalog, made)
    click.echo("these runs trained on the validation examples, too: their valid_ scores are no estimate", err=True)
    click.echo("\n".join(run.key for run in results.runs if run.status == "finished"))
    for run in results.failed:
        warn(f"seed {run.seed} {run.outcome}: {run.result.get('error', '')}")
    return 1 if results.failed else 0
