"""Command ``lab data``: list corpora and download them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lab_text.corpora import Corpus

__all__ = ["data"]

_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data directory (default: LAB_DATA, or the platform's place for caches).",
)


@click.group(invoke_without_command=True)
@_DATA_DIR
@click.pass_context
def data(context: click.Context, data_dir: Path | None) -> None:
    """List corpora: files present, sources, download sizes."""
    _choose(data_dir)
    if context.invoked_subcommand is None:
        _print_table()


def _choose(data_dir: Path | None) -> None:
    """Set LAB_DATA for this process from the option."""
    if data_dir is not None:
        # The environment, because corpora of plugins read it, too.
        os.environ["LAB_DATA"] = str(data_dir)


@data.command()
@click.argument("name")
@_DATA_DIR
def get(name: str, data_dir: Path | None) -> None:
    """Download the corpus NAME from its publisher; resumes an interrupted download."""
    # Imported on use: `lab --help` lists this command without loading it.
    from lab_text.corpora import data_folder, find_corpus
    from lab_text.download import fetch_corpus

    _choose(data_dir)
    corpus = find_corpus(name)
    click.echo(f"{corpus.name}: {corpus.title}\n  license: {corpus.license}\n  from {corpus.publisher}")
    if corpus.note:
        click.echo(f"  note: {corpus.note}")
    for done in fetch_corpus(corpus):
        click.echo(f"  {done.path}  sha256 {done.sha256}  {_ORIGINS[done.origin]}")
    click.echo(f"in {data_folder()}")


_ORIGINS = {"there": "already here", "checked": "verified", "recorded": "recorded, required from now on"}


def _print_table() -> None:
    from lab_text.corpora import data_folder, known_corpora

    corpora = known_corpora()
    languages = {name: " ".join(corpus.languages) for name, corpus in corpora.items()}
    first, second = (max(map(len, column), default=0) + 2 for column in (languages, languages.values()))
    for name, corpus in sorted(corpora.items()):
        click.echo(f"{click.style(f'{name:<{first}}', bold=True)}{languages[name]:<{second}}{_state(corpus)}")
        click.echo(f"  {corpus.title}\n  {corpus.license}; {corpus.publisher}\n")
    click.echo(f"data directory: {data_folder()}   (fetch with: lab data get NAME)")


def _state(corpus: Corpus) -> str:
    """Return the state of a corpus: ``here (1.9 MB)``, ``absent (2.6 GB to fetch)``."""
    from lab_text.corpora import status

    if not corpus.files:
        return "built in, generated when used"
    state = status(corpus)
    figures = [f"{_size(state.bytes_here)} on disk"] if state.present else []
    if state.missing:
        figures.append(f"{_size(state.bytes_to_fetch)} to fetch" if state.bytes_to_fetch else "download size unknown")
    return f"{state.word} ({', '.join(figures)})"


def _size(count: int) -> str:
    """Return a number of bytes as text: ``3.4 MB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
