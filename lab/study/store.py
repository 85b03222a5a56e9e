"""The store: runs on disk, found by key.

``runs/.store/<key>/`` holds one run. It is finished when ``result.json`` is there, which is written last and lists
the digests of the other files; until then the folder holds checkpoints, from which the run goes on. A run that failed
leaves ``failure.json``. A run with changed or missing files is damaged, and counts as not finished.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
from filelock import FileLock, Timeout

from lab.errors import StoreError, UnknownNameError, did_you_mean
from lab.study import files

__all__ = ["MARKED", "Outcome", "RunRecord", "Store", "clear_for_writing", "finished_run", "outcome_of"]

MARKED = ("metrics.jsonl", "model.safetensors", "best.safetensors", "sources.json")
"""Files whose digests ``result.json`` holds."""
NEEDED = ("metrics.jsonl",)
KEY = re.compile(r"[0-9A-Za-z_-]{1,128}")
CHECKPOINT = re.compile(r"checkpoint-[0-9]+|\.checkpoint-.*\.tmp")
WRITTEN = ("experiment.json", "environment.json", "result.json", "failure.json")
NOTICE_AFTER_S = 1.0
POLL_S = 0.1


@attrs.frozen
class Outcome:
    """Outcome of a run, read from its folder.

    Attributes:
        status: ``finished``, ``failed``, ``interrupted``, ``damaged`` or ``absent``.
        name: the file with the outcome; empty if there is none.
        result: what that file holds; of a damaged run ``error``.
        made: what ``experiment.json`` holds; empty if it cannot be read.
    """

    status: str
    name: str
    result: dict[str, Any]
    made: dict[str, Any]


def outcome_of(folder: Path | str, *, thorough: bool = True) -> Outcome:
    """Return the outcome of the run in a folder; never raises, whatever the folder holds.

    Args:
        folder: of the run.
        thorough: also search for links that leave the folder, and parse ``metrics.jsonl`` of older versions, which
            wrote no digests; lists of thousands of runs skip this.
    """
    try:
        # lstat: a link in place of the run's folder may lead to the files of another store
        state = os.lstat(folder)
    except (OSError, ValueError):
        return Outcome("absent", "", {}, {})
    if not stat.S_ISDIR(state.st_mode):
        what = "a link" if stat.S_ISLNK(state.st_mode) else "not a folder"
        return Outcome("damaged", "", {"error": f"the run's folder is {what}\n  {folder}"}, {})
    made: dict[str, Any] = {}
    problem = ""
    try:
        made = files.read_json(f"{folder}/experiment.json", files.EXPERIMENT)
        # a folder that was renamed or copied would give another run's numbers under this key
        if made["key"] != os.path.basename(folder):
            problem = f"experiment.json is damaged\n  {folder}/experiment.json: it is of run {made['key']}"
    except FileNotFoundError:
        problem = f"experiment.json is damaged\n  {folder}/experiment.json: missing"
    except files.DamagedError as error:
        problem = str(error)
    try:
        # a damaged recipe is noted first and reported only if a result exists: an unfinished run is begun anew anyway
        result = files.read_json(f"{folder}/result.json", files.RESULT)
        if "files" in result:
            files.verify_files(folder, result["files"], NEEDED)
        elif thorough:
            history_of(folder)
        if thorough:
            _refuse_links(folder)
        result |= {name: files.numbers(result.get(name, {})) for name in ("metrics", "budget")}
    except FileNotFoundError:
        return _unfinished(folder, made)
    except files.DamagedError as error:
        return Outcome("damaged", "result.json", {"error": str(error)}, made)
    if problem:
        return Outcome("damaged", "result.json", {"error": problem}, made)
    return Outcome("finished", "result.json", result, made)


def _refuse_links(folder: Path | str) -> None:
    """Raise if a link in a run's folder leads out of it: reports would show, and commands load, what lies elsewhere.

    Raises:
        DamagedError: the first such link.
    """
    # os.walk follows no links by default
    for parent, names, others in os.walk(folder):
        for path in (os.path.join(parent, name) for name in (*names, *others)):
            if os.path.islink(path) and not os.path.realpath(path).startswith(f"{os.path.realpath(folder)}{os.sep}"):
                name = os.path.relpath(path, folder)
                raise files.DamagedError(f"{name} is damaged", where=f"{path}: a link that leaves its folder")


def history_of(folder: Path | str) -> list[dict[str, float]]:
    """Return the rows of ``metrics.jsonl``, one per epoch.

    Raises:
        StoreError: it is damaged.
    """
    path = f"{folder}/metrics.jsonl"
    try:
        raw = files.read_bytes(path, files.MAX_LONG_FILE)
    except FileNotFoundError:
        return []
    return [files.numbers(files.parse(line, files.ROW, path)) for line in raw.splitlines() if line.strip()]


def _unfinished(folder: Path | str, made: dict[str, Any]) -> Outcome:
    try:
        return Outcome("failed", "failure.json", files.read_json(f"{folder}/failure.json", files.FAILURE), made)
    except FileNotFoundError:
        return Outcome("interrupted", "", {}, made)
    except files.DamagedError as error:
        return Outcome("damaged", "failure.json", {"error": str(error)}, made)


@attrs.frozen
class RunRecord:
    """One run as recorded on disk.

    Attributes:
        key: its name in the store.
        folder: where its files are.
        status: ``finished``, ``failed``, ``interrupted``, ``damaged`` or ``absent``.
        result: final metrics of a finished run, the failure of a failed one, ``error`` of a damaged one.
        arm, seed: which run of a study it is; the same run may be of several studies.
    """

    key: str
    folder: Path
    status: str
    result: dict[str, Any]
    arm: str = ""
    seed: int = -1

    @property
    def outcome(self) -> str:
        """Its status; ``diverged`` if it failed because a loss was not finite."""
        is_diverged = self.status == "failed" and self.result.get("kind") == "NonFiniteLossError"
        return "diverged" if is_diverged else self.status

    @property
    def yardstick(self) -> dict[str, Any]:
        """Yardstick of its scores (``lab.study.yardstick``); empty for runs of older versions."""
        found = self.result.get("yardstick")
        return found if isinstance(found, dict) else {}

    def row(self) -> dict[str, Any]:
        """Return one row of ``runs.csv``."""
        return {
            "arm": self.arm,
            "seed": self.seed,
            "key": self.key,
            "status": self.outcome,
            **self.metrics,
            **self.budget,
        }

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the run's last epoch, and of the test split if there is one."""
        return dict(self.result.get("metrics", {}))

    @property
    def budget(self) -> dict[str, float]:
        """Parameters, steps, seconds, peak memory …"""
        return dict(self.result.get("budget", {}))

    def experiment(self, *, strict: bool = True) -> dict[str, Any]:
        """Return the content of ``experiment.json``.

        Args:
            strict: refuse a file that was changed since it was written; otherwise only one that cannot be read.

        Raises:
            StoreError: it is missing or damaged.
        """
        return files.from_plain(self._read("experiment.json", files.EXPERIMENT, strict=strict))  # type: ignore[no-any-return]

    def environment(self, *, strict: bool = True) -> dict[str, Any]:
        """Return its environment: packages, plugins, git state, machine.

        Raises:
            StoreError: it is missing or damaged.
        """
        return self._read("environment.json", files.ENVIRONMENT, strict=strict)

    def final(self) -> dict[str, float]:
        """Return the final metrics, also if ``result.json`` was changed since it was written."""
        result = self._read("result.json", files.RESULT, strict=False)
        return files.numbers(result["metrics"])

    def history(self) -> list[dict[str, float]]:
        """Return one row per epoch.

        Raises:
            StoreError: it is damaged.
        """
        return history_of(self.folder)

    def path(self, name: str) -> Path:
        """Return the path of the file ``name`` of the run.

        Raises:
            StoreError: it would lie outside of the run's folder.
        """
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()) or self.folder.is_symlink():
            raise files.DamagedError(f"run {self.key} is damaged", where=f"'{name}' leaves the run's folder")
        return path

    def _read(self, name: str, schema: Any, *, strict: bool) -> dict[str, Any]:
        path = self.folder / name
        try:
            return files.read_json(path, schema, strict=strict)  # type: ignore[no-any-return]
        except FileNotFoundError as error:
            raise StoreError(f"run {self.key} has no {name}", where=str(path)) from error


