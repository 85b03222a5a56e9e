"""A store may come from elsewhere: nothing in it is run, and nothing is read or written outside of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lab as framework
from lab.errors import LabError
from lab.study import files
from lab.study.execute import run_study
from lab.study.load import load_study
from lab.study.store import Store

STUDY = '''"""Is a larger step better?"""
import torch
from torch import nn
from torch.utils.data import TensorDataset
from lab import Data, Experiment, Study
from {helper} import SLOPE


def coins() -> Data:
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    split = TensorDataset(x, (x[:, 0] > 0).long())
    return Data(split, split, split, fingerprint="coins")


class Line(nn.Module):
    def __init__(self, *, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(2, width)

    def forward(self, x):
        return SLOPE * self.layer(x)


base = Experiment(dataset=coins, architecture=Line, loss="cross_entropy", epochs=1)
study = Study(base, seeds=1)
'''


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, str]:
    """A study file, its folder of runs and the key of its only run; it was run by this user."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    helper = f"slopes_{abs(hash(str(tmp_path)))}"  # modules that are imported stay for the process
    (folder / f"{helper}.py").write_text("SLOPE = 1.0\n")
    file = folder / "coin.py"
    file.write_text(STUDY.format(helper=helper))
    runs = tmp_path / "runs"
    results = run_study(load_study(file), runs=runs)
    return file, runs, results.runs[0].key


def change(path: Path, **values: Any) -> None:
    """Change a sealed file as somebody would who seals it again."""
    content = json.loads(path.read_text())
    path.write_bytes(files.seal({**content, **values}))


COMMANDS = {
    "reproduce": (),
    "generate": (),
    "recommend": ("--user", "1"),
    "search": ("--text", "a"),
    "predict": ("table.csv",),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["artefacts/notes.py", "../../../elsewhere.py"])
def test_no_command_imports_a_file_that_a_record_names(
    trained: tuple[Path, Path, str], lab: Callable[..., Any], tmp_path: Path, command: str, place: str
) -> None:
    _, runs, key = trained
    mark = tmp_path / "pwned"
    evil = runs / ".store" / key / place
    evil.parent.mkdir(exist_ok=True)
    evil.write_text(f"open({str(mark)!r}, 'w')\n")
    change(runs / ".store" / key / "experiment.json", file=str(evil))
    done = lab(command, key, *COMMANDS[command], "--runs", runs)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert not mark.exists()


def test_loading_imports_no_file_that_a_record_names(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, runs, key = trained
    evil = tmp_path / "elsewhere.py"
    evil.write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    change(runs / ".store" / key / "experiment.json", file=str(evil))
    with pytest.raises(LabError, match="was never run by you on this machine"):
        framework.load(key, runs)
    assert not (tmp_path / "pwned").exists()


def test_a_file_in_a_store_is_not_imported_though_the_user_names_it(trained: tuple[Path, Path, str]) -> None:
    file, runs, key = trained
    inside = runs / ".store" / key / "coin.py"
    inside.write_bytes(file.read_bytes())
    with pytest.raises(LabError, match="files inside a store are not imported"):
        framework.load(key, runs, file=inside)
    link = file.parent / "link.py"
    link.symlink_to(inside)
    with pytest.raises(LabError, match="files inside a store are not imported"):
        framework.load(key, runs, file=link)


def test_a_file_that_this_user_ran_need_not_be_named(trained: tuple[Path, Path, str]) -> None:
    _, runs, key = trained
    assert framework.load(key, runs).validate()["valid_loss"] == Store(runs).record(key).metrics["valid_loss"]


def test_a_file_that_this_user_ran_and_changed_since_must_be_named(trained: tuple[Path, Path, str]) -> None:
    file, runs, key = trained
    file.write_text(file.read_text() + "\n# and more\n")
    with pytest.raises(LabError, match="has changed since you ran it here") as caught:
        framework.load(key, runs)
    assert "--stored-source" in str(caught.value)
    assert (
        framework.load(key, runs, file=file).validate()["valid_loss"] == Store(runs).record(key).metrics["valid_loss"]
    )


def test_what_another_user_ran_is_not_known(
    trained: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, runs, key = trained
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "other"))
    with pytest.raises(LabError, match="was never run by you on this machine"):
        framework.load(key, runs)


