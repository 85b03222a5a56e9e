"""Runs in MLflow's own store, read back with its own client."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lab_report.trackers import read
from lab_trackers import tracking
from lab_trackers.mlflow import MLflow
from lab_trackers.tracker import RunFacts
from lab_trackers.tracking import Tracking

import lab
from lab import Experiment, Study, run_study, use
from lab.errors import LabError
from lab.registry.plugins import Catalog, load_catalog
from lab.study.results import Results

pytest.importorskip("mlflow", reason="needs mlflow-skinny (the extra `mlflow`)")
pytestmark = [
    # the tables of a database are made once, which takes seconds
    pytest.mark.xdist_group("mlflow"),
    # sqlalchemy and mlflow, of themselves
    pytest.mark.filterwarnings("ignore"),
]

FACTS = RunFacts("a study", "no dropout, p=0", 3, "k" * 20, {"lr": 0.1, "callbacks.s.py:Slow#1f": "none"}, "s.py")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    before = dict(os.environ)
    monkeypatch.setattr(tracking, "_open", {})
    monkeypatch.setattr(tracking, "_reported", set())
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(only=[])


@pytest.fixture
def results(tmp_path: Path, catalog: Catalog, uri: str) -> Callable[..., Results]:
    def results(**changes: Any) -> Results:
        base = Experiment(
            dataset=use("points", count=60),
            architecture=use("mlp"),
            loss="cross_entropy",
            metrics=["accuracy"],
            callbacks=[use("mlflow", uri=uri)],
            lr=1e-2,
            batch_size=16,
            epochs=2,
        )
        study = Study(base, seeds=2, **changes).swap("lr", [0.1])
        return run_study(study, runs=tmp_path / "runs", catalog=catalog)

    return results


def test_every_run_of_a_study_is_one_of_theirs(results, client, uri):
    found = results(name="widths")
    experiment = client.get_experiment_by_name("widths")
    theirs = {run.data.tags["key"]: run for run in client.search_runs([experiment.experiment_id])}
    assert theirs.keys() == {run.key for run in found.runs}
    for ours in found.runs:
        run = theirs[ours.key]
        assert run.info.status == "FINISHED"
        assert run.info.run_name == f"{ours.arm}/seed-{ours.seed}"
        assert (run.data.tags["study"], run.data.tags["arm"]) == ("widths", ours.arm)
        assert run.data.tags["seed"] == str(ours.seed)
        assert run.data.params["lr"] == ("0.01" if ours.arm == "base" else "0.1")
        assert run.data.params["optimizer"] == "adam"
        assert {name: run.data.metrics[f"final/{name}"] for name in ours.metrics} == ours.metrics
        curve = client.get_metric_history(run.info.run_id, "valid_loss")
        assert [(point.step, point.value) for point in curve] == [
            (row["epoch"], row["valid_loss"]) for row in ours.history()
        ]
        assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"environment.json", "experiment.json"}


def test_the_store_compares_as_the_study_does(results, uri):
    found = results(name="compared")
    rows = [row for row in read(uri.removeprefix("sqlite:///")).rows if row["experiment"] == "compared"]
    flat = [{"arm": row["tags.arm"], "seed": row["tags.seed"], "loss": row["metrics.final/valid_loss"]} for row in rows]
    frame = pd.DataFrame(flat).astype({"seed": int}).sort_values("seed")
    there = lab.compare(frame, metric="loss", arm="arm", seed="seed", higher_is_better=False)
    assert [(row.name, row.finished) for row in there.compare()] == [("base", 2), ("lr=0.1", 2)]
    ours, theirs = found.compare()[1].comparison, there.compare()[1].comparison
    assert theirs.difference == pytest.approx(ours.difference, rel=1e-12)


def test_nan_and_infinity_and_odd_names_are_kept(client, uri):
    tracker = MLflow(uri=uri)
    given = tracker.start(FACTS, None)
    tracker.log(0, {"valid_loss": float("nan"), "valid_top@5": float("inf")})
    tracker.finish("failed", {}, {}, error="ValueError: no")
    run = client.get_run(given)
    assert math.isnan(run.data.metrics["valid_loss"])
    assert run.data.metrics["valid_top_5"] > 1e300
    assert run.data.params == {"lr": "0.1", "callbacks.s.py:Slow_1f": "none"}
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "ValueError: no")


def test_a_run_goes_on_under_its_id_without_its_former_error(client, uri):
    tracker = MLflow(uri=uri)
    first = tracker.start(FACTS, None)
    tracker.finish("failed", {}, {}, error="ValueError: no")
    again = MLflow(uri=uri)
    assert again.start(FACTS, first) == first
    assert client.get_run(first).info.status == "RUNNING"
    assert "error" not in client.get_run(first).data.tags
    again.finish("finished", {}, {}, ended=1e9)
    assert client.get_run(first).info.status == "FINISHED"
    assert client.get_run(first).info.end_time == 10**12


@pytest.mark.parametrize("known", ["0" * 32, None])
def test_a_run_that_was_deleted_begins_anew(client, uri, known):
    tracker = MLflow(uri=uri)
    if known is None:
        known = tracker.start(FACTS, None)
        client.delete_run(known)
    assert MLflow(uri=uri).start(FACTS, known) != known


def test_an_unreachable_server_fails_soon(tmp_path):
    import time

    began = time.monotonic()
    sent = Tracking(MLflow(uri="http://127.0.0.1:9"), tmp_path, FACTS)
    sent.attempt(sent.begin)
    sent.attempt(sent.log, [{"epoch": 0, "valid_loss": 1.0}])
    assert time.monotonic() - began < 20
    assert not (tmp_path / "trackers.json").exists()


def test_a_folder_of_files_needs_mlflows_own_leave(tmp_path, monkeypatch):
    with pytest.raises(LabError, match=r"uri='sqlite:///mlflow\.db'"):
        MLflow(uri=str(tmp_path / "mlruns")).check()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracker = MLflow(uri=str(tmp_path / "mlruns"), experiment="mine")
    tracker.check()
    tracker.start(FACTS, None)
    tracker.log(0, {"valid_loss": 0.25})
    note = tmp_path / "note.txt"
    note.write_text("a note", encoding="utf-8")
    tracker.finish("finished", {"final/valid_loss": 0.25}, {"artefacts/note.txt": note})
    row = read(str(tmp_path / "mlruns")).rows[0]
    assert (row["experiment"], row["tags.arm"], row["status"]) == ("mine", FACTS.arm, "FINISHED")
    assert float(row["metrics.final/valid_loss"]) == 0.25
    assert [path.name for path in (tmp_path / "mlruns").rglob("note.txt")] == ["note.txt"]


def test_passwords_are_not_written_down():
    assert MLflow(uri="https://me:secret@example.org/x").where == "https://example.org/x"
