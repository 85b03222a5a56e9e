"""The command ``lab export``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import OutputFile, loading_options, runs_option, warn

__all__ = ["export"]


@click.command(
    epilog="""Examples:

\b
  lab export 3f9a2c
  lab export 3f9a2c --format onnx -o model.onnx
  lab export 3f9a2c --format torchscript --batch-size 1000

Read them by torch.export.load(FILE).module(), onnxruntime.InferenceSession(FILE), torch.jit.load(FILE).
"""
)
@click.argument("key")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["torch_export", "onnx", "torchscript"]),
    default="torch_export",
    show_default=True,
    help="Format of the file; onnx needs the extra onnx.",
)
@click.option("-o", "--output", type=OutputFile(), help="File to write; default: KEY.pt2, KEY.onnx or KEY.pt.")
@click.option(
    "--batch-size",
    type=click.IntRange(2),
    default=8,
    show_default=True,
    help="Examples in the batch that is traced; where sizes stay fixed, the file takes batches of this size.",
)
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="valid", help="Where example batches come from."
)
@runs_option
@loading_options
@click.pass_obj
def export(
    session: Session,
    key: str,
    kind: str,
    output: Path | None,
    batch_size: int,
    split: str,
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Export the model of the finished run KEY, for programs without lab.

    The file is read again, and its outputs are compared with the model's on two batches of different sizes; it is
    written only if they are equal. It holds the model alone: prepare inputs as the dataset of the run does.
    """
    from lab.study.rebuild import finished_run, load
    from lab.study.store import Store
    from lab_basics.exporting import SUFFIXES, export_model

    full = finished_run(Store(folder), key).key
    learner = load(
        full, folder, catalog=session.catalog(), file=file, anyway=anyway, stored_source=stored_source, warn=warn
    )
    path = output or Path(f"{full[:12]}{SUFFIXES[kind]}")
    made = export_model(learner, path, kind, split=split, batch_size=batch_size)  # type: ignore[arg-type]
    click.echo(f"{made.path}: {made.path.stat().st_size / 1024:,.0f} kB, {made.format}")
    click.echo(f"inputs: {', '.join(made.inputs)}")
    sizes = " and ".join(str(size) for size in made.compared)
    click.echo(f"outputs equal those of the run in batches of {sizes}: largest difference {made.difference:.2g}")
    if not made.other_sizes:
        click.echo(f"note: it takes batches of {batch_size} examples only: {made.reason}")
