"""Imports as they happen: keep the source of the user's modules, and note which files they read."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.registry.modules import await_read, keep_source, note_environment, settle_reads, stands_elsewhere

__all__ = ["recording_reads", "watch_imports", "watch_reads"]

WRITES = os.O_WRONLY | os.O_RDWR
CODE = (".py", ".pyc", ".so", ".pyd")


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
            origin = os.path.abspath(spec.origin)
            if origin.startswith(tuple(self.folders)) and not stands_elsewhere(origin):
                spec.loader = _KeepingLoader(spec.loader.name, spec.loader.path)
                spec.cached = None
        return spec


_watch = _Watch()


def watch_imports(folder: Path) -> None:
    """Keep the source of every module below ``folder`` that is imported from now on."""
    _watch.folders.add(os.path.join(os.path.abspath(folder), ""))
    if _watch not in sys.meta_path:
        finders: list[Any] = list(sys.meta_path)
        place = finders.index(importlib.machinery.PathFinder) if importlib.machinery.PathFinder in finders else 0
        sys.meta_path.insert(place, _watch)
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


@cache
def watch_reads() -> None:
    """Note which files modules open from now on, in whatever way Python opens them."""
    sys.addaudithook(_on_event)  # a hook cannot be removed: it is added once


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Note an opened file: every one passes here, those of ``os.open`` and ``io.open_code`` included."""
    if event not in ("open", "sqlite3.connect"):
        return
    file = arguments[0]
    if event == "open" and (not isinstance(arguments[2], int) or arguments[2] & WRITES):
        return
    if isinstance(file, (str, bytes, os.PathLike)):
        names, is_import = _modules_being_imported(sys._getframe(1))
        path = os.fsdecode(file) if names else ""
        if names and not (is_import and path.endswith(CODE)):
            await_read(names, os.path.abspath(path))


def _modules_being_imported(frame: Any) -> tuple[list[str], bool]:
    """Return the modules whose bodies run in a frame or around it, innermost first; and whether an import opens."""
    names: list[str] = []
    is_import = False
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>":
            name = str(frame.f_globals.get("__name__", ""))
            names += [] if name.startswith("__main__") else [name]  # its body runs as long as the process
        elif not names and code.co_name in ("_find_and_load", "_exec") and "importlib" in code.co_filename:
            is_import = True
        frame = frame.f_back
    return names, is_import
