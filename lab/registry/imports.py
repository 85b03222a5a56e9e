"""Imports as they happen: keep the source of the user's modules, and note which files they read."""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.cache import cache_folder
from lab.registry.modules import is_source, keep_source, note_read, stands_elsewhere

__all__ = ["recording_reads", "watch_imports"]


class _KeepingLoader(importlib.machinery.SourceFileLoader):
    """Compiles from the source itself, and keeps it.

    Python trusts ``__pycache__`` where size and second of a file agree, so an edit within a second that keeps the size
    would run the old code under the new source.
    """

    def exec_module(self, module: ModuleType) -> None:
        path = Path(self.path)
        state = path.stat()
        content = path.read_bytes()
        keep_source(module, path, content, (state.st_mtime_ns, state.st_size))
        exec(compile(content, self.path, "exec", dont_inherit=True), module.__dict__)


class _Watch:
    """A finder before Python's own that finds the same, and keeps the source of what lies below watched folders."""

    def __init__(self) -> None:
        self.folders: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        """As ``PathFinder.find_spec``."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin and type(spec.loader) is importlib.machinery.SourceFileLoader:
            origin = os.path.abspath(spec.origin)
            if any(origin.startswith(folder) for folder in self.folders) and not stands_elsewhere(origin):
                spec.loader = _KeepingLoader(spec.loader.name, spec.loader.path)
                spec.cached = None
        return spec


_watch = _Watch()


def watch_imports(folder: Path) -> None:
    """Keep the source of every module below ``folder`` that is imported from now on."""
    prefix = os.path.join(os.path.abspath(folder), "")
    if prefix not in _watch.folders:
        _watch.folders.append(prefix)
    if _watch not in sys.meta_path:
        finders = list(sys.meta_path)
        place = finders.index(importlib.machinery.PathFinder) if importlib.machinery.PathFinder in finders else 0
        sys.meta_path.insert(place, _watch)
    importlib.invalidate_caches()


@contextmanager
def recording_reads() -> Iterator[None]:
    """Inside the block, note which files modules open while they are imported."""
    plain = builtins.open, io.open
    noted: list[tuple[list[str], str]] = []

    def noting(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        opened = plain[0](file, mode, *arguments, **options)
        if not set(mode) & set("wax+") and isinstance(file, (str, bytes, os.PathLike)):
            noted.append((_modules_being_imported(sys._getframe(1)), os.path.abspath(os.fsdecode(file))))
        return opened

    builtins.open = noting
    io.open = noting
    try:
        yield
    finally:
        builtins.open, io.open = plain
        for names, path in noted:
            module = next((name for name in names if not name.startswith("__main__") and is_source(name)), None)
            if module is not None and _is_data(path):
                note_read(module, path)


def _modules_being_imported(frame: Any) -> list[str]:
    """Modules whose bodies run in a frame or around it, the innermost first."""
    names = []
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            names.append(str(frame.f_globals.get("__name__", "")))
        frame = frame.f_back
    return names


def _is_data(path: str) -> bool:
    """Return whether a module may have read an opened file for its content: not code, nothing installed or cached."""
    if path.endswith((".py", ".pyc", ".so", ".pyd")) or not os.path.isfile(path) or stands_elsewhere(path):
        return False
    return not any(Path(path).is_relative_to(folder) for folder in (cache_folder(), Path("/proc")))