def test_the_stored_source_serves_where_the_file_is_gone(
    trained: tuple[Path, Path, str], lab: Callable[..., Any]
) -> None:
    file, runs, key = trained
    file.unlink()
    asked = lab("reproduce", key, "--runs", runs, "--quiet")
    assert (asked.code, "--stored-source" in asked.err) == (2, True)
    done = lab("reproduce", key, "--runs", runs, "--quiet", "--stored-source")
    assert done.out == "identical: every metric of 1 epochs, the final metrics and the weights (base, seed 0)\n"
    assert framework.load(key, runs, stored_source=True).model is not None


def test_stored_sources_hold_the_modules_beside_the_study(trained: tuple[Path, Path, str]) -> None:
    file, runs, key = trained
    content = json.loads((runs / ".store" / key / "sources.json").read_text())
    assert content["study"] == "coin.py"
    assert content["files"] == {path.name: path.read_text() for path in file.parent.glob("*.py")}


@pytest.mark.parametrize("name", ["../climbs.py", "/tmp/climbs.py", "a/../../climbs.py", ".hidden/x.py", "x.pth"])
def test_stored_sources_are_written_nowhere_else(trained: tuple[Path, Path, str], tmp_path: Path, name: str) -> None:
    file, runs, key = trained
    path = runs / ".store" / key / "sources.json"
    change(path, files={"coin.py": file.read_text(), name: "raise SystemExit(7)"})
    _forget_marks(runs / ".store" / key)
    with pytest.raises(LabError, match="is not a module beside a study"):
        framework.load(key, runs, stored_source=True)


def test_a_stored_source_with_another_meaning_is_refused(trained: tuple[Path, Path, str]) -> None:
    file, runs, key = trained
    changed = file.read_text().replace("SLOPE * self", "2 * SLOPE * self")
    content = json.loads((runs / ".store" / key / "sources.json").read_text())
    change(runs / ".store" / key / "sources.json", files={**content["files"], "coin.py": changed})
    _forget_marks(runs / ".store" / key)
    with pytest.raises(LabError, match="is not in this study file, or it has changed since"):
        framework.load(key, runs, stored_source=True)


def _forget_marks(folder: Path) -> None:
    """As if the run had been made before files were vouched for."""
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_bytes(files.seal({k: v for k, v in content.items() if k != "files"}))


@pytest.mark.parametrize("name", ["os:system", "antigravity:x", "this.py:Net#000000000000"])
def test_names_in_a_record_are_only_looked_up(trained: tuple[Path, Path, str], name: str) -> None:
    import sys

    _, runs, key = trained
    path = runs / ".store" / key / "experiment.json"
    experiment = json.loads(path.read_text())["experiment"]
    experiment["architecture"]["component"] = name
    change(path, experiment=experiment)
    with pytest.raises(LabError):
        framework.load(key, runs)
    assert "antigravity" not in sys.modules
    assert "this" not in sys.modules


@pytest.mark.parametrize("selected", ["../../../secret.safetensors", "/etc/passwd", "state.json", "..", ""])
def test_weights_are_taken_from_the_runs_folder_only(trained: tuple[Path, Path, str], selected: str) -> None:
    _, runs, key = trained
    change(runs / ".store" / key / "result.json", selected=selected)
    with pytest.raises(LabError):
        framework.load(key, runs)


@pytest.mark.parametrize("key", ["../mine", "..", "a/b", "", ".locks", "a\0b", "x" * 300])
def test_what_is_no_key_leads_nowhere(tmp_path: Path, key: str) -> None:
    with pytest.raises(LabError):
        Store(tmp_path).record(key)


def test_a_missing_plugin_is_named(trained: tuple[Path, Path, str]) -> None:
    _, runs, key = trained
    path = runs / ".store" / key / "experiment.json"
    experiment = json.loads(path.read_text())["experiment"]
    experiment["optimizer"] |= {"component": "bn_net", "plugin": "lab_x 1.2"}
    change(path, experiment=experiment)
    with pytest.raises(LabError, match=r"component 'bn_net' came from lab_x 1\.2, which is not installed"):
        framework.load(key, runs)


# --- code and data are compared ---------------------------------------------------------------------------------------


def test_a_run_of_other_code_is_not_loaded_without_a_word(
    trained: tuple[Path, Path, str], recwarn: pytest.WarningsRecorder
) -> None:
    _, runs, key = trained
    path = runs / ".store" / key / "experiment.json"
    change(path, code={**json.loads(path.read_text())["code"], "lab": "0" * 16})
    with pytest.raises(LabError, match="code of lab: another now"):
        framework.load(key, runs)
    told: list[str] = []
    framework.load(key, runs, anyway=True, warn=told.append)
    assert told == [f"run {key} differs: code of lab: another now"]


