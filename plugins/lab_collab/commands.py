"""The command ``lab recommend``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import loading_options, runs_option, warn

__all__ = ["recommend"]


@click.command(
    epilog="""Examples:

\b
  lab recommend 3f9a2c --user 14
  lab recommend 3f9a2c --like "Casablanca" --like "Vertigo" -n 5
  lab recommend 3f9a2c --about "age from 20" --about F

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
@click.argument("key")
@click.option("--user", help="Recommend items that this user has not rated.")
@click.option("--like", multiple=True, metavar="TITLE", help="Recommend items similar to this one; may be repeated.")
@click.option(
    "--about", multiple=True, metavar="FEATURE", help="A feature of a new user, for hybrids; may be repeated."
)
@click.option("-n", "--count", type=click.IntRange(1), default=10, show_default=True, help="Number of items.")
@runs_option
@loading_options
@click.pass_obj
def recommend(
    session: Session,
    key: str,
    user: str | None,
    like: tuple[str, ...],
    about: tuple[str, ...],
    count: int,
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Recommend items with the finished run KEY, for a user, for liked items, or for a new user's features."""
    from lab.study.rebuild import load
    from lab_collab.recommend import recommend as find

    learner = load(
        key, folder, catalog=session.catalog(), file=file, stored_source=stored_source, anyway=anyway, warn=warn
    )
    for each in find(learner, user, like=like, about=about, count=count):
        click.echo(f"{each.score:6.2f}  {each.title}  ({each.item})")