class Store:
    """The folder of runs.

    Args:
        root: usually ``runs/``.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.folder = self.root / ".store"

    def prepare(self) -> None:
        """Create the folder of runs.

        Raises:
            StoreError: it cannot be written.
        """
        if self.folder.is_symlink():
            raise StoreError(
                "the store is a link, and nothing is written through links",
                where=str(self.folder),
                hint="make the folder of runs itself a link, or use --runs DIR",
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # written, not asked: os.access is wrong for root, for read-only mounts and for some network file systems
            probe = self.folder / f".probe-{uuid.uuid4().hex}"
            probe.touch(exist_ok=False)
            probe.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"cannot write to the folder of runs: {getattr(error, 'strerror', None) or error}",
                where=str(self.root),
                hint="choose another: --runs DIR",
            ) from error

    def can_write(self) -> bool:
        """Return whether runs can be kept here."""
        try:
            self.prepare()
        except StoreError:
            return False
        return True

    def folder_of(self, key: str) -> Path:
        """Return the folder of the run with this key.

        Raises:
            StoreError: what is given cannot be a key.
        """
        # keys come from the command line and from records: none may hold a slash or be '..'
        if not KEY.fullmatch(key):
            raise StoreError(f"{key[:80]!r} cannot be the key of a run", where=str(self.root))
        return self.folder / key

    def record(self, key: str, arm: str = "", seed: int = -1) -> RunRecord:
        """Return the run with this key, whatever state it is in; it may be this arm and seed of a study."""
        folder = self.folder_of(key)
        outcome = outcome_of(folder)
        return RunRecord(key, folder, outcome.status, outcome.result, arm, seed)

    def finished(self, key: str) -> RunRecord | None:
        """Return the run if it is finished, and remove checkpoints that a kill left beside its result."""
        record = self.record(key)
        if record.status != "finished":
            return None
        for leftover in _leftovers(record.folder):
            # ignore_errors: a read-only store stays unchanged
            shutil.rmtree(leftover, ignore_errors=True)
        return record

    def all_keys(self) -> list[str]:
        """Return the keys of all runs.

        Raises:
            StoreError: the folder cannot be read.
        """
        try:
            with os.scandir(self.folder) as entries:
                return sorted(entry.name for entry in entries if KEY.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StoreError(
                f"cannot read the folder of runs: {getattr(error, 'strerror', None) or error}",
                where=str(self.root),
                hint="choose another: --runs DIR",
            ) from error

    def find(self, key: str) -> RunRecord:
        """Return the run whose key begins with ``key``.

        Raises:
            UnknownNameError: there is none, or several.
        """
        found = [known for known in self.all_keys() if known.startswith(key)] if key else []
        if len(found) == 1 or key in found:
            return self.record(key if key in found else found[0])
        if found:
            hint = f"give more digits: {', '.join(found[:5])}"
        else:
            # as many digits as were given, so that a mistyped prefix is close to its key
            close = {known[: len(key)]: known for known in reversed(self.all_keys())} if len(key) > 2 else {}
            hint = did_you_mean(key, close, "lab runs lists what is there")
        raise UnknownNameError(f"{'no' if not found else 'more than one'} run's key begins with '{key}'", hint=hint)

    def records(self) -> Iterator[RunRecord]:
        """Yield every run of the store."""
        return (self.record(key) for key in self.all_keys())

    def begin(self, key: str, experiment: dict[str, Any], environment: dict[str, Any], *, fresh: bool) -> Path:
        """Return the folder of a run about to train; ``fresh``, or a damaged result, removes its earlier files."""
        folder = self.folder_of(key)
        if fresh or os.path.lexists(folder / "result.json") or not _is_own_folder(folder):
            self.remove(key)
        if folder.is_dir():
            clear_for_writing(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # durable=False: losing an unfinished run to a power failure costs no more than its training
        files.write_sealed(folder / "experiment.json", files.to_standard(experiment), durable=False)
        files.write_sealed(folder / "environment.json", environment, durable=False)
        return folder

    def remove(self, key: str) -> None:
        """Remove a run, whatever its folder holds; it disappears at once, also if the removal is interrupted."""
        folder = self.folder_of(key)
        if not os.path.lexists(folder):
            return
        if not _is_own_folder(folder):
            folder.unlink()
            return
        discarded = self.folder / f".removed-{uuid.uuid4().hex}"
        # renamed first: a kill inside rmtree would otherwise leave a run that looks damaged
        folder.rename(discarded)
        shutil.rmtree(discarded)

    @contextmanager
    def lock(
        self, key: str, *, stop: threading.Event | None = None, notice: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Lock a run against other processes; waits until they release it.

        Args:
            key: the run.
            stop: ends the waiting when set.
            notice: called once if it waits for more than a second.

        Raises:
            KeyboardInterrupt: ``stop`` was set while it waited.
        """
        lock = self._file_lock(key)
        began = time.monotonic()
        while True:
            with suppress(Timeout):
                # in short turns: a blocking flock could not be interrupted by ``stop``
                lock.acquire(timeout=POLL_S, poll_interval=POLL_S / 2)
                break
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            if notice is not None and time.monotonic() - began > NOTICE_AFTER_S:
                notice()
                notice = None
        try:
            yield
        finally:
            lock.release()

    def _file_lock(self, name: str) -> FileLock:
        locks = self.folder / ".locks"
        _own_folder(locks)
        path = locks / name
        if path.is_symlink():
            path.unlink()
        return FileLock(path)

    def is_busy(self, key: str) -> bool:
        """Return whether a process trains the run right now."""
        path = self.folder / ".locks" / key
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True

    def study_folder(self, name: str) -> Path:
        """Return ``runs/<study>/``, and create it.

        Raises:
            StoreError: the name would leave the folder of runs.
        """
        root = self.root.resolve()
        path = (root / name).resolve()
        if path.parent != root or name.startswith(".") or (root / name).is_symlink():
            raise StoreError(f"'{name}' cannot be the name of a study", hint="use letters, digits, '-' and '_'")
        path.mkdir(parents=True, exist_ok=True)
        return path


