"""What a run costs besides its training, with how many runs there are, and what a pool gains."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from lab_report.html import write_report
from lab_runs.listing import list_runs
from torch import nn
from torch.utils.data import TensorDataset

from lab import Study, use
from lab.study.execute import SilentListener, run_study
from lab.study.record import read_study
from lab.study.results import Results
from lab.study.run import Run
from lab.study.store import RunRecord, Store
from tests.benchmarks.turns import seconds

ROOT = Path(__file__).parents[2]

TRIVIAL = '''
"""What does a run cost that has nothing to do?"""
import torch
from torch import nn
from torch.utils.data import TensorDataset
from lab import Data, Experiment, Study


def points() -> Data:
    x = torch.arange(8.0).reshape(8, 1)
    return Data(TensorDataset(x, 2 * x), TensorDataset(x, 2 * x), fingerprint="eight points")


class Line(nn.Linear):
    def __init__(self) -> None:
        super().__init__(1, 1)


base = Experiment(dataset=points, architecture=Line, loss="mse", optimizer="sgd", lr=1e-3, batch_size=8, epochs=1)
study = Study(base, seeds=2)
'''


@pytest.fixture
def trivial(tmp_path: Path) -> Study:
    from lab.study.load import load_study

    path = tmp_path / "trivial.py"
    path.write_text(TRIVIAL)
    return load_study(path)


def run_seeds(study: Study, folder: Path, seeds: int, executor: Any = "in_process") -> Results:
    return run_study(attrs.evolve(study, seeds=seeds), runs=folder, executor=executor)


def per_run(study: Study, folder: Path, executor: Any, few: int, many: int) -> float:
    """Milliseconds of one run more, without what a study costs once, nor this process at its first."""
    if executor == "in_process":
        run_seeds(study, folder / "first", 2, executor)
    start = seconds(lambda: run_seeds(study, folder / "few", few, executor))
    end = seconds(lambda: run_seeds(study, folder / "many", many, executor))
    return 1000 * (end - start) / (many - few)


def with_optuna(counts: Sequence[int]) -> dict[int, float]:
    """How many trials → milliseconds of one of these, which trains the same line, in an in-memory study."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    x = torch.arange(8.0).reshape(8, 1)
    data = TensorDataset(x, 2 * x)

    def objective(trial: Any) -> float:
        torch.manual_seed(trial.number)
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True))
        for points, targets in torch.utils.data.DataLoader(data, batch_size=8, shuffle=True):
            nn.functional.mse_loss(model(points), targets).backward()
            optimizer.step()
        with torch.no_grad():
            return float(nn.functional.mse_loss(model(x), 2 * x))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    found, passed, done = {}, 0.0, 0
    for count in counts:
        passed += seconds(partial(study.optimize, objective, n_trials=count - done))
        done, found[count] = count, 1000 * passed / count
    return found


def test_a_trivial_run_costs_milliseconds(trivial: Study, tmp_path: Path, short: bool, figure: Any) -> None:
    few, many = (10, 110) if short else (20, 320)
    here = per_run(trivial, tmp_path / "here", "in_process", few, many)
    figure.value("a trivial run in process", here, "ms", at_most=5)
    pool = per_run(trivial, tmp_path / "pool", use("processes", workers=2, threads=1), few, many)
    figure.value("a trivial run in a pool of two", pool, "ms", at_most=15)


def test_trivial_runs_beside_optuna(trivial: Study, tmp_path: Path, short: bool, figure: Any) -> None:
    """Lab keeps every run on disk, at the same cost each; Optuna keeps none, and its sampler weighs those so far."""
    counts = [300, 1000] if short else [300, 2000]
    here = {count: per_run(trivial, tmp_path / str(count), "in_process", 20, count) for count in counts}
    for count, trial in with_optuna(counts).items():
        what = f"one of {count:,} trivial runs beside a trial of Optuna's in-memory study (TPE)"
        # Optuna's cost grows with its trials, so the bound is that of 2,000, which the short form has not
        bound = 1 if count == 2000 else None
        figure.ratio(what, lab=here[count], peer=trial, unit="ms", beside="Optuna", at_most=bound)


class Watch(SilentListener):
    """Milliseconds a run, and seconds to list all of them, at every thousandth run (or ``step``-th)."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step, self.count = folder, step, 0
        self.rows: list[tuple[int, float, float]] = []
        self.began = time.perf_counter()

    def run_finished(self, run: Run, record: RunRecord) -> None:
        self.count += 1
        if self.count % self.step == 0:
            passed = time.perf_counter() - self.began
            listing = seconds(lambda: list_runs(self.folder))
            self.rows.append((self.count, 1000 * passed / self.step, listing))
            self.began = time.perf_counter()


def seconds_of_report(study: Study, folder: Path) -> float:
    """The better of two times: the first also finds what both reports need, files and modules."""
    record, store = read_study(Store(folder), study.name), Store(folder)
    return min(seconds(lambda: write_report(record, record.results(store))) for _ in range(2))


def test_ten_thousand_runs_cost_ten_times_a_thousand(trivial: Study, tmp_path: Path, short: bool, figure: Any) -> None:
    step = 40 if short else 1000
    run_seeds(trivial, tmp_path / "few", step)
    few = seconds_of_report(trivial, tmp_path / "few")
    watch = Watch(tmp_path / "many", step)
    run_study(attrs.evolve(trivial, seeds=10 * step), runs=tmp_path / "many", listener=watch)
    many = seconds_of_report(trivial, tmp_path / "many")
    print("\n   runs   ms a run   listing s")
    for count, milliseconds, listing in watch.rows:
        print(f"{count:7,}   {milliseconds:8.2f}   {listing:9.3f}")
    first, last = (statistics.median(row[1] for row in rows) for rows in (watch.rows[1:4], watch.rows[-3:]))
    what, beside = f"a trivial run after {9 * step:,} others", f"among the first {4 * step:,}"
    figure.ratio(what, lab=last, peer=first, unit="ms", beside=beside, at_most=1.3)
    figure.value(f"listing {10 * step:,} runs", watch.rows[-1][2], "s", at_most=1)
    what, beside = f"a run in the report of {10 * step:,}", f"of {step:,}"
    figure.ratio(what, lab=many / 10 / step * 1000, peer=few / step * 1000, unit="ms", beside=beside, at_most=1.3)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core alone")
def test_two_workers_answer_the_main_question_sooner(tmp_path: Path, short: bool, figure: Any) -> None:
    if short:
        pytest.skip("not part of the short form: a study of seconds shows how workers start")
    size = ["--epochs", "1", "--seeds", "1", "--arms", "additive"]

    def answer(workers: int) -> float:
        command = [sys.executable, "-m", "lab", "run", str(ROOT / "experiments" / "bidir_vs_attn.py"), *size]
        command += ["--runs", str(tmp_path / str(workers)), "--workers", str(workers), "--quiet"]
        return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))

    one, two = answer(1), answer(2)
    figure.ratio(
        "bidir_vs_attn, two of its arms, with two workers",
        lab=3600 / two,
        peer=3600 / one,
        unit="studies an hour",
        beside="one worker with all cores",
        at_least=1.5,
    )
