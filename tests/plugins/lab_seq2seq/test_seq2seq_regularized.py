"""Activation regularization inside teacher forcing, against its definition step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.losses import Seq2SeqLoss
from lab_seq2seq.steppers import TeacherForcing
from lab_seq2seq.transformer import Transformer
from torch import Tensor

from lab.errors import ParameterError
from lab.training import Learner
from tests.plugins.lab_seq2seq.conftest import FACTS, PAD, ToyTranslation, small_model


def learner_of(data: ToyTranslation, stepper: TeacherForcing, padding: Any = "ignore", **options: Any) -> Learner:
    torch.manual_seed(0)
    return Learner(
        small_model(data, **options), data, Seq2SeqLoss(PAD, padding=padding), stepper=stepper, progress=False
    )


def outputs_of(model: Any, source: Tensor, target: Tensor) -> list[Tensor]:
    """The decoder's outputs at each step (B, E), every step forced."""
    seen: list[Tensor] = []
    handle = model.output_dropout.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    state, tokens = model.start(source), torch.full_like(target[0], model.bos_id)
    for step in range(len(target)):
        _, state, _ = model.step(tokens, state)
        tokens = target[step]
    handle.remove()
    return seen


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step by step"])
@pytest.mark.parametrize("attention", [None, AdditiveAttention], ids=["plain", "attention"])
def test_the_penalties_are_those_of_the_real_tokens(data: ToyTranslation, fused: bool, attention: Any) -> None:
    batch = data.collate(data.train[:8])
    options = {"fused": fused, "attention": attention}
    # Step by step, the outputs behind a sentence's end are computed and count as well.
    real = (batch.target != PAD) if fused else torch.ones_like(batch.target, dtype=torch.bool)
    losses = {}
    for alpha, beta in ((0.0, 0.0), (2.0, 0.0), (0.0, 3.0)):
        learner = learner_of(data, TeacherForcing(PAD, decay_epochs=None, alpha=alpha, beta=beta), **options)
        losses[alpha, beta] = learner.stepper.train_loss(batch)
    outputs = torch.stack(outputs_of(learner.model, batch.source, batch.target))  # (T, B, E)
    expected = losses[0.0, 0.0] + 2 * outputs[real].pow(2).mean()
    torch.testing.assert_close(losses[2.0, 0.0], expected, rtol=1e-4, atol=1e-5)
    slow = (outputs[1:] - outputs[:-1])[real[1:]].pow(2).mean()
    torch.testing.assert_close(losses[0.0, 3.0], losses[0.0, 0.0] + 3 * slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["ignore", "count"])
def test_training_with_predictions_as_inputs_is_regularized_too(data: ToyTranslation, padding: str) -> None:
    learner = learner_of(data, TeacherForcing(PAD, start=0.5, alpha=1.0, beta=1.0), padding)
    learner.fit(1)
    assert learner.history[0]["train_loss"] > 0
    assert not learner.model.output_dropout._forward_hooks


def test_a_model_without_outputs_to_regularize_is_refused(data: ToyTranslation) -> None:
    model = Transformer(data.source_vocab_size, data.target_vocab_size, **FACTS, max_length=9, width=8, heads=2)
    with pytest.raises(ParameterError, match="a Transformer has no output_dropout"):
        Learner(model, data, Seq2SeqLoss(PAD), stepper=TeacherForcing(PAD, alpha=1.0), progress=False).fit(1)


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"alpha and beta must not be negative, got -1\.0 and 0\.0"):
        TeacherForcing(PAD, alpha=-1.0)
