"""Driver side of the Ray executor: assigns runs to workers and receives their files into the store."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab.errors import LabError, ParameterError, RunFailed
from lab.study.run import Listener, Run, RunProgress, refuse_full_disk
from lab.study.store import RunRecord
from lab_ray.cluster import connected, refuse_without_ray, room, worker_options
from lab_ray.files import Inbox, Message, Outbox, in_batches, newest_checkpoint
from lab_ray.sources import sources_of
from lab_ray.worker import Trainer

__all__ = ["RayCluster"]

ATTEMPTS = 2
POLL_INTERVAL_S = 0.2
SHUTDOWN_TIMEOUT_S = 5.0


class RayCluster:
    """Train runs in parallel on the nodes of a Ray cluster.

    A worker is a Ray actor, not one task per run: it lives as long as the study, so that torch is imported and data is
    read once, a GPU keeps its context, and checkpoints can be fetched while it trains. It works in a temporary folder
    on its node; the files of a run are sent to the store, its newest checkpoint while it trains. If a worker or node
    dies, the steps since then are lost; the run is continued on another worker once, and then counts as failed.

    The packages that supply a run's components must be the same on every node: their source is part of the run's key,
    and a node that computes another key refuses the run. The study file and the modules next to it are sent.

    Args:
        address: address of the cluster: ``"auto"``, ``"host:6379"`` or ``"ray://host:10001"``. None uses the existing
            connection of this process, or the variable RAY_ADDRESS, or starts Ray on this machine for the study.
        workers: number of runs in parallel; None for as many as the cluster has room for at the start.
        threads: threads per worker; None for one, or for ``cpus`` if given.
        cpus: CPUs that a worker requests from Ray; None for one per thread.
        gpus: GPUs that a worker requests from Ray, may be fractional; None for one if runs train on a GPU.
        checkpoint_every_s: minimum number of seconds between checkpoints that are sent to the store.
    """

    elsewhere = True

    def __init__(
        self,
        *,
        address: str | None = None,
        workers: int | None = None,
        threads: int | None = None,
        cpus: float | None = None,
        gpus: float | None = None,
        checkpoint_every_s: float = 10.0,
    ) -> None:
        refuse_without_ray()
        if workers is not None and workers < 1:
            raise ParameterError(f"workers must be at least 1, not {workers}", where="executor 'ray'")
        if cpus is not None and cpus <= 0:
            raise ParameterError(f"cpus must be more than 0, not {cpus}", where="executor 'ray'")
        self.address, self.workers, self.gpus = address, workers, gpus
        self.threads = threads or max(1, int(cpus or 1))
        self.cpus = self.threads if cpus is None else cpus
        self.checkpoint_every_s = checkpoint_every_s

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]:
        """Assign a run to every worker, and the next one when it has finished.

        Raises:
            KeyboardInterrupt: ``stop`` was set, and every worker has saved its run.
            LabError: the cluster cannot be reached or has no room, or a node has other code, packages or data.
            StoreError: the store cannot be written.
        """
        if stop.is_set():
            raise KeyboardInterrupt
        if not runs:
            return
        # As a float: Ray accepts fractions of a GPU.
        gpus = self.gpus if self.gpus is not None else float(any(run.device.startswith("cuda") for run in runs))
        with connected(self.address) as ray:
            cluster = _Cluster(ray, worker_options(self.cpus, gpus, self.threads), self._settings(runs[0]))
            scheduler = _Scheduler(cluster, runs, listener, stop, fresh=fresh)
            try:
                yield from scheduler.work(self.workers)
            finally:
                scheduler.close()

    def _settings(self, run: Run) -> dict[str, Any]:
        return {
            "without": run.catalog.switched_off,
            "data": os.environ.get("LAB_DATA"),
            "checkpoint_every_s": self.checkpoint_every_s,
        }


class _Cluster:
    """Ray cluster that starts workers with fixed resources and settings."""

    def __init__(self, ray: Any, options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.ray, self.options, self.settings = ray, options, settings
        self._trainer = ray.remote(**options)(Trainer)

    def start_worker(self) -> _Worker:
        """Start a worker, which may have to wait for room."""
        return _Worker(self, self._trainer.remote(self.settings))

    def check_room(self) -> int:
        """Return the number of workers that the cluster has room for.

        Raises:
            LabError: there is no room for one.
        """
        cpus, gpus = self.options["num_cpus"], self.options["num_gpus"]
        count = room(self.ray, cpus, gpus)
        if not count:
            raise LabError(
                f"no node of the Ray cluster has {cpus:g} CPU{f' and {gpus:g} GPU' if gpus else ''} for a worker",
                where="executor 'ray'",
                hint="request less (threads, cpus, gpus), or add a node: ray start --address HOST:PORT",
            )
        return count


Conversation = Generator[Any, Any, Message]
"""Sequence of remote calls: yields Ray's references, receives their results, returns the last message."""


