"""A study with good and bad arms: everything wrong is reported at once, and the good arms finish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lab import Callback, Experiment, Learner, Study, use
from lab.errors import StudyError
from lab.registry.plugins import load_catalog
from lab.study.execute import SilentListener, run_study
from lab.study.run import Run
from tests.kernel.training_toys import toy_data


class Net(nn.Module):
    """A linear model."""

    def __init__(self, *, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2))

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.layers(points)


class RaisesInThirdStep(Callback):
    """Fails when training is under way."""

    def after_step(self, learner: Learner) -> None:
        if learner.position.step == 2:
            raise ZeroDivisionError("the third step")


LINE = RaisesInThirdStep.after_step.__code__.co_firstlineno + 2


class RunsOutOfMemory(Callback):
    """Asks for more memory than there is, in the second epoch."""

    def before_epoch(self, learner: Learner) -> None:
        if learner.position.epoch == 1:
            torch.empty(2**48)


class Nothing(Callback):
    """Does nothing."""


class Watch(SilentListener):
    """Keep the runs that begin to train."""

    def __init__(self) -> None:
        self.started: list[Run] = []

    def run_started(self, run: Run) -> None:
        self.started.append(run)


def _study(**more: Any) -> Study:
    base = Experiment(
        dataset=toy_data, architecture=Net, loss="cross_entropy", callbacks=[Nothing], epochs=2, batch_size=8
    )
    study = Study(base, seeds=2, name="mixed").swap("architecture.width", {"wide": 8, **more})
    return study.swap("callbacks.Nothing", {"raises": RaisesInThirdStep, "greedy": RunsOutOfMemory})


def test_a_wrong_parameter_is_reported_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        run_study(_study(wrong="eight"), runs=tmp_path, catalog=load_catalog())
    assert "arm 'wrong': architecture" in str(caught.value)
    assert "parameter 'width' must be int, not str: 'eight'" in str(caught.value)
    assert not list(tmp_path.glob(".store/*/result.json"))


def test_the_good_arms_finish_and_the_failures_are_told(tmp_path: Path) -> None:
    results = run_study(_study(), runs=tmp_path, catalog=load_catalog())
    status = {(run.arm, run.seed): run.status for run in results.runs}
    assert status == {
        (arm, seed): "failed" if arm in ("raises", "greedy") else "finished"
        for arm in ("base", "wide", "raises", "greedy")
        for seed in (0, 1)
    }
    errors = {run.arm: run.result["error"] for run in results.failed}
    assert errors["raises"] == (
        "ZeroDivisionError: the third step\n"
        f'  {__file__}, line {LINE}: raise ZeroDivisionError("the third step")\n'
        "in callback 'raises_in_third_step', after_step, epoch 1, batch 2"
    )
    assert errors["greedy"].startswith("the run did not fit in memory\n  use a smaller batch_size")
    assert [row.failed for row in results.compare()] == [0, 0, 2, 2]


def test_a_failed_run_is_tried_again_and_a_finished_one_is_not(tmp_path: Path) -> None:
    catalog = load_catalog()
    first = run_study(_study(), runs=tmp_path, catalog=catalog)
    weights = {run.key: (run.folder / "model.safetensors").stat().st_mtime_ns for run in first.runs if not _bad(run)}
    run_study(_study(), runs=tmp_path, catalog=catalog, listener=(watch := Watch()))
    assert {run.key for run in watch.started} == {run.key for run in first.failed}
    assert {key: (tmp_path / ".store" / key / "model.safetensors").stat().st_mtime_ns for key in weights} == weights


def _bad(run: Any) -> bool:
    return bool(run.status == "failed")


def test_more_seeds_train_only_what_is_new(tmp_path: Path) -> None:
    catalog = load_catalog()
    base = Experiment(dataset=toy_data, architecture=use(Net, width=4), loss="cross_entropy", epochs=1)
    run_study(Study(base, seeds=2, name="grows"), runs=tmp_path, catalog=catalog)
    run_study(Study(base, seeds=3, name="grows"), runs=tmp_path, catalog=catalog, listener=(watch := Watch()))
    assert [run.seed for run in watch.started] == [2]
