"""``--format json``: documents of the schemas in the docs, and nothing else on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.machine_documents import SCHEMAS, document
from tests.kernel.stored_study import FIGURES, key_of, store_study

Lab = Callable[..., Any]

LOUD = '''
"""Does width help?"""
import os
import lab
from lab import Study, use

print("imported")

def train(*, width: int = 1, run: lab.TaskRun) -> dict[str, float]:
    """Train nothing, loudly."""
    print("training")
    os.system("echo from a child")
    if width == 3:
        raise ValueError("too wide")
    return {"accuracy": width + 0.1 * run.seed, "odd": float("nan")}

study = Study(use(train), seeds=2, compare="accuracy", higher_is_better=True).swap("width", {"two": 2, "three": 3})
'''


@pytest.fixture
def loud(tmp_path: Path) -> Path:
    path = tmp_path / "loud.py"
    path.write_text(LOUD, encoding="utf-8")
    return path


def outside(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A process of its own, since children write to its descriptors."""
    command = [sys.executable, "-m", "lab", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_components_are_listed(lab: Lab) -> None:
    everything = document(lab("list", "--format", "json").out, "list")
    assert {"datasets", "tasks", "executors"} <= {kind["kind"] for kind in everything["kinds"]}
    (optimizers,) = document(lab("list", "optimizers", "--format", "json").out, "list")["kinds"]
    assert {"adam", "sgd"} <= {each["name"] for each in optimizers["components"]}


def test_a_component_is_shown_with_its_parameters(lab: Lab) -> None:
    (adam,) = document(lab("show", "adam", "--format", "json").out, "show")["components"]
    assert (adam["kind"], adam["plugin"], adam["preset"]) == ("optimizers", "lab_basics", None)
    assert "betas" in [parameter["name"] for parameter in adam["parameters"]]
    assert adam["about"]


def test_a_study_is_shown_with_its_arms(lab: Lab, loud: Path) -> None:
    study = document(lab("show", loud, "--format", "json").out, "show")["study"]
    assert (study["name"], study["question"], study["metric"]) == ("loud", "Does width help?", "accuracy")
    assert study["arms"][1]["changes"] == [{"path": "width", "from": 1, "to": 2}]


def test_plugins_are_listed_with_their_cause(lab: Lab, install: Callable[..., Path]) -> None:
    install(broken_plugin="import no_such_module")
    plugins = {each["name"]: each for each in document(lab("plugins", "--format", "json").out, "plugins")["plugins"]}
    assert plugins["lab_basics"]["status"] == "loaded"
    assert "no_such_module" in plugins["broken_plugin"]["cause"]


def test_runs_are_listed_and_shown(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path / "runs", figures={**FIGURES, "lost": [0.1] * 4}, failed=("lost",))
    runs = document(lab("runs", "--arm", "wide", "--sort", "seed", "--format", "json").out, "runs")["runs"]
    assert [(run["arm"], run["seed"], run["used_by"]) for run in runs] == [("wide", n, ["toy"]) for n in range(4)]
    assert runs[0]["metrics"]["valid_accuracy"] == 0.70
    assert "seconds" in runs[0]["budget"]
    shown = document(lab("runs", "show", key_of("wide", 0), "--format", "json").out, "runs-show")
    assert (shown["arm"], shown["seed"], shown["status"], shown["study"]) == ("wide", 0, "finished", "toy")
    failed = document(lab("runs", "show", key_of("lost", 0), "--format", "json").out, "runs-show")
    assert (failed["status"], bool(failed["error"])) == ("failed", True)


def test_no_run_is_an_empty_list(lab: Lab) -> None:
    assert document(lab("runs", "--format", "json").out, "runs")["runs"] == []


def test_a_study_is_run_with_nothing_else_on_stdout(loud: Path) -> None:
    plan = document(outside("run", loud, "--plan", "--format", "json").stdout, "plan")
    assert (plan["to_do"], len(plan["runs"]), plan["seconds"]) == (6, 6, None)
    done = outside("run", loud, "--runs", loud.parent / "runs", "--format", "json")
    found = document(done.stdout, "run")
    assert done.returncode == 1
    assert "from a child" in done.stderr
    assert (found["trained"], found["found"]) == (6, 0)
    assert found["statuses"] == {"finished": 4, "failed": 2}
    assert found["runs"][2]["metrics"] == {"accuracy": 2.0, "odd": None}
    assert "too wide" in found["runs"][4]["error"]
    assert found["comparison"]["arms"][1]["comparison"]["difference"] == 1.0
    assert Path(found["report"]).is_file()


def test_workers_write_nothing_to_stdout_and_found_runs_are_counted(loud: Path) -> None:
    arguments = ("run", loud, "--runs", loud.parent / "runs", "--arms", "two", "--format", "json", "--workers", "2")
    assert document(outside(*arguments).stdout, "run")["trained"] == 4
    again = document(outside(*arguments).stdout, "run")
    assert (again["trained"], again["found"]) == (0, 4)


def test_a_wrong_question_prints_no_document(lab: Lab, loud: Path) -> None:
    done = lab("run", loud, "--set", "depth=3", "--format", "json")
    assert (done.code, done.out) == (2, "")
    assert "depth" in done.err
    assert lab("show", "adamm", "--format", "json").out == ""


def test_every_schema_names_itself_and_is_on_the_page() -> None:
    page = (SCHEMAS.parent / "for-scripts.md").read_text(encoding="utf-8")
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        assert schema["properties"]["schema"]["const"] == schema["$id"] == schema["title"]
        assert f"[`{schema['$id']}`](schemas/{path.name})" in page