class _Worker:
    """Actor with its pending remote call and the run that it trains."""

    def __init__(self, cluster: _Cluster, actor: Any) -> None:
        self.cluster, self.actor = cluster, actor
        self.name = ""
        self.run: Run | None = None
        self.pending: Any = actor.hello.remote()
        # A generator, so that the protocol of a run reads in order although every call is asynchronous.
        self._conversation: Conversation | None = None
        self._lock = ExitStack()

    @property
    def is_free(self) -> bool:
        """Return True if the worker has started and has no run."""
        return self.pending is None

    def begin(self, run: Run, listener: Listener, stopping: threading.Event, *, fresh: bool) -> None:
        """Start a run, which is locked in the store against other processes."""
        # Another lab run in the same store may have the same run.
        self._lock.enter_context(run.store.lock(run.key))
        self.run, self._conversation = run, self._train(run, listener, stopping, fresh=fresh)
        self._call(None)

    def poll(self, answer: Any) -> Message | None:
        """Process a result and make the next call; return the last message of the run when it has ended."""
        self.pending = None
        if self._conversation is None:
            self.name = f"worker {answer['pid']} on node {answer['node']}"
            return None
        try:
            self._call(answer)
        except StopIteration as stopped:
            return stopped.value  # type: ignore[no-any-return]
        return None

    def release(self) -> None:
        """End the run and unlock it."""
        if self._conversation is not None:
            self._conversation.close()
        self.run = self._conversation = None
        self._lock.close()

    def dismiss(self) -> Any:
        """Ask the actor to clean up, and return the reference to wait for."""
        self.release()
        return self.actor.close.remote()

    def kill(self) -> None:
        """End the actor, whatever it is doing."""
        self.release()
        self.cluster.ray.kill(self.actor)

    def _call(self, answer: Any) -> None:
        assert self._conversation is not None
        try:
            self.pending = self._conversation.send(answer)
        except OSError as error:
            if self.run is not None:
                refuse_full_disk(error, self.run.store.root)
            raise

    def _train(self, run: Run, listener: Listener, stopping: threading.Event, *, fresh: bool) -> Conversation:
        folder = run.store.begin(run.key, run.record(), {}, fresh=fresh)
        # A run that was interrupted, or whose worker died, continues on the node from the checkpoint in the store.
        if newest_checkpoint(folder) is not None:
            for batch in in_batches(Outbox(folder).shipment()):
                yield self.actor.receive.remote(run.key, batch)
        yield self.actor.train.remote(_job(run))
        inbox = Inbox(folder)
        try:
            while True:
                messages: list[Message] = yield self.actor.poll.remote(stopping.is_set())
                for message in messages:
                    if message["event"] == "ended":
                        return message
                    if message["event"] == "started":
                        listener.run_started(run)
                    elif message["event"] == "advanced":
                        listener.run_advanced(run, RunProgress(**message["progress"]))
                    else:
                        inbox.take(message)
        finally:
            inbox.close()


