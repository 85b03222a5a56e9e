"""The executor keeps the contract of executors; a process that dies is a failed run, and the others go on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from lab_apart.executor import Apart

from lab import use
from lab.errors import ParameterError
from lab.study.execute import SilentListener, run_study
from lab.study.load import load_study
from lab.testing import ExecutorConformance

DYING = '''
"""Does it live?"""
import os
from lab import Study, TaskRun, use

def train(*, sick: bool = False, run: TaskRun) -> dict[str, float]:
    """Train nothing, or die as a process does that has no memory left."""
    if sick:
        os.kill(os.getpid(), 9)
    return {"accuracy": 1.0}

study = Study(use(train), seeds=2, compare="accuracy", higher_is_better=True).swap("sick", {"sick": True})
'''


class TestApart(ExecutorConformance):
    component = use("apart")


def test_a_process_that_dies_is_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(DYING, encoding="utf-8")
    results = run_study(load_study(tmp_path / "dying.py"), runs=tmp_path / "runs", executor=use("apart", at_once=2))
    status = {(run.arm, run.seed): run.status for run in results.runs}
    assert status == {("base", 0): "finished", ("base", 1): "finished", ("sick", 0): "failed", ("sick", 1): "failed"}
    sick = next(run for run in results.runs if run.arm == "sick")
    assert "its process was killed by signal 9" in sick.result["error"]


def test_without_a_process_it_is_refused() -> None:
    with pytest.raises(ParameterError, match="at_once must be at least 1, not 0"):
        Apart(at_once=0)


def test_nothing_begins_after_a_stop() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        list(Apart().submit([object()], SilentListener(), stop, fresh=False))
