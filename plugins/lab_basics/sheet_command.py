"""``lab sheet``: a training batch as the model sees it, as a sheet of pictures or a table."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.errors import LabError
from lab_basics.batch_table import batch_table, first_batch, layout

__all__ = ["sheet"]


@click.command(
    epilog="""Examples:

\b
  lab sheet experiments/augment_or_not.py
  lab sheet experiments/bidir_vs_attn.py -n 3
  lab sheet experiments/ssd_or_two_stages.py --set callbacks.augment_objects.mosaic=0.5 -o batch.png
"""
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Change the base.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The PNG file; default: FILE's name + -batch.png."
)
@click.option("--arm", default=None, help="The arm; default: the base.")
@click.option(
    "-n", "--count", type=click.IntRange(1), default=8, show_default=True, help="Number of examples in a table."
)
@click.pass_obj
def sheet(
    session: Session,
    file: Path,
    assignments: tuple[str, ...],
    output: Path | None,
    arm: str | None = None,
    count: int = 8,
) -> None:
    """Show the first training batch of FILE, after augmentation.

    Pictures are drawn with their classes, boxes or masks, other data is printed as a table of decoded examples. Nothing
    is trained. The data says itself what a batch shows: with a method draw_batch(batch) that returns a figure of
    matplotlib, or batch_table(batch, count) that returns rows of cells; of others, shapes and first values are printed.
    """
    from lab.study.build import DataCache, build_learner
    from lab.study.experiment import Task
    from lab.study.load import load_study, override
    from lab_basics.lines import save_figure

    catalog, where = session.catalog(), str(file)
    study = override(load_study(file, catalog), assignments, catalog, where=where)
    if isinstance(study.base, Task):
        raise LabError("a training function has no batches that could be drawn", where=where)
    arms = {each.name: each for each in study.resolve(catalog, where=where)}
    chosen = next(iter(arms)) if arm is None else arm
    if chosen not in arms:
        raise LabError(f"there is no arm '{chosen}'", where=where, hint=f"arms: {', '.join(arms)}")
    experiment = arms[chosen].experiment
    data = DataCache().get(experiment.component("dataset"))
    draw = getattr(data, "draw_batch", None)
    if draw is None and output is not None:
        raise LabError(f"{type(data).__name__} has no pictures", where=where, hint="without -o, a table is printed")
    learner = build_learner(experiment, data, seed=0, catalog=catalog)
    if draw is None:
        click.echo(layout(batch_table(data, first_batch(learner), count)))
        return
    path = output or Path(f"{file.stem}-batch.png")
    save_figure(draw(first_batch(learner)), path)
    click.echo(f"picture: {path}")
