"""Preflight and execution through Python: what is planned, found, trained and told."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from lab import Callback, Study, use
from lab.errors import LabError, StudyError
from lab.study.execute import InProcess, run_study
from lab.study.preflight import plan_study
from lab.study.store import Store
from lab.study.workspace import Workspace
from tests.kernel.toys import Line, Points, experiment, plugin_module, points


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


@pytest.fixture
def plan(catalog, store):
    def plan(study, device="cpu", **options):
        return plan_study(study, Workspace(catalog, store, device), **options)

    return plan


@pytest.fixture
def answer(catalog, store):
    def answer(study, **options):
        return run_study(study, runs=store.root, catalog=catalog, **options)

    return answer


def small(**changes):
    return Study(experiment(epochs=1, **changes), seeds=2, name="small")


# --- preflight --------------------------------------------------------------------------------------------------------


def test_a_plan_holds_every_arm_with_every_seed(plan):
    found = plan(small().swap("architecture.width", [3]))
    assert [(run.arm, run.seed) for run in found.runs] == [("base", 0), ("base", 1), ("width=3", 0), ("width=3", 1)]
    assert len(found.to_do) == 4
    assert found.checks["width=3"].parameters == 13


def test_a_device_that_this_machine_has_not_is_refused_unless_runs_are_trained_elsewhere(plan):
    absent = "cuda:77"
    with pytest.raises(StudyError, match="the device 'cuda:77' cannot be used"):
        plan(small(), device=absent)
    found = plan(small(), device=absent, elsewhere=True)
    assert {run.device for run in found.runs} == {absent}
    assert found.checks["base"].parameters > 0


def test_a_device_that_nobody_has_is_refused_wherever_runs_are_trained(plan):
    with pytest.raises(StudyError, match="the device 'abacus' cannot be used"):
        plan(small(), device="abacus", elsewhere=True)


def test_an_arm_in_which_nothing_differs_is_an_error_of_the_plan(plan):
    with pytest.raises(StudyError) as caught:
        plan(small().swap("architecture", {"itself": "line"}))
    assert "arm 'itself': this arm equals the base: nothing differs" in str(caught.value)


def test_an_arm_is_not_said_to_equal_a_base_that_is_wrong(plan):
    with pytest.raises(StudyError) as caught:
        plan(small(optimizer="adma").swap("optimizer", {"plain": "sgd"}))
    assert "unknown optimizer 'adma'" in str(caught.value)
    assert "equals the base" not in str(caught.value)


def test_two_arms_that_are_the_same_training_are_an_error_of_the_plan(plan):
    with pytest.raises(StudyError) as caught:
        plan(small().swap("lr", {"fast": 0.5}).swap("lr", {"quick": 0.5}))
    assert str(caught.value).startswith("arms 'fast' and 'quick' are the same training\n  they differ in nothing")


class Watcher(Callback):
    observer = True


def test_an_arm_that_only_observes_more_is_an_error_of_the_plan(plan):
    with pytest.raises(StudyError) as caught:
        plan(small().swap("callbacks", {"watched": [Watcher]}))
    assert "arms 'base' and 'watched' are the same training" in str(caught.value)


def test_a_finished_run_is_found(plan, answer):
    study = small()
    answer(study)
    assert plan(study).to_do == []
    assert len(plan(study, fresh=True).to_do) == 2


def test_data_is_read_once_for_all_arms_that_share_it(plan, monkeypatch):
    read = []

    def counted(*, size: int = 24) -> Points:
        read.append(size)
        return points(size=size)

    plan(small(dataset=counted).swap("lr", [0.1]).swap("dataset.size", [12]))
    assert sorted(read) == [12, 24]


def test_no_data_is_read_where_the_question_is_wrong(plan):
    def never() -> Points:
        raise AssertionError("read")

    with pytest.raises(StudyError, match="unknown loss"):
        plan(small(dataset=never, loss="sqared"))


def tiny() -> Points:
    return points(size=6)


def no_data():
    return [1, 2, 3]


def test_what_is_no_data_is_refused(plan):
    with pytest.raises(LabError) as caught:
        plan(small(dataset=no_data))
    assert f"dataset '{no_data.__module__}:no_data' (local) must give a Data, not list" in str(caught.value)


class Odd(nn.Module):
    """Gives an output of a shape that does not fit."""

    def __init__(self, features: int, *, size: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(features + size, 1)

    def forward(self, inputs):
        return self.layer(inputs)


def test_every_arm_that_cannot_make_one_step_is_told_at_once(plan):
    study = small().swap("architecture", {"odd": Odd, "odder": use(Odd, size=2)})
    with pytest.raises(StudyError) as caught:
        plan(study, where="study.py")
    text = str(caught.value)
    assert text.startswith("2 problems in this study:\n  study.py\n")
    assert "arm 'odd': RuntimeError: mat1 and mat2 shapes cannot be multiplied" in text
    assert "arm 'odder': RuntimeError: mat1 and mat2 shapes cannot be multiplied" in text


def test_a_batch_size_beyond_the_data_is_no_problem(plan):
    assert plan(small(dataset=tiny, batch_size=100)).checks["base"].parameters == 3


def test_a_foreign_model_is_not_paired_by_its_parts(plan):
    assert not plan(small(architecture=use(nn.Linear, in_features=2, out_features=1))).checks["base"].is_paired


# --- execution --------------------------------------------------------------------------------------------------------


def test_results_are_a_frame_with_one_row_per_run(answer):
    frame = answer(small().swap("architecture.width", [3])).frame()
    assert list(frame["arm"]) == ["base", "base", "width=3", "width=3"]
    assert frame["valid_loss"].dtype == float
    assert frame["parameters"].tolist() == [3, 3, 13, 13]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(answer, tmp_path, catalog):
    one = answer(small()).frame()
    again = run_study(small(), runs=tmp_path / "again", catalog=catalog).frame()
    assert one["valid_loss"].tolist() == again["valid_loss"].tolist()
    assert one["valid_loss"].nunique() == 2


def test_a_run_leaves_what_it_takes_to_build_it_again(answer):
    folder = answer(small()).runs[0].folder
    record = json.loads((folder / "experiment.json").read_text())
    assert record["experiment"]["architecture"]["component"] == "line"
    assert (record["arm"], record["seed"], record["study"]) == ("base", 0, "small")
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["plugins"] == {"toys": "1.0"}
    assert torch.__version__.startswith(environment["packages"]["torch"].partition("+")[0])
    assert (folder / "model.safetensors").exists()


class Fragile(Callback):
    name = "fragile"

    def before_epoch(self, learner):
        raise RuntimeError("not today")


def test_a_callback_that_raises_fails_its_run_with_who_and_when(answer):
    results = answer(small(callbacks=[Fragile]))
    assert [run.status for run in results.runs] == ["failed", "failed"]
    assert "RuntimeError: not today" in results.runs[0].result["error"]
    assert "fragile" in results.runs[0].result["error"]
    assert "before_epoch" in results.runs[0].result["error"]


class Backwards:
    """Executes the last run first."""

    def submit(self, runs, listener, stop, *, fresh):
        yield from InProcess().submit(list(reversed(runs)), listener, stop, fresh=fresh)


def test_an_executor_of_ones_own_may_choose_the_order(answer, catalog):
    order = []
    catalog.add_module(
        plugin_module(lab_executors={"backwards": Backwards}, lab_run_started=lambda run: order.append(run.seed)),
        "mine",
    )
    results = answer(small(), executor="backwards")
    assert order == [1, 0]
    assert [run.seed for run in results.runs] == [0, 1]


def test_an_unknown_executor_is_an_error(answer):
    with pytest.raises(LabError, match="unknown executor 'backward'"):
        answer(small(), executor="backward")


def test_a_metric_is_recorded_under_the_name_that_was_used(answer):
    assert "valid_worst" in answer(small(metrics=["worst"])).frame()


def test_a_model_of_ones_own_is_trained(answer):
    assert answer(small(architecture=use(Line, width=2))).failed == []
