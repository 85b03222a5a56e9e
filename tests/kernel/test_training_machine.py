from __future__ import annotations

import pytest
import torch

from lab.training import machine


def test_products_keep_full_precision_under_the_settings() -> None:
    left, right = torch.randn(300, 700), torch.randn(700, 500)
    exact = left.double() @ right.double()
    with machine.tuned():
        assert (left @ right - exact).abs().max() < 1e-5 * exact.abs().max()


def test_settings_are_torchs_own_afterwards() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    with machine.tuned():
        pass
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_products_of_any_shape_are_torchs_own_and_the_tuned_ones_come_back() -> None:
    settings = torch.backends.mkldnn.matmul
    with machine.tuned():
        before = settings.fp32_precision
        with machine.products_of_any_shape():
            assert settings.fp32_precision == "none"
        assert settings.fp32_precision == before


def test_a_processor_that_would_lose_precision_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_is_amd", lambda: True)
    monkeypatch.setattr(machine, "_keeps_full_precision", lambda: False)
    before = torch.backends.mkldnn.matmul.fp32_precision
    with machine.tuned() as tuning:
        assert not tuning.products
        assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_other_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_is_amd", lambda: False)
    with machine.tuned() as tuning:
        assert not tuning.products
