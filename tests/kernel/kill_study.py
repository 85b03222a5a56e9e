"""Kill a study at random moments, again and again, until it is done; then compare it with one left in peace.

    python tests/kernel/kill_study.py --kills 50
    python tests/kernel/kill_study.py --kill-moments 50     # each way to end it, with and without workers

Nothing that was finished may be lost, nothing corrupt may be accepted, no process may be left behind, no traceback may
be shown, and the final numbers and weights must be those of the undisturbed study. The ordinary tests call
``kill_until_done`` and ``end_at_moments`` with a few moments.
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
from typing import Any

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


def start(study: Path, runs: Path, *more: str, mark: bool = False) -> subprocess.Popen[bytes]:
    """``lab run`` in a process of its own; with ``mark``, ``processes_of`` finds it and its workers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LAB_DISABLE_THIRD_PARTY": "1"}
    if mark:
        environment["LAB_TEST_RUNS"] = str(runs)
    command = [sys.executable, "-m", "lab", "run", str(study), "--runs", str(runs), "--quiet", *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, preexec_fn=_hear_signals
    )


def _hear_signals() -> None:
    """Also where whoever runs the tests ignores some, as ``nohup`` does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


WAYS: dict[str, tuple[signal.Signals, int]] = {
    "SIGKILL": (signal.SIGKILL, 1),
    "SIGTERM": (signal.SIGTERM, 1),
    "SIGHUP": (signal.SIGHUP, 1),
    "SIGINT": (signal.SIGINT, 1),
    "SIGINT twice": (signal.SIGINT, 2),
}
"""How a study may be ended: the signal, and how often it comes."""

ORPHANS_END_S = 15.0


def processes_of(runs: Path) -> list[int]:
    """Processes that work for the store: ``lab run`` itself and its workers, which inherit its environment."""
    marker = f"LAB_TEST_RUNS={runs}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended, or belongs to another
            continue
    return found


def end_at_moments(
    study: Path, runs: Path, way: str, moments: int, *, workers: int, duration: float, seed: int = 0
) -> tuple[int, int]:
    """End a study at random moments in one way, and let it end at last; gives the hits and the number of studies.

    Args:
        study: the study's file.
        runs: for its folders of runs: a new one whenever the study is done, so that every moment finds work.
        way: one of ``WAYS``.
        moments: how often it is ended.
        workers: processes that train.
        duration: seconds that the undisturbed study takes.
        seed: of the moments.
    """
    number, times = WAYS[way]
    generator, hits, round_number = random.Random(f"{seed} {way} {workers}"), 0, 0
    expected: dict[str, Any] | None = None
    here = runs / "0"
    for moment in range(moments):
        before = finished_keys(here) if here.is_dir() else set()
        if len(before) == 4:
            expected = _same(expected, outcome(here))
            round_number += 1
            here, before = runs / str(round_number), set()
        process = start(study, here, "--workers", str(workers), mark=True)
        time.sleep(generator.uniform(0.1, 1.0) * duration)
        hit = process.poll() is None
        hits += hit
        for _ in range(times):
            process.send_signal(number)
            time.sleep(generator.uniform(0.0, 0.2))
        output = process.communicate(timeout=60)[0].decode()
        codes = (-signal.SIGKILL,) if number == signal.SIGKILL else (130, -number)  # -number: lab had not begun yet
        if process.returncode not in (0, *codes):
            raise AssertionError(f"{way}, moment {moment}: exit code {process.returncode}\n{output}")
        if "Traceback" in output and process.returncode != -number:
            raise AssertionError(f"{way}, moment {moment}: a traceback\n{output}")
        _wait_for_orphans(here, f"{way}, moment {moment}")
        lost = before - finished_keys(here)
        if lost:
            raise AssertionError(f"{way}, moment {moment}: finished runs were lost: {lost}")
    finish(start(study, here, "--workers", str(workers), mark=True))
    expected = _same(expected, outcome(here))
    return hits, round_number + 1


def _same(expected: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    if expected is not None and expected != found:
        raise AssertionError("two studies that were disturbed ended differently")
    return found


def _wait_for_orphans(runs: Path, where: str) -> None:
    until = time.monotonic() + ORPHANS_END_S
    while orphans := processes_of(runs):
        if time.monotonic() > until:
            raise AssertionError(f"{where}: processes were left behind: {orphans}")
        time.sleep(0.05)


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


def try_all_ways(folder: Path, moments: int, numbers_of_workers: list[int], seed: int) -> None:
    """End a study in every way, in one process or with workers; prints the counts."""
    study = folder / "killed.py"
    study.write_text(STUDY)
    finish(start(study, folder / "peaceful"))
    expected = outcome(folder / "peaceful")
    for workers in numbers_of_workers:
        began = time.monotonic()
        finish(start(study, folder / f"timed-{workers}", "--workers", str(workers)))
        duration = time.monotonic() - began
        for way in WAYS:
            runs = folder / f"{way} {workers}"
            runs.mkdir()
            hits, rounds = end_at_moments(study, runs, way, moments, workers=workers, duration=duration, seed=seed)
            if any(outcome(path) != expected for path in runs.iterdir()):
                raise AssertionError(f"{way}, {workers} workers: it ended otherwise than the study left in peace")
            print(f"{way}, {workers} worker(s): {hits} of {moments} hit, {rounds} studies, all as in peace", flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kill-moments", type=int, default=0, help="of each way, with and without workers")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="for --kill-moments")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.kill_moments:
        with tempfile.TemporaryDirectory() as folder:
            try_all_ways(Path(folder), options.kill_moments, options.workers, options.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        hits = kill_until_done(Path(folder), options.kills, options.seed)
    print(f"{options.kills} kills, {hits} of them in a running process: nothing lost, numbers and weights identical")


if __name__ == "__main__":
    main()
