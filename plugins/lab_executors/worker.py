"""Worker process: reads runs as lines of JSON, trains them, and reports in lines of JSON.

    python -P -m lab_executors.worker PARENT

The first line names the store and the disabled plugins; each further line is a run or a stop request. Output of
components goes to stderr, so that it cannot be mistaken for a message.

No worker outlives its study: at the end of its input, or once its parent is gone, a worker saves what it is training
and ends, and it ends in any case after some seconds, in whatever import or step it is. Its parent is watched from the
first moment, so heavy imports come later.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from lab.collection import own_process
from lab.errors import StoreError, describe_error
from lab.streams import make_robust
from lab.study.interrupt import ignore_signals

if TYPE_CHECKING:
    from lab.study.run import Run, RunProgress
    from lab.study.store import RunRecord

__all__ = ["main"]

WATCH_EVERY_S = 0.5
IDLE_GRACE_S = 2.0
"""Seconds that an orphan without a run has to end by itself."""
SAVE_GRACE_S = 10.0
"""Seconds that an orphan has to reach the end of its step and to save."""


class Reporter:
    """Listener that writes events as lines of JSON."""

    def __init__(self, output: TextIO, jobs: Jobs) -> None:
        self.output, self.jobs = output, jobs

    def send(self, event: str, key: str, **content: Any) -> None:
        """Write one line; if the pipe is closed, save the run and end."""
        try:
            print(json.dumps({"event": event, "key": key, **content}), file=self.output, flush=True)
        except (OSError, ValueError):
            self.jobs.end()

    def run_started(self, run: Run) -> None:
        """Report that the run begins."""
        self.send("started", run.key)

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Report progress."""
        import attrs

        self.send("advanced", run.key, progress=attrs.asdict(progress))

    def run_waits(self, run: Run) -> None:
        """Report that another process trains the run."""
        self.send("waits", run.key)

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Report that the run has ended."""
        self.send("finished", run.key)


class Jobs:
    """Requests of the parent; threads read its lines and watch it while a run trains."""

    def __init__(self, parent: int) -> None:
        self.stop, self.is_training = threading.Event(), False
        self._parent, self._ending = parent, threading.Event()
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        for task in (self._read, self._watch):
            threading.Thread(target=task, daemon=True).start()

    def next(self) -> dict[str, Any] | None:
        """Return the next line, or None at the end of the input."""
        self.is_training = False
        line = self._lines.get()
        self.is_training = line is not None
        return line

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (job := self.next()) is not None:
            yield job

    def end(self) -> None:
        """Save and end: the input has ended, or the parent is gone."""
        self.stop.set()
        self._lines.put(None)
        self._ending.set()

    def _read(self) -> None:
        for line in sys.stdin:
            content = json.loads(line)
            if content.get("stop"):
                self.stop.set()
            else:
                self._lines.put(content)
        self.end()

    def _watch(self) -> None:
        while not self._ending.wait(WATCH_EVERY_S):
            # an orphan is adopted by init: a killed parent closes no pipe that a component's own child processes
            # inherited
            if _is_orphan(self._parent):
                self.end()
        started = time.monotonic()
        while time.monotonic() - started < (SAVE_GRACE_S if self.is_training else IDLE_GRACE_S):
            time.sleep(0.1)
        # os._exit: the main thread may hang in an import or a CUDA call, which no exception reaches
        os._exit(1)


def _is_orphan(parent: int) -> bool:
    if os.name == "posix":
        return os.getppid() != parent
    # Windows keeps the number of a parent that has ended
    import psutil

    return not psutil.pid_exists(parent)


def main() -> None:
    """Execute runs until the input ends."""
    ignore_signals()
    make_robust()
    own_process()
    output = _take_stdout()
    jobs = Jobs(int(sys.argv[1]))
    settings = jobs.next()
    if settings is not None:
        jobs.is_training = False
        _work(settings, jobs, Reporter(output, jobs))


def _work(settings: dict[str, Any], jobs: Jobs, reporter: Reporter) -> None:
    from pathlib import Path

    from lab.registry.plugins import load_catalog
    from lab.study.build import DataCache
    from lab.study.folder import keeps_working_folder
    from lab.study.rebuild import rebuild_exactly
    from lab.study.store import Store

    store, catalog = Store(Path(settings["root"])), load_catalog(without=settings["without"], warn=_ignore)
    cache = DataCache(silent=True)
    for job in jobs:
        key = job["run"]["key"]
        try:
            if jobs.stop.is_set():
                raise KeyboardInterrupt
            with keeps_working_folder():
                # the key is compared: a study file edited since the plan would train under the wrong one
                run = rebuild_exactly(job["run"], store, catalog, cache=cache)
            run.execute(reporter, jobs.stop, fresh=job["fresh"])
            reporter.send("done", key)
        except KeyboardInterrupt:
            reporter.send("interrupted", key)
        except BaseException as error:
            reporter.send("refused", key, text=describe_error(error), fatal=isinstance(error, StoreError))


def _ignore(message: str) -> None:
    """Ignore a warning about a plugin: the process that began the study has shown it."""


def _take_stdout() -> TextIO:
    """Return the real stdout for messages and redirect fd 1 to stderr, also for output of C libraries."""
    sys.stdout.flush()
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


if __name__ == "__main__":
    main()
