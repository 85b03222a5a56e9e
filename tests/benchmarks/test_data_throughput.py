"""Speed and memory of turning a large corpus into batches: tokenizing, reading from the cache, collating."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lab_text.parallel import TranslationData, parallel_text
from lab_text.tokenizers import SpacyTokenizer
from torch.nn.utils.rnn import pad_sequence

from lab.training.data import call_with
from tests.benchmarks import made_pairs, made_vectors, spacy_peer
from tests.benchmarks.turns import seconds

Corpus = tuple[Path, Path]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def captions(folder: Path, copies: int) -> Corpus:
    """The captions of Multi30k, again and again: 29,000 pairs each time."""
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: no real corpora here")
    paths = folder / "train.fr", folder / "train.en"
    for path in paths:
        packed = Path(os.environ["LAB_DATA"]) / "multi30k" / f"{path.name}.gz"
        path.write_bytes(gzip.decompress(packed.read_bytes()) * copies)
    return paths


def whole(corpus: Corpus, **options: Any) -> TranslationData:
    return parallel_text(source=str(corpus[0]), target=str(corpus[1]), max_target_tokens=None, **options)


def import_spacy() -> None:
    """Done beforehand, for both sides."""
    pytest.importorskip("spacy")
    SpacyTokenizer("fr")("un")
    SpacyTokenizer("en")("one")


def test_a_million_captions_become_numbers_on_two_cores(
    tmp_path: Path, own_cache: Path, short: bool, figure: Any
) -> None:
    """Both sides have two processes; lab also starts them, reads the files and writes its own."""
    import_spacy()
    corpus = captions(tmp_path, 1 if short else 35)
    peer = time_spacy(corpus, 1 if short else 2)
    lab = seconds(partial(whole, corpus, tokenizer=partial(SpacyTokenizer, processes=1 if short else None)))
    figure.ratio("captions: text to numbers", **pairs_per_second(corpus, lab, peer))
    again = [seconds(partial(whole, corpus)) for _ in range(3)]
    figure.value(f"{lines(corpus):,} pairs from the cache", min(again), "s", at_most=2)


def test_a_large_vocabulary_becomes_numbers_on_one_core(tmp_path: Path, short: bool, figure: Any) -> None:
    """130,000 different words: more than spaCy remembers."""
    import_spacy()
    corpus = made_pairs.write_pairs(tmp_path, 5_000 if short else 100_000)
    peer = time_spacy(corpus, 1)
    lab = seconds(partial(whole, corpus, tokenizer=partial(SpacyTokenizer, processes=1)))
    figure.ratio("made pairs: text to numbers", **pairs_per_second(corpus, lab, peer))


def time_spacy(corpus: Corpus, processes: int) -> float:
    """Seconds that spaCy's tokenizer needs for both languages, when all is loaded and the texts are in memory."""
    given = [(str(path), path.suffix[1:]) for path in corpus]
    with ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"))) for _ in range(processes)]
        own = dict(zip(given, pools * 2, strict=False))
        _finish(own[one].submit(spacy_peer.load, *one) for one in given)
        return seconds(lambda: _finish(own[one].submit(spacy_peer.tokenize, one[1]) for one in given))


def _finish(futures: Iterable[Future[Any]]) -> None:
    for future in list(futures):
        future.result()


def lines(corpus: Corpus) -> int:
    with corpus[0].open("rb") as file:
        return sum(1 for _ in file)


def pairs_per_second(corpus: Corpus, lab: float, peer: float) -> dict[str, Any]:
    pairs = lines(corpus)
    beside = "spaCy's tokenizer.pipe"
    return {"lab": pairs / lab, "peer": pairs / peer, "unit": "pairs/s", "beside": beside, "at_least": 0.8}


