"""Options shared by several commands."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from lab.study.record import StudyRecord
    from lab.study.results import Results

__all__ = [
    "SEED",
    "FiniteNumber",
    "OutputFile",
    "complete_study",
    "loading_options",
    "report_damage",
    "report_variants",
    "runs_option",
    "study_argument",
    "variant_option",
    "warn",
]

SEED = click.IntRange(-(2**63), 2**63 - 1)
"""A seed: torch's generators take 64 bits."""


class FiniteNumber(click.FloatRange):
    """Finite number between bounds."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = click.FLOAT.convert(value, param, ctx)
        # NaN passes every range check, since all comparisons with it are false
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return super().convert(value, param, ctx)


class OutputFile(click.Path):
    """File to write, in an existing folder: checked before the work whose result it will hold."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
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
    """Complete the name of a study in the folder of runs."""
    folder = Path(ctx.params.get("folder") or "runs")
    return sorted(path.parent.name for path in folder.glob("*/study.json") if path.parent.name.startswith(incomplete))


study_argument = click.argument("study", shell_complete=complete_study)


def _complete_variant(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a variant of the study on the command line; the help shows the settings in which it differs."""
    from lab.errors import StoreError
    from lab.study.variants import all_variants, labels, read_content

    # during completion the line is incomplete, and click leaves its arguments unparsed
    study = ctx.params.get("study") or next(iter(ctx.args), "")
    try:
        every = all_variants(read_content(Path(ctx.params.get("folder") or "runs") / Path(study).stem))
    except (OSError, StoreError):
        return []
    return [CompletionItem(name, help=label) for name, label in labels(every).items() if name.startswith(incomplete)]


variant_option = click.option(
    "--variant",
    default="",
    metavar="NAME",
    shell_complete=_complete_variant,
    help="Of several variants of the study (other settings, arms or seeds), this one; else the one run last.",
)


def loading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that build a run again from its record: ``file``, ``stored_source``, ``anyway``."""
    options = (
        click.option(
            "--file", type=click.Path(path_type=Path), help="The study's file, for components that are written in it."
        ),
        click.option(
            "--stored-source",
            is_flag=True,
            help="Import the study's file as the store keeps it. This runs code that comes with the store.",
        ),
        click.option(
            "--anyway", is_flag=True, help="Continue although code, data or packages differ; prints the differences."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def warn(text: str) -> None:
    """Print a message to stderr, apart from the output of a command."""
    click.echo(f"lab: {text}", err=True)


def report_variants(record: StudyRecord) -> None:
    """Print which variant of a study was shown, if it has several."""
    if record.others:
        which = "the variant run last" if record.is_last else "a variant"
        others = "".join(f"\n  --variant {name}  {label}" for name, label in record.others.items())
        click.echo(f"{which} of {len(record.others) + 1}: {record.variant}  {record.label}{others}", err=True)


def report_damage(results: Results) -> None:
    """Print the runs that are left out because their files are damaged."""
    for run in results.damaged:
        lines = run.result["error"].splitlines()
        click.echo(f"left out: {run.arm}, seed {run.seed} (run {run.key}): {lines[0]}", err=True)
        click.echo("".join(f"  {line.strip()}\n" for line in lines[1:]), err=True, nl=False)
