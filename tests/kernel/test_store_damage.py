"""Damage in a store is told and isolated: other runs are listed, compared and reported as ever."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from lab_runs.listing import RunSummary, list_runs, sort_runs
from torch import nn

from lab.cli.main import cli
from lab.errors import LabError, StoreError
from lab.study import environment as environments
from lab.study import files
from lab.study.packages import installed_packages
from lab.study.store import Store, outcome_of
from lab.training.checkpoint import load_checkpoint, save_checkpoint
from lab.training.weights import load_weights, read_tree, save_weights, write_tree
from tests.kernel.stored_study import key_of, store_run, store_study

KEY = key_of("wide", 1)
DEEP = b"[" * 100_000


def _replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/passwd")


def _loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def _huge(path: Path) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(2**31)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: _replace(path, b""),
    "cut off": lambda path: _replace(path, b'{"metr'),
    "a list": lambda path: _replace(path, b"[]"),
    "null": lambda path: _replace(path, b"null"),
    "a number": lambda path: _replace(path, b"7"),
    "deep": lambda path: _replace(path, DEEP),
    "other types": lambda path: _replace(
        path,
        b'{"metrics": 1, "error": [], "study": 1, "arm": {}, "seed": "x", "runs": 3, "packages": [], "epoch": "x",'
        b' "machine": 1, "experiment": []}',
    ),
    "UTF-16": lambda path: _replace(path, '{"a": 1}'.encode("utf-16")),
    "latin-1": lambda path: _replace(path, b'{"error": "\xe9"}'),
    "a long number": lambda path: _replace(
        path, b'{"metrics": {"a": 1' + b"0" * 5000 + b'}, "epoch": 1' + b"0" * 5000 + b"}"
    ),
    "a surrogate": lambda path: _replace(path, b'{"error": "\\ud800"}'),
    "a folder": _folder,
    "a pipe": _pipe,
    "a link to elsewhere": _link,
    "a link to itself": _loop,
    "huge": _huge,
}


def lab(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--runs", str(root)])


def said(result: Result) -> str:
    """The output of a command, which ended well or with an error that is meant for the user."""
    assert result.exception is None or isinstance(result.exception, (LabError, SystemExit)), result.exception
    return f"{result.output}{result.exception or ''}"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "experiment.json", "environment.json", "metrics.jsonl"])
def test_a_damaged_file_of_a_run_ends_no_command(tmp_path: Path, name: str, damage: str) -> None:
    store_study(tmp_path)
    DAMAGES[damage](tmp_path / ".store" / KEY / name)
    listed = lab(tmp_path, "runs")
    assert listed.exception is None
    assert len(list_runs(tmp_path)) == 12
    said(lab(tmp_path, "runs", "show", KEY))
    compared = lab(tmp_path, "compare", "toy")
    assert compared.exception is None
    if outcome_of(tmp_path / ".store" / KEY).status == "damaged":
        assert f"left out: wide, seed 1 (run {KEY}): {name} is damaged" in compared.output
        if name in ("result.json", "experiment.json"):  # a list of thousands looks no further
            assert f"run {KEY} is damaged: {name} is damaged" in listed.output
    assert lab(tmp_path, "runs", "remove", KEY, "--yes").output == "1 run removed\n"


@pytest.mark.parametrize("damage", ["empty", "other types", "a pipe", "a link to elsewhere", "a folder"])
@pytest.mark.parametrize("name", ["result.json", "environment.json", "metrics.jsonl"])
def test_a_report_is_written_whatever_is_damaged(tmp_path: Path, name: str, damage: str) -> None:
    folder = store_study(tmp_path)
    DAMAGES[damage](tmp_path / ".store" / KEY / name)
    assert lab(tmp_path, "report", "toy").exception is None
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_failure_is_told(tmp_path: Path, damage: str) -> None:
    store_study(tmp_path, failed=("wide",))
    DAMAGES[damage](tmp_path / ".store" / KEY / "failure.json")
    assert Store(tmp_path).record(KEY).status in ("damaged", "failed")
    assert lab(tmp_path, "report", "toy").exception is None
    said(lab(tmp_path, "runs", "show", KEY))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_of_a_study_is_told(tmp_path: Path, damage: str) -> None:
    folder = store_study(tmp_path)
    DAMAGES[damage](folder / "study.json")
    assert "the record of the study 'toy' cannot be read" in said(lab(tmp_path, "compare", "toy"))
    assert "the record of the study 'toy' is damaged" in said(lab(tmp_path, "runs", "prune", "--yes"))
    assert len(list_runs(tmp_path)) == 12
    assert lab(tmp_path, "runs").exception is None


@pytest.mark.parametrize("content", ["{}", '{"metrics": {}, "selected": "../x"}', '{"metrics": {"a": true}}'])
def test_a_result_without_its_parts_is_damaged(tmp_path: Path, content: str) -> None:
    folder = store_run(tmp_path, "toy", "base", 0, 0.5)
    (folder / "result.json").write_text(content)
    assert outcome_of(folder).status == "damaged"


@pytest.mark.parametrize(
    "component",
    [
        {"component": "mlp"},
        {"component": "mlp", "params": None},
        {"component": 3, "params": {}},
        [{"component": "a", "params": {}}, 3],
    ],
)
def test_an_experiment_with_half_a_component_is_damaged(tmp_path: Path, component: Any) -> None:
    folder = store_run(tmp_path, "toy", "base", 0, 0.5)
    made = json.loads((folder / "experiment.json").read_text())
    made["experiment"]["architecture"] = {"component": "net", "plugin": "x", "params": {"inner": component}}
    (folder / "experiment.json").write_text(json.dumps(made))
    shown = lab(tmp_path, "runs", "show", folder.name)
    assert "experiment.json is damaged" in said(shown) or "a component without its name" in said(shown)


def test_an_older_store_without_digests_is_read_as_it_is(tmp_path: Path) -> None:
    folder = store_run(tmp_path, "toy", "base", 0, 0.5)
    assert b"digest" not in (folder / "result.json").read_bytes()
    assert outcome_of(folder).status == "finished"


def test_an_experiment_of_another_run_is_damage(tmp_path: Path) -> None:
    folder = store_run(tmp_path, "toy", "base", 0, 0.5)
    other = store_run(tmp_path, "toy", "base", 1, 0.5)
    (folder / "experiment.json").write_bytes((other / "experiment.json").read_bytes())
    assert outcome_of(folder).status == "damaged"


# --- flipped bits -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """The folder of a finished run that vouches for its files."""
    folder = store_run(tmp_path, "toy", "base", 0, 0.5)
    experiment = json.loads((folder / "experiment.json").read_text())
    (folder / "experiment.json").write_bytes(files.seal(experiment))
    save_weights(nn.Linear(2, 2), folder / "model.safetensors")
    result = json.loads((folder / "result.json").read_text())
    names = ("metrics.jsonl", "model.safetensors")
    (folder / "result.json").write_bytes(files.seal({**result, "files": files.mark_files(folder, names)}))
    assert outcome_of(folder).status == "finished"
    return folder


@pytest.mark.parametrize("name", ["result.json", "experiment.json"])
def test_no_flipped_bit_changes_what_is_read(sealed: Path, name: str) -> None:
    original = (sealed / name).read_bytes()
    known = outcome_of(sealed)
    for place in range(0, len(original), 3):
        content = bytearray(original)
        content[place] ^= 1 << place % 8
        (sealed / name).write_bytes(content)
        found = outcome_of(sealed)
        assert found.status == "damaged" or (found.result, found.made) == (known.result, known.made), place


@pytest.mark.parametrize("name", ["metrics.jsonl", "model.safetensors"])
def test_a_flipped_bit_in_a_file_that_is_vouched_for_is_damage(sealed: Path, name: str) -> None:
    content = bytearray((sealed / name).read_bytes())
    content[-2] ^= 4
    (sealed / name).write_bytes(content)
    os.utime(sealed / name, ns=(0, 1))
    assert outcome_of(sealed).result["error"].startswith(f"{name} is damaged")


def test_a_copy_of_a_store_is_read_once_and_then_known_by_its_times(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sealed.iterdir():
        os.utime(path, ns=(5, 5))
    assert outcome_of(sealed).status == "finished"
    monkeypatch.setattr(files, "digest_of", lambda path: pytest.fail("read again"))
    assert outcome_of(sealed).status == "finished"


def test_weights_may_be_removed_to_save_space(sealed: Path) -> None:
    (sealed / "model.safetensors").unlink()
    assert outcome_of(sealed).status == "finished"


def test_a_flipped_bit_in_weights_is_found_when_they_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(nn.Linear(3, 3), path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes(content)
    with pytest.raises(StoreError, match="changed since it was written"):
        load_weights(nn.Linear(3, 3), path)


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_flipped_bit_in_a_checkpoint_is_found(tmp_path: Path, suffix: str) -> None:
    write_tree({"rate": 0.125, "moment": torch.ones(4)}, tmp_path, "state")
    path = tmp_path / f"state.{suffix}"
    raw = path.read_bytes()
    changed = raw.replace(b"0.125", b"0.525") if suffix == "json" else raw[:-1] + bytes([raw[-1] ^ 1])
    path.write_bytes(changed)
    with pytest.raises(StoreError, match="changed since it was written"):
        read_tree(tmp_path, "state")


def test_a_run_whose_best_weights_are_damaged_begins_again(tmp_path: Path) -> None:
    from tests.kernel.training_toys import toy_learner

    learner = toy_learner(folder=tmp_path)
    learner.fit(2)
    save_checkpoint(learner, tmp_path)
    save_weights(learner.model, tmp_path / "best.safetensors")
    told: list[str] = []
    assert load_checkpoint(toy_learner(folder=tmp_path), tmp_path, told.append)
    content = bytearray((tmp_path / "best.safetensors").read_bytes())
    content[-1] ^= 8
    (tmp_path / "best.safetensors").write_bytes(content)
    assert not load_checkpoint(toy_learner(folder=tmp_path), tmp_path, told.append)
    assert told[0].startswith("the weights of the best epoch are damaged, so the run begins again")


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    model = nn.Linear(3, 3)
    for name in "abcdef":
        save_weights(model, tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcdef"}) == 1


# --- standard JSON ----------------------------------------------------------------------------------------------------


def _refuse(constant: str) -> None:
    raise AssertionError(f"not standard JSON: {constant}")


def test_numbers_that_are_not_finite_are_written_as_standard_json_and_come_back(tmp_path: Path) -> None:
    folder = store_run(tmp_path, "toy", "base", 0, 0.5)
    values = {"nan": float("nan"), "low": -float("inf"), "high": float("inf"), "plain": 1.5, "whole": 3}
    (folder / "result.json").write_bytes(files.seal({"metrics": values}))
    (folder / "metrics.jsonl").write_text(files.one_line({"epoch": 0, **values}))
    for line in ((folder / "result.json").read_text(), (folder / "metrics.jsonl").read_text()):
        json.loads(line, parse_constant=_refuse)
    record = Store(tmp_path).record(folder.name)
    assert [repr(value) for value in record.metrics.values()] == [repr(value) for value in values.values()]
    assert [repr(value) for value in record.history()[0].values()] == ["0", *map(repr, values.values())]


def test_parameters_that_are_not_finite_come_back_as_they_were() -> None:
    tree = {"clip": float("inf"), "text": "Infinity", "list": [float("-inf"), 1]}
    content = json.loads(files.standard_json(files.to_standard(tree)), parse_constant=_refuse)
    assert files.from_plain(content) == tree


def test_a_checkpoints_state_is_standard_json(tmp_path: Path) -> None:
    write_tree({"best": float("inf"), "worst": float("-inf")}, tmp_path, "state")
    json.loads((tmp_path / "state.json").read_text(), parse_constant=_refuse)
    assert read_tree(tmp_path, "state") == {"best": float("inf"), "worst": float("-inf")}


def test_values_that_are_not_finite_come_last_both_ways() -> None:
    values = {"a": 0.5, "b": float("nan"), "c": 0.25, "d": float("inf"), "e": None}
    runs = [
        RunSummary(key, "finished", "s", "a", 0, 0.0, {} if v is None else {"loss": v}) for key, v in values.items()
    ]
    assert [run.key for run in sort_runs(runs, "loss")][:2] == ["c", "a"]
    assert [run.key for run in sort_runs(runs, "loss", descending=True)][:2] == ["a", "c"]


def test_metrics_at_the_end_of_the_range_can_be_reported(tmp_path: Path) -> None:
    store_study(tmp_path)
    for seed in range(4):
        path = tmp_path / ".store" / key_of("wide", seed) / "metrics.jsonl"
        path.write_text("".join(files.one_line({"epoch": n, "valid_accuracy": 1.7e308}) for n in range(3)))
    assert lab(tmp_path, "report", "toy").exception is None


# --- names, arms, tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["..", ".", "", "../..", "x\0y", "x" * 5000, "\udc80"])
def test_names_that_are_no_study_are_told(tmp_path: Path, name: str) -> None:
    store_study(tmp_path)
    assert "unknown study" in said(lab(tmp_path, "report", name))


def test_a_line_end_in_a_cell_breaks_no_markdown_table() -> None:
    from lab_report.tables import _markdown

    assert _markdown("two\nlines") == "two lines"


def test_a_record_with_what_no_study_may_hold_is_told(tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [1.0, 2.0], "two\nlines": [2.0, 3.5]})
    assert "the record of the study 'toy' cannot be read" in said(lab(tmp_path, "compare", "toy"))


def test_a_name_from_a_store_cannot_steer_the_terminal(tmp_path: Path) -> None:
    store_run(tmp_path, "toy", "\x1b[31mred", 0, 0.5)
    assert "\x1b" not in lab(tmp_path, "runs").output


@pytest.mark.parametrize("folder", ["/etc/passwd", "/dev/null", "x" * 5000], ids=["a file", "a device", "too long"])
def test_a_folder_of_runs_that_is_none_is_told(folder: str) -> None:
    said(CliRunner().invoke(cli, ["runs", "--runs", folder]))
    assert "unknown study 'toy'" in said(CliRunner().invoke(cli, ["compare", "toy", "--runs", folder]))


# --- leftovers, locks, surroundings -----------------------------------------------------------------------------------


def test_a_checkpoint_that_a_kill_left_is_cleaned_when_its_run_is_found(sealed: Path) -> None:
    (sealed / "checkpoint-000003").mkdir()
    (sealed / ".checkpoint-000004.1.abc.tmp").mkdir()
    assert Store(sealed.parents[1]).finished(sealed.name)
    assert not list(sealed.glob("*checkpoint*"))


def test_waiting_for_another_process_is_told_and_hears_a_request_to_stop(tmp_path: Path) -> None:
    store, stop, told = Store(tmp_path), threading.Event(), []
    key = "0" * 20

    def notice() -> None:
        told.append(time.monotonic())
        stop.set()

    with (
        store.lock(key),
        pytest.raises(KeyboardInterrupt),
        store.lock(key, stop=stop, notice=notice),
    ):
        pass
    assert len(told) == 1


def test_a_read_only_store_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_study(tmp_path)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(30, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    assert lab(tmp_path, "runs").exception is None
    assert lab(tmp_path, "compare", "toy").exception is None
    assert "cannot write the report: Read-only file system" in said(lab(tmp_path, "report", "toy"))


def test_git_that_is_slow_or_speaks_in_tongues_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = tmp_path / "git"
    git.write_text('#!/bin/sh\ncase "$*" in *status*) sleep 30 & wait;; *) printf "abc\\377";; esac\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(environments, "GIT_TIMEOUT_S", 0.2)
    environments._git_state.cache_clear()
    began = time.monotonic()
    try:
        assert environments._git_state() == {"commit": "abc\ufffd", "changed": None}
    finally:
        environments._git_state.cache_clear()
    assert time.monotonic() - began < 5


def test_every_installed_distribution_is_recorded_with_its_version() -> None:
    from importlib import metadata

    found = installed_packages()
    assert {name: found[name] for name in ("torch", "numpy", "lab-ablation")} == {
        name: metadata.version(name) for name in ("torch", "numpy", "lab-ablation")
    }
    assert len(found) == len({d.metadata["Name"].lower().replace("_", "-") for d in metadata.distributions()})
