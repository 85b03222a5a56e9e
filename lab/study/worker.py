"""A worker process: gets runs as lines of JSON, trains them, and tells of it in lines of JSON.

    python -m lab.study.worker

The first line says where the store is and which plugins are off; each further line is a run, or asks to stop. Whatever
components print goes to stderr, so that it cannot be taken for an answer. At the end of its input a worker saves what
it is training and ends, so that no worker outlives its study.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import attrs

from lab.errors import LabError, StoreError
from lab.registry.plugins import load_catalog
from lab.study.build import DataCache
from lab.study.rebuild import rebuild_exactly
from lab.study.run import Run, RunProgress
from lab.study.store import RunRecord, Store

__all__ = ["main"]


class Reporter:
    """A listener that writes what it hears as lines of JSON."""

    def __init__(self, output: TextIO) -> None:
        self.output = output

    def say(self, event: str, key: str, **content: Any) -> None:
        """Write one line."""
        print(json.dumps({"event": event, "key": key, **content}), file=self.output, flush=True)

    def run_started(self, run: Run) -> None:
        """The run begins."""
        self.say("started", run.key)

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Some steps were done."""
        self.say("advanced", run.key, progress=attrs.asdict(progress))

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """The run has ended."""
        self.say("finished", run.key)


def main() -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    reporter = Reporter(_take_stdout())
    settings = json.loads(sys.stdin.readline())
    store, catalog = Store(Path(settings["root"])), load_catalog(without=settings["without"], complain=_heard)
    stop, cache = threading.Event(), DataCache()
    for job in _jobs(stop):
        key = job["run"]["key"]
        try:
            rebuild_exactly(job["run"], store, catalog, cache=cache).execute(reporter, stop, fresh=job["fresh"])
            reporter.say("done", key)
        except BrokenPipeError:  # nobody is left to answer; the run is saved
            return
        except KeyboardInterrupt:
            reporter.say("interrupted", key)
        except LabError as error:
            reporter.say("refused", key, text=str(error), fatal=isinstance(error, StoreError))
        except Exception as error:
            reporter.say("refused", key, text=f"{type(error).__name__}: {error}", fatal=False)


def _heard(message: str) -> None:
    """What is wrong with a plugin was told when the study began."""


def _take_stdout() -> TextIO:
    """The real stdout for answers; from now on, what is printed goes to stderr."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


def _jobs(stop: threading.Event) -> Iterator[dict[str, Any]]:
    """Runs as they come; a thread reads, so that a request to stop is heard while a run trains."""
    lines: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            content = json.loads(line)
            if content.get("stop"):
                stop.set()
            else:
                lines.put(content)
        stop.set()
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (job := lines.get()) is not None:
        yield job


if __name__ == "__main__":
    main()
