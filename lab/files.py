"""Atomic writes: a file or folder exists completely or not at all, also after a crash."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["IS_WINDOWS", "atomic_folder", "atomic_path", "is_disk_full", "sync", "sync_files", "write_json"]

IS_WINDOWS = os.name == "nt"
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
    # imported here: `lab --help` imports this module and writes no folder
    import shutil

    temporary = _temporary_name(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        # content before the rename, the parent after it: in another order a power failure can leave an empty file under
        # the final name
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_name(path: Path) -> Path:
    # hidden, so that a reader's globs skip it; random, so that threads of one process do not share it
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write JSON atomically, as ``atomic_path`` does."""
    from pydantic_core import to_json

    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(to_json(value, indent=1, inf_nan_mode="constants") + b"\n")


def sync_files(folder: Path) -> None:
    """Flush every file of a folder, not of its subfolders, to the disk."""
    for path in folder.iterdir():
        if path.is_file():
            sync(path)


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder where the system can, to the disk."""
    # by os.open: Python's open() refuses folders, whose entries must be flushed too
    if path.is_dir():
        if IS_WINDOWS:
            # Windows opens no folders, and writes their entries with the files
            return
        mode = os.O_RDONLY
    else:
        # Windows flushes only what may be written; elsewhere a file that may only be read is flushed too
        mode = os.O_RDWR | getattr(os, "O_BINARY", 0) if IS_WINDOWS else os.O_RDONLY
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means that nothing can be written: disk full, over quota, read-only."""
    # it has no errno; compared by name, so that the command line need not import safetensors
    if type(error).__name__ == "SafetensorError":
        return any(f"(os error {number})" in str(error) for number in NO_MORE_WRITING)
    return isinstance(error, OSError) and error.errno in NO_MORE_WRITING
