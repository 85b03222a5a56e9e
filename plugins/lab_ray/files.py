"""Files of a run on their way between machines: sent as they change, in pieces, and received whole or not at all.

A shipment is a row of messages, plain dictionaries::

    {"event": "shipment", "checkpoint": "checkpoint-000003"}      the newest checkpoint of the sender, or None
    {"event": "piece", "path": "metrics.jsonl", "data": b"…", "last": True}     … more of them
    {"event": "delivered"}

A file's pieces come in order. Until ``delivered`` the receiver keeps everything aside, so that a sender that dies
in the middle leaves what was there before.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lab.errors import StoreError
from lab.files import sync

__all__ = ["Inbox", "Outbox", "in_batches", "newest_checkpoint"]

PIECE_BYTES = 4 * 2**20
LAST_FILES = ("failure.json", "result.json")
"""They say that a run has ended, so they arrive after everything else."""

AT_BOTH_ENDS = "experiment.json"
"""Sender and receiver write it themselves, before anything travels."""

Message = dict[str, Any]
Stamp = tuple[int, int]


class Outbox:
    """The sender's side of one folder.

    Args:
        folder: a run's folder.
        links: a folder on the same file system, for hard links to what is being sent: a checkpoint that is replaced
            meanwhile stays readable. None where nobody else works in the folder.
    """

    def __init__(self, folder: Path, links: Path | None = None) -> None:
        self.folder, self.links = folder, links
        self._sent: dict[str, Stamp] = {}

    def forget_what_is_here(self) -> None:
        """Whatever lies in the folder now came from the receiver."""
        self._sent = listing(self.folder, newest_checkpoint(self.folder))

    def shipment(self) -> Iterator[Message]:
        """Every file that is new or changed since the last shipment."""
        checkpoint, new = self._new_files()
        source = self.links or self.folder
        yield {"event": "shipment", "checkpoint": checkpoint}
        for path, (size, _) in new.items():
            yield from _pieces(source / path, path, size)
        yield {"event": "delivered"}
        self._sent |= new
        self._unlink()

    def _new_files(self) -> tuple[str | None, dict[str, Stamp]]:
        """The newest checkpoint and the files to send, with links to them; begun anew when training interferes."""
        while True:
            self._unlink()
            with suppress(FileNotFoundError):
                checkpoint = newest_checkpoint(self.folder)
                now = listing(self.folder, checkpoint)
                new = {path: stamp for path, stamp in now.items() if self._sent.get(path) != stamp}
                self._link(new)
                if newest_checkpoint(self.folder) == checkpoint:
                    return checkpoint, new

    def _link(self, paths: Iterable[str]) -> None:
        if self.links is None:
            return
        for path in paths:
            link = self.links / path
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.folder / path, link)

    def _unlink(self) -> None:
        if self.links is not None:
            shutil.rmtree(self.links, ignore_errors=True)


class Inbox:
    """The receiver's side of one folder.

    Args:
        folder: a run's folder; nothing is written outside of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._aside = folder / f".shipment.{uuid.uuid4().hex[:8]}.tmp"
        self._checkpoint: str | None = None
        self._open: tuple[str, IO[bytes]] | None = None
        self._paths: list[str] = []

    def take(self, message: Message) -> None:
        """Take one message of a shipment.

        Raises:
            StoreError: a path would leave the folder, or pieces come in disorder.
        """
        if message["event"] == "shipment":
            self.close()
            self._checkpoint = message["checkpoint"]
        elif message["event"] == "piece":
            self._write(message["path"], message["data"], last=message["last"])
        else:
            self._deliver()

    def close(self) -> None:
        """Drop what was not delivered."""
        if self._open is not None:
            self._open[1].close()
        self._open, self._paths = None, []
        shutil.rmtree(self._aside, ignore_errors=True)

    def _write(self, path: str, data: bytes, *, last: bool) -> None:
        if self._open is None:
            place = inside(self._aside, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            self._open = path, place.open("wb")
        if self._open[0] != path:
            raise StoreError(f"a piece of '{path}' came before the end of '{self._open[0]}'", where=str(self.folder))
        self._open[1].write(data)
        if last:
            self._end_file()

    def _end_file(self) -> None:
        assert self._open is not None
        path, file = self._open
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._paths.append(path)
        self._open = None

    def _deliver(self) -> None:
        if self._checkpoint is not None:
            self._place_checkpoint(inside(self._aside, self._checkpoint), inside(self.folder, self._checkpoint))
        rest = [path for path in self._paths if _checkpoint_of(path) is None]
        for path in sorted(rest, key=lambda path: path in LAST_FILES):
            place = inside(self.folder, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._aside / path, place)
        sync(self.folder)
        for old in self.folder.glob("checkpoint-*"):
            if old.name != self._checkpoint:
                shutil.rmtree(old, ignore_errors=True)
        self.close()

    def _place_checkpoint(self, new: Path, place: Path) -> None:
        if new.is_dir():
            sync(new)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(new, place)


def listing(folder: Path, checkpoint: str | None) -> dict[str, Stamp]:
    """Path → (size, time of change) of the files of a run's folder that travel; of checkpoints only the one named.

    What begins with a dot is temporary and left out, and so are links and ``experiment.json``.

    Raises:
        FileNotFoundError: something was removed meanwhile.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if _is_hidden(name) or name == AT_BOTH_ENDS or _checkpoint_of(name) not in (None, checkpoint):
            continue
        state = path.lstat()
        if stat.S_ISREG(state.st_mode):
            found[name] = (state.st_size, state.st_mtime_ns)
    return found


def newest_checkpoint(folder: Path) -> str | None:
    """The name of the newest checkpoint of a run's folder."""
    names = [path.name for path in folder.glob("checkpoint-*")]
    return max(names, key=lambda name: int(name.rpartition("-")[2]), default=None)


def inside(folder: Path, path: str) -> Path:
    """``folder / path``, where that stays inside.

    Raises:
        StoreError: it does not, or it names something hidden.
    """
    parts = PurePosixPath(path).parts
    is_plain = bool(parts) and not PurePosixPath(path).is_absolute() and "\\" not in path and "\0" not in path
    if not is_plain or _is_hidden(path) or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise StoreError(f"a file cannot be received under the name '{path}'", where=str(folder))
    return folder / path


def in_batches(messages: Iterator[Message]) -> Iterator[list[Message]]:
    """Messages gathered until their data fill a piece, so that many small files travel together."""
    batch: list[Message] = []
    size = 0
    for message in messages:
        batch.append(message)
        size += len(message.get("data", b""))
        if size >= PIECE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pieces(file: Path, path: str, size: int) -> Iterator[Message]:
    """The first ``size`` bytes of a file; what is written to its end meanwhile waits for the next shipment."""
    with file.open("rb") as content:
        while True:
            data = content.read(min(PIECE_BYTES, size))
            size -= len(data)
            last = size <= 0 or not data
            yield {"event": "piece", "path": path, "data": data, "last": last}
            if last:
                return


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _checkpoint_of(path: str) -> str | None:
    first = path.partition("/")[0]
    return first if first.startswith("checkpoint-") else None
