"""Runs that a study needs are looked up when it is planned, before any data is read."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from lab import Callback, Data, Experiment, Study, use
from lab.errors import StudyError, UnknownNameError
from lab.study.execute import run_study
from lab.study.needed import check_run
from lab.study.store import Store
from tests.kernel.toys import experiment


class After(Callback):
    """Begins after another run."""

    rehearse = False

    def __init__(self, *, run: str = "", runs: str | None = None) -> None:
        self.run, self.runs = run, runs

    @classmethod
    def check_runs(cls, params: Mapping[str, Any], store: Store) -> None:
        check_run(params, store)


def unreadable() -> Data:
    """Data that no test may read."""
    raise AssertionError("data was read")


def needing(key: str, **changes: Any) -> Study:
    return Study(experiment(callbacks=[use(After, run=key)], epochs=1, **changes), seeds=1, name="second")


@pytest.fixture
def first(catalog, tmp_path):
    """The only finished run of a folder of runs."""
    study = Study(experiment(epochs=1), seeds=1, name="first")
    return run_study(study, runs=tmp_path, catalog=catalog).runs[0]


def test_an_unknown_run_is_a_problem_of_the_plan_with_all_others_before_data_is_read(catalog, tmp_path):
    study = needing("nonsense", dataset=use(unreadable), optimizer="adma")
    with pytest.raises(StudyError) as caught:
        run_study(study, runs=tmp_path, catalog=catalog)
    told = "\n".join(caught.value.problems)
    assert "unknown optimizer 'adma'" in told
    assert "tests.kernel.test_study_needed:After' (local): no run's key begins with 'nonsense'" in told


def test_only_the_arm_with_the_unknown_run_is_named(catalog, tmp_path):
    study = Study(experiment(dataset=use(unreadable)), seeds=1).swap("callbacks", {"after": [use(After, run="none")]})
    with pytest.raises(StudyError, match=r"arm 'after': .*no run's key begins with 'none'"):
        run_study(study, runs=tmp_path, catalog=catalog)


def test_a_mistyped_key_gets_the_key_most_like_it(first, catalog, tmp_path):
    mistyped = first.key[:3] + "z" + first.key[4:8]
    with pytest.raises(StudyError, match=f"did you mean: {first.key}"):
        run_study(needing(mistyped), runs=tmp_path, catalog=catalog)
    with pytest.raises(UnknownNameError, match=f"did you mean: {first.key}"):
        Store(tmp_path).find(mistyped)


def test_a_run_of_another_folder_is_looked_up_there(first, catalog, tmp_path):
    study = Study(experiment(callbacks=[use(After, run=first.key, runs=str(tmp_path))], epochs=1), seeds=1)
    assert run_study(study, runs=tmp_path / "other", catalog=catalog).runs[0].status == "finished"


def test_a_finished_run_is_found_though_the_run_it_needed_is_gone(first, catalog, tmp_path):
    run_study(needing(first.key), runs=tmp_path, catalog=catalog)
    shutil.rmtree(first.folder)
    assert run_study(needing(first.key), runs=tmp_path, catalog=catalog).runs[0].status == "finished"
    with pytest.raises(StudyError, match="no run's key begins with"):
        run_study(needing(first.key, lr=0.01), runs=tmp_path, catalog=catalog)


COMPONENTS = {
    "start_from": {"callbacks": [use("start_from", run="nonsense")]},
    "body_from": {"callbacks": [use("body_from", run="nonsense")]},
    "members_from_runs": {"callbacks": [use("members_from_runs", keys=["nonsense"])]},
    "run_vectors": {
        "dataset": use("fr_en_questions", corpus="embedded", source_vectors=use("run_vectors", run="nonsense"))
    },
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_built_in_component_that_takes_something_from_a_run_looks_it_up_when_planned(name, tmp_path):
    plain = {"dataset": "points", "architecture": "mlp", "loss": "mse", "lr": 0.1, "epochs": 1}
    study = Study(Experiment(**{**plain, **COMPONENTS[name]}), seeds=1, name="planned")
    with pytest.raises(StudyError, match=rf"'{name}' \(lab_\w+ .*\): no run's key begins with 'nonsense'"):
        study.run(runs=tmp_path)
