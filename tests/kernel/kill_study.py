"""Kill a study at random moments, again and again, until it is done; then compare it with one left in peace.

    python tests/kernel/kill_study.py --kills 50

Nothing that was finished may be lost, nothing corrupt may be accepted, and the final numbers and weights must be those
of the undisturbed study. The ordinary tests call ``kill_until_done`` with a few kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = '''
"""Does width matter, whatever happens?"""
import time
import torch
from torch import nn
from torch.utils.data import TensorDataset
from lab import Callback, Data, Experiment, Study, use


def points() -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 4, generator=generator)
    y = (x.sum(1) > 0).long()
    return Data(TensorDataset(x[:300], y[:300]), TensorDataset(x[300:], y[300:]), fingerprint="points")


class Net(nn.Module):
    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 2))

    def forward(self, x):
        return self.layers(x)


class Slow(Callback):
    def after_batch(self, learner):
        time.sleep(0.004)


base = Experiment(
    dataset=points, architecture=Net, loss="cross_entropy", metrics=["accuracy"], callbacks=["one_cycle", Slow],
    checkpoint=use("checkpoint", every_steps=7), lr=1e-2, batch_size=10, epochs=4,
)
study = Study(base, seeds=2).swap("architecture.width", {"wide": 64})
'''


def start(study: Path, runs: Path) -> subprocess.Popen[bytes]:
    """``lab run`` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LAB_DISABLE_THIRD_PARTY": "1"}
    command = [sys.executable, "-m", "lab", "run", str(study), "--runs", str(runs), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a study to end well."""
    output, _ = process.communicate(timeout=300)
    if process.returncode != 0:
        raise AssertionError(f"exit code {process.returncode}:\n{output.decode()}")


def outcome(runs: Path) -> dict[str, tuple[dict[str, float], list[dict[str, float]], bytes]]:
    """Key → (final figures, history without times, weights) of every run."""
    found = {}
    for folder in sorted(path for path in (runs / ".store").iterdir() if not path.name.startswith(".")):
        result = json.loads((folder / "result.json").read_text())
        history = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        plain = [{k: v for k, v in row.items() if "second" not in k} for row in history]
        found[folder.name] = (result["metrics"], plain, (folder / "model.safetensors").read_bytes())
    return found


def finished_keys(runs: Path) -> set[str]:
    """Keys of the runs that are finished."""
    return {path.parent.name for path in (runs / ".store").glob("*/result.json")}


def kill_until_done(folder: Path, kills: int, seed: int = 0) -> int:
    """Kill ``kills`` times, let the study end, compare; gives the number of kills that hit a running process."""
    study = folder / "killed.py"
    study.write_text(STUDY)
    began = time.monotonic()
    finish(start(study, folder / "peaceful"))
    duration = time.monotonic() - began
    generator, hits = random.Random(seed), 0
    for _ in range(kills):
        before = finished_keys(folder / "killed")
        process = start(study, folder / "killed")
        time.sleep(generator.uniform(0.3, 1.0) * duration if len(before) < 4 else generator.uniform(0.0, duration))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        lost = before - finished_keys(folder / "killed")
        if lost:
            raise AssertionError(f"finished runs were lost: {lost}")
    finish(start(study, folder / "killed"))
    expected, found = outcome(folder / "peaceful"), outcome(folder / "killed")
    if expected != found:
        raise AssertionError("the killed study ended otherwise than the one left in peace")
    if list((folder / "killed" / ".store").glob("*/checkpoint-*")):
        raise AssertionError("checkpoints were left behind")
    return hits


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hits = kill_until_done(Path(folder), options.kills, options.seed)
    print(f"{options.kills} kills, {hits} of them in a running process: nothing lost, numbers and weights identical")


if __name__ == "__main__":
    main()