def run(module: str, *arguments: object) -> Any:
    """Return the output of ``module``, run in its own process."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_memory_of_tokenizing_does_not_grow_with_the_corpus(short: bool, figure: Any) -> None:
    pytest.importorskip("spacy")
    number = 10_000 if short else 1_000_000
    most = run("made_pairs", number)["megabytes"]
    for read, megabytes in most.items():
        figure.value(f"memory held at {int(read):,} of {number:,} made pairs", megabytes, "MB")
    sides = {"lab": most[str(number)], "peer": most[str(number // 10)], "beside": "after a tenth"}
    figure.ratio("memory after all pairs", **sides, unit="MB", at_most=1.3)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is counted as Linux does")
def test_word_vectors_are_read_for_the_words_that_are_needed(tmp_path: Path, short: bool, figure: Any) -> None:
    megabytes, needed = (20, 1_000) if short else (1_000, 20_000)
    number = made_vectors.write_vectors(tmp_path / "made.vec", megabytes)
    read = run("made_vectors", tmp_path / "made.vec", number, needed)
    speed = (tmp_path / "made.vec").stat().st_size / 1e6 / read["seconds"]
    figure.value(f"{needed:,} of {number:,} vectors from text", speed, "MB/s", at_least=100)
    sides = {"lab": read["megabytes"], "peer": read["needed"] + 10, "beside": "their table and 10 MB"}
    figure.ratio("memory for them", **sides, unit="MB", at_most=4)


@pytest.mark.parametrize("name", ["Sequential", "Shuffle", "Sort", "Sortish", "Bucket"])
@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_an_epoch_is_sampled_in_milliseconds(name: str, size: int, short: bool, figure: Any) -> None:
    if short and size > 100_000:
        pytest.skip("not part of the short form")
    from lab_basics import samplers

    lengths = np.random.default_rng(0).integers(1, 100, size)
    facts = {"size": size, "lengths": lengths, "batch_size": 64, "generator": torch.Generator()}
    sampler = call_with(getattr(samplers, name), facts)
    taken = min(seconds(lambda: list(sampler)) for _ in range(5))
    figure.value(f"{name}: an epoch of {size:,}", 1000 * taken, "ms", at_most=size / 1000)


def test_one_pass_of_the_loader_beside_padding_sentence_by_sentence(tmp_path: Path, short: bool, figure: Any) -> None:
    from lab_basics.samplers import Sortish

    data = whole(made_pairs.write_pairs(tmp_path, 10_000 if short else 100_000), tokenizer="whitespace")
    sampler = call_with(partial(Sortish), data.sampler_facts(data.train, 125, torch.Generator().manual_seed(0)))
    batches = list(sampler)
    tokens = sum(int(coder.lengths(data.train.rows).sum()) for coder in (data.train.source, data.train.target))
    sides = {"lab": partial(through_loader, data, batches), "peer": partial(one_by_one, data, batches)}
    speeds = {name: tokens / min(seconds(side) for _ in range(3)) for name, side in sides.items()}
    figure.ratio("batches of 125 pairs", **speeds, unit="tokens/s", beside="pad_sequence", at_least=2)


def through_loader(data: TranslationData, batches: list[list[int]]) -> int:
    return sum(len(batch.source) for batch in data.loader(data.train, batches))


def one_by_one(data: TranslationData, batches: list[list[int]]) -> int:
    """Each sentence a tensor of ids made in advance would need gigabytes: each is made when it is needed."""
    pairs, tables, total = data.train.pairs, (data.train.source.table, data.train.target.table), 0
    end = torch.tensor([data.eos_id])
    for batch in batches:
        for side, table in zip((pairs.source, pairs.target), tables, strict=True):
            rows = data.train.rows[batch].tolist()
            ids = [table[side.ids[side.bounds[row] : side.bounds[row + 1]]] for row in rows]
            padded = pad_sequence([torch.cat([torch.from_numpy(each), end]) for each in ids], padding_value=data.pad_id)
        total += len(padded)
        tuple(map(pairs.target.sentence, rows))
    return total
