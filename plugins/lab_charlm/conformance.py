"""Example data for the conformance kit: a short text, and the exceptions of samplers that yield windows."""

from __future__ import annotations

from typing import Any

import torch
from lab_text.losses import sequence_nll
from lab_text.windows import WindowBatch
from torch import Tensor, nn
from torch.nn import functional

from lab import Experiment, use
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_charlm.data import CharData, char_text
from lab_charlm.models import CharRNN

__all__ = ["NextCharacter", "ShortText", "support"]

LENGTH, BPTT = 1200, 4

WINDOWS = {
    "test_every_index_occurs_once_per_epoch": "it yields windows of a text, not indices",
    "test_batches_hold_indices_of_the_split": "it yields windows of a text, not indices",
}


class ShortText(Example):
    """The start of the embedded text: tokens (T, B), logits (T, B, V), target (T, B)."""

    batch_dim = 1
    has_flat_targets = False

    def make_data(self) -> CharData:
        return char_text(max_chars=LENGTH, bptt=BPTT)

    def model(self) -> nn.Module:
        return CharRNN(self.facts["vocab_size"], hidden_size=8, embedding_dim=4)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return sequence_nll(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(*batch.target.shape, self.facts["vocab_size"], generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 20.0 * functional.one_hot(batch.target, self.facts["vocab_size"]).float()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return WindowBatch(batch.tokens.unsqueeze(-1).float(), batch.continues, batch.target)

    def experiment(self) -> Experiment:
        return Experiment(
            dataset=use("char_text", max_chars=LENGTH, bptt=BPTT),
            architecture=use("char_rnn", hidden_size=8, embedding_dim=4, stateful=True),
            loss="sequence_nll",
            sampler="streams",
            valid_sampler="streams",
            batch_size=8,
        )


class NextCharacter(ShortText):
    """The start of the embedded text for models that predict the last position only: logits (1, B, V)."""

    kinds = ("architectures",)

    def model(self) -> nn.Module:
        return CharRNN(self.facts["vocab_size"], hidden_size=8, embedding_dim=4, predict="last")

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return super().output(batch, generator)[-1:]

    def perfect_output(self, batch: Any) -> Tensor:
        return super().perfect_output(batch)[-1:]


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    texts = ("short_text",)
    last = {
        f"architectures.{name}": ComponentCase(use(name), examples=("next_character",))
        for name in ("char3", "char_loop", "char_loop_concat", "char_rnn_last")
    }
    each = {
        f"architectures.{name}": ComponentCase(use(name), examples=texts)
        for name in ("char_gru", "char_lstm", "char_rnn", "char_rnn_cell", "char_rnn_stateful", "char_seq_rnn")
    }
    readings = {
        f"samplers.{name}": ComponentCase(use(name), examples=texts, exceptions=WINDOWS)
        for name in ("chunks", "consecutive_spans", "random", "spans", "streams", "windows")
    }
    judges = {
        f"{kind}.{name}": ComponentCase(use(name), examples=texts)
        for kind, names in (
            ("losses", ("last_only", "sequence_nll")),
            ("metrics", ("bits_per_character", "char_accuracy", "char_perplexity")),
        )
        for name in names
    }
    others = {
        "callbacks.sample_text": ComponentCase(use("sample_text", length=20), examples=texts),
        "datasets.char_text": ComponentCase(
            use("char_text"),
            exceptions={"test_splits_are_disjoint": "windows of a few characters occur more than once"},
        ),
    }
    return ConformanceSupport(
        examples={"next_character": NextCharacter, "short_text": ShortText},
        cases={**last, **each, **readings, **judges, **others},
    )
