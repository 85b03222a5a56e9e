"""Dropout drawn four values at a time."""

from __future__ import annotations

import pytest
import torch
from lab_attention.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.05, 0.35, 0.9])
def test_the_share_of_zeros_is_the_probability(probability: float) -> None:
    kept = dropout(torch.ones(1_000_000), probability)
    assert float((kept == 0).float().mean()) == pytest.approx(probability, abs=0.002)
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.02)
    assert len(kept.unique()) == 2


def test_gradients_pass_where_values_did() -> None:
    x = torch.randn(7, 9, requires_grad=True)
    out = dropout(x, 0.5)
    out.sum().backward()
    torch.testing.assert_close(x.grad * x, out)


def test_neighbouring_values_are_dropped_independently() -> None:
    zeros = (dropout(torch.ones(250_000, 4), 0.5) == 0).float()
    off_diagonal = torch.corrcoef(zeros.t()) - torch.eye(4)
    assert off_diagonal.abs().max() < 0.01


def test_the_same_seed_drops_the_same_and_another_seed_others() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(5, 3, 7), 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_extremes_leave_nothing_to_chance(probability: float, expected: float) -> None:
    assert torch.equal(dropout(torch.ones(9), probability), torch.full((9,), expected))


def test_the_type_stays() -> None:
    assert dropout(torch.ones(9, dtype=torch.bfloat16), 0.5).dtype == torch.bfloat16


def test_an_empty_tensor_stays_empty() -> None:
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)


def test_the_module_drops_in_training_alone() -> None:
    module = Dropout(0.5)
    assert (module(torch.ones(1000)) == 0).any()
    assert torch.equal(module.eval()(torch.ones(9)), torch.ones(9))
    assert "p=0.5" in str(module)
