"""The command ``lab generate``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import SEED, FiniteNumber, loading_options, runs_option, warn

__all__ = ["generate"]

MAX_LENGTH = 10_000_000
"""More tokens than a network generates in a day."""


@click.command(
    epilog="""Examples:

\b
  lab generate 3f9a2c --prompt "for thos"
  lab generate 3f9a2c --prompt "the " --length 1000 --temperature 0.5
  lab generate 3f9a2c --greedy

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
@click.argument("key")
@runs_option
@click.option("--prompt", default="the ", show_default=True, help="Start of the text.")
@click.option(
    "--length",
    type=click.IntRange(0, MAX_LENGTH),
    default=400,
    show_default=True,
    help="Number of generated tokens: characters, words or subwords.",
)
@click.option(
    "--temperature",
    type=FiniteNumber(min=0, min_open=True),
    default=0.8,
    show_default=True,
    help="Divides the logits; below 1 the distribution is sharper.",
)
@click.option("--top-k", type=click.IntRange(1), help="Sample from the K most likely tokens.")
@click.option(
    "--top-p",
    type=FiniteNumber(min=0, min_open=True, max=1),
    help="Sample from the most likely tokens with this total probability.",
)
@click.option("--greedy", is_flag=True, help="Always take the most likely token.")
@click.option("--beam", type=click.IntRange(1), help="Width of a beam search for the most likely text.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the sampling.")
@loading_options
@click.pass_obj
def generate(
    session: Session,
    key: str,
    folder: Path,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    greedy: bool,
    beam: int | None,
    seed: int,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Generate text with the model of the finished run KEY."""
    from lab.study.rebuild import load
    from lab_text.generation import generate as generate_text

    learner = load(
        key, folder, catalog=session.catalog(), file=file, stored_source=stored_source, anyway=anyway, warn=warn
    )
    click.echo(
        generate_text(
            learner,
            prompt,
            length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            greedy=greedy,
            beam=beam,
            seed=seed,
        )
    )
