"""``lab tensorboard``: the runs of a study in TensorBoard, under their own names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import runs_option, study_argument, variant_option
from lab.errors import LabError

__all__ = ["events_of", "link_events", "tensorboard"]


@click.command(epilog="Examples:  lab tensorboard bidir_vs_attn  ·  lab tensorboard bidir_vs_attn --port 7007")
@study_argument
@variant_option
@click.option("--port", type=click.IntRange(1, 65535), default=6006, show_default=True, help="Of the page.")
@click.option("--host", default="localhost", show_default=True, help="0.0.0.0 serves other machines too.")
@runs_option
@click.pass_obj
def tensorboard(session: Session, study: str, variant: str, port: int, host: str, folder: Path) -> int:
    """Open the runs of STUDY in TensorBoard, each once and named after its arm and seed; Ctrl-C ends it.

    The runs need the callback `tensorboard`. It may be added to a finished study: no run is trained again for it.
    """
    from lab.study.record import read_study
    from lab.study.store import Store

    store = Store(folder)
    record = read_study(store, study, variant)
    events = events_of({f"{run.arm}/seed {run.seed}": run.folder for run in record.results(store).runs})
    if not events:
        raise LabError(
            f"no run of '{study}' has events",
            where=str(folder),
            hint="add it to the study's callbacks: callbacks=[..., 'tensorboard']; no finished run is trained again",
        )
    with tempfile.TemporaryDirectory(prefix="lab-tensorboard-") as links:
        link_events(Path(links), events)
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", links, "--port", str(port), "--host", host]
        click.echo(f"{len(events)} runs at http://{host}:{port}; Ctrl-C ends it")
        try:
            return subprocess.call(command)
        except KeyboardInterrupt:
            return 0


def events_of(runs: Mapping[str, Path]) -> dict[str, Path]:
    """Return name → folder of events, for runs that have any."""
    folders = {name: folder / "artefacts" / "tensorboard" for name, folder in runs.items()}
    return {name: folder for name, folder in folders.items() if any(folder.glob("*tfevents*"))}


def link_events(root: Path, events: Mapping[str, Path]) -> None:
    """Make a folder per name, with links to its events; TensorBoard names runs after folders.

    Where the system permits no links, as Windows may, the events are copied.
    """
    from lab_basics.tensorboard import folder_name

    for name, folder in events.items():
        place = root.joinpath(*map(folder_name, name.split("/")))
        place.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*tfevents*"):
            try:
                os.symlink(file.resolve(), place / file.name)
            except OSError:
                shutil.copyfile(file, place / file.name)
