"""Support for the conformance kit: translation with a recurrent model."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lab_attention.attention import AdditiveAttention
from lab_text.conformance import Translation
from torch import Tensor, nn

from lab import use
from lab.testing import ComponentCase, ConformanceSupport, Example, Finding, same
from lab.training.stepper import Stepper
from lab_seq2seq.losses import seq2seq_loss
from lab_seq2seq.models import Seq2SeqRNN
from lab_seq2seq.protocols import StepwiseModel, check_decoding, is_plain
from lab_seq2seq.steppers import TeacherForcing

__all__ = ["RecurrentTranslation", "keeps_protocol", "support"]


class RecurrentTranslation(Translation):
    """Translation with a recurrent attention model, trained with teacher forcing."""

    kinds = ("callbacks", "steppers")

    def model(self) -> nn.Module:
        needs = ("source_vocab_size", "target_vocab_size", "source_vectors", "target_vectors")
        needs += ("pad_id", "bos_id", "eos_id", "max_length")
        # Without dropout the checks can compare two passes exactly.
        silent = ("embedding_dropout", "encoder_dropout", "bridge_dropout", "decoder_dropout", "output_dropout")
        options: dict[str, Any] = dict.fromkeys(silent, 0.0) | {"embedding_dim": 8, "hidden_size": 8, "layers": 1}
        return Seq2SeqRNN(*(self.facts[name] for name in needs), attention=AdditiveAttention, **options)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return seq2seq_loss(output, target, self.facts["pad_id"])

    def stepper(self) -> Stepper:
        return TeacherForcing(self.facts["pad_id"])


@cache
def _alignments() -> str:
    """Return a file with an alignment of the first validation pair, gone when the process ends."""
    _HOLDERS.append(tempfile.TemporaryDirectory(prefix="lab-conformance-"))
    path = Path(_HOLDERS[-1].name) / "gold"
    path.write_text("0-0\n", encoding="utf-8")
    return str(path)


_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def keeps_protocol(model: nn.Module, _: Example, batch: Any) -> None:
    """Check a model that decodes step by step: what its steps and states return, and that steps agree with ``forward``.

    Raises:
        Finding: steps give other logits than ``forward``, or selected rows other ones than the rows themselves.
        LabError: it breaks ``lab_seq2seq.protocols``.
    """
    is_plain(model)
    if not isinstance(model, StepwiseModel):
        return
    name, (source, target) = type(model).__name__, batch[:2]
    check_decoding(model, source)
    inputs = torch.cat([torch.full_like(target[:1], model.bos_id), target[:-1]])
    whole = model(source, inputs) if is_plain(model) else model(source, target, [True] * len(target))
    state, rows = model.start(source), torch.arange(source.shape[1]).flip(0)
    for number, (tokens, expected) in enumerate(zip(inputs, whole, strict=True), 1):
        logits, state, _ = model.step(tokens, state)
        if not same(logits, expected, 1e-3):
            raise Finding(
                f"step {number} of a {name} gives other logits than `forward` with the same tokens",
                hint="does the state hold all that the later steps need, and the number of tokens so far?",
            )
        if number == 1:
            chosen = state.select(rows)
        elif number == 2 and not same(model.step(tokens[rows], chosen)[0], logits[rows], 1e-3):
            raise Finding(
                f"after `select` the state of a {name} gives other logits than the selected rows",
                hint="select every tensor along its dimension of sentences: tensor.index_select(dimension, rows)",
            )


def support() -> ConformanceSupport:
    """Return example data."""
    return ConformanceSupport(
        examples={"translation_rnn": RecurrentTranslation},
        protocols={"translation": keeps_protocol},
        cases={
            "callbacks.aer": ComponentCase(use("aer", file=_alignments()), examples=("translation_rnn",)),
            "callbacks.attention_maps": ComponentCase(
                use("attention_maps", count=1), examples=("classes", "translation_rnn")
            ),
            "losses.seq2seq_loss": ComponentCase(examples=("translation",)),
            "callbacks.translations": ComponentCase(
                use("translations", count=2), examples=("classes", "translation_rnn")
            ),
        },
    )
