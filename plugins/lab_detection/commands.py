"""The command ``lab detect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lab.cli.main import Session
from lab.cli.options import OutputFile, loading_options, runs_option, warn
from lab.errors import ParameterError

__all__ = ["detect"]


@click.command(
    epilog="""Examples:

\b
  lab detect 3f9a2c picture.jpg
  lab detect 3f9a2c picture.jpg --least 0.5 -o out.png

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
@click.argument("key")
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OutputFile(), default=None, help="Picture with boxes: .png, .jpg, .pdf, .svg.")
@click.option("--least", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="Least score.")
@click.option(
    "--proposals",
    "given",
    type=click.Path(path_type=Path),
    default=None,
    help="File with regions of the picture, for a detector that classifies given ones.",
)
@runs_option
@loading_options
@click.pass_obj
def detect(
    session: Session,
    key: str,
    picture: Path,
    output: Path | None,
    least: float,
    given: Path | None,
    folder: Path,
    **loading: Any,
) -> None:
    """Detect the objects of PICTURE with the finished run KEY: class, score and corners in pixels."""
    import numpy as np
    import torch

    from lab.study.rebuild import load
    from lab_detection.detect import detect as find
    from lab_detection.pictures import decode_picture, read_bytes
    from lab_detection.plots import FORMATS, Shown, file_of_boxes
    from lab_detection.proposals import of_picture

    if output is not None and output.suffix.lower() not in FORMATS:
        raise ParameterError(f"unknown format '{output.suffix}'", where=str(output), hint=", ".join(FORMATS))
    learner = load(key, folder, catalog=session.catalog(), warn=warn, **loading)
    pixels, size = decode_picture(read_bytes(picture), None, str(picture), upright=True)
    height, width = size
    proposals = None if given is None else torch.from_numpy(of_picture(given, picture.name, size))
    found = find(learner, picture, least=least, proposals=proposals)
    for each in found:
        left, top, right, bottom = (round(v * s) for v, s in zip(each["box"], (width, height) * 2, strict=True))
        click.echo(f"{each['score']:.3f}  {each['class']}  {left} {top} {right} {bottom}")
    if not found:
        click.echo(f"no object with a score of at least {least:g}", err=True)
    if output is not None:
        names: tuple[str, ...] = learner.data.class_names  # type: ignore[attr-defined]
        shown = Shown(
            torch.from_numpy(pixels / 255),
            np.zeros((0, 5)),
            np.array([names.index(each["class"]) for each in found], int),
            np.array([each["score"] for each in found]),
            np.array([each["box"] for each in found]).reshape(-1, 4),
        )
        output.write_bytes(file_of_boxes(shown, names, FORMATS[output.suffix.lower()]))