class _Scheduler:
    """Scheduler of one ``submit``: its workers, waiting runs, and attempts per run."""

    def __init__(
        self, cluster: _Cluster, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> None:
        self.cluster, self.waiting, self.listener, self.stop, self.fresh = cluster, deque(runs), listener, stop, fresh
        self.workers: list[_Worker] = []
        self.attempts: Counter[str] = Counter()
        self.failed_starts = 0
        self.refusal: LabError | None = None
        self.stopping = threading.Event()

    def work(self, workers: int | None) -> Iterator[tuple[Run, RunRecord]]:
        """Yield runs as they end, until all have ended or every worker has stopped."""
        count = self.cluster.check_room()
        self._start_workers(min(workers or count, len(self.waiting)))
        while self.waiting or any(worker.run is not None for worker in self.workers):
            if self.stop.is_set() or self.refusal is not None:
                self._stop()
            yield from self._assign()
            self._dismiss_idle()
            yield from self._listen()
        if self.refusal is not None:
            raise self.refusal
        if self.stop.is_set():
            raise KeyboardInterrupt

    def close(self) -> None:
        """Shut down every worker, by force after a timeout."""
        closing = [worker.dismiss() for worker in self.workers if worker.is_free]
        if closing:
            self.cluster.ray.wait(closing, num_returns=len(closing), timeout=SHUTDOWN_TIMEOUT_S)
        for worker in self.workers:
            worker.kill()

    def _start_workers(self, count: int) -> None:
        self.workers += [self.cluster.start_worker() for _ in range(count)]

    def _stop(self) -> None:
        self.stopping.set()
        self.waiting.clear()

    def _dismiss_idle(self) -> None:
        """Free the resources of idle workers while the last runs train."""
        # Ray ends an actor when its last handle is gone.
        for worker in [] if self.waiting else [worker for worker in self.workers if worker.run is None]:
            worker.dismiss()
            self.workers.remove(worker)

    # --- runs out -----------------------------------------------------------------------------------------------------

    def _assign(self) -> Iterator[tuple[Run, RunRecord]]:
        """Assign runs to free workers; a run that another process has finished meanwhile is done."""
        for worker in [worker for worker in self.workers if worker.is_free]:
            run = self._next()
            while run is not None and self._is_finished(run):
                yield run, run.store.record(run.key)
                run = self._next()
            if run is not None:
                self.attempts[run.key] += 1
                # The second attempt continues from the checkpoint of the first, also with --fresh.
                is_first = self.attempts[run.key] == 1
                worker.begin(run, self.listener, self.stopping, fresh=self.fresh and is_first)

    def _next(self) -> Run | None:
        for run in list(self.waiting):
            if not run.store.is_busy(run.key):
                self.waiting.remove(run)
                return run
        return None

    def _is_finished(self, run: Run) -> bool:
        return not self.fresh and run.store.record(run.key).status == "finished"

    # --- answers in ---------------------------------------------------------------------------------------------------

    def _listen(self) -> Iterator[tuple[Run, RunRecord]]:
        """Process the results that are available, or that arrive within the poll interval."""
        asked = {worker.pending: worker for worker in self.workers if worker.pending is not None}
        if not asked:
            time.sleep(POLL_INTERVAL_S)
            return
        # Until the first worker has started, the nodes that had room may be gone, and Ray would wait without a word.
        if not any(worker.name for worker in self.workers):
            self.cluster.check_room()
        # With a timeout of 0 Ray returns all that are ready; otherwise it waits until num_returns of them are.
        ready, _ = self.cluster.ray.wait(list(asked), num_returns=len(asked), timeout=0)
        ready = ready or self.cluster.ray.wait(list(asked), num_returns=1, timeout=POLL_INTERVAL_S)[0]
        for reference in ready:
            yield from self._receive(asked[reference], reference)

    def _receive(self, worker: _Worker, reference: Any) -> Iterator[tuple[Run, RunRecord]]:
        try:
            answer = self.cluster.ray.get(reference)
        except self.cluster.ray.exceptions.RayError as error:
            yield from self._on_worker_death(worker, error)
            return
        run, end = worker.run, worker.poll(answer)
        if run is not None and end is not None:
            worker.release()
            yield from self._end(worker, run, end)

    def _end(self, worker: _Worker, run: Run, end: Message) -> Iterator[tuple[Run, RunRecord]]:
        if end["how"] == "refused":
            self.refusal = LabError(
                f"{worker.name} cannot train run {run.key} ({run.arm}, seed {run.seed})",
                where=end["text"],
                hint="every node needs the same lab, plugins, torch and data as this machine",
            )
        elif end["how"] == "done":
            record = run.store.record(run.key)
            self.listener.run_finished(run, record)
            yield run, record

    def _on_worker_death(self, worker: _Worker, error: Exception) -> Iterator[tuple[Run, RunRecord]]:
        """Requeue the run of a dead worker, or fail it at the second attempt, and replace the worker."""
        run = worker.run
        self.workers.remove(worker)
        worker.kill()
        if run is None:
            self._count_failed_start(error)
        elif not self.stopping.is_set() and self.attempts[run.key] < ATTEMPTS:
            self.waiting.appendleft(run)
        elif not self.stopping.is_set():
            yield run, self._fail(run, worker, error)
        if self.waiting:
            self._start_workers(1)

    def _count_failed_start(self, error: Exception) -> None:
        """Raise if a worker cannot start: for missing code at once, for a node that died at the second time."""
        self.failed_starts += 1
        if getattr(error, "actor_init_failed", True) or self.failed_starts >= ATTEMPTS:
            raise LabError(
                "a Ray worker could not start",
                where=_reason(error),
                hint="every node needs the same lab, plugins, torch and data as this machine",
            ) from error

    def _fail(self, run: Run, worker: _Worker, error: Exception) -> RunRecord:
        failure = RunFailed(
            f"the Ray worker died at the second attempt too ({worker.name})",
            where=_reason(error),
            hint="if memory ran out, use fewer workers per node: more cpus for each",
        )
        record = run.fail(failure)
        self.listener.run_finished(run, record)
        return record


def _job(run: Run) -> dict[str, Any]:
    """Return what a node needs to rebuild the run."""
    record = run.record()
    # Without an index: on the node, Ray chooses the GPU.
    return {
        "run": {**record, "device": record["device"].partition(":")[0]},
        "sources": sources_of(run.file),
        "file": Path(run.file).name or "study.py",
    }


def _reason(error: Exception) -> str:
    """Return Ray's reason in one line, without its general advice."""
    lines = [line.strip() for line in str(error).partition("There are some potential root causes")[0].splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)[:400]
