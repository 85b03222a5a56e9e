"""``lab reproduce``: train a finished run again and compare every metric and the weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.main import Session
from lab.cli.options import loading_options, runs_option

if TYPE_CHECKING:
    from lab.study.rebuild import Reproduction

__all__ = ["reproduce"]

MAX_ROWS_SHOWN = 10


@click.command(epilog="Example:  lab reproduce 1f3a9c  ·  lab reproduce 1f3a9c --anyway")
@click.argument("key")
@runs_option
@loading_options
@click.option("--quiet", is_flag=True, help="No progress, only the result.")
@click.pass_obj
def reproduce(
    session: Session, key: str, folder: Path, file: Path | None, stored_source: bool, anyway: bool, quiet: bool
) -> int:
    """Train the finished run KEY again and compare epochs, final metrics and weights.

    KEY may be shortened to its first few digits. The store is not changed, and no code in it is run: a study file is
    imported if you name it, or if you ran it here and it has not changed since. --stored-source imports the copy that
    the run keeps.
    """
    from lab.report.live import Display
    from lab.report.terminal import make_console
    from lab.study import rebuild
    from lab.study.store import Store

    store, catalog = Store(folder), session.catalog()
    # damaged runs too: the question may be just whether a damaged file still holds the right numbers
    record = rebuild.finished_run(store, key, damaged_too=True)
    source = rebuild.study_source(record, file, stored_source=stored_source)
    run = rebuild.rebuild_run(record.experiment(strict=False), store, catalog, source=source, anyway=anyway)
    with Display(make_console(), [run], quiet=quiet) as display:
        result = rebuild.reproduce(record, run, display, anyway=anyway)
    for line in _describe(result):
        click.echo(line)
    # an exit code, so that a script can check a store
    return 0 if result.is_identical else 1


def _describe(result: Reproduction) -> list[str]:
    lines = [f"differs: {line}" for line in result.differences]
    lines += [f"damaged: {line}" for line in result.damage]
    lines += [f"not compared: {line}" for line in result.notes]
    name = f"{result.run.arm}, seed {result.run.seed}"
    found = [
        f"{'final' if p.epoch is None else f'epoch {p.epoch + 1}'}  {p.metric}: {p.then} then, {p.now} now"
        for p in result.mismatches
    ]
    found += [f"weights  {line}" for line in result.weights]
    if not found:
        weights = " and the weights" if result.run.experiment.task is None else ""
        what = f"identical: every metric of {result.epochs} epochs, the final metrics{weights} ({name})"
        return [*lines, what]
    shown = [f"  {line}" for line in found[:MAX_ROWS_SHOWN]]
    more = len(found) - MAX_ROWS_SHOWN
    return [*lines, f"not identical: {_where(result)} ({name})", *shown, *([f"  and {more} more"] if more > 0 else [])]


def _where(result: Reproduction) -> str:
    """Return the place of the first difference."""
    if not result.mismatches:
        return "the weights differ"
    epoch = result.mismatches[0].epoch
    return "the final metrics differ" if epoch is None else f"the first difference is in epoch {epoch + 1}"
