"""The command ``lab find-lr``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.main import Session

if TYPE_CHECKING:
    from lab.training.finder import LearningRates

__all__ = ["find_lr"]


@click.command(
    "find-lr",
    epilog="""Examples:

\b
  lab find-lr experiments/bidir_vs_attn.py
  lab find-lr experiments/bidir_vs_attn.py --arm additive -o sweep.png
""",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--arm", default="base", show_default=True, help="Whose learner is swept.")
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="Change the base: batch_size=32.")
@click.option("--start", default=1e-7, show_default=True, help="The first learning rate.")
@click.option("--end", default=10.0, show_default=True, help="The last learning rate.")
@click.option("--steps", default=100, show_default=True, help="Training steps of the sweep.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights and batches.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the plot as a picture: sweep.png.")
@click.pass_obj
def find_lr(
    session: Session,
    file: Path,
    arm: str,
    assignments: tuple[str, ...],
    start: float,
    end: float,
    steps: int,
    seed: int,
    output: Path | None,
) -> None:
    """Find a learning rate for an arm of the study in FILE: a short training in which the rate rises.

    Nothing is kept of the training. Where the loss falls fastest, and the middle of its longest fall, are marked.
    """
    from lab.report.lines import save_figure
    from lab.study.build import learner_of_arm
    from lab.study.load import load_study, override

    catalog = session.catalog()
    study = override(load_study(file, catalog), assignments, catalog, where=str(file)).select([arm])
    chosen = next(each for each in study.resolve(catalog, where=str(file)) if each.name == arm)
    learner = learner_of_arm(chosen, catalog, seed=seed)
    found = learner.find_lr(start=start, end=end, steps=steps)
    click.echo(_drawing(found, f"{study.name}, arm {arm}"))
    click.echo(found)
    click.echo(f"try them:  lab run {file} --set lr={found.valley:.1e}  (or {found.steepest:.1e})")
    if output is not None:
        save_figure(found.plot(), output)
        click.echo(f"picture: {output}")


def _drawing(found: LearningRates, title: str) -> str:
    from lab.report.lines import draw_lines

    return draw_lines(
        {"smoothed loss": (found.rates, found.losses)},
        title=title,
        x="learning rate",
        log_x=True,
        marks={"steepest": found.steepest, "valley": found.valley},
        y_range=found.shown_losses(),
    )
