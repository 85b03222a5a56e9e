"""Runs of steps with attention as one function have the numbers and gradients of single steps."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import lab_seq2seq.fused.attended
import pytest
import torch
from lab_attention.attention import AdditiveAttention, Attention, DotAttention, ScaledDotAttention
from lab_attention.fused.linear import DeferredLinear
from lab_seq2seq.fused.attended import AttendedGRU
from lab_seq2seq.fused.forward import fused_attention
from lab_seq2seq.losses import seq2seq_loss
from torch import Tensor, nn

from tests.plugins.lab_seq2seq.conftest import PAD
from tests.plugins.lab_seq2seq.reference import plain_forward, plain_loss

WIDTH, KEY, SIZES = 4, 6, [3, 3, 2, 1]


class Parts:
    """GRU, attention and their inputs."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.gru = nn.GRU(WIDTH, WIDTH, 2).double()
        self.attention = AdditiveAttention(WIDTH, KEY).double()
        self.project = nn.Linear(KEY, WIDTH, bias=False).double()
        self.keys, self.words, self.first = (
            torch.randn(*shape, dtype=torch.float64, requires_grad=True)
            for shape in ((5, 3, KEY), (sum(SIZES), WIDTH), (2, 3, WIDTH))
        )

    def at_once(self) -> tuple[Tensor, Any]:
        attend = fused_attention(self.attention, self.attention.remember(self.keys))
        assert attend is not None
        attended = AttendedGRU(self.gru, attend, DeferredLinear(self.project.weight), sum(SIZES))
        outputs, last = attended.run(self.words, SIZES, self.first)
        return outputs, last.states

    def one_by_one(self) -> tuple[Tensor, Any]:
        memory, state, outputs = self.attention.remember(self.keys), self.first, []
        for words in self.words.split(SIZES):
            state = state[:, : len(words)].contiguous()
            context, _ = self.attention.attend(state[-1], memory.first(len(words)))
            output, state = self.gru((words + self.project(context)).unsqueeze(0), state)
            outputs.append(output[0])
        return torch.cat(outputs), list(state)

    def gradients(self, total: Tensor) -> tuple[Tensor, ...]:
        modules = (self.gru, self.attention, self.project)
        weights = [weight for module in modules for weight in module.parameters()]
        return torch.autograd.grad(total, [self.keys, self.words, self.first, *weights])


@pytest.mark.parametrize("used", ["both", "outputs", "last"])
def test_a_run_has_the_numbers_and_gradients_of_its_steps(used: str) -> None:
    parts, found = Parts(), []
    for outputs, last in (parts.at_once(), parts.one_by_one()):
        total = outputs.sin().sum() if used != "last" else 0
        total = total + sum(state.square().sum() for state in last) if used != "outputs" else total
        found.append((outputs, list(last), parts.gradients(total)))
    torch.testing.assert_close(*found)


def test_dropout_lies_between_layers_and_has_one_mask_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts()
    mask = (torch.rand(sum(SIZES), WIDTH) < 0.5).double() * 2
    monkeypatch.setattr(lab_seq2seq.fused.attended, "scaled_mask", lambda x, probability: mask)
    parts.gru.dropout = 0.5
    outputs, _ = parts.at_once()
    step = 1e-6
    found = torch.autograd.grad(outputs.sum(), parts.words)[0][0, 0]
    with torch.no_grad():
        parts.words[0, 0] += step
    moved, _ = parts.at_once()
    torch.testing.assert_close(found, (moved.sum() - outputs.sum()) / step, atol=1e-5, rtol=0)
    parts.gru.eval()
    assert not torch.allclose(parts.at_once()[0], moved)


def test_a_run_whose_result_is_dropped_leaves_nothing_behind() -> None:
    gc.disable()
    try:
        outputs, last = Parts().at_once()
        run = weakref.ref(outputs.grad_fn.run)
        del outputs, last
        assert run() is None
    finally:
        gc.enable()


def test_forced_runs_with_attention_are_one_call(batch: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (source, target) = make_model(attention=AdditiveAttention), batch
    calls: list[int] = []
    run = AttendedGRU.run
    monkeypatch.setattr(AttendedGRU, "run", lambda *given: calls.append(len(given[2])) or run(*given))
    model(source, target, [True] * len(target))
    model(source, target, [True, True, False, True, True, False, True, True])
    assert calls == [8, 2, 3, 3]


class Nearest(Attention):
    """Third-party attention with a score, but without fused scores."""

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return -(prepared - query).square().sum(2)


class Louder(AdditiveAttention):
    """Attention that overrides the score of another."""

    def score(self, query: Tensor, prepared: Tensor) -> Tensor:
        return 2 * super().score(query, prepared)


@pytest.mark.parametrize("attention", [Nearest, Louder])
def test_an_attention_without_fused_scores_is_called_step_by_step(
    attention: type[Attention], batch: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(AttendedGRU, "run")
    model, (source, target) = make_model(attention=attention, embedding_dim=10), batch
    forced = [True, True, False, True, True, True, True, True]
    found = []
    for fast in (True, False):
        scores = model(source, target, forced, packed=True) if fast else plain_forward(model, source, target, forced)
        loss = seq2seq_loss(scores, target, PAD) if fast else plain_loss(scores, target, PAD)
        found.append((loss, torch.autograd.grad(loss, list(model.parameters()))))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attention", [AdditiveAttention, DotAttention, ScaledDotAttention])
def test_under_autocast_a_step_comes_close_to_the_plain_one(
    attention: type[Attention], batch: Any, make_model: Any
) -> None:
    model, (source, target) = make_model(attention=attention, embedding_dim=10), batch
    forced = [True] * len(target)
    exact = torch.autograd.grad(
        plain_loss(plain_forward(model, source, target, forced), target, PAD), list(model.parameters())
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(source, target, forced, packed=True, unprojected=True)
        loss = seq2seq_loss(scores, target, PAD)
    for found, expected in zip(torch.autograd.grad(loss, list(model.parameters())), exact, strict=True):
        assert found.dtype == torch.float32
        assert (found - expected).norm() < 0.05 * expected.norm() + 1e-4
