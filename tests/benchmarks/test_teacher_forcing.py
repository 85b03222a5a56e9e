"""Speed of a training step of the sequence model, against the plain step-by-step loop.

Three sides, measured in turns so that load on the machine affects all alike: the plain loop with torch's defaults, in
its own process; the plain loop with the machine's settings (``lab.training.cpu``); and the model as it is trained.
Sizes are the lesson's: batch 125, embeddings of 300, 256 hidden units; sentences of up to 15 words in no order of
length, as a shuffling sampler gives them, and sorted by target, as ``sortish`` gives them.

With these sizes and a vocabulary of 1,000 the plain loop already spends its time in matrix products; on batches without
padding the one call is worth little there, and most of the gain is that of the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
import torch

from lab.training.cpu import configured_cpu
from tests.benchmarks.forcing_steps import Steps, plain_elsewhere

ROUNDS, WARM_UP = {1_000: 8, 10_000: 4}, 1


def measure(vocab_size: int, attention: bool, probability: float, shortest: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of forward, loss and backward."""
    what = (vocab_size, attention, probability, shortest)
    steps = Steps(*what)
    with plain_elsewhere(*what) as plain:
        sides = {
            "plain": plain,
            "plain, tuned": lambda: steps.milliseconds(steps.plain, configured_cpu),
            "lab": lambda: steps.milliseconds(steps.fast, configured_cpu),
        }
        taken = [{name: side() for name, side in sides.items()} for _ in range(WARM_UP + rounds)][WARM_UP:]
    return {name: median(each[name] for each in taken) for name in sides}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shortest", [4, 14], ids=["shuffled", "sorted"])
@pytest.mark.parametrize("probability", [1.0, 0.0])
@pytest.mark.parametrize("attention", [False, True], ids=["plain", "attention"])
@pytest.mark.parametrize("vocab_size", [1_000, 10_000])
def test_a_training_step_is_faster_than_the_plain_loop(
    vocab_size: int, attention: bool, probability: float, shortest: int, figure: Any, short: bool
) -> None:
    if short and (vocab_size, shortest) != (1_000, 4):
        pytest.skip("not part of the short form")
    rounds = 2 if short else ROUNDS[vocab_size]
    times = measure(vocab_size, attention, probability, shortest, rounds)
    with configured_cpu() as settings:
        products_tuned = settings.onednn_matmul
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
