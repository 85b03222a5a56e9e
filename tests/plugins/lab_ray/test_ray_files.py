"""Files on their way between machines: whole or not at all, and never outside of their folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from lab_ray import files
from lab_ray.files import Inbox, Outbox, in_batches

from lab.errors import StoreError


@pytest.fixture
def sender(tmp_path: Path) -> Path:
    folder = tmp_path / "sender"
    (folder / "checkpoint-000009").mkdir(parents=True)
    (folder / "checkpoint-000009" / "state.json").write_text("nine")
    (folder / "artefacts").mkdir()
    (folder / "artefacts" / "empty.txt").touch()
    (folder / "metrics.jsonl").write_text("{}\n")
    return folder


@pytest.fixture
def receiver(tmp_path: Path) -> Path:
    folder = tmp_path / "receiver"
    folder.mkdir()
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def ship(outbox: Outbox, inbox: Inbox) -> list[dict[str, Any]]:
    messages = list(outbox.shipment())
    for message in messages:
        inbox.take(message)
    return messages


def test_a_shipment_makes_the_folders_equal(sender: Path, receiver: Path, tmp_path: Path) -> None:
    ship(Outbox(sender, tmp_path / "links"), Inbox(receiver))
    assert contents(receiver) == contents(sender)
    assert not (tmp_path / "links").exists()


def test_files_travel_in_pieces(sender: Path, receiver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE_BYTES", 3)
    (sender / "metrics.jsonl").write_text("0123456")
    messages = ship(Outbox(sender), Inbox(receiver))
    pieces = [message["data"] for message in messages if message.get("path") == "metrics.jsonl"]
    assert pieces == [b"012", b"345", b"6"]
    assert contents(receiver) == contents(sender)


def test_small_files_travel_together(sender: Path) -> None:
    assert len(list(in_batches(Outbox(sender).shipment()))) == 1


def test_only_what_changed_travels_again(sender: Path, receiver: Path) -> None:
    outbox, inbox = Outbox(sender), Inbox(receiver)
    ship(outbox, inbox)
    (sender / "artefacts" / "map.txt").write_text("new")
    assert [message["path"] for message in ship(outbox, inbox) if message["event"] == "piece"] == ["artefacts/map.txt"]
    assert contents(receiver) == contents(sender)


def test_a_newer_checkpoint_replaces_the_older_one(sender: Path, receiver: Path) -> None:
    outbox, inbox = Outbox(sender), Inbox(receiver)
    ship(outbox, inbox)
    os.rename(sender / "checkpoint-000009", sender / "checkpoint-000010")
    ship(outbox, inbox)
    assert [path.name for path in receiver.glob("checkpoint-*")] == ["checkpoint-000010"]


def test_a_run_without_checkpoints_leaves_none_at_the_receiver(sender: Path, receiver: Path) -> None:
    outbox, inbox = Outbox(sender), Inbox(receiver)
    ship(outbox, inbox)
    os.rename(sender / "checkpoint-000009", sender / ".checkpoint-000009.tmp")
    ship(outbox, inbox)
    assert not list(receiver.glob("checkpoint-*"))


def test_a_checkpoint_that_is_replaced_while_it_travels_arrives_whole(
    sender: Path, receiver: Path, tmp_path: Path
) -> None:
    inbox, messages = Inbox(receiver), Outbox(sender, tmp_path / "links").shipment()
    inbox.take(next(messages))
    (sender / "checkpoint-000009" / "state.json").unlink()
    (sender / "checkpoint-000009").rmdir()
    for message in messages:
        inbox.take(message)
    assert contents(receiver / "checkpoint-000009") == {"state.json": "nine"}


def test_a_sender_that_dies_in_the_middle_leaves_what_was_there(sender: Path, receiver: Path) -> None:
    (receiver / "metrics.jsonl").write_text("old")
    inbox = Inbox(receiver)
    for message in list(Outbox(sender).shipment())[:-1]:
        inbox.take(message)
    inbox.close()
    assert contents(receiver) == {"metrics.jsonl": "old"}


@pytest.mark.parametrize("path", ["../stolen", "/etc/stolen", "a/../../stolen", "", ".locks/key", "a\\b"])
def test_no_file_is_received_outside_of_its_folder(path: str, receiver: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Inbox(receiver).take({"event": "piece", "path": path, "data": b"!", "last": True})
    assert str(caught.value).startswith(f"a file cannot be received under the name '{path}'\n  {receiver}")


def test_no_file_is_received_through_a_link(receiver: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (receiver / "link").symlink_to(tmp_path / "elsewhere")
    inbox = Inbox(receiver)
    inbox.take({"event": "piece", "path": "link/stolen", "data": b"!", "last": True})
    with pytest.raises(StoreError, match="a file cannot be received under the name 'link/stolen'"):
        inbox.take({"event": "delivered"})
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_checkpoints_name_cannot_lead_outside(receiver: Path) -> None:
    inbox = Inbox(receiver)
    inbox.take({"event": "shipment", "checkpoint": "../other"})
    with pytest.raises(StoreError, match=r"a file cannot be received under the name '\.\./other'"):
        inbox.take({"event": "delivered"})


def test_links_and_temporary_files_stay_at_home(sender: Path, receiver: Path) -> None:
    (sender / "passwords").symlink_to("/etc/passwd")
    (sender / ".metrics.jsonl.tmp").touch()
    messages = ship(Outbox(sender), Inbox(receiver))
    assert {message["path"] for message in messages if message["event"] == "piece"} == {
        "artefacts/empty.txt",
        "checkpoint-000009/state.json",
        "metrics.jsonl",
    }


def test_what_both_ends_write_themselves_does_not_travel(sender: Path, receiver: Path) -> None:
    (sender / "experiment.json").write_text("{}")
    ship(Outbox(sender), Inbox(receiver))
    assert not (receiver / "experiment.json").exists()
