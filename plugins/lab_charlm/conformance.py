"""What the conformance kit must know of this plugin: a short text, and how its ways to read differ from others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import Experiment, use
from lab.testing import Example, Offer, Trial
from lab_charlm.data import CharBatch, CharData, char_text
from lab_charlm.losses import sequence_nll
from lab_charlm.models import CharRNN

__all__ = ["ShortText", "offer"]

LENGTH, BPTT = 1200, 4

PIECES = {
    "every_index_stands_exactly_once_in_an_epoch": "its batches hold pieces of a text, not indices",
    "batches_hold_indices_of_the_split": "its batches hold pieces of a text, not indices",
}


class ShortText(Example):
    """The start of the embedded text: tokens (T, B), logits (T, B, V), target (T, B)."""

    batch_dim = 1
    is_plain = False

    def make_data(self) -> CharData:
        return char_text(longest=LENGTH, bptt=BPTT)

    def model(self) -> nn.Module:
        return CharRNN(self.facts["vocab_size"], hidden_size=8, embedding_dim=4)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return sequence_nll(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(*batch.target.shape, self.facts["vocab_size"], generator=generator)

    def perfect(self, batch: Any) -> Tensor:
        return 20.0 * functional.one_hot(batch.target, self.facts["vocab_size"]).float()

    def wrong(self, batch: Any) -> Any:
        return CharBatch(batch.tokens.unsqueeze(-1).float(), batch.continues, batch.target)

    def experiment(self) -> Experiment:
        return Experiment(
            dataset=use("char_text", longest=LENGTH, bptt=BPTT),
            architecture=use("char_rnn", hidden_size=8, embedding_dim=4, stateful=True),
            loss="sequence_nll",
            sampler="streams",
            valid_sampler="streams",
            batch_size=8,
        )


def offer() -> Offer:
    """A short text, and what the ways to read it are excused from."""
    readings = ("chunks", "random", "spans", "streams", "windows")
    texts = ("short_text",)
    trials = {f"samplers.{name}": Trial(use(name), examples=texts, exceptions=PIECES) for name in readings}
    return Offer(
        examples={"short_text": ShortText},
        trials={
            **trials,
            "callbacks.sample_text": Trial(use("sample_text", length=20), examples=texts),
            "losses.last_only": Trial(use("last_only"), examples=texts),
        },
    )
