"""Command ``lab search``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import OutputFile, loading_options, runs_option, warn

__all__ = ["search"]


@click.command(
    epilog="""Examples:

\b
  lab search 3f9a2c --text boat --text sail -n 9 -o sheet.png
  lab search 3f9a2c --image holiday.jpg
  lab search 3f9a2c --image holiday.jpg --among images -o alike.png

`lab runs` and runs.csv list the keys of runs; the first digits are enough.
"""
)
@click.argument("key")
@click.option("--text", multiple=True, metavar="WORD", help="Search for this word; repeat to average several.")
@click.option("--image", type=click.Path(path_type=Path), help="Search by this image.")
@click.option("--among", type=click.Choice(["images", "classes", "words"]), help="What to search.")
@click.option("-n", "--count", type=click.IntRange(1), default=9, show_default=True, help="Number of results.")
@click.option("-o", "--output", type=OutputFile(), help="Write the images as one PNG.")
@runs_option
@loading_options
@click.pass_obj
def search(
    session: Session,
    key: str,
    text: tuple[str, ...],
    image: Path | None,
    among: str | None,
    count: int,
    output: Path | None,
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Search with the finished run KEY: images by words, words by an image, images by an image."""
    from lab.errors import LabError
    from lab.files import atomic_path
    from lab.study.rebuild import load
    from lab_devise.page import sheet
    from lab_devise.search import search as find

    learner = load(
        key, folder, catalog=session.catalog(), file=file, stored_source=stored_source, anyway=anyway, warn=warn
    )
    found = find(learner, text, image=image, among=among, count=count)  # type: ignore[arg-type]
    for each in found:
        place = "" if each.picture is None else f"  (image {each.picture})"
        click.echo(f"{each.similarity:5.2f}  {each.name}{place}")
    if output is not None:
        pictures = [each.picture for each in found if each.picture is not None]
        if not pictures:
            raise LabError("-o needs images, and the results are words", hint="--among images")
        with atomic_path(output) as path:
            path.write_bytes(sheet(learner.data, pictures, [f"{each.name} {each.similarity:.2f}" for each in found]))
        click.echo(f"{len(pictures)} images: {output}", err=True)
