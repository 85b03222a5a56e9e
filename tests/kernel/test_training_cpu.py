from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lab import Experiment, Study, use
from lab.errors import PluginError
from lab.registry.intact import float32_precision, process_unchanged
from lab.study.guard import assert_global_state_unchanged
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


@pytest.fixture
def permitted() -> Iterator[None]:
    """The process as it is on an AMD processor with AVX-512."""
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, settings.fp32_precision = settings.fp32_precision, "bf16"
    yield
    settings.fp32_precision = before


@pytest.mark.parametrize("name", ["high", "medium", "highest"])
def test_a_changed_precision_is_put_back_under_the_settings(permitted: None, name: str) -> None:
    before = float32_precision()
    with (
        pytest.raises(PluginError, match="precision of float32"),
        assert_global_state_unchanged("a plugin", allow_torch_rng=False),
    ):
        torch.set_float32_matmul_precision(name)
    with process_unchanged("a plugin"):
        pass
    assert float32_precision() == before
    torch.backends.mkldnn.matmul.fp32_precision = "none"  # type: ignore[attr-defined]
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_study_runs_under_the_settings(permitted: None, tmp_path: Path) -> None:
    base = Experiment(dataset=use("points", count=64), architecture="mlp", loss="cross_entropy", lr=0.1, epochs=1)
    result = Study(base, seeds=2, name="permitted").run(runs=tmp_path)
    assert {run.status for run in result.runs} == {"finished"}


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
