"""Executor with a process for each run."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from lab.errors import ParameterError, RunFailed
from lab.study.interrupt import signals_held
from lab.study.run import RunProgress

__all__ = ["Apart"]

POLL_S = 0.2
"""Seconds after which a stop is noticed although no child says anything."""

Message = tuple["Child", dict[str, Any] | None]
"""A child and what it says; None once it has ended."""


class Child:
    """Process that trains one run and ends."""

    def __init__(self, run: Any, messages: queue.Queue[Message], *, fresh: bool) -> None:
        self.run, self.messages, self.error = run, messages, ""
        # -P: a file beside the study, called like a module of Python, is not imported in its place
        command = [sys.executable, "-P", "-m", "lab_apart.child"]
        # a Ctrl-C before the child ignores it would end it with a traceback
        with signals_held():
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                text=True,
                encoding="utf-8",
            )
        root = os.path.abspath(run.store.root)
        self.send({"run": run.record(), "root": root, "without": run.catalog.switched_off, "fresh": fresh})
        # a thread per child, since reading from one may not stop the others
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, content: dict[str, Any]) -> None:
        """Write one line; a child that has died says so on its other pipe."""
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(content) + "\n")
            self.process.stdin.flush()

    def failure(self) -> RunFailed:
        """Return why there is no result, of a child that has ended."""
        code = self.process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return RunFailed(self.error or f"its process {how}")

    def close(self) -> None:
        """End the child, whatever it does."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        # a process that was killed leaves half a line, which is not JSON
        with self.process.stdout as lines, suppress(ValueError):
            for line in lines:
                self.messages.put((self, json.loads(line)))
        self.messages.put((self, None))


class Apart:
    """Executor that trains each run in a process of its own, so that memory which one leaves behind ends with it.

    A run whose process dies is recorded as failed, and the others go on.

    Args:
        at_once: number of processes that train at the same time, each with one thread.
    """

    def __init__(self, *, at_once: int = 2) -> None:
        if at_once < 1:
            raise ParameterError(f"at_once must be at least 1, not {at_once}", where="executor 'apart'")
        self.at_once = at_once

    def submit(
        self, runs: Sequence[Any], listener: Any, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Any, Any]]:
        """Yield each run with its record when its process has ended.

        Raises:
            KeyboardInterrupt: ``stop`` was set, and every process has saved its run.
        """
        waiting, children = deque(runs), set[Child]()
        messages: queue.Queue[Message] = queue.Queue()
        is_stopping = False
        try:
            while children or (waiting and not stop.is_set()):
                while waiting and len(children) < self.at_once and not stop.is_set():
                    children.add(Child(waiting.popleft(), messages, fresh=fresh))
                if stop.is_set() and not is_stopping:
                    is_stopping = True
                    for child in children:
                        child.send({"stop": True})
                ended = self._hear(messages, listener)
                if ended is None:
                    continue
                children.remove(ended)
                ended.process.wait()
                ended.close()
                # one that was asked to stop has saved its state, and the next lab run goes on from there
                if not is_stopping:
                    yield ended.run, self._record(ended, listener, fresh=fresh)
            if stop.is_set():
                raise KeyboardInterrupt
        finally:
            # also if the caller stops iterating: no process outlives its study
            for child in children:
                child.close()

    def _hear(self, messages: queue.Queue[Message], listener: Any) -> Child | None:
        """Handle one message, if one arrives in time, and return its child if that has ended."""
        try:
            child, said = messages.get(timeout=POLL_S)
        except queue.Empty:
            return None
        if said is None:
            return child
        if "progress" in said:
            listener.run_advanced(child.run, RunProgress(**said["progress"]))
        elif "error" in said:
            child.error = said["error"]
        else:
            listener.run_started(child.run)
        return None

    def _record(self, child: Child, listener: Any, *, fresh: bool) -> Any:
        """Return the record that a child has left; without one, its run has failed."""
        record = child.run.store.record(child.run.key)
        is_over = child.process.returncode == 0 and record.status in ("finished", "failed")
        if not is_over:
            record = child.run.fail(child.failure(), fresh=fresh)
        listener.run_finished(child.run, record)
        return record
