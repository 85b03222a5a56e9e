"""Tracker that keeps runs in an SQLite database, one file for all studies."""

from __future__ import annotations

import json
import math
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from lab_trackers.tracker import RunFacts, Tracker

from lab.errors import LabError

__all__ = ["SQLite"]

TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, study TEXT, arm TEXT, seed INTEGER, key TEXT, status TEXT, error TEXT, started REAL, ended REAL
);
CREATE TABLE IF NOT EXISTS parameters (run TEXT, name TEXT, value TEXT, PRIMARY KEY (run, name));
CREATE TABLE IF NOT EXISTS metrics (run TEXT, epoch INTEGER, name TEXT, value REAL, PRIMARY KEY (run, epoch, name));
CREATE TABLE IF NOT EXISTS files (run TEXT, name TEXT, path TEXT, PRIMARY KEY (run, name));
"""

FINAL = -1
"""Epoch of the final metrics, which the study compares."""
WAIT_S = 30.0
"""Seconds to wait for another process that writes."""


class SQLite(Tracker):
    """Tracker of an SQLite database with the tables ``runs``, ``parameters``, ``metrics`` and ``files``.

    Several processes may write to one database. A metric that is not finite is NULL; the final metrics have epoch -1.

    Args:
        path: the database, which is made if it is not there.
    """

    name = "sqlite"

    def __init__(self, *, path: str = "runs.sqlite") -> None:
        self.path, self.run = Path(path).absolute(), ""

    @property
    def where(self) -> str:
        """Return the address of its runs."""
        return str(self.path)

    def check(self) -> None:
        """Raise if the database cannot be written.

        Raises:
            LabError: there is no such folder, or the file is no database.
        """
        try:
            with self._open() as database:
                database.execute("SELECT 1")
        except (sqlite3.Error, OSError) as error:
            raise LabError(f"the database cannot be written: {error}", where=str(self.path)) from error

    def start(self, run: RunFacts, known: str | None) -> str:
        """Go on with the run of an earlier start, if the database has it, or begin one."""
        with self._open() as database:
            if known and database.execute("SELECT 1 FROM runs WHERE id = ?", [known]).fetchone():
                database.execute("UPDATE runs SET status = 'running', error = NULL, ended = NULL WHERE id = ?", [known])
                self.run = known
                return known
            self.run = uuid.uuid4().hex
            row = [self.run, run.study, run.arm, run.seed, run.key, "running", None, time.time(), None]
            database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            parameters = [(self.run, name, json.dumps(value, default=str)) for name, value in run.parameters.items()]
            database.executemany("INSERT INTO parameters VALUES (?, ?, ?)", parameters)
        return self.run

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of an epoch; one that is sent again replaces the earlier one."""
        with self._open() as database:
            self._write(database, epoch, metrics)

    def finish(
        self,
        status: str,
        metrics: Mapping[str, float],
        files: Mapping[str, Path],
        *,
        error: str = "",
        ended: float | None = None,
    ) -> None:
        """Write how the run ended, its final metrics, and where its files are."""
        with self._open() as database:
            self._write(database, FINAL, metrics)
            rows = [(self.run, name, str(path)) for name, path in files.items()]
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
            outcome = [status, error or None, ended or time.time(), self.run]
            database.execute("UPDATE runs SET status = ?, error = ?, ended = ? WHERE id = ?", outcome)

    def _write(self, database: sqlite3.Connection, epoch: int, metrics: Mapping[str, float]) -> None:
        rows = [
            (self.run, epoch, name, float(value) if math.isfinite(value) else None) for name, value in metrics.items()
        ]
        database.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the database for one transaction; a connection that stays open would not survive a fork."""
        with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database:
            database.executescript(TABLES)
            with database:
                yield database
