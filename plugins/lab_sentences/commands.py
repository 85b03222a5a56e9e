"""The command ``lab classify``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.main import Session
from lab.cli.options import loading_options, runs_option, warn

__all__ = ["classify"]


@click.command(
    epilog="""Examples:

\b
  lab classify 3f9a2c "this movie is great"
  lab classify 3f9a2c "this movie is great" "so bad"
  lab classify 3f9a2c "he is good ." "he is bad ."      (a pair, if the run is on pairs)

`lab runs` and runs.csv list the keys of runs; their first digits are enough. For a file there is `lab predict`.
"""
)
@click.argument("key")
@click.argument("texts", nargs=-1, required=True)
@runs_option
@loading_options
@click.pass_obj
def classify(
    session: Session,
    key: str,
    texts: tuple[str, ...],
    folder: Path,
    file: Path | None,
    stored_source: bool,
    anyway: bool,
) -> None:
    """Classify TEXTS with the finished run KEY: one line per text, the most probable class first.

    For a run on pairs, two texts are a pair, four are two pairs.
    """
    from lab_basics.prediction import load_predictor

    from lab.errors import DataError, LabError
    from lab_sentences.predict import TextPredictor

    predictor, learner = load_predictor(
        key, folder, catalog=session.catalog(), file=file, stored_source=stored_source, anyway=anyway, warn=warn
    )
    if not isinstance(predictor, TextPredictor):
        raise LabError(f"run {key} is not on texts", hint=f"lab predict {key} FILE")
    count = learner.data.preparation.given  # type: ignore[attr-defined]
    if len(texts) % count:
        raise DataError("a pair needs two texts", hint=f'lab classify {key} "one text" "another"')
    examples = [texts[start : start + count] for start in range(0, len(texts), count)]
    for example, answer in zip(examples, learner.predict(examples), strict=True):
        click.echo(f"{' | '.join(example)}: {_line(answer)}")


def _line(answer: dict[str, float] | float) -> str:
    if isinstance(answer, float):
        return f"{answer:.4g}"
    ranked = sorted(answer.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {share:.3f}" for name, share in ranked)
