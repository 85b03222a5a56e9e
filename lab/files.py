"""Atomic writes: a file or folder is there whole or not at all, also after a crash."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_folder", "atomic_path", "is_disk_full", "sync", "sync_files", "write_json"]

NO_MORE_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, renamed to ``path`` when the block succeeds.

    A killed process leaves the old file or the new one, whole.

    Args:
        path: the file to write.
        durable: also wait for the disk, so that the same holds after a power failure.
    """
    temporary = _temporary_name(path)
    try:
        yield temporary
        if durable:
            sync(temporary)
        os.replace(temporary, path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; every file is synced before it is renamed to ``path``.

    ``path`` must not exist yet.
    """
    # here: `lab --help` imports this module and writes no folder
    import shutil

    temporary = _temporary_name(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_name(path: Path) -> Path:
    # hidden, so that globs of a reader do not find it; random, so that threads of one process do not share it
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write JSON atomically, as ``atomic_path`` does."""
    from pydantic_core import to_json

    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(to_json(value, indent=1, inf_nan_mode="constants") + b"\n")


def sync_files(folder: Path) -> None:
    """Wait until every file of a folder, not of the folders below, is on the disk."""
    for path in folder.iterdir():
        if path.is_file():
            sync(path)


def sync(path: Path) -> None:
    """Ask the system to put a file or a folder's entries on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error says that nothing more can be written: disk full, over quota, read-only."""
    # has no errno; by name, so that the command line need not import it
    if type(error).__name__ == "SafetensorError":
        return any(f"(os error {number})" in str(error) for number in NO_MORE_WRITING)
    return isinstance(error, OSError) and error.errno in NO_MORE_WRITING
