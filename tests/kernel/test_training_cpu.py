from __future__ import annotations

import pytest
import torch

from lab.training import cpu


def test_products_keep_full_precision_under_the_settings() -> None:
    left, right = torch.randn(300, 700), torch.randn(700, 500)
    exact = left.double() @ right.double()
    with cpu.configured_cpu():
        assert (left @ right - exact).abs().max() < 1e-5 * exact.abs().max()


def test_settings_are_torchs_own_afterwards() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    with cpu.configured_cpu():
        pass
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_products_of_any_shape_are_torchs_own_and_the_configured_ones_come_back() -> None:
    settings = torch.backends.mkldnn.matmul
    with cpu.configured_cpu():
        before = settings.fp32_precision
        with cpu.without_onednn():
            assert settings.fp32_precision == "none"
        assert settings.fp32_precision == before


def test_a_processor_that_would_lose_precision_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_is_amd", lambda: True)
    monkeypatch.setattr(cpu, "_keeps_full_precision", lambda: False)
    before = torch.backends.mkldnn.matmul.fp32_precision
    with cpu.configured_cpu() as settings:
        assert not settings.onednn_matmul
        assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_other_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_is_amd", lambda: False)
    with cpu.configured_cpu() as settings:
        assert not settings.onednn_matmul
