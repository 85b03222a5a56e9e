"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["complete_study", "runs_option", "study_argument"]

runs_option = click.option(
    "--runs",
    "folder",
    type=click.Path(path_type=Path),
    envvar="LAB_RUNS",
    default="runs",
    show_default=True,
    help="Folder of runs.",
)


def complete_study(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the studies in the folder of runs."""
    folder = Path(ctx.params.get("folder") or "runs")
    return sorted(path.parent.name for path in folder.glob("*/study.json") if path.parent.name.startswith(incomplete))


study_argument = click.argument("study", shell_complete=complete_study)
