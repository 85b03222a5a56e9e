"""Whatever happens to a study, nothing is lost: kills, full disks, two at once."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.study.interrupt import STOPPING
from tests.kernel.kill_study import (
    STUDY,
    end_at_moments,
    finish,
    finished_keys,
    kill_until_done,
    outcome,
    start,
)

MOMENTS = int(os.environ.get("LAB_KILL_MOMENTS", "1"))
"""How often each way to end a study is tried; CONTRIBUTING.md says how to try more."""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed")]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "small.py"
    path.write_text(STUDY.replace("epochs=4", "epochs=1"))
    return path


def test_a_study_that_is_killed_again_and_again_ends_as_one_left_in_peace(tmp_path: Path) -> None:
    kill_until_done(tmp_path, kills=4)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc")
@pytest.mark.parametrize(("way", "workers"), [("SIGTERM", 1), ("SIGHUP", 2), ("SIGINT twice", 2), ("SIGKILL", 2)])
def test_however_a_study_is_ended_it_goes_on_and_leaves_no_process(
    tmp_path: Path, left_in_peace: dict[str, Any], way: str, workers: int
) -> None:
    study, runs = tmp_path / "killed.py", tmp_path / "runs"
    study.write_text(STUDY)
    runs.mkdir()
    end_at_moments(study, runs, way, MOMENTS, workers=workers, duration=4.0)
    assert all(outcome(path) == left_in_peace for path in runs.iterdir())


def test_two_at_once_train_no_run_twice_and_lose_none(study: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for process in [start(study, runs), start(study, runs)]:
        finish(process)
    assert len(finished_keys(runs)) == 4
    folders = [path.parent for path in (runs / ".store").glob("*/metrics.jsonl")]
    assert all(len((folder / "metrics.jsonl").read_text().splitlines()) == 1 for folder in folders)


@pytest.mark.parametrize("limit", [300, 2500, 6000])
def test_a_full_disk_stops_the_study_with_a_clear_message_and_it_goes_on_later(
    study: Path, tmp_path: Path, limit: int, lab: Callable[..., Any]
) -> None:
    runs = tmp_path / "runs"
    limited = subprocess.run(
        [sys.executable, "-m", "lab", "run", str(study), "--runs", str(runs), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        # without bytecode: Python itself would leave compiled files behind that end at the limit
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "LAB_DISABLE_THIRD_PARTY": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert limited.returncode == 2
    assert limited.stderr.startswith("lab: cannot write")
    assert "free some space and run the same command again; finished runs are kept" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert lab("run", study, "--runs", runs, "--quiet").code == 0
    assert len(outcome(runs)) == 4


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = start(study, tmp_path / "file" / "runs")
    output, _ = done.communicate()
    assert done.returncode == 2
    assert output.decode() == (
        "lab: cannot write to the folder of runs: Not a directory\n"
        f"  {tmp_path / 'file' / 'runs'}\n"
        "  choose another: --runs DIR\n"
    )


def test_a_truncated_checkpoint_is_told_of_and_the_run_begins_anew(
    tmp_path: Path, left_in_peace: dict[str, Any]
) -> None:
    study, runs = tmp_path / "killed.py", tmp_path / "runs"
    study.write_text(STUDY)
    process = start(study, runs)
    while not list(runs.glob(".store/*/checkpoint-*/state.json")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    process.stdout.close()
    for weights in runs.glob(".store/*/checkpoint-*/model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:30])
    again = start(study, runs)
    output, _ = again.communicate()
    assert again.returncode == 0
    assert b"a checkpoint is damaged and skipped: cannot read the weights" in output
    assert outcome(runs) == left_in_peace


def test_an_interrupted_study_says_how_to_go_on_and_does(tmp_path: Path, left_in_peace: dict[str, Any]) -> None:
    study, runs = tmp_path / "killed.py", tmp_path / "runs"
    study.write_text(STUDY)
    process = start(study, runs)
    while not list(runs.glob(".store/*/checkpoint-*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    assert output.decode() == (
        f"\n{STOPPING}\ninterrupted; everything is saved\n"
        f"  go on with the same command: lab run {study} --runs {runs} --quiet\n"
    )
    state = json.loads(next(runs.glob(".store/*/checkpoint-*/state.json")).read_text())
    assert state
    finish(start(study, runs))
    assert outcome(runs) == left_in_peace


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_study_that_is_asked_to_end_saves_as_at_ctrl_c(
    tmp_path: Path, left_in_peace: dict[str, Any], number: signal.Signals
) -> None:
    study, runs = tmp_path / "killed.py", tmp_path / "runs"
    study.write_text(STUDY.replace("every_steps=7", "min_interval_s=1e9"))  # nothing is saved but when asked
    process = start(study, runs)
    while not list(runs.glob(".store/*/metrics.jsonl")):
        assert process.poll() is None, process.communicate()[0].decode()
        time.sleep(0.02)
    process.send_signal(number)
    output, _ = process.communicate()
    assert (process.returncode, output.decode()) == (
        130,
        f"interrupted; everything is saved\n  go on with the same command: lab run {study} --runs {runs} --quiet\n",
    )
    assert json.loads(next(runs.glob(".store/*/checkpoint-*/state.json")).read_text())


def test_a_reader_that_leaves_does_not_stop_the_training(study: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = start(study, runs)
    process.stdout.close()  # as ``| head -0`` does, for stdout and stderr
    assert process.wait(timeout=120) == 0
    assert len(outcome(runs)) == 4
    assert (runs / "small" / "report.html").is_file()
