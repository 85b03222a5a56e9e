"""A study in one file: its page, its record and its runs as a zip, laid out as a folder of runs is.

Unzipped by hand it is such a folder. Nothing in a packed study is code that is run: sources are text beside the runs,
and ``lab reproduce`` imports them only where it is told to.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import attrs

from lab.errors import LabError
from lab.files import atomic_path
from lab.study import variants
from lab.study.record import add_variant, read_study
from lab.study.store import KEY, Store
from lab_runs.listing import files_below

__all__ = ["Packed", "Unpacked", "pack", "unpack"]

STORE = ".store"
WEIGHTS = ".safetensors"
MAX_BYTES = 64 * 2**30
MAX_FILES = 1_000_000

Progress = Callable[[int, int], None]


@attrs.frozen
class Packed:
    """A file that was written.

    Attributes:
        path: the file.
        runs: how many runs are in it.
        missing: arm and seed of the runs that are not finished.
        size: in bytes.
    """

    path: Path
    runs: int
    missing: Sequence[str]
    size: int


@attrs.frozen
class Unpacked:
    """A study that was put into a folder of runs.

    Attributes:
        study: its name.
        added: how many runs are new here.
        known: how many were here before, and stay as they are.
    """

    study: str
    added: int
    known: int


def pack(store: Store, name: str, path: Path, *, weights: bool = True, progress: Progress | None = None) -> Packed:
    """Write a study with all its variants and runs into a zip file, whole or not at all.

    Args:
        store: where its runs are.
        name: of the study.
        path: the file to write.
        weights: whether the weights of the runs are in it; without them runs can be compared, but not loaded.
        progress: called with the number of files that are done, and of all.

    Raises:
        LabError: there is no such study, or its record is damaged.
    """
    folder = read_study(store, name).folder
    name = folder.name
    every = variants.all_variants(variants.read_content(folder))
    runs = {run["key"]: f"{run['arm']} · seed {run['seed']}" for each in every for run in each["runs"]}
    missing = {key: text for key, text in runs.items() if store.finished(key) is None}
    finished = [key for key in runs if key not in missing]
    files = [(file, PurePosixPath(name, file.relative_to(folder).as_posix())) for file in files_below(folder)]
    for key in finished:
        place = store.folder_of(key)
        files += [
            (file, PurePosixPath(STORE, key, file.relative_to(place).as_posix()))
            for file in files_below(place)
            if weights or file.suffix != WEIGHTS
        ]
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for number, (file, place) in enumerate(files):
            if progress is not None:
                progress(number, len(files))
            # weights hardly shrink, and compressing them takes most of the time
            kind = zipfile.ZIP_STORED if file.suffix == WEIGHTS else zipfile.ZIP_DEFLATED
            archive.write(file, str(place), kind)
    return Packed(path, len(finished), list(missing.values()), path.stat().st_size)


def unpack(path: Path, store: Store) -> Unpacked:
    """Put a packed study into a folder of runs, beside the studies that are there.

    A study of the same name gets the variants of the packed one; runs that are here already stay as they are.

    Raises:
        LabError: the file is no packed study, or names files outside the folder of runs.
    """
    store.prepare()
    try:
        with (
            zipfile.ZipFile(path) as archive,
            # inside the folder of runs, so that a finished folder is moved into its place at once
            tempfile.TemporaryDirectory(dir=store.folder, prefix=".unpacking-") as temporary,
        ):
            name = _checked(archive, path)
            archive.extractall(temporary)
            return _put(Path(temporary), name, store)
    except FileNotFoundError as error:
        raise LabError("there is no such file", where=str(path)) from error
    except (zipfile.BadZipFile, IsADirectoryError, NotImplementedError, EOFError) as error:
        raise LabError(
            f"this is no packed study: {error}", where=str(path), hint="lab pack STUDY writes one"
        ) from error


def _checked(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the name of the study in an archive, all of whose files stay inside the folder of runs.

    Raises:
        LabError: a file would lie elsewhere, is a link, or there is no study or more than one.
    """
    entries = archive.infolist()
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise LabError("this is larger than any packed study", where=str(path))
    for entry in entries:
        place = PurePosixPath(entry.filename)
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        if is_link or place.is_absolute() or ".." in place.parts or "\\" in entry.filename or ":" in entry.filename:
            raise LabError(f"'{entry.filename[:80]}' would lie outside the folder of runs", where=str(path))
        if place.parts[0] == STORE and not (len(place.parts) > 1 and KEY.fullmatch(place.parts[1])):
            raise LabError(f"'{entry.filename[:80]}' is not the file of a run", where=str(path))
    tops = {PurePosixPath(entry.filename).parts[0] for entry in entries} - {STORE}
    if len(tops) != 1 or f"{min(tops)}/{variants.FILE}" not in archive.namelist():
        raise LabError("this is no packed study: it holds no study.json", where=str(path))
    return tops.pop()


def _put(source: Path, name: str, store: Store) -> Unpacked:
    contents = variants.all_variants(variants.read_content(source / name))
    added = known = 0
    for run in sorted((source / STORE).iterdir()) if (source / STORE).is_dir() else []:
        with store.lock(run.name):
            if store.finished(run.name) is not None:
                known += 1
                continue
            store.remove(run.name)
            run.rename(store.folder_of(run.name))
            added += 1
    is_new = not (store.root / name / variants.FILE).exists()
    folder = store.study_folder(name)
    for content in contents:
        add_variant(store, folder, content)
    if is_new:
        for file in (source / name).iterdir():
            if not (folder / file.name).exists():
                shutil.move(str(file), folder / file.name)
    return Unpacked(name, added, known)
