"""Transfer of a run's files between machines: sent when they change, in pieces, and received atomically.

A shipment is a sequence of messages, which are plain dictionaries::

    {"event": "shipment", "checkpoint": "checkpoint-000003"}      the newest checkpoint of the sender, or None
    {"event": "piece", "path": "metrics.jsonl", "data": b"…", "last": True}     … more of them
    {"event": "delivered"}

The pieces of a file arrive in order. Until ``delivered``, the receiver keeps everything in a temporary folder, so that
a sender that dies in the middle changes nothing.
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
"""Files that mark a run as ended, so they are moved into place after all others."""

AT_BOTH_ENDS = "experiment.json"
"""File that sender and receiver write themselves, before anything is sent."""

Message = dict[str, Any]
Stamp = tuple[int, int]


class Outbox:
    """Sender of one folder.

    Args:
        folder: the folder of a run.
        links: a folder on the same file system for hard links to the files being sent, so that a checkpoint that is
            replaced meanwhile stays readable. None if nothing else writes to the folder.
    """

    def __init__(self, folder: Path, links: Path | None = None) -> None:
        self.folder, self.links = folder, links
        self._sent: dict[str, Stamp] = {}

    def forget_what_is_here(self) -> None:
        """Treat all files in the folder as sent: they came from the receiver."""
        self._sent = listing(self.folder, newest_checkpoint(self.folder))

    def shipment(self) -> Iterator[Message]:
        """Yield the messages for all files that are new or changed since the last shipment."""
        checkpoint, new = self._new_files()
        source = self.links or self.folder
        yield {"event": "shipment", "checkpoint": checkpoint}
        for path, (size, _) in new.items():
            yield from _pieces(source / path, path, size)
        yield {"event": "delivered"}
        # After the last message, so that a shipment that was interrupted is sent again.
        self._sent |= new
        self._unlink()

    def _new_files(self) -> tuple[str | None, dict[str, Stamp]]:
        """Return the newest checkpoint and the files to send, with links to them; retried if training interferes."""
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
            # A hard link keeps the content although the run renames a newer file over the path.
            os.link(self.folder / path, link)

    def _unlink(self) -> None:
        if self.links is not None:
            shutil.rmtree(self.links, ignore_errors=True)


class Inbox:
    """Receiver of one folder.

    Args:
        folder: the folder of a run; nothing is written outside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._aside = folder / f".shipment.{uuid.uuid4().hex[:8]}.tmp"
        self._checkpoint: str | None = None
        self._open: tuple[str, IO[bytes]] | None = None
        self._paths: list[str] = []

    def take(self, message: Message) -> None:
        """Process one message of a shipment.

        Raises:
            StoreError: a path is outside the folder, or pieces arrive out of order.
        """
        if message["event"] == "shipment":
            self.close()
            self._checkpoint = message["checkpoint"]
        elif message["event"] == "piece":
            self._write(message["path"], message["data"], last=message["last"])
        else:
            self._deliver()

    def close(self) -> None:
        """Discard what was not delivered."""
        if self._open is not None:
            self._open[1].close()
        self._open, self._paths = None, []
        shutil.rmtree(self._aside, ignore_errors=True)

    def _write(self, path: str, data: bytes, *, last: bool) -> None:
        if self._open is None:
            target = inside(self._aside, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._open = path, target.open("wb")
        if self._open[0] != path:
            raise StoreError(f"a piece of '{path}' came before the end of '{self._open[0]}'", where=str(self.folder))
        self._open[1].write(data)
        if last:
            self._end_file()

    def _end_file(self) -> None:
        assert self._open is not None
        path, file = self._open
        # On disk before it is renamed, or a crash could leave an empty file under the final name.
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._paths.append(path)
        self._open = None

    def _deliver(self) -> None:
        if self._checkpoint is not None:
            self._place_checkpoint(inside(self._aside, self._checkpoint), inside(self.folder, self._checkpoint))
        rest = [path for path in self._paths if _checkpoint_of(path) is None]
        # The files that mark the end come last, so that a run never looks finished without its weights.
        for path in sorted(rest, key=lambda path: path in LAST_FILES):
            target = inside(self.folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._aside / path, target)
        sync(self.folder)
        # Only now that the new checkpoint is on disk may the old ones go.
        for old in self.folder.glob("checkpoint-*"):
            if old.name != self._checkpoint:
                shutil.rmtree(old, ignore_errors=True)
        self.close()

    def _place_checkpoint(self, new: Path, target: Path) -> None:
        if new.is_dir():
            sync(new)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(new, target)


def listing(folder: Path, checkpoint: str | None) -> dict[str, Stamp]:
    """Return (size, modification time) by path of the files to send; of checkpoints, only the one named.

    Names that start with a dot are temporary and skipped, and so are links and ``experiment.json``.

    Raises:
        FileNotFoundError: a file was removed meanwhile.
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
    """Return the name of the newest checkpoint in a run's folder."""
    names = [path.name for path in folder.glob("checkpoint-*")]
    return max(names, key=lambda name: int(name.rpartition("-")[2]), default=None)


def inside(folder: Path, path: str) -> Path:
    """Return ``folder / path`` if it is inside the folder.

    Raises:
        StoreError: it is not, or it is hidden.
    """
    # The other side is another machine, which is not trusted to name only files of this run.
    parts = PurePosixPath(path).parts
    is_plain = bool(parts) and not PurePosixPath(path).is_absolute() and "\\" not in path and "\0" not in path
    if not is_plain or _is_hidden(path) or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise StoreError(f"a file cannot be received under the name '{path}'", where=str(folder))
    return folder / path


def in_batches(messages: Iterator[Message]) -> Iterator[list[Message]]:
    """Group messages until their data fill a piece, so that many small files need one call."""
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
    """Yield the first ``size`` bytes of a file; what is appended meanwhile is left for the next shipment."""
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
