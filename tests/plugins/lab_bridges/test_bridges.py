"""The examples of other trainers run as printed; a stopped run goes on with the same numbers."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from lab import TaskRun

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
NEEDS = {
    "lightning_depth": ("lightning",),
    "huggingface_heads": ("transformers", "accelerate"),
    "jax_width": ("jax",),
    "keras_dropout": ("keras",),
}

pytestmark = [
    pytest.mark.slow,
    # of Lightning, Hugging Face and what they import
    pytest.mark.filterwarnings("ignore"),
]


def need(example: str) -> None:
    for package in NEEDS[example]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'lab-ablation[bridges]'")


@pytest.mark.parametrize("example", NEEDS)
def test_an_example_runs_as_printed(example: str, tmp_path: Path) -> None:
    need(example)
    file = EXAMPLES / f"{example}.py"
    command = [sys.executable, "-m", "lab", "run", str(file), "--format", "json", "--threads", "1"]
    done = subprocess.run(
        [*command, "--executor", "in_process"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["statuses"] == {"finished": 6}
    base, other = answer["comparison"]["arms"]
    metric = answer["comparison"]["metric"]
    assert base["metrics"][metric]["mean"] != other["metrics"][metric]["mean"]
    if metric == "valid_accuracy":
        assert base["metrics"][metric]["mean"] > 0.6


def load(example: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(example, EXAMPLES / f"{example}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(train: Any, folder: Path, stop_after: int | None) -> Any:
    """Call a training function in a folder; give its metrics and curves, or None if it was stopped."""
    stop = threading.Event()

    def advanced(row: dict[str, float]) -> None:
        if row["epoch"] == stop_after:
            stop.set()

    folder.mkdir(exist_ok=True)
    run = TaskRun(0, folder, "cpu", stop, advanced)
    torch.manual_seed(0)
    try:
        metrics = train(run=run)
    except KeyboardInterrupt:
        return None
    return metrics, [{name: value for name, value in row.items() if name != "seconds"} for row in run.history]


@pytest.mark.parametrize("example", ["lightning_depth", "huggingface_heads"])
def test_a_stopped_run_goes_on_with_the_same_numbers(example: str, tmp_path: Path) -> None:
    need(example)
    train = load(example).train
    whole = call(train, tmp_path / "whole", None)
    assert call(train, tmp_path / "stopped", 0) is None
    left = [path for path in (tmp_path / "stopped").rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == ["metrics.jsonl", "task-checkpoint.safetensors"]
    assert not any(b"PK\x03\x04" in path.read_bytes() or b"pickle" in path.read_bytes() for path in left)
    assert call(train, tmp_path / "stopped", None) == whole
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["metrics.jsonl"]


def test_lightning_may_be_imported_by_a_study_file_and_other_wrappers_may_not() -> None:
    need("lightning_depth")
    from lightning.fabric.wrappers import _capture_compile_kwargs

    from lab.errors import PluginError
    from lab.study import guard

    def change(wrapper: Any) -> None:
        kept = torch.compile
        try:
            with guard.assert_global_state_unchanged("a study", allow_torch_rng=True, functions=True):
                torch.compile = wrapper
        finally:
            torch.compile = kept

    change(_capture_compile_kwargs(torch.compile))
    with pytest.raises(PluginError, match=r"torch\.compile"):
        change(lambda model: model)
