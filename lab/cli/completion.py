"""Tab completion: paths of a study, metrics, kinds and names of components."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lab.registry.resolved import Component
    from lab.study.study import Study

__all__ = [
    "complete_arm",
    "complete_arms",
    "complete_component",
    "complete_kind",
    "complete_metric",
    "complete_path",
]


NO_METRICS = {
    "arm",
    "examples_per_second",
    "key",
    "parameters",
    "peak_memory_mb",
    "seconds",
    "seed",
    "status",
    "steps",
}
"""Columns of ``runs.csv`` that no comparison is asked for."""


def complete_kind(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a registry: ``architectures``."""
    from lab.cli.main import session_of

    return [name for name in session_of(ctx).catalog().registries if name.startswith(incomplete)]


def complete_component(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return the completion of names in one registry."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from lab.cli.main import session_of

        registry = session_of(ctx).catalog().registries.get(kind, ())
        return sorted(name for name in registry if name.startswith(incomplete))

    return complete


def complete_arms(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of several arms of a study file, separated by commas."""
    chosen, comma, start = incomplete.rpartition(",")
    study = _study(ctx)
    return [f"{chosen}{comma}{arm.name}" for arm in (study.arms if study else ()) if arm.name.startswith(start)]


def complete_arm(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete one arm of a study file, the base included."""
    study = _study(ctx)
    return [arm.name for arm in (study.all_arms if study else ()) if arm.name.startswith(incomplete)]


def complete_path(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the path of ``--set PATH=VALUE``, up to the next dot, and a component that may stand there."""
    study = _study(ctx)
    if study is None:
        return []
    place, equals, start = incomplete.partition("=")
    if equals:
        return [f"{place}={name}" for name in _choices(ctx, study, place) if name.startswith(start)]
    depth = incomplete.count(".")
    shown: dict[str, None] = {}
    for path in _paths(ctx, study):
        if path.startswith(incomplete):
            parts = path.split(".")
            shown[f"{path}=" if len(parts) == depth + 1 else f"{'.'.join(parts[: depth + 1])}."] = None
    return list(shown)


def complete_metric(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a metric of a finished study, or a column of a file of results."""
    # during completion the line is incomplete, and click leaves its arguments unparsed
    name = ctx.params.get("study") or next(iter(ctx.args), "")
    folder = Path(ctx.params.get("folder") or "runs")
    file = Path(name) if Path(name).is_file() else folder / Path(name).stem / "runs.csv"
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            columns = next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [column for column in columns if column.startswith(incomplete) and column not in NO_METRICS]


def _study(ctx: click.Context) -> Study | None:
    """Return the study in the file that the command line names; None if it cannot be read."""
    from lab.cli.main import session_of
    from lab.errors import LabError
    from lab.streams import stdout_to_stderr
    from lab.study.load import load_study

    file = ctx.params.get("file") or ctx.params.get("name") or next(iter(ctx.args), "")
    if not str(file).endswith(".py"):
        return None
    try:
        # what the file prints would be taken for an answer
        with stdout_to_stderr():
            return load_study(file, session_of(ctx).catalog())
    except (LabError, OSError):
        return None


def _paths(ctx: click.Context, study: Study) -> Iterator[str]:
    """Yield every path of a study's base: slots, values, and the parameters of chosen components."""
    import attrs

    from lab.cli.main import session_of
    from lab.study.experiment import TASK, Experiment

    resolved, _ = study.base.resolve(session_of(ctx).catalog())
    if isinstance(study.base, Experiment):
        yield from (field.name for field in attrs.fields(Experiment))
    for slot, content in resolved.slots.items() if resolved else ():
        for component in content if isinstance(content, list) else [content]:
            place = "" if slot == TASK else f"{slot}."
            yield from _parameters(component, f"{place}{component.alias}." if isinstance(content, list) else place)


def _parameters(component: Component, place: str) -> Iterator[str]:
    from lab.registry.resolved import Component

    for name, value in component.params.items():
        yield f"{place}{name}"
        if isinstance(value, Component):
            yield from _parameters(value, f"{place}{name}.")


def _choices(ctx: click.Context, study: Study, path: str) -> list[str]:
    """Return the components that may stand in a slot; nothing for a parameter."""
    import attrs

    from lab.cli.main import session_of
    from lab.study.experiment import Experiment

    field = attrs.fields_dict(Experiment).get(path)
    kind = field.metadata.get("kind") if field is not None and isinstance(study.base, Experiment) else None
    return [] if kind is None else sorted(session_of(ctx).catalog().registry(kind))
