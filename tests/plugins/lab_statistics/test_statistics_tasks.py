"""Designs of studies whose arms are training functions and commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lab_statistics import keep_scores, until_decided
from lab_statistics.by_example import complete_scores, describe_arm, score_to_compare
from lab_statistics.sequential import finished_lines
from lab_statistics.tuning import describe
from lab_statistics.variance import sources

import lab
from lab import Study, command, use
from lab.errors import LabError, StudyError
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.toys import plugin_module


def loss_of(lr: float, best: float, seed: int) -> float:
    """A loss that a wrong learning rate makes large; seeds differ by little."""
    noise = np.random.default_rng([seed, round(1e7 * best)]).normal()
    return float((np.log10(lr) - np.log10(best)) ** 2 + 0.01 * noise)


def train(*, lr: float = 0.1, best: float = 0.1, run: lab.TaskRun) -> dict[str, float]:
    return {"valid_loss": loss_of(lr, best, run.seed)}


@pytest.fixture
def full_catalog(catalog: Catalog) -> Catalog:
    searchers = {"quasi_random": "lab_search.searchers:QuasiRandom"}
    tasks = {"command": "lab_basics.command_task:command"}
    catalog.add_module(plugin_module(lab_searchers=searchers, lab_tasks=tasks), "others", "1")
    return catalog


SCRIPT = """
import json, math, random, sys
lr, best, seed, file = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
noise = 0.01 * random.Random(f"{seed} {best}").gauss(0, 1)
json.dump({"valid_loss": (math.log10(lr) - math.log10(best)) ** 2 + noise}, open(file, "w"))
"""


def script(folder: Path) -> Any:
    """A command that does what ``train`` does."""
    (folder / "train.py").write_text(SCRIPT)
    call = f"{sys.executable} -S {folder / 'train.py'} {{lr}} {{best}} {{seed}} {{folder}}/metrics.json"
    return command(call, lr=0.1, best=0.1, metrics="{folder}/metrics.json")


@pytest.mark.parametrize("kind", ["function", "command"])
def test_seeds_are_added_until_arms_are_decided(kind: str, full_catalog: Catalog, tmp_path: Path) -> None:
    base = use(train) if kind == "function" else script(tmp_path)
    rule = until_decided(smallest=3, largest=5)
    study = Study(base, seeds=rule, name="looks", margin=0.3).swap("best", {"far": 10.0, "near": 0.1000001})
    results = run_study(study, runs=tmp_path / "runs", catalog=full_catalog)
    rows = {row.name: row.comparison for row in results.compare()}
    assert rows["far"].is_better is False
    assert rows["near"].is_equivalent
    assert "6 of 15 runs saved (40%)" in finished_lines(results.study, results)[1]
    read = read_study(Store(tmp_path / "runs"), "looks").results(Store(tmp_path / "runs"))
    verdicts, again = ([row.comparison.verdict for row in found.compare()[1:]] for found in (results, read))
    assert verdicts == again


@pytest.mark.parametrize("kind", ["function", "command"])
def test_arms_are_tuned_with_equal_budgets(kind: str, full_catalog: Catalog, tmp_path: Path) -> None:
    base = use(train) if kind == "function" else script(tmp_path)
    study = Study(base, seeds=3, name="tuned", margin=0.3).swap("best", {"slow": 1.0})
    study = study.tune({"lr": [0.1, 1.0]}, trials=3, per_seed=False)
    results = run_study(study, runs=tmp_path / "runs", catalog=full_catalog)
    rows = {row.name: row.comparison for row in results.compare()}
    assert list(rows) == ["base", "slow", "base, tuned", "slow, tuned"]
    assert rows["slow"].is_better is False
    assert rows["slow, tuned"].is_better is not False
    assert "  slow: lr 1.0; expected best of trials" in "\n".join(describe(results.study, results))


def test_sources_of_variance_are_those_of_lab(catalog: Catalog) -> None:
    with pytest.raises(StudyError, match="a training function has random streams of its own"):
        sources(Study(use(train), seeds=3))


def scored(*, bias: float = 0.0, run: lab.TaskRun) -> dict[str, float]:
    right = np.random.default_rng([7, run.seed]).random(60) < 0.6 + bias
    keep_scores(run.folder, {"accuracy": right})
    return {"valid_accuracy": float(right.mean())}


def test_a_function_that_keeps_scores_is_compared_example_by_example(catalog: Catalog, tmp_path: Path) -> None:
    study = Study(use(scored), seeds=3, name="kept", compare="valid_accuracy", higher_is_better=True)
    results = run_study(study.swap("bias", {"better": 0.3}), runs=tmp_path, catalog=catalog)
    text = describe_arm(results, "better", score_to_compare(results))
    assert text.startswith("better: Δ accuracy of 60 examples, 3 seeds: +")
    assert "McNemar p of each seed" in text


def test_a_function_that_keeps_no_scores_is_told_how_to(catalog: Catalog, tmp_path: Path) -> None:
    results = run_study(Study(use(train), seeds=1, name="kept nothing"), runs=tmp_path, catalog=catalog)
    with pytest.raises(LabError, match=r"of a training function or command and kept no scores of its examples") as told:
        complete_scores(results, Store(tmp_path), catalog)
    assert "lab_statistics.keep_scores(run.folder, " in str(told.value)


@pytest.mark.parametrize("scores", [{}, {"a": [1.0], "b": [1.0, 2.0]}, {"a": [[1.0]]}, {"a": []}])
def test_scores_that_do_not_fit_together_are_refused(scores: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(LabError, match="scores of examples do not fit together"):
        keep_scores(tmp_path, scores)
