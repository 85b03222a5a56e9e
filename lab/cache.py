"""The cache directory, and small things that are remembered there from process to process.

Each is one JSON file. It may be removed at any time; one that cannot be read is empty, one that cannot be written costs
time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.files import atomic_path

__all__ = ["cache_folder", "file_digest", "recall", "remember", "tree_digest"]


def cache_folder() -> Path:
    """``LAB_CACHE``, or the platform's place."""
    if chosen := os.environ.get("LAB_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("lab", appauthor=False))


def recall(file: Path) -> dict[str, Any]:
    """What ``remember`` wrote; empty where it cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(file: Path, content: Mapping[str, Any]) -> None:
    """Write atomically, so that two processes never read half a file."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file, durable=False) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def file_digest(path: Path) -> str:
    """The sha256 of a file; remembered by its path, size and time of change, so that a large file is read once."""
    state = path.stat()
    label = f"{path.resolve()}|{state.st_size}|{state.st_mtime_ns}|{state.st_ctime_ns}"
    book = cache_folder() / "digests.json"
    known = recall(book).get(label)
    if known is None:
        with path.open("rb") as file:
            known = hashlib.file_digest(file, "sha256").hexdigest()
        remember(book, {**recall(book), label: known})
    return str(known)


def tree_digest(folder: Path) -> str:
    """The sha256 of the names and contents below a folder, wherever it lies; remembered file by file.

    Hidden files do not count, nor do links that lead out of the folder.
    """
    root = folder.resolve()
    book = cache_folder() / "trees" / f"{hashlib.sha256(bytes(root)).hexdigest()[:20]}.json"
    known, found = recall(book), {}
    for path in sorted(_files_below(root)):
        state = path.stat()
        name = path.relative_to(root).as_posix()
        label = f"{state.st_size}|{state.st_mtime_ns}|{state.st_ctime_ns}"
        kept = known.get(name)
        if not isinstance(kept, list) or kept[0] != label:
            with path.open("rb") as file:
                kept = [label, hashlib.file_digest(file, "sha256").hexdigest()]
        found[name] = kept
    if found != known:
        remember(book, found)
    lines = (f"{name}\n{digest}\n" for name, (_, digest) in found.items())
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    for current, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(current, name)
            if not name.startswith(".") and path.is_file() and path.resolve().is_relative_to(folder):
                yield path
