"""A model's summary: shapes, weights, arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from lab.training import Data, Learner
from tests.kernel.training_toys import toy_learner


class Recurrent(nn.Module):
    """Every recurrence of torch in a row, and a layer that nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.lstm = nn.LSTM(8, 16, 2, batch_first=True)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.head = nn.Linear(16, 10)
        self.unused = nn.Linear(3, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.head(self.gru(hidden)[0][:, -1])


@pytest.fixture
def recurrent():
    tokens = torch.randint(0, 10, (64, 5), generator=torch.Generator().manual_seed(0))
    split = TensorDataset(tokens, tokens[:, 0])
    data = Data(split, split, fingerprint="tokens")
    return Learner(Recurrent(), data, nn.functional.cross_entropy, batch_size=32, progress=False)


def test_a_summary_counts_the_flops_of_recurrences_as_their_equations_do(recurrent):
    layers = {layer.name: layer.flops for layer in recurrent.summary().layers}
    batch, steps = 32, 5
    assert layers["lstm"] == 2 * batch * steps * 4 * 16 * ((8 + 16) + (16 + 16))
    assert layers["gru"] == 2 * batch * steps * 3 * 16 * (16 + 16)
    assert layers["head"] == 2 * batch * 16 * 10


def test_a_summary_gives_shapes_of_inputs_and_outputs(recurrent):
    layers = {layer.name: layer for layer in recurrent.summary().layers}
    assert layers["embedding"].inputs == ((32, 5),)
    assert layers["embedding"].outputs == ((32, 5, 8),)
    assert layers["lstm"].outputs[0] == (32, 5, 16)


def test_a_layer_that_is_not_called_is_shown_without_shapes(recurrent):
    last = recurrent.summary().layers[-1]
    assert (last.name, last.calls, last.inputs, last.parameters) == ("unused", 0, (), 12)


def test_a_summary_tells_frozen_weights_from_trained_ones():
    learner = toy_learner()
    for weight in learner.model[0].parameters():
        weight.requires_grad_(False)
    summary = learner.summary()
    assert (summary.parameters, summary.trainable) == (58, 18)
    assert {layer.name: layer.trainable for layer in summary.layers}["0"] == 0


def test_a_summary_of_a_batch_of_ones_own(recurrent):
    tokens = torch.zeros(7, 3, dtype=torch.long)
    assert recurrent.summary((tokens, tokens[:, 0])).layers[0].inputs == ((7, 3),)


def test_a_summary_leaves_no_hook_and_no_change(recurrent):
    random_state = torch.get_rng_state()
    recurrent.summary()
    assert not any(module._forward_hooks for module in recurrent.model.modules())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert recurrent.model.training


def test_a_summary_is_a_table_and_rows(recurrent):
    summary = recurrent.summary()
    assert "│ lstm" in str(summary)
    assert str(summary).endswith("million FLOPs forward")
    assert summary.to_rows()[0]["kind"] == "Embedding"
