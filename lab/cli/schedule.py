"""What ``lab show FILE`` says of a study, and its schedules drawn before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.errors import LabError

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.study import ResolvedArm, Study
    from lab.training.schedules import Curve

__all__ = ["describe_study", "show_schedule"]

POINTS = 400
"""So many steps at most are drawn in a terminal."""


def describe_study(study: Study, catalog: Catalog, where: str) -> str:
    """The question, the base's recipe, and how each arm differs from it; no data is read."""
    from lab.study.experiment import describe_value

    arms = study.resolve(catalog, where=where)
    recipe = arms[0].experiment
    lines = [study.question.strip(), "", f"{study.name}: {len(study.seed_list)} seeds, compared by {study.compare}", ""]
    for slot, content in recipe.slots.items():
        components = content if isinstance(content, list) else [content]
        lines.append(f"  {slot}: {', '.join(component.alias for component in components) or '–'}")
    lines += [f"  {name}: {describe_value(_plain(value))}" for name, value in recipe.values.items()]
    lines += ["", *(_difference(arm) for arm in arms)]
    return "\n".join(lines)


def _plain(value: object) -> object:
    from lab.registry.values import to_plain

    return to_plain(value)


def _difference(arm: ResolvedArm) -> str:
    from lab.study.experiment import describe_value

    changes = [f"{path}: {describe_value(old)} → {describe_value(new)}" for path, (old, new) in arm.difference.items()]
    return f"  arm {arm.name}" + "".join(f"\n      {change}" for change in changes)


def show_schedule(study: Study, catalog: Catalog, where: str, picture: Path | None) -> None:
    """Draw learning rate and momentum over the steps of every arm; arms with the same curves share a line.

    Raises:
        LabError: no arm has a schedule, or one does not fit into its run.
    """
    from lab.report.lines import draw_lines, plot_lines, save_figure

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
    if picture is not None:
        save_figure(plot_lines(rates, title=study.name, x="epoch", y="learning rate"), picture)
        click.echo(f"picture: {picture}")


def _curves(arms: list[ResolvedArm], catalog: Catalog) -> dict[str, tuple[float, Curve]]:
    """Names of arms → (epochs, curve), with the learning rates themselves instead of factors."""
    from lab.study.build import DataCache
    from lab.study.preflight import learner_of_arm
    from lab.training.schedules import Schedule, combined

    cache = DataCache()
    found: dict[str, tuple[float, Curve]] = {}
    for arm in arms:
        learner = learner_of_arm(arm, catalog, cache=cache)
        schedules = [callback for callback in learner.callbacks if isinstance(callback, Schedule)]
        if not schedules:
            continue
        rate = learner.optimizer.param_groups[-1]["initial_lr"]
        curve = combined(schedules, learner.position.steps, learner.position.batches)
        drawn = (float(learner.position.epochs), curve._replace(factors=[rate * factor for factor in curve.factors]))
        same = next((name for name, other in found.items() if other == drawn), None)
        if same is not None:
            found[f"{same}, {arm.name}"] = found.pop(same)
        else:
            found[arm.name] = drawn
    return found


def _line(epochs: float, values: list[float]) -> tuple[list[float], list[float]]:
    return [epochs * step / max(len(values), 1) for step in range(len(values))], values


def _thin(lines: dict[str, tuple[list[float], list[float]]]) -> dict[str, tuple[list[float], list[float]]]:
    """Few enough points for a terminal."""
    return {name: (xs[:: 1 + len(xs) // POINTS], ys[:: 1 + len(ys) // POINTS]) for name, (xs, ys) in lines.items()}
