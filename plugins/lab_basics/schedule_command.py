"""``lab schedule``: the learning rates of a study, drawn before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.cli.completion import complete_path
from lab.cli.main import Session
from lab.errors import LabError

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.build import DataCache
    from lab.study.study import Arm
    from lab.training.learner import Learner
    from lab.training.schedules import Curve

__all__ = ["schedule"]

POINTS = 400
"""Maximum number of steps that are drawn in a terminal."""


@click.command(
    epilog="""Examples:

\b
  lab schedule experiments/sgdr_vs_constant.py
  lab schedule experiments/sgdr_vs_constant.py --set epochs=4 -o rates.png
"""
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=complete_path,
    help="Change the base.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write them as a picture, too.")
@click.pass_obj
def schedule(session: Session, file: Path, assignments: tuple[str, ...], output: Path | None) -> None:
    """Draw learning rate and momentum over the steps of every arm of FILE, before anything is trained.

    Arms with the same curves share a line; the base, and arms without a schedule, are drawn too.
    """
    from lab.study.experiment import Task
    from lab.study.load import load_study, override
    from lab_basics.lines import draw_lines, plot_lines, save_figure

    catalog, where = session.catalog(), str(file)
    study = override(load_study(file, catalog), assignments, catalog, where=where)
    if isinstance(study.base, Task):
        raise LabError("a training function has no schedule that could be drawn", where=where)
    curves = _curves(study.resolve(catalog, where=where), catalog)
    if not curves:
        raise LabError("no arm has a schedule", where=where, hint="the learning rate stays as it is: lr")
    rates = {name: _line(epochs, curve.factors) for name, (epochs, curve) in curves.items()}
    click.echo(draw_lines(_thin(rates), title="learning rate", x="epoch"))
    momenta = {
        name: _line(epochs, [value for value in curve.momenta if value is not None])
        for name, (epochs, curve) in curves.items()
        if all(value is not None for value in curve.momenta)
    }
    if momenta:
        click.echo(draw_lines(_thin(momenta), title="momentum", x="epoch"))
    if output is not None:
        save_figure(plot_lines(rates, title=study.name, x="epoch", y="learning rate"), output)
        click.echo(f"picture: {output}")


def _curves(arms: list[Arm], catalog: Catalog) -> dict[str, tuple[float, Curve]]:
    """Return (epochs, curve) by the names of arms, with learning rates instead of factors; none without a schedule."""
    from lab.study.build import DataCache
    from lab.training.schedules import Curve, Schedule, combined

    cache, has_schedule = DataCache(), False
    found: dict[str, tuple[float, Curve]] = {}
    for arm in arms:
        learner = _learner_of_arm(arm, catalog, cache)
        schedules = [callback for callback in learner.callbacks if isinstance(callback, Schedule)]
        has_schedule |= bool(schedules)
        for each in schedules:
            # a schedule may ask for the rate that it moves
            each.check(learner)
        rate, steps = learner.optimizer.param_groups[-1]["initial_lr"], learner.position.steps
        # what is compared with stays in the picture, though its rate never moves
        constant = Curve([1.0] * steps, [None] * steps)
        curve = combined(schedules, steps, learner.position.batches) if schedules else constant
        drawn = (float(learner.position.epochs), curve._replace(factors=[rate * factor for factor in curve.factors]))
        same = next((name for name, other in found.items() if other == drawn), None)
        if same is not None:
            found[f"{same}, {arm.name}"] = found.pop(same)
        else:
            found[arm.name] = drawn
    return found if has_schedule else {}


def _learner_of_arm(arm: Arm, catalog: Catalog, cache: DataCache) -> Learner:
    """Return the learner of an arm at the start of a run, with the length of the run; nothing is written.

    Raises:
        LabError: the data cannot be had, or a component cannot be built.
    """
    from lab.study.build import build_learner

    data = cache.get(arm.experiment.component("dataset"))
    learner = build_learner(arm.experiment, data, seed=0, catalog=catalog)
    learner.expect(arm.experiment.values["epochs"])
    return learner


def _line(epochs: float, values: list[float]) -> tuple[list[float], list[float]]:
    return [epochs * step / max(len(values), 1) for step in range(len(values))], values


def _thin(lines: dict[str, tuple[list[float], list[float]]]) -> dict[str, tuple[list[float], list[float]]]:
    """Thin out a curve for a terminal."""
    return {name: (xs[:: 1 + len(xs) // POINTS], ys[:: 1 + len(ys) // POINTS]) for name, (xs, ys) in lines.items()}
