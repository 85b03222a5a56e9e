"""The sources of a run: its study file and the local modules that it imported.

A run keeps them as text in ``sources.json``, so that it can be built again without its author's folder. No code is
run because a store refers to it: a study file is imported if the user names it, if this user ran the same file with
the same content on this machine before (recorded in the cache directory, which no store can write), or, on request, as
it is recorded.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import shutil
import tempfile
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lab.cache import cache_folder, read_cache, write_cache
from lab.errors import LabError, StoreError
from lab.study import files

if TYPE_CHECKING:
    from lab.study.experiment import ResolvedExperiment

__all__ = ["SOURCES", "find_study", "keep_sources", "refuse_in_store", "stored_study", "trust_study"]

SOURCES = "sources.json"
MAX_TRUSTED = 2000


# --- kept with a run --------------------------------------------------------------------------------------------------


def keep_sources(experiment: ResolvedExperiment, file: str, folder: Path) -> None:
    """Write a study's file and the local modules that it imported, as they were imported, into a run's folder."""
    from lab.study.keys import local_sources

    if not file:
        return
    main = Path(file).absolute()
    texts: dict[str, str] = {}
    for source in local_sources(experiment):
        name = main.name if source.path.absolute() == main else _relative(source.name, source.path)
        texts[name] = source.text
    if main.name in texts:
        files.write_sealed(folder / SOURCES, {"study": main.name, "files": texts}, durable=False)


def _relative(module: str, path: Path) -> str:
    """Return the path of a module beside a study: ``models/nets.py``."""
    if module.endswith(".py"):
        return module
    parts = module.split(".")
    return "/".join([*parts, "__init__.py"] if path.name == "__init__.py" else [*parts[:-1], f"{parts[-1]}.py"])


def stored_study(folder: Path) -> Path:
    """Write the sources that a run keeps to a place outside of the store, for this process, and return its study file.

    Raises:
        StoreError: it keeps none, or they are damaged.
    """
    path = folder / SOURCES
    try:
        content = files.read_json(path, files.SOURCES)
    except FileNotFoundError as error:
        raise StoreError(
            f"run {folder.name} keeps no sources", where=str(path), hint="give its study file: --file STUDY.py"
        ) from error
    if content["study"] not in content["files"]:
        raise files.DamagedError(f"{SOURCES} is damaged", where=f"{path}: it has no '{content['study']}'")
    place = Path(tempfile.mkdtemp(prefix="lab-sources-"))
    # removed at exit, not before: tracebacks and inspect.getsource read the files as long as the classes live
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for name, text in content["files"].items():
        target = place / _inside(name, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        raw = text.encode("utf-8")
        # a coding cookie (PEP 263) may name another encoding than UTF-8
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        target.write_bytes(raw if encoding.startswith("utf-8") else text.encode(encoding))
    return place / str(content["study"])


def _inside(name: str, path: Path) -> PurePosixPath:
    parts = PurePosixPath(name)
    # names come from the store: none may leave the folder, be hidden, or be anything but Python
    wrong = parts.is_absolute() or ".." in parts.parts or parts.suffix != ".py" or "\0" in name
    if wrong or any(part.startswith(".") for part in parts.parts):
        raise files.DamagedError(f"{SOURCES} is damaged", where=f"{path}: '{name}' is not a module beside a study")
    return parts


# --- the user's own files ---------------------------------------------------------------------------------------------


def trust_study(file: str) -> None:
    """Record in the user's cache that this user ran this study file with this content."""
    path = Path(file)
    with suppress(OSError, ValueError):
        # a file inside a store may come from somebody else, and running it once must not make it trusted
        if not file or _is_in_store(path):
            return
        place, digest = str(path.resolve()), _digest(path)
        book = _book()
        known = read_cache(book)
        if known.get(place) != digest:
            kept = {name: value for name, value in known.items() if name != place}
            write_cache(book, dict([*list(kept.items())[-MAX_TRUSTED:], (place, digest)]))


def find_study(content: Mapping[str, Any]) -> Path | None:
    """Return the study file of a record if this user ran it on this machine and it has not changed since.

    Raises:
        LabError: it changed since, or this user never ran it here.
    """
    given = content.get("file")
    if not given:
        return None
    try:
        path = Path(given)
        known = read_cache(_book()).get(str(path.resolve()))
        is_there = path.is_file()
        # path and content must both match: a store could name any script of the user's
        if is_there and not _is_in_store(path) and known == _digest(path):
            return path
    except (OSError, ValueError):
        return None
    if not is_there:
        return None
    what = "has changed since you ran it here" if known else "was never run by you on this machine"
    raise LabError(f"the study file of this run {what}", where=str(given), hint=REMEDIES)


REMEDIES = """--file STUDY.py names the file to import
--stored-source imports what the run keeps: code that comes with the store"""


def refuse_in_store(file: Path | str) -> None:
    """Raise if a study file lies in a store.

    Raises:
        LabError: it does.
    """
    if _is_in_store(Path(file)):
        raise LabError(
            "files inside a store are not imported",
            where=str(file),
            hint="--stored-source imports the sources that a run keeps",
        )


def _is_in_store(path: Path) -> bool:
    """Return whether a file lies below a folder ``.store``, as it is written or once links are followed."""
    # both forms: a link from outside must not lead into a store, nor one inside it lead out
    return any(".store" in each.parts for each in (Path(os.path.abspath(path)), path.resolve()))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _book() -> Path:
    return cache_folder() / "studies_run.json"
