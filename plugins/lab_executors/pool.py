"""Process pool: persistent workers that share the cores."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from lab.errors import ParameterError, RunFailed, StoreError
from lab.study.interrupt import signals_held
from lab.study.run import Listener, Run, RunProgress
from lab.study.store import RunRecord

__all__ = ["ProcessPool"]

MAX_ATTEMPTS = 2
POLL_INTERVAL_S = 0.2


class Worker:
    """One worker process and its current run."""

    def __init__(self, run: Run, threads: int, answers: queue.Queue[tuple[Worker, dict[str, Any] | None]]) -> None:
        self.run: Run | None = None
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        # -P keeps the working folder out of sys.path: a study's json.py must not replace Python's in a worker
        command = ["-P", "-m", "lab_executors.worker", str(os.getpid())]
        # a Ctrl-C before the worker has set its handlers would kill it in its imports, with a traceback
        with signals_held():
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                text=True,
                encoding="utf-8",
            )
        self._answers = answers
        self.send({"root": os.path.abspath(run.store.root), "without": run.catalog.switched_off})
        # a thread per worker: select on pipes does not exist on Windows, and a blocking read must not stop the
        # scheduler
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, content: dict[str, Any]) -> None:
        """Write one line; the death of a worker shows on its other pipe, so errors are ignored here."""
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(content) + "\n")
            self.process.stdin.flush()

    def start(self, run: Run, *, fresh: bool) -> None:
        """Start a run in this worker."""
        self.run = run
        self.send({"run": run.record(), "fresh": fresh})

    def close(self, *, now: bool) -> None:
        """End the worker after its run, or at once if ``now``."""
        assert self.process.stdin is not None
        if now:
            self.process.kill()
        with suppress(OSError):
            self.process.stdin.close()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        # a killed worker leaves half a line, which is not JSON
        with self.process.stdout as lines, suppress(ValueError):
            for line in lines:
                self._answers.put((self, json.loads(line)))
        self._answers.put((self, None))


class ProcessPool:
    """Executor that trains several runs at once, each in its own worker process.

    Workers live as long as the study, so that torch is imported and data is read once per worker. A worker that is
    killed, for example by the out-of-memory killer, is replaced; its run resumes from its checkpoint once.

    Args:
        workers: number of processes.
        threads: threads per worker; None divides the cores among the workers.
    """

    def __init__(self, *, workers: int = 2, threads: int | None = None) -> None:
        if workers < 1:
            raise ParameterError(f"workers must be at least 1, not {workers}", where="executor 'processes'")
        self.workers = workers
        self.threads = threads or max(1, (os.cpu_count() or 1) // workers)

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]:
        """Keep every worker busy until no run waits, and yield each run as it ends.

        Raises:
            KeyboardInterrupt: ``stop`` was set, and every worker has saved its run.
            StoreError: the store cannot be written.
        """
        scheduler = _Scheduler(runs, listener, self.threads, fresh=fresh)
        try:
            scheduler.start_workers(min(self.workers, len(runs)))
            while scheduler.busy:
                if stop.is_set():
                    scheduler.ask_to_stop()
                yield from scheduler.poll()
            if stop.is_set():
                raise KeyboardInterrupt
        except BaseException:
            # also for GeneratorExit: a caller that stops iterating must not leave workers behind
            scheduler.close(now=True)
            raise
        scheduler.close(now=False)


class _Scheduler:
    """Workers, waiting runs and attempts of one ``submit``."""

    def __init__(self, runs: Sequence[Run], listener: Listener, threads: int, *, fresh: bool) -> None:
        self.waiting, self.listener, self.threads, self.fresh = deque(runs), listener, threads, fresh
        self.workers: list[Worker] = []
        self.answers: queue.Queue[tuple[Worker, dict[str, Any] | None]] = queue.Queue()
        self.attempts: Counter[str] = Counter()
        self.begun: set[str] = set()
        self.stopping = False

    @property
    def busy(self) -> bool:
        """True while a worker has a run."""
        return any(worker.run is not None for worker in self.workers)

    def start_workers(self, count: int) -> None:
        """Start workers, each with a run."""
        for _ in range(count):
            worker = Worker(self.waiting[0], self.threads, self.answers)
            self.workers.append(worker)
            self._next(worker)

    def poll(self) -> Iterator[tuple[Run, RunRecord]]:
        """Handle one message, if one arrives in time, and yield the run that it ends."""
        try:
            # with a timeout, so that a stop request is noticed although no worker sends anything
            worker, answer = self.answers.get(timeout=POLL_INTERVAL_S)
        except queue.Empty:
            return
        run = worker.run
        if run is None:
            return
        if answer is None:
            yield from self._replace(worker, run)
        elif answer["event"] == "started":
            self.begun.add(run.key)
            self.listener.run_started(run)
        elif answer["event"] == "advanced":
            self.listener.run_advanced(run, RunProgress(**answer["progress"]))
        elif answer["event"] == "waits":
            # optional in the listener's protocol, which had no such event at first
            getattr(self.listener, "run_waits", lambda run: None)(run)
        elif answer["event"] == "finished":
            self.listener.run_finished(run, run.store.record(run.key))
        else:
            yield from self._end(worker, run, answer)

    def ask_to_stop(self) -> None:
        """Ask every worker, once, to save its run and stop."""
        if not self.stopping:
            self.stopping = True
            self.waiting.clear()
            for worker in self.workers:
                worker.send({"stop": True})

    def close(self, *, now: bool) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.close(now=now)

    def _next(self, worker: Worker) -> None:
        worker.run = None
        if self.waiting:
            run = self.waiting.popleft()
            self.attempts[run.key] += 1
            worker.start(run, fresh=self._is_fresh(run))

    def _is_fresh(self, run: Run) -> bool:
        """Return whether ``fresh`` still applies to a run: a retry after a kill resumes its own checkpoint."""
        return self.fresh and run.key not in self.begun

    def _end(self, worker: Worker, run: Run, answer: dict[str, Any]) -> Iterator[tuple[Run, RunRecord]]:
        if answer["event"] == "refused":
            if answer["fatal"]:
                raise StoreError(answer["text"])
            self._fail(run, RunFailed(answer["text"]))
        self._next(worker)
        if answer["event"] != "interrupted":
            yield run, run.store.record(run.key)

    def _replace(self, worker: Worker, run: Run) -> Iterator[tuple[Run, RunRecord]]:
        code = worker.process.wait()
        self.workers.remove(worker)
        if self.stopping:
            return
        if self.attempts[run.key] < MAX_ATTEMPTS:
            # once more: the out-of-memory killer may have picked this worker for the memory of another
            self.waiting.appendleft(run)
        else:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self._fail(run, RunFailed(f"its worker process {how}", hint="too little memory? fewer --workers"))
        if self.waiting:
            self.start_workers(1)
        if run not in self.waiting and all(other.run is not run for other in self.workers):
            yield run, run.store.record(run.key)

    def _fail(self, run: Run, error: RunFailed) -> None:
        self.listener.run_finished(run, run.fail(error, fresh=self._is_fresh(run)))
