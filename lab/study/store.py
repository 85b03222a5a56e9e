"""The store: runs on disk, found by key.

``runs/.store/<key>/`` holds one run. It is finished when ``result.json`` is there, which is written last; until then
the folder holds checkpoints, from which the run goes on. A run that failed leaves ``failure.json``.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from filelock import FileLock, Timeout

from lab.errors import StoreError, UnknownNameError

__all__ = ["RunRecord", "Store"]


@attrs.frozen
class RunRecord:
    """One run as it stands on disk.

    Attributes:
        key: what it is found by.
        folder: where its files are.
        status: ``finished``, ``failed``, ``interrupted`` or ``absent``.
        result: final figures of a finished run, the failure of a failed one.
    """

    key: str
    folder: Path
    status: str
    result: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of the run's last epoch, and of the test split if there is one."""
        return dict(self.result.get("metrics", {}))

    @property
    def budget(self) -> dict[str, float]:
        """Parameters, steps, seconds, peak memory …"""
        return dict(self.result.get("budget", {}))

    def experiment(self) -> dict[str, Any]:
        """The resolved experiment."""
        return _read_json(self.folder / "experiment.json")

    def environment(self) -> dict[str, Any]:
        """Where it was made: packages, plugins, git state, machine."""
        return _read_json(self.folder / "environment.json")

    def history(self) -> list[dict[str, float]]:
        """One row per epoch."""
        try:
            lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]


class Store:
    """The folder of runs.

    Args:
        root: usually ``runs/``.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.folder = self.root / ".store"

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".probe"
            probe.touch()
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot write to the folder of runs: {error.strerror}",
                where=str(self.root),
                hint="choose another: --runs DIR",
            ) from error

    def record(self, key: str) -> RunRecord:
        """The run with this key, whatever state it is in."""
        folder = self.folder / key
        for status, name in (("finished", "result.json"), ("failed", "failure.json")):
            try:
                return RunRecord(key, folder, status, _read_json(folder / name))
            except FileNotFoundError:
                continue
        return RunRecord(key, folder, "interrupted" if folder.exists() else "absent", {})

    def find(self, key: str) -> RunRecord:
        """The run whose key begins with ``key``.

        Raises:
            UnknownNameError: there is none, or several.
        """
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        keys = sorted(path.name for path in folders if path.is_dir() and not path.name.startswith("."))
        found = [known for known in keys if known.startswith(key)] if key else []
        if len(found) == 1:
            return self.record(found[0])
        hint = "lab runs lists what is there" if not found else f"say more of it: {', '.join(found[:5])}"
        raise UnknownNameError(f"{'no' if not found else 'more than one'} run's key begins with '{key}'", hint=hint)

    def records(self) -> Iterator[RunRecord]:
        """Every run of the store."""
        folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return (self.record(path.name) for path in folders if path.is_dir() and not path.name.startswith("."))

    def begin(self, key: str, experiment: dict[str, Any], environment: dict[str, Any], *, fresh: bool) -> Path:
        """The folder of a run about to train; ``fresh`` forgets what was there."""
        from lab.training.checkpoint import write_json  # imports torch, which reading the store does not need

        folder = self.folder / key
        if fresh:
            self.remove(key)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failure.json").unlink(missing_ok=True)
        for leftover in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        write_json(folder / "experiment.json", experiment, durable=False)
        write_json(folder / "environment.json", environment, durable=False)
        return folder

    def remove(self, key: str) -> None:
        """Forget a run. It disappears at once, whatever happens while its files are deleted."""
        folder = self.folder / key
        if folder.exists():
            discarded = self.folder / f".removed-{uuid.uuid4().hex}"
            folder.rename(discarded)
            shutil.rmtree(discarded)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Keep other processes from training the same run; waits for them."""
        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / key):
            yield

    def is_busy(self, key: str) -> bool:
        """Whether a process trains the run right now."""
        path = self.folder / ".locks" / key
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True

    def study_folder(self, name: str) -> Path:
        """``runs/<study>/``.

        Raises:
            StoreError: the name would leave the folder of runs.
        """
        root = self.root.resolve()
        path = (root / name).resolve()
        if path.parent != root or name.startswith("."):
            raise StoreError(f"'{name}' cannot be the name of a study", hint="use letters, digits, '-' and '_'")
        path.mkdir(parents=True, exist_ok=True)
        return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except json.JSONDecodeError as error:
        raise StoreError(
            "a file of the store is damaged", where=f"{path}: {error}", hint="remove its folder and run again"
        ) from error
