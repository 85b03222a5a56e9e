"""``lab reproduce``: train a finished run again and compare every figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.main import Session
from lab.cli.options import runs_option

if TYPE_CHECKING:
    from lab.study.rebuild import Reproduction

__all__ = ["reproduce"]

SHOWN = 10


@click.command(epilog="Example:  lab reproduce 1f3a9c  ·  lab reproduce 1f3a9c --anyway")
@click.argument("key")
@runs_option
@click.option(
    "--file", type=click.Path(path_type=Path), help="The study's file, for components that are written in it."
)
@click.option("--anyway", is_flag=True, help="Go on although code, data or packages differ.")
@click.option("--quiet", is_flag=True, help="No progress, only the result.")
@click.pass_obj
def reproduce(session: Session, key: str, folder: Path, file: Path | None, anyway: bool, quiet: bool) -> int:
    """Train the finished run KEY again and compare every epoch: identical, or where the numbers part.

    KEY may be shortened to its first few digits. Nothing in the store is changed.
    """
    from lab.report.live import Display
    from lab.report.terminal import make_console
    from lab.study import rebuild
    from lab.study.store import Store

    store, catalog = Store(folder), session.catalog()
    record = rebuild.finished_run(store, key)
    run = rebuild.rebuild_run(record.experiment(), store, catalog, file=file)
    with Display(make_console(), [run], quiet=quiet) as display:
        result = rebuild.reproduce(record, run, display, anyway=anyway)
    for line in _describe(result):
        click.echo(line)
    return 1 if result.partings else 0


def _describe(result: Reproduction) -> list[str]:
    lines = [f"differs: {line}" for line in result.differences]
    name = f"{result.run.arm}, seed {result.run.seed}"
    if not result.partings:
        return [*lines, f"identical: every figure of {result.epochs} epochs ({name})"]
    first = result.partings[0]
    lines.append(f"not identical: the numbers part in epoch {first.epoch} ({name})")
    lines += [f"  epoch {p.epoch}  {p.figure}: {p.then} then, {p.now} now" for p in result.partings[:SHOWN]]
    more = len(result.partings) - SHOWN
    return [*lines, *([f"  and {more} more"] if more > 0 else [])]
