"""The tracker keeps the contract of trackers; what it writes can be asked for in SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lab_sqlite.tracker import SQLite
from lab_trackers.conformance import TrackerConformance
from lab_trackers.tracker import RunFacts

from lab import Experiment, Study, use
from lab.errors import LabError
from lab.study.execute import run_study


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder, so that no test writes a database beside the code."""
    monkeypatch.chdir(tmp_path)


class TestSQLite(TrackerConformance):
    component = use("sqlite")


def rows(question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect("runs.sqlite")) as database:
        return database.execute(question).fetchall()


def test_a_study_is_in_the_database_with_every_epoch() -> None:
    base = Experiment(
        dataset=use("points", count=64),
        architecture="mlp",
        loss="cross_entropy",
        callbacks=[use("tracker", to=use("sqlite"))],
        lr=1e-2,
        batch_size=16,
        epochs=2,
    )
    results = run_study(Study(base, seeds=2, name="tracked"), runs="runs")
    assert rows("SELECT study, arm, seed, status FROM runs ORDER BY seed") == [
        ("tracked", "base", 0, "finished"),
        ("tracked", "base", 1, "finished"),
    ]
    assert rows("SELECT DISTINCT value FROM parameters WHERE name = 'lr'") == [("0.01",)]
    losses = rows("SELECT epoch, value FROM metrics JOIN runs ON run = id WHERE name = 'valid_loss' AND seed = 0")
    assert [epoch for epoch, _ in losses] == [0, 1]
    assert losses[-1][1] == results.runs[0].metrics["valid_loss"]
    final = rows("SELECT value FROM metrics JOIN runs ON run = id WHERE name = 'final/valid_loss' AND seed = 0")
    assert final == [(results.runs[0].metrics["valid_loss"],)]


def test_a_number_that_is_not_finite_is_null() -> None:
    tracker = SQLite()
    tracker.start(RunFacts("study", "arm", 0, "0123"), None)
    tracker.log(0, {"valid_loss": float("nan")})
    assert rows("SELECT value FROM metrics") == [(None,)]


def test_a_file_that_is_no_database_is_refused_before_training() -> None:
    Path("runs.sqlite").write_text("a text that is longer than the header of a database", encoding="utf-8")
    with pytest.raises(LabError, match="the database cannot be written: file is not a database"):
        SQLite().check()
