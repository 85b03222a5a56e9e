"""Both passes of the model, fused and step by step, compute what the reference computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention, DotAttention, GeneralAttention, ScaledDotAttention
from lab_seq2seq.fused import forward
from lab_seq2seq.losses import seq2seq_loss

from tests.plugins.lab_seq2seq.conftest import PAD
from tests.plugins.lab_seq2seq.reference import plain_forward, plain_loss

ATTENTIONS = {
    "none": None,
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "general": GeneralAttention,
    "scaled_dot": ScaledDotAttention,
}


def forcing_mask(steps: int, probability: float) -> list[bool]:
    return (torch.rand(steps, generator=torch.Generator().manual_seed(3)) < probability).tolist()


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def assert_equal_to_the_reference(model: Any, batch: Any, probability: float, *, packed: bool) -> None:
    """Compare outputs within 1e-5 and gradients within 1e-4, at real tokens."""
    source, target = batch
    forced = forcing_mask(len(target), probability)
    plain = plain_forward(model, source, target, forced)
    fast = model(source, target, forced, packed=packed)
    if packed:
        logits, lengths = torch.nn.utils.rnn.pad_packed_sequence(fast, total_length=len(target))
        assert torch.equal(lengths, (target != PAD).sum(0))
    else:
        logits = fast
    real = target != PAD
    torch.testing.assert_close(logits[real], plain[real], atol=1e-5, rtol=0)
    expected = gradients(model, plain_loss(plain, target, PAD))
    found = gradients(model, seq2seq_loss(fast, target, PAD))
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.fixture(params=[True, False], ids=["fused", "step by step"])
def fused(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("attention", list(ATTENTIONS))
def test_every_model_equals_the_reference(
    attention: str,
    cell: str,
    bidirectional: bool,
    probability: float,
    packed: bool,
    fused: bool,
    batch: Any,
    make_model: Any,
) -> None:
    width = 20 if bidirectional else 10  # dot attention wants one width
    options = {"cell": cell, "bidirectional": bidirectional, "embedding_dim": width, "fused": fused}
    model = make_model(attention=ATTENTIONS[attention], **options)
    assert_equal_to_the_reference(model, batch, probability, packed=packed)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("attention", list(ATTENTIONS))
def test_attention_after_the_step_equals_the_reference(
    attention: str, probability: float, fused: bool, batch: Any, make_model: Any
) -> None:
    model = make_model(attention=ATTENTIONS[attention], attend="after", embedding_dim=10, fused=fused)
    assert_equal_to_the_reference(model, batch, probability, packed=True)


@pytest.mark.parametrize("mask_padding", [True, False])
def test_logits_at_padding_equal_the_reference_too(
    mask_padding: bool, fused: bool, batch: Any, make_model: Any
) -> None:
    model = make_model(attention=AdditiveAttention, mask_padding=mask_padding, fused=fused)
    source, target = batch
    forced = forcing_mask(len(target), 0.5)
    torch.testing.assert_close(
        model(source, target, forced), plain_forward(model, source, target, forced), atol=1e-5, rtol=0
    )


def test_one_dropout_mask_serves_the_guess_and_the_loss(batch: Any, make_model: Any) -> None:
    """With dropout on, the token that is fed back is the best of the very logits that the loss sees."""
    model = make_model(output_dropout=0.5).train()
    source, target = batch
    fed: list[torch.Tensor] = []
    model.embedding.register_forward_hook(lambda module, inputs, output: fed.append(inputs[0]))
    logits = model(source, target)
    guesses = fed[1:]  # the first call embeds what was known beforehand
    assert len(guesses) == len(target) - 1
    for step, guess in enumerate(guesses):
        assert torch.equal(guess, logits[step].argmax(1))


@pytest.mark.parametrize("attention", [None, AdditiveAttention], ids=["no attention", "attention after the step"])
def test_forced_runs_are_one_call_of_the_recurrence(
    attention: Any, batch: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(attention=attention, attend="after")
    source, target = batch
    calls: list[int] = []
    recur = forward._recur
    monkeypatch.setattr(forward, "_recur", lambda *given: calls.append(len(given[2])) or recur(*given))
    model(source, target, [True] * len(target))
    assert calls == [8]
    calls.clear()
    model(source, target, [True, True, False, True, True, False, True, True])
    assert calls == [2, 3, 3]


def test_the_projection_with_gradient_is_computed_once(batch: Any, make_model: Any) -> None:
    model = make_model()
    source, target = batch
    with_gradient: list[bool] = []
    model.output.register_forward_hook(lambda module, inputs, output: with_gradient.append(output.requires_grad))
    model(source, target, [True, True, False, True, True, False, True, True])
    assert with_gradient == [False, False, True]
