"""A stateful character model trained by `lab` and by a plain loop over the same windows, in one process, in turns.

Both with the machine's settings (``lab.training.cpu``), as ``lab run`` chooses them.
"""

from __future__ import annotations

import pytest
import torch
from lab_basics.optimizers import adam
from lab_charlm.data import char_text
from lab_charlm.models import CharRNN
from lab_text.losses import sequence_nll
from lab_text.samplers import Streams
from torch import nn

from lab.training import Checkpoint, Learner
from lab.training.cpu import configured_cpu
from tests.benchmarks.turns import in_turns_anew, typical_speeds

BATCH, ROUNDS, BOUND = 64, 5, 0.95

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_lab_trains_nearly_as_fast_as_a_plain_loop(cell, figure, short, tmp_path):
    data = char_text(bptt=8, max_chars=60_000)
    with configured_cpu():
        bare, ours = in_turns_anew(lambda: [_plain(cell, data), _lab(cell, data, tmp_path)], 1 if short else ROUNDS)
    speeds = typical_speeds(len(data.train) * 8, ours, bare)
    what = f"a stateful character {cell.upper()}"
    figure.ratio(what, **speeds, unit="characters/s", beside="a plain loop", at_least=BOUND)


def _model(cell, data):
    torch.manual_seed(0)
    return CharRNN(data.vocab_size, cell=cell, stateful=True)


def _lab(cell, data, folder):
    learner = Learner(
        _model(cell, data),
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


def _plain(cell, data):
    """Blocks side by side, cut in windows, the state detached: what one would write by hand."""
    model = _model(cell, data)
    optimizer = adam(model.parameters(), lr=1e-3)
    block = len(data.train) * 8 // BATCH
    tokens = torch.stack([data.train.ids[start * block : start * block + block + 1] for start in range(BATCH)], 1)

    def epoch():
        model.train()
        state = None
        for start in range(0, block, 8):
            stop = min(start + 8, block)
            logits, state = model.read(tokens[start:stop], state)
            state = tuple(each.detach() for each in state) if isinstance(state, tuple) else state.detach()
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[start + 1 : stop + 1].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch
