"""Fingerprints of source texts, remembered from process to process: parsing a hundred files takes a third of a second.

One JSON file in the cache directory (``LAB_CACHE``, or the platform's place), from the hash of a text's bytes to the
fingerprint of what it says. It may be removed at any time; a file that cannot be read or written does no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from pathlib import Path

__all__ = ["remembered"]

AT_MOST = 10_000


class _Memory:
    def __init__(self, path: Path) -> None:
        self.path, self.known = path, _read(path)

    def save(self) -> None:
        """Under a temporary name, then renamed, so that nobody reads half a file; the oldest are forgotten."""
        newest = dict(islice(self.known.items(), max(0, len(self.known) - AT_MOST), None))
        temporary = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(newest), encoding="utf-8")
            os.replace(temporary, self.path)
        except OSError:
            return


def remembered(texts: list[str], fingerprint: Callable[[str], str]) -> list[str]:
    """``fingerprint`` of every text, computed for those that were never seen."""
    memory = _memory(os.environ.get("LAB_CACHE"))
    names = [_name(text) for text in texts]
    new = {name: text for name, text in zip(names, texts, strict=True) if name not in memory.known}
    if new:
        memory.known |= {name: fingerprint(text) for name, text in new.items()}
        memory.save()
    return [memory.known[name] for name in names]


@lru_cache
def _memory(folder: str | None) -> _Memory:
    if folder is None:
        import platformdirs

        folder = platformdirs.user_cache_dir("lab", appauthor=False)
    return _Memory(Path(folder) / "fingerprints.json")


def _name(text: str) -> str:
    """Another Python may parse the same text into another tree."""
    version = "{}.{}".format(*sys.version_info[:2])
    return hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}
