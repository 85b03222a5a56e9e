"""``lab sets``: sets of a trained run, and what it predicts for them."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.options import runs_option

__all__ = ["sets"]


@click.command(epilog="Example:  lab sets 3f2a --count 5")
@click.argument("key")
@click.option("--count", type=click.IntRange(min=1), default=3, show_default=True, help="Sets to show.")
@runs_option
def sets(key: str, count: int, folder: Path) -> None:
    """Show validation sets of the run KEY, their targets, and what the run predicts."""
    # torch is imported by the command, not by lab --help
    import torch

    from lab import load
    from lab.errors import LabError
    from lab_sets.data import NumberSets

    learner = load(key, folder)
    data = learner.data
    if not isinstance(data, NumberSets):
        raise LabError(f"run {key} was trained on {type(data).__name__}, not on sets", hint="lab runs lists others")
    examples = [data.valid[index] for index in range(min(count, len(data.valid)))]
    batch = data.collate(examples)
    learner.model.eval()
    with torch.no_grad():
        predicted = learner.model(batch.elements, batch.mask)
    for (elements, target), value in zip(examples, predicted.tolist(), strict=True):
        numbers = " ".join(f"{number:.2f}" for number in elements.tolist())
        click.echo(f"{{{numbers}}}  {float(target):.2f}, predicted {value:.2f}")
