"""Translation in batches, against one sentence at a time and against JoeyNMT.

In the first comparison both sides are lab's own search, so the translations are the same; finished sentences leave
their batch. In the second the other side is JoeyNMT with a model of the same size, and no sentence may end before its
fifteenth token, so that both sides compute the same number of steps. The model is the course's, on Multi30k's
vocabularies, trained for a few steps so that it learns when to end; the sentences are captions of the validation split.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_basics.optimizers import adam
from lab_seq2seq.decode import Hypothesis, beam_search, decode
from lab_seq2seq.losses import seq2seq_loss
from lab_seq2seq.models import Seq2SeqRNN
from lab_text.parallel import multi30k

from lab.training.cpu import configured_cpu
from tests.benchmarks.test_transformer_training import transformer

THREADS, STEPS = 2, 12

pytestmark = pytest.mark.skipif(not os.environ.get("LAB_DATA"), reason="LAB_DATA is not set: no Multi30k here")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data() -> Any:
    return multi30k(source="fr", target="en")


@pytest.fixture(scope="module")
def model(data: Any) -> Seq2SeqRNN:
    torch.manual_seed(0)
    ids = (data.pad_id, data.bos_id, data.eos_id, data.max_length)
    model = Seq2SeqRNN(
        data.source_vocab_size,
        data.target_vocab_size,
        torch.randn(data.source_vocab_size, 300) / 10,
        torch.randn(data.target_vocab_size, 300) / 10,
        *ids,
        bidirectional=True,
        attention=AdditiveAttention,
    )
    optimizer = adam(model.parameters(), lr=3e-3)
    for step in range(STEPS):
        batch = data.train.__getitems__(list(range(step * 60, step * 60 + 60)))
        output = model(batch.source, batch.target, [True] * len(batch.target), packed=True, unprojected=True)
        seq2seq_loss(output, batch.target, data.pad_id).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def sources(data: Any, count: int, batch_size: int) -> list[torch.Tensor]:
    """Return batches of captions of similar length, without unnecessary padding."""
    rows = sorted(range(count), key=lambda row: len(data.valid[row].source))
    groups = [rows[start : start + batch_size] for start in range(0, count, batch_size)]
    return [data.valid.__getitems__(group).source for group in groups]


def per_second(
    search: Callable[[torch.Tensor], list[Any]], given: list[torch.Tensor], settings: Any = configured_cpu
) -> tuple[float, list[Any]]:
    """Return sentences per second, and the translations."""
    with settings():
        search(given[0])
        started = time.perf_counter()
        found = [one for source in given for one in search(source)]
        return len(found) / (time.perf_counter() - started), found


@pytest.mark.parametrize(("name", "beam"), [("greedy", 1), ("beam-5", 5)])
def test_a_batch_is_translated_faster_than_its_sentences_one_by_one(
    name: str, beam: int, data: Any, model: Seq2SeqRNN, figure: Any, short: bool
) -> None:
    count, rounds = (64, 1) if short else (256, 3)

    def search(source: torch.Tensor) -> list[Hypothesis]:
        return decode(model, source, beam=beam)

    together, alone = sources(data, count, 64), sources(data, count, 1)
    speeds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        batched, found = per_second(search, together)
        single, expected = per_second(search, alone[:: 1 if short else 8])
        speeds[0].append(batched)
        speeds[1].append(single)
    figure.ratio(
        f"{name} decoding, 64 sentences at once, 2 threads",
        lab=sorted(speeds[0])[rounds // 2],
        peer=sorted(speeds[1])[rounds // 2],
        unit="sentences/s",
        beside="one sentence at a time",
        at_least=5.0,
    )
    same = sum(one.ids == other.ids for one, other in zip(found[:: 1 if short else 8], expected, strict=True))
    assert same >= 0.9 * len(expected)  # sums in another order may turn a draw


def test_beam_search_is_faster_than_joeynmts(data: Any, model: Seq2SeqRNN, figure: Any, short: bool) -> None:
    pytest.importorskip("joeynmt", reason="JoeyNMT is not installed", exc_type=ImportError)
    from tests.benchmarks.joey import JoeyTranslation

    endless = copy.deepcopy(model)
    endless.attend = "after"  # as Joey's; the weights have the same shapes
    with torch.no_grad():
        endless.output.bias[data.eos_id] = -1e9
    lab, joey = _beams_in_turns(endless, JoeyTranslation(data), sources(data, 64 if short else 256, 64), short)
    figure.ratio(
        "beam-5 decoding of 15 tokens, 64 sentences at once, 2 threads",
        lab=lab,
        peer=joey,
        unit="sentences/s",
        beside="JoeyNMT 2.3",
        at_least=1.0,
    )


def test_a_transformers_beam_search_is_faster_than_joeynmts(data: Any, figure: Any, short: bool) -> None:
    pytest.importorskip("joeynmt", reason="JoeyNMT is not installed", exc_type=ImportError)
    from tests.benchmarks.joey import JoeyTranslation

    torch.manual_seed(0)
    endless = transformer(data).eval()
    with torch.no_grad():
        endless.output.bias[data.eos_id] = -1e9
    peer = JoeyTranslation(data, model="transformer")
    lab, joey = _beams_in_turns(endless, peer, sources(data, 64 if short else 256, 64), short)
    figure.ratio(
        "beam-5 decoding of 15 tokens by transformer_tiny, 64 sentences at once, 2 threads",
        lab=lab,
        peer=joey,
        unit="sentences/s",
        beside="JoeyNMT 2.3",
        at_least=3.0,
    )


def _beams_in_turns(endless: Any, joey: Any, given: list[torch.Tensor], short: bool) -> tuple[float, float]:
    """Return the medians of sentences per second, lab's and Joey's, of translations of 15 tokens."""
    length = 15

    def labs(source: torch.Tensor) -> list[Hypothesis]:
        return beam_search(endless, source, 5, max_length=length)

    def joeys(source: torch.Tensor) -> list[list[int]]:
        return list(joey.translate(source, 5, length, at_least=length))

    speeds = [(per_second(labs, given)[0], per_second(joeys, given, nullcontext)[0]) for _ in range(1 if short else 3)]
    lab, peer = (sorted(each)[len(speeds) // 2] for each in zip(*speeds, strict=True))
    return lab, peer
