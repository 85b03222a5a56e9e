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
  lab recommend 3f9a2c --rated "Casablanca=5" --rated "Vertigo=3.5"

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
@click.argument("key")
@click.option("--user", help="Recommend items that this user has not rated.")
@click.option("--like", multiple=True, metavar="TITLE", help="Recommend items similar to this one; may be repeated.")
@click.option(
    "--about", multiple=True, metavar="FEATURE", help="A feature of a new user, for hybrids; may be repeated."
)
@click.option("--rated", multiple=True, metavar="TITLE=RATING", help="A rating of a new user; may be repeated.")
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
    rated: tuple[str, ...],
    count: int,
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Recommend items with the finished run KEY, for a user, liked items, or a new user's features or ratings."""
    from lab.study.rebuild import load
    from lab_collab.recommend import recommend as find

    learner = load(
        key, folder, catalog=session.catalog(), file=file, stored_source=stored_source, anyway=anyway, warn=warn
    )
    for each in find(learner, user, like=like, about=about, rated=_ratings_of(rated), count=count):
        click.echo(f"{each.score:6.2f}  {each.title}  ({each.item})")


def _ratings_of(texts: tuple[str, ...]) -> dict[str, float]:
    """Return title → rating of texts such as ``Casablanca=5``."""
    found = {}
    for text in texts:
        title, sign, rating = text.rpartition("=")
        try:
            found[title] = float(rating)
        except ValueError:
            sign = ""
        if not (sign and title):
            raise click.BadParameter(f"'{text}' is not of the form TITLE=RATING", param_hint="--rated")
    return found
