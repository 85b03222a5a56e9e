"""Attention with gradients computed once for all steps equals attention computed step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention, ScaledDotAttention
from lab_seq2seq.fused.forward import fused_attention, stepwise_attention

WIDTH, STEPS, BATCH = 6, 5, 4
COUNTS = (4, 4, 3, 1)


@pytest.fixture(params=[AdditiveAttention, DotAttention, GeneralAttention, ScaledDotAttention])
def attention(request: pytest.FixtureRequest) -> Attention:
    return request.param(WIDTH, WIDTH).double()


@pytest.fixture
def keys() -> torch.Tensor:
    return torch.randn(STEPS, BATCH, WIDTH, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.arange(STEPS).unsqueeze(1) < torch.tensor([5, 3, 4, 1])


def attended(attention: Any, keys: torch.Tensor, mask: Any, at_once: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return contexts and weights of some steps, each with a query made of the last context, and a scalar of all."""
    memory = attention.remember(keys, mask)
    attend = stepwise_attention(attention, memory) if at_once else None
    query, found = keys[0].sin(), []
    for count in COUNTS:
        query = query[:count]
        context, weights = attend(query) if attend else attention.attend(query, memory.first(count))
        query = (context + query).sin()
        found += [context, weights]
    return found, sum(each.square().sum() for each in found)


@pytest.mark.parametrize("masked", [False, True])
def test_contexts_and_gradients_are_those_of_single_steps(
    masked: bool, attention: Attention, keys: torch.Tensor, mask: torch.Tensor
) -> None:
    given = [keys, *attention.parameters()]
    results = [attended(attention, keys, mask if masked else None, at_once) for at_once in (True, False)]
    torch.testing.assert_close(results[0][0], results[1][0])
    found, expected = (torch.autograd.grad(total, given) for _, total in results)
    torch.testing.assert_close(found, expected)


def test_fused_attention_gives_the_same_contexts(attention: Attention, keys: torch.Tensor, mask: torch.Tensor) -> None:
    given = [keys, *attention.parameters()]
    memory = attention.remember(keys, mask)
    attend = fused_attention(attention, memory)
    assert attend is not None
    found = attend(keys[0, :3].sin())
    expected, _ = attention.attend(keys[0, :3].sin(), memory.first(3))
    torch.testing.assert_close(found, expected)
    one, other = (torch.autograd.grad(each.cos().sum(), given, retain_graph=True) for each in (found, expected))
    torch.testing.assert_close(one, other)


def test_fused_attention_needs_fused_scores_of_the_class_that_scores_and_a_gradient(keys: torch.Tensor) -> None:
    class Louder(DotAttention):
        def score(self, query: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
            return 2 * super().score(query, prepared)

    class Renamed(DotAttention):
        pass

    asked = [kind(WIDTH, WIDTH) for kind in (Louder, Renamed)]
    assert [fused_attention(each, each.remember(keys)) is None for each in asked] == [True, False]
    with torch.no_grad():
        assert fused_attention(asked[1], asked[1].remember(keys)) is None


def test_scores_made_for_some_sentences_at_a_time_are_the_same(
    keys: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = AdditiveAttention(WIDTH, WIDTH).double()
    given, results = [keys, *attention.parameters()], []
    for chunk in (1, 2 * STEPS * WIDTH, 2**18):
        monkeypatch.setattr("lab_attention.fused.attention._CHUNK", chunk)
        found, total = attended(attention, keys, None, at_once=True)
        results.append((found, torch.autograd.grad(total, given)))
    torch.testing.assert_close(results[0], results[2])
    torch.testing.assert_close(results[1], results[2])


def test_weights_alone_give_gradients_too(attention: Attention, keys: torch.Tensor) -> None:
    given = [keys, *attention.parameters()]
    memory = attention.remember(keys)
    query = keys[0]
    found, expected = (
        torch.autograd.grad(weights.sin().sum(), given)
        for weights in (
            stepwise_attention(attention, memory)(query)[1],
            attention.attend(query, attention.remember(keys))[1],
        )
    )
    torch.testing.assert_close(found, expected)


def test_under_autocast_gradients_come_close_and_keep_their_type() -> None:
    attention = AdditiveAttention(WIDTH, WIDTH)
    keys = torch.randn(STEPS, BATCH, WIDTH, requires_grad=True)
    given = [keys, *attention.parameters()]
    expected = torch.autograd.grad(attended(attention, keys, None, at_once=False)[1], given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, total = attended(attention, keys, None, at_once=True)
    for one, exact in zip(torch.autograd.grad(total, given), expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - exact).norm() < 0.05 * exact.norm()


def test_an_attention_that_overrides_attend_is_called() -> None:
    class First(AdditiveAttention):
        def attend(self, query: torch.Tensor, memory: Any) -> tuple[torch.Tensor, torch.Tensor]:
            return memory.keys[0], torch.ones(STEPS, len(query)) / STEPS

    attention, keys = First(WIDTH, WIDTH), torch.randn(STEPS, BATCH, WIDTH)
    context, _ = stepwise_attention(attention, attention.remember(keys))(keys[0, :3])
    assert torch.equal(context, keys[0, :3])


def test_an_attention_that_overrides_score_is_called() -> None:
    class Constant(AdditiveAttention):
        def score(self, query: torch.Tensor, prepared: torch.Tensor) -> torch.Tensor:
            return torch.zeros(prepared.shape[:2])

    attention, keys = Constant(WIDTH, WIDTH), torch.randn(STEPS, BATCH, WIDTH)
    _, weights = stepwise_attention(attention, attention.remember(keys))(keys[0])
    torch.testing.assert_close(weights, torch.full((STEPS, BATCH), 1 / STEPS))


def test_a_second_backward_over_the_same_graph_gives_the_same(attention: Attention, keys: torch.Tensor) -> None:
    _, total = attended(attention, keys, None, at_once=True)
    first = torch.autograd.grad(total, [keys], retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(total, [keys]), first)
