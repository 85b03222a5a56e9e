"""The sampler keeps the contract of samplers, and draws in the proportions of the paper."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from lab_effective.samplers import EffectiveNumber, effective_numbers

from lab import use
from lab.errors import DataError, ParameterError
from lab.testing import SamplerConformance


class TestEffectiveNumber(SamplerConformance):
    component = use("effective_number", beta=0.9)


def drawn(beta: float) -> Counter[int]:
    """Count the classes of an epoch of 4,000 examples, a quarter of them in class 1."""
    targets = (torch.arange(4000) % 4 == 0).long()
    sampler = EffectiveNumber(4000, 100, torch.Generator().manual_seed(0), targets, beta=beta)
    return Counter(int(targets[index]) for batch in sampler for index in batch)


def test_effective_numbers_are_those_of_the_formula() -> None:
    assert effective_numbers(torch.tensor([1, 2, 3]), 0.5).tolist() == [1, 1.5, 1.75]
    assert effective_numbers(torch.tensor([1, 20]), 0).tolist() == [1, 1]
    assert effective_numbers(torch.tensor([1, 20]), 1).tolist() == [1, 20]


@pytest.mark.parametrize(("beta", "share"), [(0.0, 0.25), (1.0, 0.5)])
def test_beta_goes_from_no_balance_to_a_whole_one(beta: float, share: float) -> None:
    assert drawn(beta)[1] / 4000 == pytest.approx(share, abs=0.03)


def test_what_cannot_be_balanced_is_refused() -> None:
    generator = torch.Generator()
    with pytest.raises(ParameterError, match=r"beta must be in \[0, 1\], not 2"):
        EffectiveNumber(2, 1, generator, torch.tensor([0, 1]), beta=2)
    with pytest.raises(DataError, match="not one class per example"):
        EffectiveNumber(2, 1, generator, torch.tensor([0.5, 1.5]))
