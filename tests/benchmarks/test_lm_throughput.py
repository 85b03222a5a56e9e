"""A small Transformer language model trained by `lab` and by a plain loop, and text made with and without the cache."""

from __future__ import annotations

import pytest
import torch
from lab_basics.optimizers import adam
from lab_lm.data import text
from lab_lm.gpt import GPT
from lab_text.generation import generate
from lab_text.losses import sequence_nll
from lab_text.samplers import Streams
from torch import nn

from lab.training import Checkpoint, Learner
from lab.training.cpu import configured_cpu, without_onednn
from tests.benchmarks.turns import in_turns_anew, typical_speeds

BPTT, BATCH, ROUNDS, BOUND = 64, 16, 3, 0.97
GENERATED, CACHE_BOUND = 256, 5.0

pytestmark = pytest.mark.usefixtures("one_thread")


def test_lab_trains_nearly_as_fast_as_a_plain_loop(figure, short, tmp_path):
    # Long enough that the checkpoint at its end weighs as it does in use.
    data = text(bptt=BPTT, max_lines=100 if short else None)
    with configured_cpu():
        bare, ours = in_turns_anew(lambda: [_plain(data), _lab(data, tmp_path)], 1 if short else ROUNDS)
    speeds = typical_speeds(len(data.train) * BPTT, ours, bare)
    figure.ratio("a small gpt", **speeds, unit="tokens/s", beside="a plain loop", at_least=BOUND)


def test_the_cache_makes_generation_faster(figure, short):
    data = text(bptt=BPTT, max_lines=200)
    learner = Learner(_model(data.vocab_size), data, sequence_nll, progress=False)
    with configured_cpu(), learner.evaluating():
        whole, cached = in_turns_anew(lambda: [_whole(learner), _cached(learner)], 1 if short else ROUNDS)
    speeds = typical_speeds(GENERATED, cached, whole)
    figure.ratio("256 tokens of gpt", **speeds, unit="tokens/s", beside="without the cache", at_least=CACHE_BOUND)


def _model(vocab_size):
    torch.manual_seed(0)
    return GPT(vocab_size, dropout=0.0)


def _lab(data, folder):
    learner = Learner(
        _model(data.vocab_size),
        data,
        sequence_nll,
        optimizer=adam,
        batch_size=BATCH,
        sampler=Streams,
        callbacks=[Checkpoint()],
        folder=folder,
        progress=False,
    )
    learner.data.valid = None
    return lambda: learner.fit(1)


def _plain(data):
    """Blocks side by side, cut in windows: what one would write by hand."""
    model = _model(data.vocab_size)
    optimizer = adam(model.parameters(), lr=1e-3)
    ids = torch.from_numpy(data.train.ids.astype("int64"))
    block = len(data.train) * BPTT // BATCH
    tokens = torch.stack([ids[start * block : start * block + block + 1] for start in range(BATCH)], 1)

    def epoch():
        model.train()
        for start in range(0, block, BPTT):
            stop = min(start + BPTT, block)
            logits = model(tokens[start:stop])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[start + 1 : stop + 1].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch


def _whole(learner):
    """Reads everything again for each token, as well as that can be done: with torch's own matrix products."""

    def write():
        tokens = learner.data.vocab.prompt_ids("the").unsqueeze(1)
        with without_onednn():
            for _ in range(GENERATED):
                tokens = torch.cat([tokens, learner.model(tokens)[-1:].argmax(-1)])

    return write


def _cached(learner):
    return lambda: generate(learner, "the", GENERATED, greedy=True)
