"""How fast texts are tokenized and the list of runs is read."""

from __future__ import annotations

import gzip
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from lab_runs.listing import list_runs

from tests.benchmarks.turns import in_turns, seconds, typical_speeds
from tests.kernel.stored_study import store_run

ROUNDS = 5


def test_tokenizing_keeps_up_with_spacys_own_pipe(figure: Any) -> None:
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: no real corpora here")
    import spacy
    from lab_text.tokenizers import SpacyTokenizer

    with gzip.open(Path(os.environ["LAB_DATA"]) / "multi30k" / "train.fr.gz", "rt", encoding="utf-8") as file:
        texts = [line.strip() for line in islice(file, 10_000)]
    tokenizer, theirs = SpacyTokenizer("fr"), spacy.blank("fr")
    pipes = tokenizer.pipe, theirs.tokenizer.pipe
    ours, other = in_turns([lambda pipe=pipe: sum(map(len, pipe(texts))) for pipe in pipes], ROUNDS)
    speeds, beside = typical_speeds(len(texts), ours, other), "spaCy's tokenizer.pipe"
    figure.ratio("texts to tokens, in memory", **speeds, unit="captions/s", beside=beside, at_least=0.8)


def test_ten_thousand_runs_are_listed_in_a_second(tmp_path: Path, short: bool, figure: Any) -> None:
    number = 1_000 if short else 10_000
    for seed in range(number):
        store_run(tmp_path, f"study{seed % 50}", "base", seed, 0.5)
    taken = min(seconds(lambda: list_runs(tmp_path)) for _ in range(ROUNDS))
    figure.value(f"list of {number:,} runs", taken, "s", at_most=1)
