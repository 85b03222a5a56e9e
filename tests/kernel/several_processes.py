"""Studies and scripts that torchrun trains in several processes, for tests."""

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

from tests.kernel.kill_study import STUDY, outcome

__all__ = [
    "alike",
    "alone_and_together",
    "ended",
    "stop_after_a_checkpoint",
    "torchrun",
    "train_together",
    "write_study",
]

BEGINNING = """
import json, sys
import torch
from torch import distributed, nn
from torch.utils.data import TensorDataset
from lab.training import Data, Learner
from lab_basics.metrics import F1, Accuracy
from lab_basics.steppers import Supervised

if sys.argv[1] == "together":
    distributed.init_process_group("gloo")
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
x = torch.randn(203, 8, generator=generator)
y = x[:, :3].argmax(1)
data = Data(TensorDataset(x[:153], y[:153]), TensorDataset(x[153:], y[153:]))
torch.manual_seed(1)

def without_seconds(history):
    return [{name: value for name, value in row.items() if "second" not in name} for row in history]
"""

END = """
if learner.distributed.rank == 0:
    print(json.dumps(found))
if distributed.is_initialized():
    distributed.destroy_process_group()
"""


def alone_and_together(folder: Path, script: str, argument: str) -> tuple[Any, Any]:
    """What a script leaves as ``found``, run in one process and in two.

    It is given ``data``, the words of ``BEGINNING``, and the argument as ``sys.argv[2]``, and makes a ``learner``.
    """
    path = folder / "train.py"
    path.write_text(BEGINNING + script + END)
    alone = subprocess.run([sys.executable, path, "alone", argument], capture_output=True, text=True, check=True)
    return json.loads(alone.stdout), json.loads(ended(torchrun(str(path), "together", argument)))


def torchrun(*arguments: str, processes: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    environment = {**os.environ, "LAB_DISABLE_THIRD_PARTY": "1", "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *arguments], stdout=pipe, stderr=pipe, env=environment, text=True)


def train_together(study: Path, runs: Path, *more: str) -> subprocess.Popen[str]:
    return torchrun("-m", "lab", "run", str(study), "--runs", str(runs), "--quiet", *more)


def ended(process: subprocess.Popen[str]) -> str:
    """What a process printed, once it ended well."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def write_study(folder: Path, seeds: int, *, dropout: bool = False) -> Path:
    """A study, usually without dropout, which every process would draw otherwise."""
    path = folder / "together.py"
    text = STUDY if dropout else STUDY.replace("nn.Dropout(0.3), ", "")
    text = text.replace("every_steps=7", "every_steps=20")
    swapped = 'Study(base, seeds=2).swap("architecture.width", {"wide": 64})'
    path.write_text(text.replace(swapped, f"Study(base, seeds={seeds})"))
    return path


def stop_after_a_checkpoint(process: subprocess.Popen[str], runs: Path) -> Path:
    """Interrupt a study once it has saved; gives the checkpoint that it leaves."""
    while not list(runs.glob(".store/*/checkpoint-*")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    found = list(runs.glob(".store/*/checkpoint-*"))
    assert found, "what was trained is kept"
    return found[0]


def alike(one: Path, other: Path) -> None:
    """The figures of two folders of runs agree to 1e-5, arm by arm and seed by seed; keys know of processes."""
    first, second = by_arm(one), by_arm(other)
    assert first.keys() == second.keys()
    for run, (metrics, history, _) in first.items():
        assert second[run][0] == pytest.approx(metrics, abs=1e-5)
        assert second[run][1] == [pytest.approx(row, abs=1e-5) for row in history]


def by_arm(runs: Path) -> dict[tuple[str, int], Any]:
    """(arm, seed) → how its run ended."""
    records = {key: json.loads((runs / ".store" / key / "experiment.json").read_text()) for key in outcome(runs)}
    return {(records[key]["arm"], records[key]["seed"]): ended for key, ended in outcome(runs).items()}
