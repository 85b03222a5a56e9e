"""What is kept between runs: tokenised corpora and trained vectors, found by a hash of what they were made of.

A cache entry is a folder named by its key. It is written under a temporary name and renamed when complete, so another
process sees all of it or nothing. Arrays are ``.npy`` and are mapped into memory; nothing is pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lab.errors import DataError

__all__ = ["ArrayWriter", "cache_folder", "content_key", "entry", "file_digest", "load_array"]

_BLOCK_BYTES = 1 << 20


def cache_folder() -> Path:
    """Where cache entries live: ``LAB_CACHE``, or the platform's place for caches."""
    if chosen := os.environ.get("LAB_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("lab", appauthor=False)) / "text"


def content_key(value: Mapping[str, Any]) -> str:
    """The sha256 of plain JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def entry(key: str, write: Callable[[Path], None]) -> Path:
    """The folder of ``key``; made by ``write(temporary folder)`` if it is not there yet."""
    folder = cache_folder() / key
    if folder.is_dir():
        return folder
    temporary = _temporary_folder(folder.parent, key)
    try:
        write(temporary)
        _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _temporary_folder(parent: Path, key: str) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{key[:16]}-", dir=parent))
    except OSError as error:
        raise DataError(
            f"cannot write to the cache: {error.strerror}", where=str(parent), hint="set LAB_CACHE to another folder"
        ) from error


def _publish(temporary: Path, folder: Path) -> None:
    """Give a complete entry its name; another process may have been first with the same content."""
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def file_digest(path: Path) -> str:
    """The sha256 of a file; remembered by its path, size and time of change, so a large file is read once."""
    stat = path.stat()
    label = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    book = cache_folder() / "digests.json"
    known = _read_json(book)
    if label not in known:
        known = {**_read_json(book), label: _digest(path)}
        _write_json(book, known)
    return str(known[label])


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """The values of a file that may be absent or, after a crash, damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a small file at once; a cache that cannot be written is no fault."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)


class ArrayWriter:
    """A one-dimensional ``.npy`` file that grows, in constant memory.

    Args:
        path: the file to write.
        typecode: of the ``array`` module: ``i`` int32, ``q`` int64, ``B`` uint8.
    """

    def __init__(self, path: Path, typecode: str) -> None:
        self.length = 0
        self._dtype = np.dtype(array(typecode).typecode)
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        """numpy pads the header so that the length may grow without moving the data."""
        description = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.length,)}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, description)

    def extend(self, values: npt.NDArray[Any] | Iterable[int] | bytes) -> None:
        """Append numbers, or the bytes of a text."""
        if isinstance(values, bytes):
            block = np.frombuffer(values, self._dtype)
        else:
            block = np.asarray(values, self._dtype)
        self.length += len(block)
        self._file.write(block.tobytes())

    def close(self) -> None:
        """Write the final length; the second time nothing."""
        if not self._file.closed:
            self._write_header()
            self._file.close()


def load_array(path: Path) -> npt.NDArray[Any]:
    """An array of the cache, mapped into memory and read-only; an empty one cannot be mapped and is read."""
    try:
        found: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        found = np.load(path, allow_pickle=False)
    return found.view(np.ndarray)  # indexing a memmap object costs a microsecond more
