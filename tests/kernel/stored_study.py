"""A study as ``lab run`` leaves it on disk, made without training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FIGURES", "key_of", "store_run", "store_study"]

FIGURES = {"base": [0.50, 0.52, 0.51, 0.53], "wide": [0.70, 0.74, 0.70, 0.75], "sgd": [0.51, 0.50, 0.53, 0.52]}
"""arm → the accuracy of each seed."""

BASE = {
    "dataset": {"component": "toy.py:toy#0c15fea2ba93", "plugin": "local", "params": {"n": 1000}},
    "architecture": {"component": "mlp", "plugin": "toys 1.0", "params": {"width": 2}},
    "loss": {"component": "cross_entropy", "plugin": "lab_basics 0.1.0", "params": {}},
    "callbacks": [{"component": "one_cycle", "plugin": "lab_basics 0.1.0", "params": {"shape": "cos"}}],
    "lr": 0.01,
    "epochs": 3,
}


def key_of(arm: str, seed: int, study: str = "toy") -> str:
    """A key that can be told from the others."""
    return f"{study}-{arm}-{seed}".encode().hex()[-20:].rjust(20, "0")


def store_study(
    root: Path,
    name: str = "toy",
    *,
    question: str = "Does width matter?",
    figures: Mapping[str, list[float]] = FIGURES,
    failed: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
) -> Path:
    """Write a study with its runs and give its folder.

    Args:
        root: the folder of runs.
        name, question: the study's.
        figures: arm → accuracy of each seed, the base first.
        failed: arms whose runs failed.
        missing: arms whose runs were never begun.
    """
    runs = []
    for arm, values in figures.items():
        for seed, value in enumerate(values):
            runs.append({"arm": arm, "seed": seed, "key": key_of(arm, seed, name)})
            if arm not in missing:
                store_run(root, name, arm, seed, value, fails=arm in failed)
    difference = {arm: {"architecture.width": [2, 8]} for arm in figures}
    difference[next(iter(figures))] = {}
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "name": name,
        "question": question,
        "compare": "valid_accuracy",
        "seeds": list(range(max(map(len, figures.values())))),
        "file": f"experiments/{name}.py",
        "command": f"lab run experiments/{name}.py",
        "made": "2026-01-02T03:04:05Z",
        "lab": "0.1.0",
        "base": BASE,
        "arms": {arm: {"difference": changes, "factors": {}} for arm, changes in difference.items()},
        "components": [
            {
                "kind": "loss",
                "name": "cross_entropy",
                "plugin": "lab_basics 0.1.0",
                "file": "losses.py:7",
                "arms": ["base"],
            }
        ],
        "runs": runs,
    }
    (folder / "study.json").write_text(json.dumps(content))
    return folder


def store_run(root: Path, study: str, arm: str, seed: int, value: float, *, fails: bool = False) -> Path:
    """Write one run and give its folder."""
    key = key_of(arm, seed, study)
    folder = root / ".store" / key
    folder.mkdir(parents=True)
    made = {"study": study, "arm": arm, "seed": seed, "key": key, "device": "cpu", "data": "toy", "experiment": BASE}
    _write(folder / "experiment.json", made)
    _write(folder / "environment.json", {"python": "3.11.7", "packages": {"torch": "2.13.0"}, "git": None})
    history = [
        {"epoch": n, "train_loss": 1 / (n + 1), "valid_loss": 1.1 / (n + 1), "valid_accuracy": value * (n + 1) / 3}
        for n in range(3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    if fails:
        trace = "Traceback (most recent call last):\n  somewhere\nValueError: <b>too</b> many"
        _write(folder / "failure.json", {"error": "ValueError: <b>too</b> many", "traceback": trace})
    else:
        budget = {"parameters": 16 if arm == "base" else 64, "steps": 39, "seconds": 1.5, "peak_memory_mb": 321.5}
        metrics = {"train_loss": 1 / 3, "valid_loss": 1.1 / 3, "valid_accuracy": value}
        _write(folder / "result.json", {"metrics": metrics, "higher_is_better": {"accuracy": True}, "budget": budget})
    return folder


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))
