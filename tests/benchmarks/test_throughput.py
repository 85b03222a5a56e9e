"""How fast data, samplers and the list of runs are; each figure is printed beside what it is held to.

pytest tests/benchmarks/test_throughput.py -n 0 --benchmark-enable -s
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.study.listing import list_runs
from tests.kernel.stored_study import store_run

ROUNDS = 5


@pytest.fixture(autouse=True)
def _only_on_demand(request: pytest.FixtureRequest) -> None:
    if not (request.config.getoption("benchmark_enable") or request.config.getoption("benchmark_only")):
        pytest.skip("a benchmark: give --benchmark-enable")


def _seconds(action: Callable[[], object]) -> float:
    def once() -> float:
        started = time.perf_counter()
        action()
        return time.perf_counter() - started

    return min(once() for _ in range(ROUNDS))


def test_tokenising_keeps_up_with_spacys_own_pipe() -> None:
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: no real corpora here")
    import spacy
    from lab_text.tokenizers import SpacyTokenizer

    with gzip.open(Path(os.environ["LAB_DATA"]) / "multi30k" / "train.fr.gz", "rt", encoding="utf-8") as file:
        texts = [line.strip() for line in islice(file, 10_000)]
    tokenizer, theirs = SpacyTokenizer("fr"), spacy.blank("fr")
    ours = _seconds(lambda: sum(map(len, tokenizer.pipe(texts))))
    other = _seconds(lambda: sum(map(len, theirs.tokenizer.pipe(texts))))
    print(f"\n10,000 captions: spaCy {other:.3f} s, lab {ours:.3f} s, {other / ours:.2f} × its speed (held to 0.8)")
    assert ours < 2 * other / 0.8


@pytest.mark.parametrize("name", ["Sequential", "Shuffle", "Sort", "Sortish", "Bucket"])
def test_an_epoch_of_100_000_examples_is_sampled_in_milliseconds(name: str) -> None:
    from lab_basics import samplers

    from lab.training.data import call_with

    lengths = np.random.default_rng(0).integers(1, 100, 100_000)
    facts = {"size": 100_000, "lengths": lengths, "batch_size": 64, "generator": torch.Generator()}
    sampler = call_with(getattr(samplers, name), facts)
    seconds = _seconds(lambda: list(sampler))
    print(f"\n{name}: {1000 * seconds:.1f} ms (held to 100)")
    assert seconds < 0.2


def test_ten_thousand_runs_are_listed_in_a_second(tmp_path: Path) -> None:
    for seed in range(10_000):
        store_run(tmp_path, f"study{seed % 50}", "base", seed, 0.5)
    seconds = _seconds(lambda: list_runs(tmp_path))
    print(f"\n10,000 runs: {seconds:.2f} s (held to 1)")
    assert seconds < 2
