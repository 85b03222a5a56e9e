"""``lab figures``: all pictures of a study as files."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import runs_option, study_argument, variant_option, warn

__all__ = ["figures"]


@click.command(
    epilog="""Examples:

\b
  lab figures bidir_vs_attn -o slides
  lab figures bidir_vs_attn -o paper --format pdf
  lab figures bidir_vs_attn -o talk --format svg --theme dark
"""
)
@study_argument
@variant_option
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="The folder to write into."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["png", "svg", "pdf"]),
    help="Of charts and drawings; repeatable, all three unless given.",
)
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Colors.")
@runs_option
@click.pass_obj
def figures(
    session: Session, study: str, variant: str, output: Path, formats: tuple[str, ...], theme: str, folder: Path
) -> int:
    """Write all pictures of STUDY as files: the charts of its report, those of its sections, and those of its runs.

    Files are named after what they show: differences-valid_loss.pdf, curves-valid_accuracy.svg, and
    ARM-seed-0-NAME.png for pictures that a run left, which are copied. Charts need the extra figures:
    pip install 'lab-ablation[figures]'.
    """
    from lab.errors import LabError
    from lab.report.section import sections_of
    from lab.study.record import read_study
    from lab.study.store import Store
    from lab_report.figures import FORMATS, converter, pictures_of, write_pictures

    store = Store(folder)
    record = read_study(store, study, variant)
    results = record.results(store)
    if not any(run.status == "finished" for run in results.runs):
        this = f", variant {record.variant}," if record.others else ""
        others = "".join(f"\nor another variant: --variant {other}" for other in record.others)
        raise LabError(
            f"no run of '{study}'{this} is finished, so there is nothing to draw", hint="lab run FILE goes on" + others
        )
    pictures, draw = pictures_of(results, sections_of(results, session.catalog())), converter()
    written = write_pictures(pictures, output, formats or FORMATS, theme, draw)
    for path in written:
        click.echo(path)
    if draw is None:
        missing = [picture.name for picture in pictures if picture.chart is not None]
        warn(
            f"left out, since they need vl-convert: {', '.join(missing)}, and drawings as PNG and PDF\n"
            "  pip install 'lab-ablation[figures]'"
        )
        return 1
    return 0