def test_a_run_on_other_data_is_not_loaded(trained: tuple[Path, Path, str]) -> None:
    _, runs, key = trained
    change(runs / ".store" / key / "experiment.json", data="others")
    with pytest.raises(LabError, match="data: another content now"):
        framework.load(key, runs)


def test_a_changed_model_is_loaded_only_if_asked_for(trained: tuple[Path, Path, str]) -> None:
    file, runs, key = trained
    file.write_text(file.read_text().replace("SLOPE * self", "2 * SLOPE * self"))
    with pytest.raises(LabError, match="it has changed since"):
        framework.load(key, runs, file=file)
    told: list[str] = []
    learner = framework.load(key, runs, file=file, anyway=True, warn=told.append)
    assert told == [f"run {key} differs: code of study: another now"]
    assert learner.validate()["valid_loss"] != Store(runs).record(key).metrics["valid_loss"]


# --- links ------------------------------------------------------------------------------------------------------------


def test_nothing_is_written_through_links_of_a_half_finished_run(
    trained: tuple[Path, Path, str], tmp_path: Path
) -> None:
    file, runs, key = trained
    folder, target = runs / ".store" / key, tmp_path / "target"
    target.mkdir()
    (target / "precious.txt").write_text("precious")
    for name in ("result.json", "model.safetensors", "metrics.jsonl"):
        (folder / name).unlink()
    (folder / "artefacts").symlink_to(target, target_is_directory=True)
    (folder / "checkpoint-000001").symlink_to(target, target_is_directory=True)
    (folder / "model.safetensors").symlink_to(target / "precious.txt")
    (folder / "failure.json").symlink_to(target / "precious.txt")
    assert run_study(load_study(file), runs=runs).runs[0].status == "finished"
    assert sorted(os.listdir(target)) == ["precious.txt"]
    assert (target / "precious.txt").read_text() == "precious"
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_a_run_whose_folder_is_a_link_is_damaged_and_trained_beside(
    trained: tuple[Path, Path, str], tmp_path: Path
) -> None:
    file, runs, key = trained
    folder, target = runs / ".store" / key, tmp_path / "target"
    folder.rename(target)
    folder.symlink_to(target, target_is_directory=True)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in target.iterdir())
    assert Store(runs).record(key).status == "damaged"
    assert run_study(load_study(file), runs=runs).runs[0].status == "finished"
    assert not folder.is_symlink()
    assert sorted((path.name, path.stat().st_mtime_ns) for path in target.iterdir()) == before


def test_a_lock_that_is_a_link_leaves_its_target_alone(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, runs, key = trained
    (tmp_path / "precious.txt").write_text("precious")
    lock = runs / ".store" / ".locks" / key
    lock.unlink(missing_ok=True)
    lock.symlink_to(tmp_path / "precious.txt")
    with Store(runs).lock(key):
        pass
    assert (tmp_path / "precious.txt").read_text() == "precious"


def test_a_store_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / ".store").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LabError, match="the store is a link"):
        Store(tmp_path / "runs").prepare()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../elsewhere"])
def test_a_link_that_leaves_the_runs_folder_is_not_read(
    trained: tuple[Path, Path, str], tmp_path: Path, target: str
) -> None:
    _, runs, key = trained
    artefacts = runs / ".store" / key / "artefacts"
    artefacts.mkdir(exist_ok=True)
    (artefacts / "samples.txt").symlink_to(target)
    record = Store(runs).record(key)
    assert record.status == "damaged"
    assert "a link that leaves its folder" in record.result["error"]


def test_a_link_inside_the_runs_folder_is_read(trained: tuple[Path, Path, str]) -> None:
    _, runs, key = trained
    folder = runs / ".store" / key
    (folder / "again.jsonl").symlink_to("metrics.jsonl")
    assert Store(runs).record(key).status == "finished"


def test_removing_a_link_removes_the_link(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    _, runs, key = trained
    folder, target = runs / ".store" / key, tmp_path / "target"
    folder.rename(target)
    folder.symlink_to(target, target_is_directory=True)
    Store(runs).remove(key)
    assert not os.path.lexists(folder)
    assert (target / "result.json").is_file()
