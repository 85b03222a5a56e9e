"""Runs in the files that Weights & Biases writes offline, read back with its own reader."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from lab_trackers.tracker import RunFacts
from lab_trackers.wandb import Wandb

from lab.errors import LabError

wandb = pytest.importorskip("wandb", reason="needs wandb (the extra `wandb`)")
pytestmark = pytest.mark.filterwarnings("ignore")

FACTS = RunFacts("a study", "wide", 3, "0123456789abcdef0123", {"lr": 0.1, "optimizer": "adam"})


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def records(folder: Path) -> list[Any]:
    """Return what the newest offline run holds: a log of LevelDB, in blocks of 32 KiB, whose records are protobufs."""
    from wandb.proto.wandb_internal_pb2 import Record

    # its service, another process, writes the last block when it ends
    wandb.teardown()
    path = max(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    raw, place, parts, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(raw):
        if (rest := 32768 - place % 32768) < 7:
            place += rest
            continue
        length, kind = struct.unpack_from("<HB", raw, place + 4)
        parts += raw[place + 7 : place + 7 + length]
        place += 7 + length
        # 1: whole, 4: the last part
        if kind in (1, 4):
            found.append(Record.FromString(parts))
            parts = b""
    return found


def named(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def send(folder: Path, status: str, known: str | None = None) -> str:
    tracker = Wandb(offline=True, folder=str(folder))
    tracker.check()
    given = tracker.start(FACTS, known)
    tracker.log(0, {"valid_loss": 0.5})
    tracker.log(1, {"valid_loss": 0.25})
    note = folder / "note.txt"
    note.write_text("a note", encoding="utf-8")
    tracker.finish(status, {"final/valid_loss": 0.25}, {"artefacts/note.txt": note}, error="" if status else "no")
    return given


def test_an_offline_run_holds_identity_parameters_curves_and_files(tmp_path: Path):
    given = send(tmp_path, "finished")
    found = records(tmp_path)
    run = next(record.run for record in found if record.HasField("run"))
    assert (run.run_id, run.display_name, run.project, run.run_group) == (given, "wide/seed-3", "a study", "wide")
    assert given.startswith(FACTS.key[:12])
    assert list(run.tags) == ["a study", "wide"]
    config = named(run.config.update)
    expected = {"lr": 0.1, "optimizer": "adam", "study": "a study", "arm": "wide", "seed": 3, "key": FACTS.key}
    assert expected.items() <= config.items()
    rows = [named(record.history.item) for record in found if record.HasField("history")]
    assert [(row["epoch"], row["valid_loss"]) for row in rows] == [(0, 0.5), (1, 0.25)]
    summary = {k: v for record in found if record.HasField("summary") for k, v in named(record.summary.update).items()}
    assert summary["final/valid_loss"] == 0.25
    kept = next(tmp_path.glob("wandb/offline-run-*/files/artefacts/note.txt"))
    assert not kept.is_symlink()
    assert kept.read_text(encoding="utf-8") == "a note"
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [0]


def test_a_failed_run_goes_on_under_its_id(tmp_path: Path):
    first = send(tmp_path, "failed")
    assert [record.exit.exit_code for record in records(tmp_path) if record.HasField("exit")] == [1]
    assert send(tmp_path, "finished", first) == first
    assert send(tmp_path, "finished") != first


def test_nobody_logged_in_is_an_error_with_three_remedies(monkeypatch):
    monkeypatch.setattr("lab_trackers.wandb._api_key", lambda: "")
    with pytest.raises(LabError, match=r"wandb login, or set WANDB_API_KEY; without a network WANDB_MODE=offline"):
        Wandb().check()
    monkeypatch.setenv("WANDB_MODE", "offline")
    Wandb().check()
