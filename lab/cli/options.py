"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

__all__ = ["SEED", "FiniteNumber", "OutputFile", "complete_study", "runs_option", "study_argument"]

SEED = click.IntRange(-(2**63), 2**63 - 1)
"""A seed: torch's generators take 64 bits."""


class FiniteNumber(click.FloatRange):
    """A number between bounds that is neither NaN nor infinite."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return super().convert(value, param, ctx)


class OutputFile(click.Path):
    """A file to write, in a folder that is there: told before the work whose result it is to hold."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The file."""
        path = super().convert(value, param, ctx)
        if not Path(str(path)).parent.is_dir():
            self.fail(f"there is no folder '{Path(str(path)).parent}'.", param, ctx)
        return path


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
