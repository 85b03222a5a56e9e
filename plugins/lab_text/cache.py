"""Cache of tokenized corpora and trained vectors, keyed by a hash of their inputs.

A cache entry is a folder named by its key. It is written under a temporary name and renamed when complete, so another
process sees all of it or nothing. Arrays are ``.npy`` files, mapped into memory; no pickle.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lab.cache import cache_folder
from lab.errors import DataError
from lab.registry.closure import closure_of
from lab.registry.definition import fingerprint_of, modules_of

__all__ = ["ArrayWriter", "content_key", "damaged_entry", "entry", "load_array"]


def content_key(value: Mapping[str, Any]) -> str:
    """Return the sha256 of plain JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def entry(key: str, write: Callable[[Path], None], made_by: Sequence[Any] = ()) -> Path:
    """Return the folder of ``key``, created by ``write(temporary folder)`` if it is not there yet.

    Args:
        key: hash of the inputs.
        write: writes the entry. Its source code and that of its imports are part of the entry's name.
        made_by: other classes and functions that decide what is written, such as a tokenizer's class.
    """
    # A change in the code that writes an entry makes a new entry; nobody has to remember a version number.
    sources = closure_of(modules_of(getattr(write, "__func__", write))).fingerprints()
    folder = cache_folder() / "text" / content_key({"key": key, "sources": sources, "by": fingerprint_of(*made_by)})
    # Complete by construction: a folder gets this name only after everything is written.
    if folder.is_dir():
        return folder
    # In the same folder, so that the rename is atomic.
    temporary = _temporary_folder(folder.parent, folder.name)
    try:
        write(temporary)
        _publish(temporary, folder)
    except OSError as error:
        # ``write`` also reads corpora: their errors are not those of the cache.
        if error.filename is not None and not str(error.filename).startswith(str(folder.parent)):
            raise
        raise _unwritable(folder.parent, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _temporary_folder(parent: Path, key: str) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{key[:16]}-", dir=parent))
    except OSError as error:
        raise _unwritable(parent, error) from error


def _unwritable(parent: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write to the cache: {error.strerror or error}",
        where=str(parent),
        hint="set LAB_CACHE to another folder, or make room",
    )


def damaged_entry(folder: Path, error: Exception) -> DataError:
    """Return the error for an entry whose files cannot be read."""
    return DataError(
        "a cache entry is damaged", where=f"{folder}: {error}", hint="remove this folder; it will be written again"
    )


def _publish(temporary: Path, folder: Path) -> None:
    """Give a complete entry its name; another process may have been first with the same content."""
    try:
        temporary.rename(folder)
    except OSError:
        # Another process has published the same content first.
        if not folder.is_dir():
            raise


class ArrayWriter:
    """Growing one-dimensional ``.npy`` file, in constant memory.

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
        """Write the header; numpy pads it, so that the length can grow without moving the data."""
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
        # Appended block by block: a corpus of 22 million pairs does not fit into memory.
        self._file.write(block.tobytes())

    def close(self) -> None:
        """Write the final length; later calls have no effect."""
        if not self._file.closed:
            self._write_header()
            self._file.close()


def load_array(path: Path) -> npt.NDArray[Any]:
    """Return an array of the cache, mapped into memory and read-only; an empty one cannot be mapped and is read."""
    try:
        found: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        found = np.load(path, allow_pickle=False)
    # Indexing a memmap object costs a microsecond more than indexing an array.
    return found.view(np.ndarray)
