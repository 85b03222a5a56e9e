"""Imports as they happen: keep the source of the user's modules, and note which files they read."""

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

from lab.registry.modules import await_read, keep_source, note_environment, settle_reads, stands_elsewhere

__all__ = ["recording_reads", "watch_imports", "watch_reads"]


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
    """Note which files modules open while they are imported: inside the block, and from then on.

    A plugin's module may be imported long after the study file.
    """
    watch_reads()
    note_environment()
    try:
        yield
    finally:
        settle_reads()


def watch_reads() -> None:
    """Note which files modules open from now on, in whatever way Python opens them."""
    if not _watched:
        _watched.append(True)
        sys.addaudithook(_hear)


_watched: list[bool] = []
WRITES = os.O_WRONLY | os.O_RDWR


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: the one place where every opened file passes, ``os.open`` and ``io.open_code`` included."""
    if event == "open":
        file, _, flags = arguments
        if not isinstance(flags, int) or flags & WRITES:
            return
    elif event == "sqlite3.connect":
        file = arguments[0]
    else:
        return
    if not isinstance(file, (str, bytes, os.PathLike)):
        return
    names, is_import = _modules_being_imported(sys._getframe(1))
    if names:
        path = os.fsdecode(file)
        if not (is_import and path.endswith(CODE)):
            await_read(names, os.path.abspath(path))


CODE = (".py", ".pyc", ".so", ".pyd")


def _modules_being_imported(frame: Any) -> tuple[list[str], bool]:
    """Modules whose bodies run in a frame or around it, the innermost first; and whether an import statement opens."""
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
