"""Installed packages and their versions."""

from __future__ import annotations

import os
import sys
from functools import lru_cache

__all__ = ["DECIDING_PACKAGES", "installed_packages"]

DECIDING_PACKAGES = (
    "torch",
    "torchvision",
    "torchmetrics",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "pillow",
    "spacy",
    "fasttext-wheel",
    "nmslib",
    "tokenizers",
)
"""Recorded packages that built-in components compute numbers with."""


@lru_cache
def installed_packages() -> dict[str, str]:
    """Return name → version of every installed distribution.

    Read from the names of the folders ``NAME-VERSION.dist-info``: reading the metadata of 150 distributions took
    90 ms, reading the names takes half a millisecond.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                names = [entry.name for entry in entries]
        except (OSError, ValueError):
            continue
        for name in names:
            stem, dot, suffix = name.rpartition(".")
            package, dash, version = stem.partition("-")
            if dot and dash and suffix in ("dist-info", "egg-info"):
                # the first one in sys.path is the one that is imported
                found.setdefault(package.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))
