"""Modules as they were imported: their sources, and the files that they read meanwhile.

A module counts with the source that was imported, so editing a file while a study runs changes no key.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from lab.cache import cache_folder, file_digest
from lab.errors import LabError
from lab.registry.places import STUDY, is_local, kind_of, locate, stands_elsewhere
from lab.registry.reads import opened_files
from lab.registry.source import Facts, cached_facts, read_facts

__all__ = [
    "ModuleSource",
    "changed_since_import",
    "facts_of",
    "keep_source",
    "settle_reads",
    "source_of_file",
    "source_of_module",
]

NO_DATA = tuple(Path(folder) for folder in ("/proc", "/sys", "/dev", "/etc", "/usr"))


@attrs.frozen(eq=False)
class ModuleSource:
    """One module as it was imported.

    Attributes:
        name: its dotted name.
        path: its file.
        text: its source; empty for a compiled module.
        digest: hash of the file's bytes.
        state: (modification time, size) of the file at that time.
        reads: files that it opened while it was imported, with the hash of their content.
        spec: the import specification of the loaded module; another one after a reload.
    """

    name: str
    path: Path
    text: str
    digest: str
    state: tuple[int, int]
    reads: tuple[tuple[str, str], ...] = ()
    spec: Any = None

    @property
    def is_question(self) -> bool:
        """Return whether it is a study file, of which only the definitions count."""
        return self.name.startswith((STUDY, "__main__"))

    @property
    def is_local(self) -> bool:
        """Return whether it is the user's: neither installed nor part of a plugin."""
        return is_local(self.name)

    @property
    def label(self) -> str:
        """Its name in a key: a study file may be renamed."""
        return "study" if self.is_question else self.name


def facts_of(source: ModuleSource, wanted: frozenset[str] = frozenset()) -> Facts:
    """Return the facts of a module's source; of a study file, those of the definitions that are ``wanted``."""
    if not source.text:
        return Facts(source.digest)
    return read_facts(source.text, wanted) if source.is_question else cached_facts(source.text)


_kept: dict[str, ModuleSource] = {}
_reads_of: dict[str, dict[str, str]] = {}


def keep_source(module: ModuleType, path: Path) -> bytes:
    """Return the source that a module is made from, and keep it: its file may change while the module is in use."""
    # A reload reads its files again.
    _reads_of.pop(module.__name__, None)
    source, content = _read(module.__name__, path, module.__spec__)
    _kept[module.__name__] = source
    return content


def source_of_module(name: str) -> ModuleSource | None:
    """Return the source of a module as it was imported, or its file's if it was not yet; None if it has none.

    Raises:
        LabError: its file was changed after it was imported, and what was imported is not known.
    """
    kept, module = _kept.get(name), sys.modules.get(name)
    # Without a kept source, or after a reload, the file is read anew.
    if kept is None or module is None or (kept.spec is not None and module.__spec__ is not kept.spec):
        path = locate(name)
        if path is None or not path.is_file():
            return None
        if module is not None:
            _refuse_other_version(module, path)
        kept, _ = _read(name, path, getattr(module, "__spec__", None))
        _kept[name] = kept
    settle_reads()
    reads = dict(_reads_of.get(name, {}))
    # C code opens files without an audit event, so files that are named in the text count, too.
    if kept.text and is_local(name):
        paths = [place / text for text in facts_of(kept).files for place in (Path.cwd(), kept.path.parent)]
        reads = {os.path.abspath(path): _content_digest(path) for path in paths if _is_file(path)} | reads
    return attrs.evolve(kept, reads=tuple(sorted(reads.items()))) if reads else kept


def source_of_file(path: Path) -> ModuleSource:
    """Return the source in a file, imported or not."""
    return _read("", path, None)[0]


def _read(name: str, path: Path, spec: Any) -> tuple[ModuleSource, bytes]:
    # The state is read before the content: an edit in between is then seen as a change.
    state, text = path.stat(), ""
    content = path.read_bytes()
    if path.suffix == ".py" or name.startswith((STUDY, "__main__")):
        # A file that cannot be decoded fails when it is imported; here only its bytes count.
        with suppress(SyntaxError, UnicodeDecodeError):
            text = importlib.util.decode_source(content)
    digest = hashlib.sha256(content).hexdigest()
    return ModuleSource(name, path, text, digest, (state.st_mtime_ns, state.st_size), (), spec), content


def _is_file(path: Path) -> bool:
    return "\0" not in str(path) and path.is_file()


def settle_reads() -> None:
    """Add every opened file to the innermost module of the user's or of a plugin: its content is part of it."""
    for names, path in opened_files():
        name = next((name for name in names if not name.startswith("__main__") and kind_of(name) == "source"), None)
        if name is None:
            continue
        # A loader that is called by hand opens the compiled file; its source is what counts.
        if path.endswith(".pyc"):
            with suppress(ValueError, NotImplementedError):
                path = importlib.util.source_from_cache(path)
        # Python's own files, installed packages and the system's files change with the environment, which a key holds
        # by versions.
        is_data = os.path.isfile(path) and not stands_elsewhere(path)
        is_data &= not any(Path(path).is_relative_to(folder) for folder in (cache_folder(), *NO_DATA))
        # A module that opens its own file reads nothing new.
        if is_data and not (name in _kept and os.path.abspath(_kept[name].path) == path):
            _reads_of.setdefault(name, {})[path] = _content_digest(Path(path))


def _content_digest(path: Path) -> str:
    """Return the fingerprint of a source, which is run in another way than by an import; else a hash of the bytes."""
    if path.suffix == ".py":
        text = source_of_file(path).text
        with suppress(SyntaxError, ValueError):
            return cached_facts(text).fingerprint
    return file_digest(path)


def changed_since_import(modules: Iterable[ModuleSource]) -> list[LabError]:
    """Return an error for every module whose file differs from what was imported."""
    found = []
    for source in modules:
        try:
            state = source.path.stat()
            # Most files are unchanged; comparing times first saves reading them.
            if (state.st_mtime_ns, state.st_size) == source.state:
                continue
            if hashlib.sha256(source.path.read_bytes()).hexdigest() != source.digest:
                found.append(_changed(source.path))
        except OSError:
            found.append(LabError(f"{source.path.name} is gone since it was imported", where=str(source.path)))
    return found


def _refuse_other_version(module: ModuleType, path: Path) -> None:
    """Compare a file with what Python noted in ``__pycache__`` when it compiled the module."""
    # A module that was imported before lab watched imports has left its time and size only there.
    compiled = getattr(module, "__cached__", None)
    try:
        header = Path(compiled).read_bytes()[:16] if compiled else b""
    except OSError:
        return
    # The second word is 1 for caches that Python checks by hash instead of by time.
    if len(header) < 16 or int.from_bytes(header[4:8], "little"):
        return
    state = path.stat()
    # Python stores both as unsigned 32-bit numbers.
    noted = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    if noted == (int(state.st_mtime) & 0xFFFFFFFF, state.st_size & 0xFFFFFFFF):
        return
    # Where Python may not write its cache, an old one stays; a file older than this process is what it imported.
    import psutil

    if state.st_mtime >= psutil.Process().create_time():
        raise _changed(path)


def _changed(path: Path) -> LabError:
    return LabError(
        f"{path.name} was changed after it was imported",
        where=str(path),
        hint="what is in memory is not what the file says; start again (in a notebook: reload it, or restart)",
    )