def finished_run(store: Store, key: str, *, damaged_too: bool = False) -> RunRecord:
    """Return the record of a finished run, by the first digits of its key.

    Args:
        store: the runs.
        key: the run's key.
        damaged_too: also return a finished run whose files were changed since.

    Raises:
        LabError: no run matches, several do, or it is not finished.
    """
    record = store.find(key)
    if record.status == "finished":
        return record
    if record.status == "damaged":
        if damaged_too and (record.folder / "result.json").is_file() and not record.folder.is_symlink():
            return record
        raise StoreError(
            f"run {record.key} is damaged",
            where=record.result["error"],
            hint="run its study again to train it again, or lab runs remove it",
        )
    raise StoreError(f"run {record.key} is not finished ({record.status})", hint="run its study again to finish it")


def _own_folder(path: Path) -> None:
    """Create a folder of the store; a link in its place is removed, since it may lead anywhere."""
    if path.is_symlink():
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)


def _is_own_folder(path: Path) -> bool:
    return not os.path.lexists(path) or stat.S_ISDIR(os.lstat(path).st_mode)


def clear_for_writing(folder: Path) -> None:
    """Remove links, folders in the place of files, and temporary files of a killed process from a run's folder."""
    # os.walk follows no links by default
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if not (stat.S_ISREG(mode := os.lstat(path).st_mode) or stat.S_ISDIR(mode)):
                path.unlink()
    in_the_way = [folder / name for name in (*MARKED, *WRITTEN) if (folder / name).is_dir()]
    for path in [*folder.glob(".*.tmp"), folder / "failure.json", *in_the_way]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _leftovers(folder: Path) -> list[str]:
    """Return the checkpoints in the folder of a finished run."""
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if CHECKPOINT.fullmatch(entry.name)]
    except OSError:
        return []
