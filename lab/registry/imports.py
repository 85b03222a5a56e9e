"""Imports as they happen: keep the source of the user's modules."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.registry.closure import note_environment
from lab.registry.modules import keep_source, settle_reads
from lab.registry.places import stands_elsewhere
from lab.registry.reads import watch_reads

__all__ = ["recording_reads", "watch_imports"]


class _KeepingLoader(importlib.machinery.SourceFileLoader):
    """Compiles from the source itself, and keeps it.

    Python trusts ``__pycache__`` if size and second of a file agree, so an edit within a second that keeps the size
    would run the old code under the new source.
    """

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(keep_source(module, Path(self.path)), self.path, "exec", dont_inherit=True), module.__dict__)


class _Watch:
    """A finder before Python's own that finds the same, and keeps the source of modules below watched folders."""

    def __init__(self) -> None:
        self.folders: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        """Find as ``PathFinder.find_spec``."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin and type(spec.loader) is importlib.machinery.SourceFileLoader:
            # Thousands of modules pass here before the first step, and abspath is the slowest of it.
            origin = (
                spec.origin
                if os.path.isabs(spec.origin) and "." + os.sep not in spec.origin
                else os.path.abspath(spec.origin)
            )
            if origin.startswith(tuple(self.folders)) and not stands_elsewhere(origin):
                # Without a cached path Python neither reads nor writes __pycache__ for this module.
                spec.loader = _KeepingLoader(spec.loader.name, spec.loader.path)
                spec.cached = None
        return spec


_watch = _Watch()


def watch_imports(folder: Path) -> None:
    """Keep the source of every module below ``folder`` that is imported from now on."""
    _watch.folders.add(os.path.join(os.path.abspath(folder), ""))
    if _watch not in sys.meta_path:
        finders: list[Any] = list(sys.meta_path)
        # Behind Python's built-in finders, so that their modules stay what they are.
        place = finders.index(importlib.machinery.PathFinder) if importlib.machinery.PathFinder in finders else 0
        sys.meta_path.insert(place, _watch)
    # The finder may have cached that a file which was just written does not exist.
    importlib.invalidate_caches()


@contextmanager
def recording_reads() -> Iterator[None]:
    """Note which files modules open while they are imported: inside the block, and from then on.

    A plugin's module may be imported long after the study file.
    """
    watch_reads()
    note_environment()
    try:
        yield
    finally:
        settle_reads()
