"""The cache directory, and small JSON files in it that processes share.

Every file may be removed at any time: one that cannot be read counts as empty, one that cannot be written costs time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["cache_folder", "file_digest", "file_state", "read_cache", "tree_digest", "write_cache"]


def cache_folder() -> Path:
    """Return ``LAB_CACHE``, or the platform's cache directory."""
    if chosen := os.environ.get("LAB_CACHE"):
        return Path(chosen)
    # imported here: with LAB_CACHE set, `lab --help` does without it
    import platformdirs

    return Path(platformdirs.user_cache_dir("lab", appauthor=False))


def read_cache(file: Path) -> dict[str, Any]:
    """Return the content that ``write_cache`` wrote; empty if it cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_cache(file: Path, content: Mapping[str, Any]) -> None:
    """Write atomically, so that two processes never read half a file."""
    from lab.files import atomic_path

    # a full disk or a read-only home must not end a command that only wanted to be faster
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        # durable=False: a cache lost to a power failure is computed again
        with atomic_path(file, durable=False) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def file_state(path: str | Path) -> str:
    """Return size and times of a file: another text as soon as it is written again."""
    state = os.stat(path)
    # the change time too: tools such as rsync and tar restore the modification time of edited files
    return f"{state.st_size}|{state.st_mtime_ns}|{state.st_ctime_ns}"


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, cached by path, size and time of change, so that a large file is read once."""
    label = f"{path.resolve()}|{file_state(path)}"
    book = cache_folder() / "digests.json"
    known = read_cache(book).get(label)
    if known is None:
        with path.open("rb") as file:
            known = hashlib.file_digest(file, "sha256").hexdigest()
        # read again: another process may have added entries while this one was hashing
        write_cache(book, {**read_cache(book), label: known})
    return str(known)


def tree_digest(folder: Path) -> str:
    """Return the sha256 of the names and contents below a folder, independent of its path; cached file by file.

    Hidden files and links that lead out of the folder are ignored.
    """
    root = folder.resolve()
    book = cache_folder() / "trees" / f"{hashlib.sha256(bytes(root)).hexdigest()[:20]}.json"
    known, found = read_cache(book), {}
    for path in sorted(_files_below(root)):
        name, label = path.relative_to(root).as_posix(), file_state(path)
        kept = known.get(name)
        if not isinstance(kept, list) or kept[0] != label:
            with path.open("rb") as file:
                kept = [label, hashlib.file_digest(file, "sha256").hexdigest()]
        found[name] = kept
    if found != known:
        write_cache(book, found)
    lines = (f"{name}\n{digest}\n" for name, (_, digest) in found.items())
    # surrogatepass: names of files need not be valid UTF-8
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    for current, folders, names in os.walk(folder):
        # assigned in place: os.walk then does not descend into .git and the like
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(current, name)
            if not name.startswith(".") and path.is_file() and path.resolve().is_relative_to(folder):
                yield path
