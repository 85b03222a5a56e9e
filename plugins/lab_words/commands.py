"""The commands ``lab words similar``, ``analogy`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lab.cli.main import Session
from lab.cli.options import OutputFile, loading_options, runs_option, warn

__all__ = ["words"]


@click.group(
    epilog="""Examples:

\b
  lab words similar 3f9a2c chip
  lab words analogy 3f9a2c man woman son
  lab words export 3f9a2c vectors.vec

`lab runs` and runs.csv list the keys of runs; their first digits are enough.
"""
)
def words() -> None:
    """Neighbors, analogies and export of trained word vectors."""


def _trained(session: Session, key: str, folder: Path, **loading: Any) -> tuple[Any, Any]:
    """Return the vocabulary and the vectors (V, D) of a finished run."""
    from lab.errors import LabError
    from lab.study.rebuild import load

    learner = load(key, folder, catalog=session.catalog(), warn=warn, **loading)
    if not hasattr(learner.model, "vectors") or not hasattr(learner.data, "vocab"):
        raise LabError(f"run {key} has no word vectors", hint="name a run of the architecture word_vectors")
    return learner.data.vocab, learner.model.vectors().float().cpu().numpy()


@words.command()
@click.argument("key")
@click.argument("word")
@click.argument("other", required=False)
@click.option("-n", "--count", type=click.IntRange(1), default=5, show_default=True, help="Number of neighbors.")
@runs_option
@loading_options
@click.pass_obj
def similar(session: Session, key: str, word: str, other: str | None, count: int, folder: Path, **loading: Any) -> None:
    """Print the nearest words of WORD, or its cosine and correlation with OTHER."""
    from lab_words.evaluation import correlation, nearest, unit_rows

    vocab, vectors = _trained(session, key, folder, **loading)
    if other is None:
        for name, cosine in nearest(vocab, vectors, word, count):
            click.echo(f"{cosine:6.3f}  {name}")
        return
    first, second = unit_rows(vectors)[[vocab.id(word), vocab.id(other)]]
    click.echo(f"cosine {first @ second:.3f}, correlation {correlation(vocab, vectors, word, other):.3f}")


@words.command()
@click.argument("key")
@click.argument("a")
@click.argument("b")
@click.argument("c")
@click.option("-n", "--count", type=click.IntRange(1), default=3, show_default=True, help="Number of answers.")
@click.option(
    "--method", type=click.Choice(["add", "multiply"]), default="add", show_default=True, help="3CosAdd or 3CosMul."
)
@runs_option
@loading_options
@click.pass_obj
def analogy(
    session: Session, key: str, a: str, b: str, c: str, count: int, method: Any, folder: Path, **loading: Any
) -> None:
    """Print the words that are to C as B is to A."""
    from lab_words.evaluation import solve

    vocab, vectors = _trained(session, key, folder, **loading)
    for name, score in solve(vocab, vectors, a, b, c, count=count, method=method):
        click.echo(f"{score:6.3f}  {name}")


@words.command()
@click.argument("key")
@click.argument("output", type=OutputFile())
@runs_option
@loading_options
@click.pass_obj
def export(session: Session, key: str, output: Path, folder: Path, **loading: Any) -> None:
    """Write the vectors to OUTPUT: .vec (text), .bin (word2vec's binary format) or .safetensors."""
    from lab_words.export import export_vectors

    vocab, vectors = _trained(session, key, folder, **loading)
    export_vectors(vocab.words, vectors, Path(output))
    click.echo(f"{len(vocab):,} vectors of width {vectors.shape[1]}: {output}", err=True)
