"""A training function as an experiment: bound, checked, trained, stopped, found, compared."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

import lab as framework
from lab import Study, log, run_study, use
from lab.errors import LabError, StudyError
from lab.registry.plugins import load_catalog
from lab.study.record import read_study
from lab.study.results import Results
from lab.study.store import Store
from lab.study.task import TaskRun
from lab.training.rng import all_generators
from tests.kernel.toys import plugin_module


def train(*, lr: float = 0.1, steps: int = 3, run: framework.TaskRun) -> dict[str, float]:
    """Fit one weight to 2."""
    weight = torch.zeros(1)
    for epoch in range(steps):
        weight += lr * (2 - weight) + 1e-3 * torch.randn(1, generator=run.streams.generator("noise"))
        run.log(epoch=epoch, valid_loss=float((2 - weight) ** 2))
    return {"valid_loss": float((2 - weight) ** 2), "closeness": 1 - float(abs(2 - weight))}


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Results]:
    def results(study: Study, **options: Any) -> Results:
        return run_study(study, runs=tmp_path / "runs", catalog=load_catalog(), **options)

    return results


class Trainer:
    """No task."""


async def train_later() -> dict[str, float]:
    """No task either."""
    return {"valid_loss": 1.0}


def returning(value: Any) -> Study:
    """A study of a function that returns this."""

    def give() -> Any:
        return value

    return Study(use(give), seeds=1, compare="score", higher_is_better=True, name="returning")


def error_of(found: Results) -> str:
    return str(found.runs[0].result.get("error", ""))


# --- the question -----------------------------------------------------------------------------------------------------


def test_a_function_is_compared_over_its_parameters(results):
    study = Study(use(train, lr=0.3), seeds=3, compare="closeness", higher_is_better=True, name="fit")
    found = results(study.swap("lr", [0.6]))
    base, other = found.compare()
    assert (base.name, other.name) == ("base", "lr=0.6")
    assert other.comparison.is_better
    assert found.arms[1].difference == {"lr": (0.3, 0.6)}


def test_a_plain_function_is_a_base_too(results):
    found = results(Study(train, seeds=2, name="plain"))
    assert [run.status for run in found.runs] == ["finished", "finished"]
    assert found.direction("valid_loss") is False


def test_parameters_called_task_and_parameters_are_swapped_as_any_other(results):
    def fit(*, task: str = "a", parameters: int = 1, run: framework.TaskRun) -> dict[str, float]:
        return {"score": float(len(task) * 10 + parameters)}

    study = Study(use(fit), seeds=1, compare="score", higher_is_better=True)
    found = results(study.swap("task", {"long": "aaa"}).swap("parameters", {"more": 4}))
    assert {run.arm: run.metrics["score"] for run in found.runs} == {"base": 11, "long": 31, "more": 14}


def test_an_unknown_parameter_shows_the_signature_without_a_hash(results):
    with pytest.raises(StudyError) as caught:
        results(Study(use(train, lrr=1.0), seeds=1, compare="closeness", higher_is_better=True))
    assert "signature: train(run: TaskRun, *, lr: float = 0.1, steps: int = 3)" in str(caught.value)


def test_functions_are_swapped_as_a_whole(results):
    def worse(*, run: framework.TaskRun) -> dict[str, float]:
        return {"valid_loss": 9.0}

    found = results(Study(train, seeds=2, name="swapped").swap("task", {"worse": worse}))
    assert found.scores("worse", "valid_loss") == {0: 9.0, 1: 9.0}


def test_a_grid_and_a_search_go_over_the_parameters_of_a_function(results):
    grid = results(Study(train, seeds=2, name="grid").grid({"lr": [0.1, 0.5], "steps": [2, 3]}))
    assert len(grid.effects()) == 3
    space = {"lr": log(1e-3, 1.0)}
    found = results(Study(train, seeds=1, name="search").search(space, trials=4, searcher="random", batch=2))
    assert len([arm for arm in found.arms if arm.trial is not None]) == 4


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (lambda: Study(use(train, step=3)), "unexpected parameter 'step'\n  did you mean: steps?"),
        (lambda: Study(use(train, lr="fast")), "parameter 'lr' must be float, not str: 'fast'"),
        (lambda: Study(train).swap("width", [3]), "'width'"),
        (lambda: Study(train, compare="closeness"), "nothing says whether higher or lower closeness is better"),
        (lambda: Study(train, selection="best"), "a training function chooses its own epoch"),
        (lambda: Study(lambda size: {"valid_loss": 1.0}), "parameter 'size' has no default and must be given"),
        (lambda: Study(lambda seed: {"valid_loss": 1.0}), "must be given\n  the run has it: run.seed"),
        (lambda: Study(lambda run=3: {"valid_loss": 1.0}), "'run' is filled by lab and must have no default"),
        (lambda: Study(use(Trainer)), "a task is a function that trains, not a class"),
        (lambda: Study(use(train_later)), "a task is a plain function, without async and yield"),
    ],
)
def test_a_wrong_question_is_told_before_anything_is_called(results, study, message):
    with pytest.raises(StudyError) as caught:
        results(study())
    assert message in str(caught.value)


# --- what it returns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "returns nothing\n  return its metrics as a dictionary: {'score': 0.93}"),
        (0.5, "returns float: 0.5"),
        ({}, "returns dict: {}"),
        ({"score": "high"}, "the metric 'score' is str, not a number"),
        ({"score": {"mean": 1.0}}, "the metric 'score' is dict, not a number"),
        ({"score": torch.ones(3)}, "the metric 'score' is Tensor, not a number"),
        ({"score": True}, "the metric 'score' is bool, not a number"),
        ({1: 1.0}, "the name 1 of a metric is not a text"),
        ({"score": 10**400}, "the metric 'score' is larger than any float"),
    ],
)
def test_what_is_no_dictionary_of_numbers_fails_with_a_reason(results, value, message):
    assert message in error_of(results(returning(value)))


def give_score(*, run: framework.TaskRun) -> dict[str, float]:
    return {"score": 1.0 + run.seed}


def test_a_misspelt_metric_ends_the_study_after_its_first_run_and_keeps_the_run(results, tmp_path):
    study = Study(use(give_score), seeds=3, compare="scor", higher_is_better=True, name="misspelt")
    for _ in range(2):
        with pytest.raises(StudyError) as caught:
            results(study)
        assert "returns no 'scor', which this study compares\n  it returns: score\n  did you mean: score?" in str(
            caught.value
        )
        [kept] = tmp_path.rglob("result.json")
    written = kept.stat().st_mtime_ns
    assert results(attrs.evolve(study, compare="score")).scores("base", "score") == {0: 1.0, 1: 2.0, 2: 3.0}
    assert kept.stat().st_mtime_ns == written


def test_a_seed_without_the_metric_fails_alone_and_is_found_by_a_study_of_what_it_has(results, tmp_path):
    def moody(*, run: framework.TaskRun) -> dict[str, float]:
        return {"score" if run.seed != 1 else "loss": 1.0, "other": float(run.seed)}

    study = Study(use(moody), seeds=3, compare="score", higher_is_better=True, name="moody")
    found = results(study)
    assert [run.status for run in found.runs] == ["finished", "failed", "finished"]
    assert "returns no 'score'" in str(found.runs[1].result["error"])
    later = read_study(Store(tmp_path / "runs"), "moody").results(Store(tmp_path / "runs"))
    assert [run.status for run in later.runs] == ["finished", "failed", "finished"]
    assert results(attrs.evolve(study, compare="other")).scores("base", "other") == {0: 0.0, 1: 1.0, 2: 2.0}


def test_a_margin_gives_another_metric_no_direction(results):
    def scored(*, width: int = 1, run: framework.TaskRun) -> dict[str, float]:
        return {"score": width + 0.1 * run.seed, "skore": width - 0.1 * run.seed}

    study = Study(use(scored), seeds=3, compare="score", higher_is_better=True, name="scored").swap("width", [2])
    found = results(study)
    assert found.direction("skore") is None
    assert found.with_margin(1.0, "skore").direction("skore") is None
    assert found.with_margin(1.0).direction("score") is True


def test_an_epoch_that_is_no_number_is_told(results):
    def lettered(*, run: framework.TaskRun) -> dict[str, float]:
        run.log(epoch="a", loss=1.0)
        return {"valid_loss": 1.0}

    assert "run.log(...): the metric 'epoch' is str, not a number" in error_of(results(Study(lettered, seeds=1)))


@pytest.mark.parametrize("value", [1, 0.5, torch.tensor(0.5), torch.tensor([0.5]), np.float32(0.5), np.ones(1)])
def test_numbers_of_libraries_are_numbers(results, value):
    assert results(returning({"score": value})).scores("base", "score") == {
        0: pytest.approx(float(np.asarray(value).reshape(())))
    }


def test_a_nan_is_undefined_and_nothing_is_concluded(results):
    found = results(returning({"score": float("nan")}))
    assert found.undefined(["base"], "score") == ["it is NaN"]


def test_an_error_in_a_function_ends_its_own_run_only(results):
    def fragile(*, run: framework.TaskRun) -> dict[str, float]:
        if run.seed == 1:
            raise ValueError("not today")
        return {"valid_loss": 1.0}

    found = results(Study(fragile, seeds=3, name="fragile"))
    assert [run.status for run in found.runs] == ["finished", "failed", "finished"]
    assert "ValueError: not today" in str(found.runs[1].result["error"])


def test_a_function_that_ignores_its_seed_is_told(results):
    def deaf(*, width: int = 1) -> dict[str, float]:
        return {"valid_loss": 1.0 / width}

    found = results(Study(deaf, seeds=3, name="deaf").swap("width", [2]))
    assert "every seed gave the same valid_loss, to the last digit: does the training use its seed?" in found.caveats(
        found.compare()
    )


# --- what it is given -------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers_and_generators_are_seeded(results, tmp_path):
    def draws(*, run: framework.TaskRun) -> dict[str, float]:
        return {"valid_loss": float(torch.rand(1)) + float(np.random.rand())}

    first = results(Study(draws, seeds=2, name="draws"))
    again = results(Study(draws, seeds=2, name="draws"), fresh=True)
    assert first.scores("base", "valid_loss") == again.scores("base", "valid_loss")
    assert len(set(first.scores("base", "valid_loss").values())) == 2


def test_rows_that_are_logged_become_the_history(results):
    [run] = results(Study(train, seeds=1, name="rows")).runs
    assert [row["epoch"] for row in run.history()] == [0, 1, 2]
    assert run.history()[-1]["valid_loss"] == pytest.approx(run.metrics["valid_loss"])


def test_files_that_a_function_leaves_stay_with_its_run(results):
    def writes(*, run: framework.TaskRun) -> dict[str, float]:
        (run.folder / "notes.txt").write_text(f"seed {run.seed} on {run.device}, {run.threads} threads")
        return {"valid_loss": 1.0}

    [run] = results(Study(writes, seeds=1, name="writes")).runs
    assert (run.folder / "notes.txt").read_text().startswith("seed 0 on cpu")


# --- found, killed, elsewhere -----------------------------------------------------------------------------------------

COUNTING = '''
"""Does a longer pause help?"""
import time
import torch
import lab
from lab import Study, use

def train(*, pause: float = 0.3, run: lab.TaskRun) -> dict[str, float]:
    total, first = torch.zeros(1), 0
    if (kept := run.checkpoint.load()) is not None:
        total, first = kept[0]["total"], kept[1]["epoch"] + 1
    for epoch in range(first, 6):
        total += torch.rand(1, generator=run.streams.generator(f"epoch {epoch}"))
        run.checkpoint.save({"total": total}, epoch=epoch)
        run.log(epoch=epoch, total=float(total))
        time.sleep(pause)
    return {"total": float(total)}

study = Study(use(train), seeds=2, compare="total", higher_is_better=True)
'''


def test_a_resumed_function_keeps_the_rows_that_it_logged_before_it_was_killed(tmp_path):
    def train_until(run: TaskRun, last: int) -> None:
        kept = run.checkpoint.load()
        for epoch in range(0 if kept is None else kept[1]["epoch"] + 1, last):
            run.log(epoch=epoch, loss=float(epoch))
            run.checkpoint.save(epoch=epoch)

    def begun() -> TaskRun:
        return TaskRun(0, tmp_path, "cpu", threading.Event(), lambda row: None)

    first = begun()
    train_until(first, 3)
    # the row of an epoch that was killed before it was saved is logged again
    first.log(epoch=3, loss=99.0)
    train_until(again := begun(), 5)
    assert [row["loss"] for row in again.history] == [0.0, 1.0, 2.0, 3.0, 4.0]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]


def test_a_function_that_begins_anew_forgets_the_rows_of_the_killed_run(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0, "loss": 9.0}\n')
    run = TaskRun(0, tmp_path, "cpu", threading.Event(), lambda row: None)
    assert run.checkpoint.load() is None
    run.log(loss=1.0)
    assert [row["loss"] for row in run.history] == [1.0]


def test_a_plan_says_what_of_a_function_no_study_can_set(tmp_path, lab):
    (tmp_path / "loose.py").write_text(
        "from lab import Study, use\n"
        "def train(*args, lr=0.1, seed=3, **more):\n    return {'valid_loss': lr}\n"
        "study = Study(use(train), seeds=2)\n"
    )
    said = " ".join(lab("run", tmp_path / "loose.py", "--plan").out.split())
    assert "a study sets named parameters only, and gives nothing to *args" in said
    assert "and gives nothing to **more" in said
    assert "its parameter 'seed' is 3 in every run; run.seed differs" in said


def totals(runs: Path) -> list[float]:
    found = sorted((json.loads((path.parent / "experiment.json").read_text())["seed"], path) for path in
                   runs.glob(".store/*/result.json"))  # fmt: skip
    return [json.loads(path.read_text())["metrics"]["total"] for _, path in found]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_function_goes_on_from_its_checkpoint_to_the_same_numbers(tmp_path, number):
    (tmp_path / "counting.py").write_text(COUNTING)
    command = [sys.executable, "-m", "lab", "run", "counting.py", "--quiet"]
    peaceful = [*command, "--runs", "peaceful", "--set", "pause=0.0"]
    subprocess.run(peaceful, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "runs" / ".store"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("*/task-checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.wait(timeout=60)
    assert not list(checkpoints.glob("*/result.json"))
    assert list(checkpoints.glob("*/task-checkpoint.safetensors"))
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert totals(tmp_path / "runs") == totals(tmp_path / "peaceful")
    assert not list(checkpoints.glob("*/task-checkpoint.safetensors"))


def test_workers_train_functions_of_a_study_file(tmp_path, lab):
    (tmp_path / "counting.py").write_text(COUNTING)
    here = lab("run", tmp_path / "counting.py", "--set", "pause=0.0", "--workers", 2, "--runs", tmp_path / "two")
    alone = lab("run", tmp_path / "counting.py", "--set", "pause=0.0", "--runs", tmp_path / "one")
    assert (here.code, alone.code) == (0, 0)
    assert totals(tmp_path / "two") == totals(tmp_path / "one")


def test_a_function_that_is_changed_is_trained_again_and_a_comment_changes_nothing(tmp_path, lab):
    file = tmp_path / "counting.py"
    plan = ("run", file, "--set", "pause=0.0", "--plan")
    file.write_text(COUNTING)
    assert lab("run", file, "--set", "pause=0.0").code == 0
    file.write_text(COUNTING.replace("    for epoch", "    # and now\n    for epoch"))
    assert "to do" not in lab(*plan).out
    file.write_text(COUNTING.replace("range(first, 6)", "range(first, 5)"))
    assert "2 runs to do, 0 found\n" in lab(*plan).out


def test_a_run_of_a_function_has_no_learner_to_load(results, tmp_path):
    [run] = results(Study(train, seeds=1, name="rows")).runs
    with pytest.raises(LabError, match="of a training function, which has no learner to load"):
        framework.load(run.key, tmp_path / "runs")


def test_lab_tasks_registers_functions_by_name(tmp_path):
    catalog = load_catalog()
    catalog.add_module(plugin_module(lab_tasks={"fit": train}), "mine", "1.0")
    found = run_study(Study("fit", seeds=1, name="named"), runs=tmp_path, catalog=catalog)
    assert found.runs[0].status == "finished"


def draw(run: framework.TaskRun, until: int) -> float:
    """Draw from every kind of generator in each epoch, up to ``until``."""
    noise, first, total = run.streams.generator("noise"), 0, torch.zeros(1, dtype=torch.float64)
    if (kept := run.checkpoint.load()) is not None:
        total, first = kept[0]["total"], kept[1]["epoch"] + 1
    for epoch in range(first, until):
        # normal draws come in pairs, one of which waits in the generator
        total += torch.rand(1, generator=noise).double() + torch.rand(1) + random.gauss(0, 1) + np.random.normal()
        run.checkpoint.save({"total": total}, epoch=epoch)
    return float(total)


def test_a_function_that_goes_on_draws_the_numbers_that_it_would_have_drawn(tmp_path: Path) -> None:
    def run(folder: Path) -> framework.TaskRun:
        folder.mkdir(exist_ok=True)
        return framework.TaskRun(3, folder, "cpu", threading.Event(), lambda row: None)

    def calls(folder: Path, *ends: int) -> float:
        # each call begins as a process does that was started anew
        for end in ends:
            with all_generators(11):
                found = draw(run(folder), end)
        return found

    assert calls(tmp_path / "parts", 1, 3, 6) == calls(tmp_path / "whole", 6)
