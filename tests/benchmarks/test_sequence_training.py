"""Training a translation model on Multi30k, against a straightforward step-by-step implementation.

The plain side is the usual first implementation: one step of the decoder at a time, stacked logits, cross-entropy over
all of them, ``torch.optim.Adam`` with its defaults, no settings of the process. The other side is what ``lab run``
does: CPU settings, packed sequences, fused projection and cross-entropy, fused Adam; on the same random batches and,
reported separately, on sorted ones (which change the course of the first epochs). All sides train the same model with
two threads, each in its own process, in alternating steps. The time of forward, loss, backward and optimizer step
counts, per real token of source and target. The batches are evenly spaced in an epoch, so that their lengths are
representative.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_basics.optimizers import adam
from lab_basics.samplers import Shuffle, Sortish
from lab_seq2seq.losses import seq2seq_loss
from lab_seq2seq.models import Seq2SeqRNN
from lab_text.parallel import multi30k
from torch import Tensor

from lab.training.cpu import configure_cpu, configured_cpu
from lab.training.data import call_with
from tests.benchmarks.memory import forget_peak, memory
from tests.plugins.lab_seq2seq.reference import plain_forward, plain_loss

BATCH, THREADS, PAD = 125, 2, 1
JOEY = "JoeyNMT 2.3"
MODELS = {
    "seq2seq_rnn": {},
    "seq2seq_bidir_attn": {"bidirectional": True, "attention": AdditiveAttention},
}
AS_JOEYS = {**MODELS["seq2seq_bidir_attn"], "attend": "after", "xavier_init": True}  # but for its input feeding
Step = Callable[[Seq2SeqRNN, Any], Tensor]

pytestmark = pytest.mark.skipif(not os.environ.get("LAB_DATA"), reason="LAB_DATA is not set: no Multi30k here")


def model_of(data: Any, **options: Any) -> Seq2SeqRNN:
    torch.manual_seed(0)
    ids = (data.pad_id, data.bos_id, data.eos_id, data.max_length)
    return Seq2SeqRNN(data.source_vocab_size, data.target_vocab_size, None, None, *ids, **options).train()


def batches(data: Any, sampler: Any, count: int) -> list[Any]:
    """Return batches evenly spaced in an epoch, in the order of their lengths."""
    lengths = data.train.lengths
    facts = {"size": len(lengths), "lengths": lengths, "batch_size": BATCH, "generator": torch.Generator()}
    full = [rows for rows in call_with(sampler, facts) if len(rows) == BATCH]
    full.sort(key=lambda rows: int(lengths[rows].sum()))
    return [data.train.__getitems__(full[int((place + 0.5) * len(full) / count)]) for place in range(count)]


def plain_step(model: Seq2SeqRNN, batch: Any) -> Tensor:
    forced = [True] * len(batch.target)
    return plain_loss(plain_forward(model, batch.source, batch.target, forced), batch.target, model.pad_id)


def lab_step(model: Seq2SeqRNN, batch: Any) -> Tensor:
    forced = [True] * len(batch.target)
    return seq2seq_loss(
        model(batch.source, batch.target, forced, packed=True, unprojected=True), batch.target, model.pad_id
    )


def lowered(step: Step) -> Step:
    """Return the loss of a step under autocast to bfloat16."""

    def call(model: Seq2SeqRNN, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return step(model, batch)

    return call


class Side:
    """One side of the comparison, in its own process, so that memory is measured separately.

    Args:
        name: "plain", "JoeyNMT 2.3", or lab's: "float32" or "bfloat16", and "…, sorted" for sorted batches.
        count: how many batches.
        options: of the model.
    """

    def __init__(self, name: str, count: int, options: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, name, count, options), daemon=True)
        self.process.start()
        theirs.close()
        self.tokens: list[int] = self.connection.recv()
        self.taken: list[list[float]] = [[] for _ in self.tokens]

    def ask(self, question: Any) -> float:
        self.connection.send(question)
        return float(self.connection.recv())

    def train(self, place: int) -> None:
        """Time one step on a batch."""
        self.taken[place].append(self.ask(place))

    def finish(self) -> tuple[float, float]:
        """Return tokens per second, from the median time of each batch after the first, and peak memory in MB."""
        seconds = sum(statistics.median(times[1:]) for times in self.taken)
        return sum(self.tokens) / seconds, self.ask("memory")

    def stop(self) -> None:
        self.connection.send("stop")
        self.process.join()


def _serve(connection: Any, name: str, count: int, options: dict[str, Any]) -> None:
    torch.set_num_threads(THREADS)
    data = multi30k(source="fr", target="en")
    if name == JOEY:
        from tests.benchmarks.joey import JoeyTranslation

        _answer(connection, batches(data, Shuffle, count), JoeyTranslation(data).train)
        return
    model = model_of(data, **options)
    if name == "plain":
        step, sampler, optimizer = plain_step, Shuffle, torch.optim.Adam(model.parameters(), lr=1e-3)
    else:
        configure_cpu()
        sampler = Sortish if name.endswith("sorted") else Shuffle
        step, optimizer = lab_step, adam(model.parameters(), lr=1e-3)
    if name.startswith("bfloat16"):
        step = lowered(step)

    def train(batch: Any) -> None:
        step(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    train(data.train.__getitems__([0, 1]))  # the optimizer's state is made, and torch's code is in memory
    _answer(connection, batches(data, sampler, count), train)


def _answer(connection: Any, given: list[Any], train: Callable[[Any], Any]) -> None:
    """Train on the requested batches."""
    connection.send([int((batch.source != PAD).sum() + (batch.target != PAD).sum()) for batch in given])
    before = memory("VmRSS")
    forget_peak()
    while (question := connection.recv()) != "stop":
        if question == "memory":
            connection.send(memory("VmHWM") - before)
            continue
        started = time.perf_counter()
        train(given[question])
        connection.send(time.perf_counter() - started)


def in_turns(names: Sequence[str], count: int, rounds: int, **options: Any) -> dict[str, tuple[float, float]]:
    """Return tokens per second and peak memory in MB of every side."""
    sides = {name: Side(name, count, options) for name in names}
    for _ in range(rounds):
        for place in range(count):
            for side in sides.values():
                side.train(place)
    results = {name: side.finish() for name, side in sides.items()}
    for side in sides.values():
        side.stop()
    return results


def test_training_reads_more_tokens_per_second_than_joeynmt(figure: Any, short: bool) -> None:
    pytest.importorskip("joeynmt", reason="JoeyNMT is not installed", exc_type=ImportError)
    count, rounds = (1, 2) if short else (3, 3)
    results = in_turns([JOEY, "float32"], count, rounds, **AS_JOEYS)
    figure.ratio(
        "a bidirectional GRU with attention after the step on Multi30k, training in float32, 2 threads",
        lab=results["float32"][0],
        peer=results[JOEY][0],
        unit="tokens/s",
        beside=JOEY,
        at_least=1.0,
    )


@pytest.mark.parametrize("name", list(MODELS))
def test_training_reads_more_and_takes_less_memory_than_the_plain_loop(name: str, figure: Any, short: bool) -> None:
    if short and name != "seq2seq_bidir_attn":
        pytest.skip("not part of the short form")
    count, rounds = (1, 2) if short else (3, 3)
    labs: dict[str, float | None] = {"float32": 2.5, "bfloat16": 5.0}
    if not short:
        labs |= {"float32, sorted": None, "bfloat16, sorted": None}
    results = in_turns(["plain", *labs], count, rounds, **MODELS[name])
    for side, bound in labs.items():
        figure.ratio(
            f"{name} on Multi30k, training in {side}, 2 threads",
            lab=results[side][0],
            peer=results["plain"][0],
            unit="tokens/s",
            beside="the plain loop in float32",
            at_least=bound,
        )
        if bound and not math.isnan(results["plain"][1]):
            figure.ratio(
                f"{name} on Multi30k, peak memory of training in {side} beyond model, optimizer and data",
                lab=results[side][1],
                peer=results["plain"][1],
                unit="MB",
                beside="the plain loop in float32",
                at_most=0.5,
            )


def test_training_reaches_the_validation_loss_of_the_plain_loop(figure: Any, short: bool) -> None:
    """Start from the same weights on the same batches, without dropout, which the sides draw differently."""
    if short:
        pytest.skip("not part of the short form: the ordinary suite compares the curves of a small model")
    data = multi30k(source="fr", target="en")
    given = batches(data, Shuffle, 4) * 3
    sides: dict[str, tuple[Step, Any, Any]] = {
        "the plain loop": (plain_step, torch.optim.Adam, nullcontext),
        "float32": (lab_step, adam, configured_cpu),
        "bfloat16": (lowered(lab_step), adam, configured_cpu),
    }
    losses = {}
    for name, (step, optimizer, settings) in sides.items():
        with settings():
            losses[name] = _trained_loss(data, given, step, optimizer)
        figure.value(f"validation loss after 3 epochs of 500 pairs: {name}", losses[name], "nats")
    for name in ("float32", "bfloat16"):
        away = abs(losses[name] - losses["the plain loop"])
        figure.value(f"how far {name} is from the plain loop", away, "nats", at_most=0.02)


def _trained_loss(data: Any, given: list[Any], step: Step, optimizer: Any) -> float:
    """Return the mean loss per word of 500 validation pairs, with every step forced."""
    off = dict.fromkeys(["embedding_dropout", "encoder_dropout", "bridge_dropout", "decoder_dropout"], 0.0)
    torch.set_num_threads(THREADS)
    model = model_of(data, **MODELS["seq2seq_bidir_attn"], **off, output_dropout=0.0)
    training = optimizer(model.parameters(), lr=2e-3)
    for batch in given:
        step(model, batch).backward()
        training.step()
        training.zero_grad()
    total = words = 0.0
    with torch.no_grad():
        for start in range(0, 500, BATCH):
            batch = data.valid.__getitems__(list(range(start, start + BATCH)))
            count = int((batch.target != PAD).sum())
            total += count * float(plain_step(model, batch))
            words += count
    return total / words
