"""The process pool: the same numbers as in one process, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lab.study.interrupt import STOPPING
from tests.kernel.kill_study import STUDY, finish, outcome

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed")]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "killed.py"
    path.write_text(STUDY)
    return path


DEADLY = """
import os, signal

class Deadly(Callback):
    def before_batch(self, learner):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def _pool(study: Path, runs: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lab", "run", str(study), "--runs", str(runs), "--quiet", "--workers", "2", *more]
    environment = {**os.environ, "LAB_DISABLE_THIRD_PARTY": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)


def _workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    pids = [int(pid) for pid in children.read_text().split()]
    return [pid for pid in pids if b"lab_executors.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _wait_for(condition, process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[0].decode()
        time.sleep(0.02)


def test_a_pool_gives_the_same_numbers_as_one_process(
    study: Path, tmp_path: Path, left_in_peace: dict[str, Any]
) -> None:
    finish(_pool(study, tmp_path / "pool", "--threads", "1"))
    assert outcome(tmp_path / "pool") == left_in_peace


SLOW_START = """
import multiprocessing, sys, time
if "lab_executors.worker" in " ".join(sys.orig_argv):
    time.sleep(10)
"""


def test_the_seconds_of_a_run_do_not_hold_the_start_of_its_worker(study: Path, tmp_path: Path) -> None:
    study.write_text(study.read_text() + SLOW_START)
    began = time.perf_counter()
    finish(_pool(study, tmp_path / "pool"))
    assert time.perf_counter() - began > 10
    budgets = [json.loads(path.read_text())["budget"] for path in (tmp_path / "pool" / ".store").glob("*/result.json")]
    assert budgets
    assert max(budget["seconds"] for budget in budgets) < 10


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its workers through /proc")
def test_a_worker_that_is_killed_is_replaced_and_its_run_goes_on(
    study: Path, tmp_path: Path, left_in_peace: dict[str, Any]
) -> None:
    process = _pool(study, tmp_path / "pool", "--threads", "1")
    _wait_for(lambda: list((tmp_path / "pool").glob(".store/*/checkpoint-*")), process)
    os.kill(_workers(process.pid)[0], signal.SIGKILL)
    finish(process)
    assert outcome(tmp_path / "pool") == left_in_peace


def test_a_run_that_kills_its_worker_twice_is_reported_and_the_others_finish(study: Path, tmp_path: Path) -> None:
    text = STUDY.replace("base = Experiment(", f"{DEADLY}\n\nbase = Experiment(").replace(
        'study = Study(base, seeds=2).swap("architecture.width", {"wide": 64})',
        'study = Study(base, seeds=1).swap("callbacks.Slow", {"deadly": Deadly})',
    )
    study.write_text(text.replace("epochs=4", "epochs=1"))
    process = _pool(study, tmp_path / "runs")
    output, _ = process.communicate()
    assert process.returncode == 1, output.decode()
    failures = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob(".store/*/failure.json")]
    assert [failure["error"] for failure in failures] == [
        "its worker process was killed by signal 9\n  too little memory? fewer --workers"
    ]
    assert len(list((tmp_path / "runs").glob(".store/*/result.json"))) == 1


def test_an_interrupted_pool_saves_every_run(study: Path, tmp_path: Path, left_in_peace: dict[str, Any]) -> None:
    process = _pool(study, tmp_path / "pool", "--threads", "1")
    _wait_for(lambda: len(list((tmp_path / "pool").glob(".store/*/checkpoint-*"))) >= 2, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    assert output.decode().startswith(f"\n{STOPPING}\ninterrupted; everything is saved\n")
    finish(_pool(study, tmp_path / "pool", "--threads", "1"))
    assert outcome(tmp_path / "pool") == left_in_peace


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its workers through /proc")
@pytest.mark.parametrize("where", ["import", "step"])
def test_a_worker_ends_with_a_parent_that_is_killed_whatever_it_is_doing(
    study: Path, tmp_path: Path, where: str
) -> None:
    stuck = "import os, sys, time\nif 'lab_executors.worker' in sys.orig_argv:\n    time.sleep(300)\n"
    text = STUDY.replace("time.sleep(0.004)", "time.sleep(300 if learner.position.step else 0)")
    study.write_text(STUDY.replace("import time\n", f"import time\n{stuck}", 1) if where == "import" else text)
    process = _pool(study, tmp_path / "runs", "--threads", "1")
    began = "experiment.json" if where == "step" else "study.json"
    _wait_for(lambda: list((tmp_path / "runs").rglob(began)) and len(_workers(process.pid)) == 2, process)
    workers = _workers(process.pid)
    process.kill()
    process.communicate()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until, "a worker was left behind"
        time.sleep(0.1)


def test_a_file_in_the_working_folder_shadows_nothing_in_a_worker(study: Path, tmp_path: Path) -> None:
    study.write_text(STUDY.replace("epochs=4", "epochs=1").replace("seeds=2", "seeds=1"))
    here = tmp_path / "here"
    here.mkdir()
    for name in ("queue", "random", "torch", "json"):
        (here / f"{name}.py").write_text("raise ImportError('of the working folder')\n")
    command = [sys.executable, "-m", "lab", "run", str(study), "--runs", str(tmp_path / "runs"), "--workers", "2"]
    environment = {**os.environ, "LAB_DISABLE_THIRD_PARTY": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command[:1], "-P", *command[1:]], cwd=here, env=environment, check=True, capture_output=True)
    assert len(list((tmp_path / "runs").glob(".store/*/result.json"))) == 2


KILLED_AT_IMPORT = """
import os, sys
if "lab_executors.worker" in sys.orig_argv and os.path.exists({flag!r}):
    os.kill(os.getpid(), 9)
"""


def test_a_fresh_run_whose_worker_is_killed_shows_no_old_metrics(study: Path, tmp_path: Path) -> None:
    flag, runs = tmp_path / "deadly", tmp_path / "runs"
    text = STUDY.replace("epochs=4", "epochs=1").replace("seeds=2", "seeds=1")
    study.write_text(text.replace("import time\n", f"import time\n{KILLED_AT_IMPORT.format(flag=str(flag))}", 1))
    finish(_pool(study, runs))
    assert len(outcome(runs)) == 2
    flag.touch()
    process = _pool(study, runs, "--fresh")
    output, _ = process.communicate()
    assert process.returncode == 1, output.decode()
    assert len(list(runs.glob(".store/*/failure.json"))) == 2
    assert list(runs.glob(".store/*/result.json")) == []
    assert list(runs.glob(".store/*/metrics.jsonl")) == []
