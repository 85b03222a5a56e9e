"""How fast a training step of the sequence model is, against the plain step-by-step loop.

Three sides, measured in turns so that a busy machine troubles all alike: the plain loop as torch comes, the plain
loop with the machine's settings (``lab.training.machine``), and the model as it is trained. Sizes are the lesson's:
batch 125, embeddings of 300, 256 hidden units; sentences of up to 15 words in no order of length, as a shuffling
sampler gives them, and sorted by target, as ``sortish`` gives them.

With these sizes and a vocabulary of 1,000 the plain loop already spends its time in matrix products; on batches without
padding the one call is worth little there, and most of the gain is that of the settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from lab_seq2seq.attention import AdditiveAttention
from lab_seq2seq.losses import seq2seq_loss
from lab_seq2seq.models import Seq2SeqRNN
from torch import Tensor

from lab.training.machine import tuned
from tests.plugins.lab_seq2seq.reference import plain_forward, plain_loss

PAD, BOS, EOS = 1, 0, 2
BATCH, LONGEST, ROUNDS = 125, 15, 7


def sentences(vocab_size: int, shortest: int, generator: torch.Generator) -> Tensor:
    """(T, B) ids: sentences of ``shortest`` to ``LONGEST`` tokens, padded."""
    ids = torch.randint(4, vocab_size, (LONGEST, BATCH), generator=generator)
    lengths = torch.randint(shortest, LONGEST + 1, (BATCH,), generator=generator)
    lengths[0] = LONGEST
    ids[lengths - 1, torch.arange(BATCH)] = EOS
    ids[torch.arange(LONGEST).unsqueeze(1) >= lengths] = PAD
    return ids


def seconds(step: Callable[[], Tensor], model: Seq2SeqRNN, settings: Any) -> float:
    with settings:
        model.zero_grad(set_to_none=True)
        started = time.perf_counter()
        step().backward()
        return time.perf_counter() - started


def measure(vocab_size: int, attention: Any, probability: float, shortest: int, rounds: int) -> dict[str, float]:
    """Milliseconds of forward, loss and backward, the best of some rounds."""
    generator = torch.Generator().manual_seed(0)
    model = Seq2SeqRNN(vocab_size, vocab_size, None, None, PAD, BOS, EOS, 30, attention=attention).train()
    source = sentences(vocab_size, 5, generator)
    target = sentences(vocab_size, shortest, generator)
    forced = (torch.rand(LONGEST, generator=generator) < probability).tolist()

    def plain() -> Tensor:
        return plain_loss(plain_forward(model, source, target, forced), target, PAD)

    def fast() -> Tensor:
        return seq2seq_loss(model(source, target, forced, packed=True, unprojected=True), target, PAD)

    sides = {"plain": (plain, nullcontext), "plain, tuned": (plain, tuned), "lab": (fast, tuned)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, (step, settings) in sides.items():
            times[name].append(1000 * seconds(step, model, settings()))
    return {name: min(taken[1:]) for name, taken in times.items()}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shortest", [4, 14], ids=["shuffled", "sorted"])
@pytest.mark.parametrize("probability", [1.0, 0.0])
@pytest.mark.parametrize("attention", [None, AdditiveAttention], ids=["plain", "attention"])
@pytest.mark.parametrize("vocab_size", [1_000, 10_000])
def test_a_training_step_is_faster_than_the_plain_loop(
    vocab_size: int, attention: Any, probability: float, shortest: int, figure: Any, short: bool
) -> None:
    if short and (vocab_size, shortest) != (1_000, 4):
        pytest.skip("not part of the short form")
    times = measure(vocab_size, attention, probability, shortest, 2 if short else ROUNDS)
    with tuned() as settings:
        products_tuned = settings.products
    order = "shuffled" if shortest < 10 else "sorted"
    what = f"teacher forcing {probability:g}, V {vocab_size:,}, {'attention' if attention else 'no attention'}, {order}"
    at_full_forcing = 2.0 if order == "shuffled" else 1.5  # sorted batches have no padding to leave out
    bound = (at_full_forcing if probability == 1.0 else 1.0) if products_tuned else None
    speeds = {name: 1000 / taken for name, taken in times.items()}
    figure.ratio(what, lab=speeds["lab"], peer=speeds["plain"], unit="steps/s", beside="the plain loop", at_least=bound)
    figure.ratio(
        f"{what}, both with the machine's settings",
        lab=speeds["lab"],
        peer=speeds["plain, tuned"],
        unit="steps/s",
        beside="the plain loop, tuned",
        at_least=0.9,
    )
