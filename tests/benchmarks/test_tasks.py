"""What a run of a training function, or of a command, costs besides what it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lab import Study, TaskRun, use
from lab.study.load import load_study
from tests.benchmarks.test_many_runs import per_run, run_seeds
from tests.benchmarks.turns import seconds

COMMAND = """
import json, sys
json.dump({"score": float(sys.argv[1])}, open(sys.argv[2], "w"))
"""
STUDY = '''
"""What does a command cost that has nothing to do?"""
import sys
from lab import Study, command

base = command(
    f"{sys.executable} script.py {{seed}} {{folder}}/metrics.json",
    metrics="{folder}/metrics.json",
    sources=["script.py"],
)
study = Study(base, seeds=2, compare="score", higher_is_better=True)
'''


def give(*, lr: float = 0.1, run: TaskRun) -> dict[str, float]:
    """Train nothing."""
    return {"score": run.seed * lr}


def test_a_function_costs_milliseconds(tmp_path: Path, short: bool, figure: Any) -> None:
    study = Study(use(give), seeds=2, compare="score", higher_is_better=True)
    few, many = (10, 110) if short else (20, 320)
    here = per_run(study, tmp_path, "in_process", few, many)
    figure.value("a run of a function in process", here, "ms", at_most=5)


def test_a_command_costs_milliseconds_besides_itself(
    tmp_path: Path, short: bool, figure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    (tmp_path / "script.py").write_text(COMMAND)
    (tmp_path / "study.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    few, many = (2, 22) if short else (5, 105)
    alone = 1000 * seconds(
        lambda: [subprocess.run([sys.executable, "script.py", "0", "out.json"], check=True) for _ in range(many - few)]
    )
    study = load_study(tmp_path / "study.py")
    assert all(run.status == "finished" for run in run_seeds(study, tmp_path / "runs" / "first", 1).runs)
    ours = per_run(study, tmp_path / "runs", "in_process", few, many)
    figure.value("a run of a command besides the command", ours - alone / (many - few), "ms", at_most=30)
