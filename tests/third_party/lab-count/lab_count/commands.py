"""``lab count``: the number of runs of a study."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["count"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def count(file: Path) -> None:
    """Count the runs of the study in FILE."""
    from lab.study.load import load_study

    study = load_study(file)
    arms, seeds = len(study.all_arms), len(study.seed_list)
    click.echo(f"{arms} arms, {seeds} seeds: {arms * seeds} runs")
