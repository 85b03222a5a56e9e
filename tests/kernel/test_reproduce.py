"""Runs can be rebuilt from their records: loaded, and trained again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lab
from lab.errors import LabError
from lab.study.rebuild import differences
from lab.study.store import Store
from tests.kernel.kill_study import STUDY


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study file and the folder of its finished runs."""
    folder = tmp_path_factory.mktemp("finished")
    study = folder / "small.py"
    study.write_text(STUDY.replace("epochs=4", "epochs=2").replace("time.sleep(0.004)", "pass"))
    done = _lab("run", str(study), "--runs", str(folder / "runs"), "--quiet")
    assert done.returncode == 0, done.stderr
    return study, folder / "runs"


def _lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LAB_DISABLE_THIRD_PARTY": "1"}
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _first(runs: Path) -> str:
    return next(iter(sorted(record.key for record in Store(runs).records())))


def test_a_finished_run_is_reproduced_identically(finished: tuple[Path, Path]) -> None:
    _, runs = finished
    done = _lab("reproduce", _first(runs)[:8], "--runs", str(runs), "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("identical: every metric of 2 epochs")


def test_a_record_that_was_tampered_with_is_found_out(finished: tuple[Path, Path], tmp_path: Path) -> None:
    _, runs = finished
    key = _first(runs)
    path = runs / ".store" / key / "metrics.jsonl"
    original = path.read_text()
    rows = [json.loads(line) for line in original.splitlines()]
    rows[1]["valid_loss"] += 1e-9
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        done = _lab("reproduce", key, "--runs", str(runs), "--quiet")
    finally:
        path.write_text(original)
    assert done.returncode == 1
    assert "not identical: the first difference is in epoch 2" in done.stdout


def test_what_is_not_as_it_was_is_listed_before_anything_is_trained(finished: tuple[Path, Path]) -> None:
    _, runs = finished
    key = _first(runs)
    folder = runs / ".store" / key
    originals = {name: (folder / name).read_text() for name in ("experiment.json", "environment.json")}
    experiment, environment = (json.loads(text) for text in originals.values())
    experiment["code"]["lab"], experiment["data"] = "0" * 16, "others"
    environment["packages"]["torch"] = "1.0"
    (folder / "experiment.json").write_text(json.dumps(experiment))
    (folder / "environment.json").write_text(json.dumps(environment))
    try:
        done = _lab("reproduce", key, "--runs", str(runs), "--quiet")
    finally:
        for name, text in originals.items():
            (folder / name).write_text(text)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0] == f"lab: run {key} cannot be reproduced as it was"
    assert lines[1:3] == ["  code of lab: another now", "  data: another content now"]
    assert lines[3].startswith("  torch: 1.0 then, ")
    assert lines[4] == "  --anyway trains it all the same and shows what comes out"


def test_what_differs_between_two_records_is_named() -> None:
    one = {
        "torch": "2.13.0",
        "code": {"lab": "1", "lab_text": "2", "lab_ours": "3"},
        "data": "abc",
        "experiment": {"architecture": {"plugin": "lab_ours 1.0", "width": 3}},
    }
    other = {
        "torch": "2.12.1",
        "code": {"lab": "1", "lab_text": "7"},
        "data": "abd",
        "experiment": {"architecture": {"plugin": "lab_ours 2.0", "width": 3}},
    }
    words = ("asked for", "here")
    assert differences(one, one, words=words) == []
    assert differences(one, other, words=words) == [
        "torch: 2.13.0 asked for, 2.12.1 here",
        "code of lab_text: another here",
        "code of lab_ours: none here",
        "data: another content here",
        "architecture.plugin: lab_ours 1.0 asked for, lab_ours 2.0 here",
    ]


def test_the_trained_learner_comes_back(finished: tuple[Path, Path]) -> None:
    _, runs = finished
    key = _first(runs)
    learner = lab.load(key, runs)
    assert learner.validate()["valid_loss"] == Store(runs).record(key).metrics["valid_loss"]


def test_a_loaded_learner_that_trains_on_leaves_its_run_as_it_is(finished: tuple[Path, Path], tmp_path: Path) -> None:
    _, runs = finished
    key = _first(runs)

    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (runs / ".store" / key).rglob("*") if path.is_file()}

    before = content()
    learner = lab.load(key, runs)
    with pytest.raises(LabError, match=r"no artefact 'mine.txt'(.|\n)*set learner.folder"):
        learner.artefact("mine.txt")
    learner.fit(1)
    assert learner.folder is None
    learner = lab.load(key, runs)
    learner.folder = tmp_path / "further"
    learner.fit(1)
    assert any((tmp_path / "further").iterdir())
    assert content() == before


def test_a_component_of_a_study_file_that_changed_is_named(finished: tuple[Path, Path], tmp_path: Path) -> None:
    study, runs = finished
    other = tmp_path / "small.py"
    other.write_text(study.read_text().replace("nn.ReLU()", "nn.Tanh()"))
    with pytest.raises(LabError) as caught:
        lab.load(_first(runs), runs, file=other)
    assert "is not in this study file, or it has changed since" in str(caught.value)


def test_a_key_that_is_not_there_is_named(finished: tuple[Path, Path]) -> None:
    _, runs = finished
    with pytest.raises(LabError) as caught:
        lab.load("zzz", runs)
    assert str(caught.value) == "no run's key begins with 'zzz'\n  lab runs lists what is there"
