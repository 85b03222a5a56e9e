"""``lab pack`` and ``lab unpack``: a study in one file."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import runs_option, study_argument

__all__ = ["pack", "unpack"]


@click.command(
    epilog="Examples:  lab pack bidir_vs_attn  ·  lab pack bidir_vs_attn -o for_review.zip --without-weights"
)
@study_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write; else STUDY.zip.")
@click.option("--without-weights", is_flag=True, help="Leave the weights out: enough to compare, not to load a run.")
@runs_option
@click.pass_obj
def pack(session: Session, study: str, output: Path | None, without_weights: bool, folder: Path) -> None:
    """Write the report, the runs and their sources of STUDY into one file.

    All variants of the study are in it. Whoever gets the file reads it with `lab unpack`, or unzips it and opens the
    report; `lab compare`, `lab report` and `lab reproduce` then work as they do here.
    """
    from rich.progress import Progress

    from lab.report.terminal import make_console
    from lab.study.store import Store
    from lab_runs.packing import pack as write

    path = output or Path(f"{Path(study).stem}.zip")
    with Progress(console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("packing", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        packed = write(Store(folder), study, path, weights=not without_weights, progress=advance)
    click.echo(f"{packed.path}: {packed.runs} runs, {packed.size / 2**20:.1f} MiB")
    if packed.missing:
        click.echo(f"not finished, so not in it: {', '.join(packed.missing)}", err=True)


@click.command(epilog="Examples:  lab unpack for_review.zip  ·  lab unpack for_review.zip --runs theirs")
@click.argument("file", type=click.Path(path_type=Path))
@runs_option
@click.pass_obj
def unpack(session: Session, file: Path, folder: Path) -> None:
    """Put a packed study beside the studies in the folder of runs.

    Runs that are here already stay as they are. No code in the file is run.
    """
    from lab.study.record import shell_name
    from lab.study.store import Store
    from lab_runs.packing import unpack as read

    found = read(file, Store(folder))
    known = f", {found.known} were here" if found.known else ""
    click.echo(f"{found.study}: {found.added} runs added{known}")
    click.echo(f"lab compare {shell_name(found.study, folder)}")
