"""Fingerprints of source texts, remembered from process to process: parsing a hundred files takes a third of a second.

In the cache directory, from the hash of a text's bytes to the fingerprint of what it says.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from pathlib import Path

from lab.cache import cache_folder, recall, remember

__all__ = ["remembered"]

AT_MOST = 10_000


def remembered(texts: list[str], fingerprint: Callable[[str], str]) -> list[str]:
    """``fingerprint`` of every text, computed for those that were never seen."""
    file = cache_folder() / "fingerprints.json"
    known = _known(file)
    names = [_name(text) for text in texts]
    new = {name: text for name, text in zip(names, texts, strict=True) if not isinstance(known.get(name), str)}
    if new:
        known |= {name: fingerprint(text) for name, text in new.items()}
        remember(file, dict(islice(known.items(), max(0, len(known) - AT_MOST), None)))  # the oldest are forgotten
    return [known[name] for name in names]


@lru_cache
def _known(file: Path) -> dict[str, str]:
    return recall(file)


def _name(text: str) -> str:
    """Another Python may parse the same text into another tree."""
    version = "{}.{}".format(*sys.version_info[:2])
    return hashlib.sha256(f"{version}\n{text}".encode()).hexdigest()
