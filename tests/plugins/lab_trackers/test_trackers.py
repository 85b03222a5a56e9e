"""Runs in trackers: begun, continued, completed, sent afterwards, and unharmed by a tracker that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from lab_trackers import tracking
from lab_trackers.tracker import RunFacts, Tracker
from lab_trackers.tracking import Tracking

import lab
from lab import Experiment, Learner, Study, run_study, use
from lab.errors import LabError, StudyError
from lab.registry.plugins import Catalog, load_catalog
from lab.study.results import Results
from lab.study.store import Store
from tests.kernel.toys import plugin_module


class Memory(Tracker):
    """A tracker that keeps runs here, and fails when asked to."""

    name = "memory"
    runs: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    calls: list[str] = []  # noqa: RUF012
    away = False

    def __init__(self, *, address: str = "here") -> None:
        self.address, self.current = address, {}

    @property
    def where(self) -> str:
        return self.address

    def check(self) -> None:
        if self.address == "nowhere":
            raise LabError("memory has no address", hint="address='here'")

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if self.away:
            raise ConnectionError("the server is away")

    def start(self, run: RunFacts, known: str | None) -> str:
        self._called("start")
        given = known if known in self.runs else f"{self.address}-{len(self.runs)}"
        self.current = self.runs.setdefault(given, {"facts": run, "epochs": []})
        self.current["status"] = "running"
        return given

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._called("log")
        self.current["epochs"].append((epoch, dict(metrics)))

    def finish(self, status: str, metrics: Mapping[str, float], files: Mapping[str, Path], **more: Any) -> None:
        self._called("finish")
        self.current |= {"status": status, "metrics": dict(metrics), "files": dict(files), **more}


def fit(*, lr: float = 0.1, until: int = 3, run: lab.TaskRun) -> dict[str, float]:
    """Log some epochs."""
    for epoch in range(3):
        run.log(epoch=epoch, valid_loss=lr / (epoch + 1))
        if lr == 7.0 and epoch == 1 and not (Path(os.environ["LAB_TEST_MARK"])).exists():
            Path(os.environ["LAB_TEST_MARK"]).touch()
            raise KeyboardInterrupt
    if lr > 8:
        raise ValueError("the rate is too high\nby far")
    (run.folder / "artefacts").mkdir(exist_ok=True)
    (run.folder / "artefacts" / "note.txt").write_text("a note", encoding="utf-8")
    return {"valid_loss": lr}


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LAB_TRACK", "WANDB_MODE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAB_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.setattr(Memory, "runs", {})
    monkeypatch.setattr(Memory, "calls", [])
    monkeypatch.setattr(tracking, "_open", {})
    monkeypatch.setattr(tracking, "_reported", set())


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    catalog = load_catalog(only=[])
    catalog.add_module(plugin_module(lab_trackers=lambda: {"memory": Memory}), "mine")
    return catalog


@pytest.fixture
def run(tmp_path: Path, catalog: Catalog) -> Callable[..., Results]:
    def run(study: Study, **options: Any) -> Results:
        return run_study(study, runs=tmp_path / "runs", catalog=catalog, **options)

    return run


def function(**params: Any) -> Study:
    return Study(use(fit, **params), seeds=1, compare="valid_loss", name="fits")


def experiment(*callbacks: Any, **changes: Any) -> Study:
    base = {
        "dataset": use("points", count=60),
        "architecture": use("mlp"),
        "loss": "cross_entropy",
        "callbacks": list(callbacks),
        "lr": 1e-2,
        "batch_size": 32,
        "epochs": 2,
    }
    return Study(Experiment(**{**base, **changes}), seeds=1, name="points")


def only_run() -> dict[str, Any]:
    assert len(Memory.runs) == 1
    return next(iter(Memory.runs.values()))


# --- LAB_TRACK --------------------------------------------------------------------------------------------------------


def test_a_function_is_tracked_with_its_identity_parameters_curves_metrics_and_artefacts(run, monkeypatch):
    monkeypatch.setenv("LAB_TRACK", "memory")
    found = run(function(lr=0.3)).runs[0]
    kept = only_run()
    assert kept["facts"].tags == {"study": "fits", "arm": "base", "seed": "0", "key": found.key}
    assert (kept["facts"].name, kept["facts"].parameters["lr"]) == ("base/seed-0", 0.3)
    assert [(epoch, row["valid_loss"]) for epoch, row in kept["epochs"]] == [(0, 0.3), (1, 0.15), (2, 0.3 / 3)]
    assert kept["status"] == "finished"
    assert kept["metrics"]["final/valid_loss"] == 0.3
    assert kept["metrics"].keys() >= {"budget/seconds"}
    assert kept["files"].keys() == {"artefacts/note.txt", "environment.json", "experiment.json"}


def test_a_failed_run_is_failed_there_too_with_its_error(run, monkeypatch):
    monkeypatch.setenv("LAB_TRACK", "memory")
    assert run(function(lr=9.0)).runs[0].status == "failed"
    kept = only_run()
    assert (kept["status"], kept["error"], len(kept["epochs"])) == (
        "failed",
        "ValueError: the rate is too high",
        3,
    )
    assert "failure.json" in kept["files"]


def test_a_resumed_run_goes_on_in_the_same_run(run, monkeypatch):
    monkeypatch.setenv("LAB_TRACK", "memory")
    with pytest.raises(KeyboardInterrupt):
        run(function(lr=7.0))
    tracking._close_all()  # the end of the process
    assert only_run()["status"] == "interrupted"
    assert run(function(lr=7.0)).runs[0].status == "finished"
    assert only_run()["status"] == "finished"
    assert [epoch for epoch, _ in only_run()["epochs"]] == [0, 1, 2]


def test_keys_do_not_know_of_trackers(run, monkeypatch):
    plain = run(function()).runs[0].key
    monkeypatch.setenv("LAB_TRACK", "memory")
    assert run(function(), fresh=True).runs[0].key == plain
    assert run(experiment(use("tracker", to=Memory))).runs[0].key == run(experiment()).runs[0].key


def test_a_tracker_that_is_away_is_reported_once_and_no_run_fails(run, monkeypatch, caplog):
    monkeypatch.setenv("LAB_TRACK", "memory")
    monkeypatch.setattr(Memory, "away", True)
    found = run(function().swap("lr", [0.2, 0.4]))
    assert [each.status for each in found.runs] == ["finished"] * 3
    assert len(caplog.records) == 1
    assert "tracker 'memory' failed and is not waited for: ConnectionError: the server is away" in caplog.text
    assert "lab track memory KEY" in caplog.text


def test_a_tracker_that_comes_back_gets_the_whole_run(run, monkeypatch):
    class Flaky(lab.Callback):
        observer = True

        def after_epoch(self, learner: Learner) -> None:
            Memory.away = learner.epochs_done == 0

    monkeypatch.setattr(Memory, "away", False)
    run(experiment(use("tracker", to=Memory), Flaky, epochs=3))
    assert [epoch for epoch, _ in only_run()["epochs"]] == [0, 1, 2]
    assert only_run()["status"] == "finished"


def test_unknown_and_unusable_trackers_are_reported_when_the_study_begins(run, monkeypatch, caplog):
    monkeypatch.setenv("LAB_TRACK", "memry, memory")
    run(function())
    assert [record.message.splitlines()[0] for record in caplog.records] == [
        "LAB_TRACK=memry sends nothing: unknown tracker 'memry'"
    ]
    assert only_run()["status"] == "finished"


def test_a_run_whose_process_died_is_ended(run, monkeypatch, catalog):
    monkeypatch.setenv("LAB_TRACK", "memory")
    found = run(function(lr=9.0)).runs[0]
    file = found.folder / "trackers.json"
    state = json.loads(file.read_text())
    state["memory here"]["status"] = "running"
    file.write_text(json.dumps(state))
    only_run()["status"] = "running"
    monkeypatch.setattr("lab.registry.plugins.load_catalog", lambda: catalog)
    tracking.end_deserted([found])
    assert only_run()["status"] == "failed"


def test_a_damaged_list_of_ids_counts_as_none(run, monkeypatch):
    monkeypatch.setenv("LAB_TRACK", "memory")
    found = run(function(lr=9.0)).runs[0]
    (found.folder / "trackers.json").write_text("[1")
    run(function(lr=9.0))
    assert [kept["status"] for kept in Memory.runs.values()] == ["failed", "failed"]


def test_links_that_leave_the_folder_are_not_sent(tmp_path: Path):
    from lab_trackers.tracker import artefacts_of

    (tmp_path / "secret").write_text("s")
    (tmp_path / "run" / "artefacts").mkdir(parents=True)
    (tmp_path / "run" / "artefacts" / "link").symlink_to(tmp_path / "secret")
    assert artefacts_of(tmp_path / "run") == {}


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_a_callback_sends_every_epoch_while_the_run_trains(run):
    seen = []

    class Watch(lab.Callback):
        observer = True
        after = ("tracker",)

        def before_epoch(self, learner: Learner) -> None:
            seen.append(len(only_run()["epochs"]))

    run(experiment(use("tracker", to=Memory), Watch, epochs=3))
    assert seen == [0, 1, 2]
    kept = only_run()
    assert kept["status"] == "finished"
    assert "final/valid_loss" in kept["metrics"]
    assert kept["facts"].parameters["architecture"] == "mlp"


def test_a_callback_and_the_variable_send_a_run_once(run, monkeypatch):
    monkeypatch.setenv("LAB_TRACK", "memory")
    run(experiment(use("tracker", to=Memory)))
    assert Memory.calls == ["start", "log", "log", "finish"]


def test_a_run_may_be_sent_to_two_addresses(run):
    run(experiment(use("tracker", to=use(Memory, address="a")), metrics=["accuracy"]))
    run(experiment(use("tracker", to=use(Memory, address="b")), metrics=["accuracy"]), fresh=True)
    assert sorted(Memory.runs) == ["a-0", "b-1"]


def test_a_tracker_that_cannot_be_used_is_refused_by_the_plan(run):
    with pytest.raises(StudyError, match="memory has no address"):
        run(experiment(use("tracker", to=use(Memory, address="nowhere"))))
    assert Memory.calls == []


@pytest.mark.parametrize(("module", "name"), [("mlflow", "mlflow"), ("wandb", "wandb")])
def test_a_missing_package_is_reported_by_the_plan_with_the_command_that_installs_it(run, monkeypatch, module, name):
    monkeypatch.setattr("lab_trackers.tracker.find_spec", lambda module: None)
    with pytest.raises(StudyError, match=rf"the package {module} is not installed[^~]*pip install '{module}"):
        run(experiment(use("mlflow", uri="sqlite:///x.db") if name == "mlflow" else name))


def test_a_learner_outside_of_a_study_is_tracked_too(tmp_path: Path):
    import torch
    from lab_basics.points import points
    from lab_trackers.callbacks import TrackerLog

    data = points(count=60, classes=3)
    learner = Learner(
        torch.nn.Linear(data.input_size, 3),
        data,
        torch.nn.functional.cross_entropy,
        callbacks=[TrackerLog(to=Memory())],
        folder=tmp_path / "mine",
        progress=False,
    )
    learner.fit(2)
    kept = only_run()
    assert (kept["facts"].study, kept["facts"].key, kept["status"]) == ("mine", "", "finished")
    assert len(kept["epochs"]) == 2


def test_trackers_change_no_random_number(tmp_path: Path):
    import random

    class Drawing(Memory):
        def start(self, run: RunFacts, known: str | None) -> str:
            random.random()
            return super().start(run, known)

    random.seed(3)
    expected = random.random()
    random.seed(3)
    Tracking(Drawing(), tmp_path, RunFacts("s", "a", 0, "k")).begin()
    assert random.random() == expected


# --- lab track --------------------------------------------------------------------------------------------------------


@pytest.fixture
def track(tmp_path: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    from lab_trackers.track_command import track as command

    from lab.cli.main import Session

    session = Session((), strict=False, debug=False)
    session._catalog = catalog

    def track(*arguments: str) -> tuple[int, str]:
        code = command.main(
            [*arguments, "--runs", str(tmp_path / "runs")], obj=session, standalone_mode=False, prog_name="lab track"
        )
        return code, capsys.readouterr().out

    return track


def test_runs_are_sent_afterwards_once(run, track):
    run(function().swap("lr", [0.2, 9.0]))
    code, said = track("memory", "fits")
    assert code == 0
    assert [line.rpartition(": ")[2] for line in said.splitlines()] == [
        "finished, sent",
        "finished, sent",
        "failed, sent",
    ]
    assert [kept["status"] for kept in Memory.runs.values()] == ["finished", "finished", "failed"]
    code, said = track("memory", "fits")
    assert (code, said.count("sent before"), len(Memory.runs)) == (0, 3, 3)
    track("memory", "fits", "--again")
    assert len(Memory.runs) == 3
    assert [len(kept["epochs"]) for kept in Memory.runs.values()] == [3, 3, 3]


def test_one_run_is_sent_by_its_key(run, track):
    key = run(function()).runs[0].key
    assert track("memory", key[:8], key)[1].splitlines() == [f"base, seed 0 (run {key}): finished, sent"]


def test_a_run_that_was_not_sent_is_reported(run, track, monkeypatch):
    run(function())
    monkeypatch.setattr(Memory, "away", True)
    code, said = track("memory", "fits")
    assert (code, said) == (1, "")
    monkeypatch.setattr(Memory, "away", False)
    assert track("memory", "fits")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memry", "fits"], "unknown tracker 'memry'"),
        (["memory", "fitz"], "unknown study 'fitz'"),
        (["memory", "fits", "--set", "adress=x"], "unknown parameter 'adress'"),
        (["memory", "fits", "--set", "address"], "'address' is not NAME=VALUE"),
        (["memory", "fits", "--set", "address=nowhere"], "memory has no address"),
        (["wandb", "fits", "--set", "offline=perhaps"], "offline"),
    ],
)
def test_wrong_arguments_are_explained(run, track, arguments, message):
    run(function())
    with pytest.raises(LabError, match=message):
        track(*arguments)
    assert Memory.runs == {}


# --- processes --------------------------------------------------------------------------------------------------------


def test_workers_and_commands_are_tracked_by_the_variable_alone(tmp_path: Path):
    pytest.importorskip("wandb")
    (tmp_path / "script.py").write_text("import sys; print('loss: ' + sys.argv[1])", encoding="utf-8")
    (tmp_path / "rates.py").write_text(
        '"""Which rate?"""\nfrom lab import Study, command\n'
        f"base = command('{sys.executable} {tmp_path}/script.py {{lr}}', lr=0.5, metrics={{'loss': 'loss: (.*)'}})\n"
        "study = Study(base, seeds=1, compare='loss').swap('lr', [0.25])\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "LAB_TRACK": "wandb", "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "lab", "run", "rates.py", "--workers", "2", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    states = [json.loads((r.folder / "trackers.json").read_text()) for r in Store(tmp_path / "runs").records()]
    assert [state["wandb "]["status"] for state in states] == ["finished"] * 2
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_an_interrupted_process_ends_its_runs_and_goes_on_in_them_later(tmp_path: Path):
    pytest.importorskip("wandb")
    (tmp_path / "once.py").write_text(
        '"""Interrupted once."""\nfrom pathlib import Path\nimport lab\nfrom lab import Study, use\n'
        "def train(*, run: lab.TaskRun) -> dict[str, float]:\n"
        "    for epoch in range(3):\n"
        "        run.log(epoch=epoch, loss=float(epoch))\n"
        "        if epoch == 1 and not Path('mark').exists():\n"
        "            Path('mark').touch()\n"
        "            raise KeyboardInterrupt\n"
        "    return {'loss': 1.0}\n"
        "study = Study(use(train), seeds=1, compare='loss')\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "LAB_TRACK": "wandb", "WANDB_MODE": "offline"}
    seen = []
    for code in (130, 0):
        command = [sys.executable, "-m", "lab", "run", "once.py", "--quiet", "--executor", "in_process"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        assert "failed" not in done.stderr
        file = next((tmp_path / "runs" / ".store").glob("*/trackers.json"))
        seen.append(json.loads(file.read_text())["wandb "])
    assert [state["status"] for state in seen] == ["interrupted", "finished"]
    assert seen[0]["id"] == seen[1]["id"]


def test_only_the_first_of_several_processes_reports(monkeypatch):
    from torch import distributed

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    for rank, expected in ((0, True), (1, False)):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        assert tracking.is_observed() is expected
