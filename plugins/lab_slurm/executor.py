"""The driver's side: each run is a job, and its news are read from a file."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lab.errors import LabError, ParameterError, RunFailed
from lab.files import write_json
from lab.study.run import Listener, Run, RunProgress
from lab.study.store import RunRecord
from lab_slurm.job import JOB, NEWS, STOP, Training

__all__ = ["Slurm"]

ATTEMPTS = 2
POLL_S = 0.5
SHUTDOWN_TIMEOUT_S = 10.0
SIGNAL_S = 90
"""How long before the end of its time a job is told."""

LATE_NEWS_S = {"slurm": 15.0, "local": 0.0}
"""How long after a job's end its last lines may still be under way through a shared file system."""


class Slurm:
    """Each run a job of SLURM, by submitit; for clusters whose nodes see the folder of runs and the same Python.

    A job whose time is over, or that is preempted, saves its run and is queued again. One that is killed costs the
    steps since the last checkpoint: its run is submitted once more, and then counts as failed.

    Submitit keeps the name of a function and of a folder in a pickle in ``runs/.store/.slurm-…``, which nobody else may
    read; the folder is removed when all went well.

    Args:
        workers: how many jobs at once; None for one per run.
        threads: CPUs of a job, and the threads that it uses.
        gpus: GPUs of a job; None for one where runs train on a GPU.
        timeout_min: minutes until a job is queued again.
        memory_gb: memory of a job; None for the cluster's default.
        partition: where jobs are queued; None for the cluster's default.
        options: further options of sbatch by their long names, such as ``{"account": "physics"}``.
        max_timeouts: how often a job may be queued again because its time was over.
        cluster: ``"local"`` runs jobs on this machine, all at once, to try things out.
    """

    elsewhere = True

    def __init__(
        self,
        *,
        workers: int | None = None,
        threads: int | None = None,
        gpus: int | None = None,
        timeout_min: int = 240,
        memory_gb: float | None = None,
        partition: str | None = None,
        options: dict[str, Any] | None = None,
        max_timeouts: int = 20,
        cluster: Literal["slurm", "local"] = "slurm",
    ) -> None:
        if find_spec("submitit") is None:
            raise LabError("submitit is not installed", where="executor 'slurm'", hint="pip install 'lab[slurm]'")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise LabError(
                "this machine has no SLURM: there is no command sbatch",
                where="executor 'slurm'",
                hint="give the command on a login node of the cluster",
            )
        if workers is not None and workers < 1:
            raise ParameterError(f"workers must be at least 1, not {workers}", where="executor 'slurm'")
        self.workers, self.threads, self.gpus, self.cluster = workers, threads or 1, gpus, cluster
        self.timeout_min, self.memory_gb, self.partition = timeout_min, memory_gb, partition
        self.options, self.max_timeouts = options or {}, max_timeouts

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]:
        """Submit every run and follow its news.

        Raises:
            KeyboardInterrupt: ``stop`` was set; running jobs have saved their runs, waiting ones were cancelled.
            LabError: a node has other code, packages or data.
        """
        if stop.is_set():
            raise KeyboardInterrupt
        if not runs:
            return
        folder = runs[0].store.folder.absolute() / f".slurm-{uuid.uuid4().hex[:12]}"
        folder.mkdir(mode=0o700)
        queue = _Queue(self, folder, runs, listener, stop, fresh=fresh)
        try:
            yield from queue.follow()
        finally:
            queue.close()

    def queue(self, folder: Path, on_gpu: bool) -> Any:
        """Submitit's executor with these needs."""
        import submitit

        gpus = self.gpus if self.gpus is not None else int(on_gpu)
        again = {"slurm_max_num_timeout": self.max_timeouts} if self.cluster == "slurm" else {}
        executor = submitit.AutoExecutor(folder, cluster=self.cluster, **again)
        settings = {
            "name": "lab",
            "timeout_min": self.timeout_min,
            "nodes": 1,
            "tasks_per_node": 1,
            "cpus_per_task": self.threads,
            "gpus_per_node": gpus or None,
            "mem_gb": self.memory_gb,
            "slurm_signal_delay_s": SIGNAL_S,
            "slurm_partition": self.partition,
            "slurm_additional_parameters": self.options or None,
        }
        executor.update_parameters(**settings)  # None: not asked for
        return executor


class _Job:
    """One job, and how far its news were read."""

    def __init__(self, run: Run, folder: Path, job: Any, late_s: float) -> None:
        self.run, self.folder, self.job, self.late_s = run, folder, job, late_s
        self.is_here = False
        self._read = 0
        self._done_at: float | None = None

    def news(self) -> Iterator[Mapping[str, Any]]:
        """Whole lines that were not read yet."""
        try:
            with (self.folder / NEWS).open("rb") as file:
                file.seek(self._read)
                lines = file.read()
        except FileNotFoundError:
            return
        for line in lines[: lines.rfind(b"\n") + 1].splitlines(keepends=True):
            self._read += len(line)
            yield json.loads(line)

    def is_lost(self) -> bool:
        """Whether it is over for so long that nothing more can be heard of it."""
        if not self.job.done():
            return False
        self._done_at = self._done_at or time.monotonic()
        return time.monotonic() - self._done_at >= self.late_s

    def wait(self, timeout_s: float) -> None:
        """Until it is over."""
        deadline = time.monotonic() + timeout_s
        while not self.job.done() and time.monotonic() < deadline:
            time.sleep(POLL_S / 10)


class _Queue:
    """The jobs of one ``submit``, the runs that wait, and the runs that were tried."""

    def __init__(
        self,
        settings: Slurm,
        folder: Path,
        runs: Sequence[Run],
        listener: Listener,
        stop: threading.Event,
        *,
        fresh: bool,
    ) -> None:
        self.settings, self.folder, self.listener, self.stop, self.fresh = settings, folder, listener, stop, fresh
        self.executor = settings.queue(folder / "submitit", any(run.device.startswith("cuda") for run in runs))
        self.waiting = deque(runs)
        self.most = settings.workers or len(runs)
        self.jobs: list[_Job] = []
        self.attempts: Counter[str] = Counter()
        self.refusal: LabError | None = None
        self.keeps_logs = self.stopping = False

    def follow(self) -> Iterator[tuple[Run, RunRecord]]:
        """Until every run has ended, or every job has stopped."""
        while self.waiting or self.jobs:
            if self.stop.is_set() or self.refusal is not None:
                self._stop()
            while self.waiting and len(self.jobs) < self.most:
                self._submit(self.waiting.popleft())
            heard = False
            for job in list(self.jobs):
                lost = job.is_lost()  # asked before the news are read, so that none can come in between
                for message in job.news():
                    heard = True
                    yield from self._take(job, message)
                if lost and job in self.jobs:
                    yield from self._on_job_death(job)
            if not heard:
                time.sleep(POLL_S / 5 if self.settings.cluster == "local" else POLL_S)
        if self.refusal is not None:
            raise self.refusal
        if self.stop.is_set():
            raise KeyboardInterrupt

    def close(self) -> None:
        """Cancel what still runs, and clear up."""
        for job in list(self.jobs):
            self._cancel(job)
        if not self.keeps_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _submit(self, run: Run) -> None:
        self.attempts[run.key] += 1
        attempt = self.attempts[run.key]
        if self.fresh and attempt == 1:  # here, so that a job that is lost or called again begins no second time
            run.store.remove(run.key)
        folder = self.folder / f"{run.key}-{attempt}"
        folder.mkdir()
        content = {
            "run": {**run.record(), "device": run.device.partition(":")[0]},
            "file": str(Path(run.file).absolute()) if run.file else "",
            "root": str(run.store.root.absolute()),
            "without": run.catalog.switched_off,
            "threads": self.settings.threads,
            "fresh": False,
        }
        write_json(folder / JOB, content)
        job = self.executor.submit(Training(), str(folder))
        self.jobs.append(_Job(run, folder, job, LATE_NEWS_S[self.settings.cluster]))

    def _stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            (self.folder / STOP).touch()
            self.waiting.clear()
            for job in [job for job in self.jobs if not job.is_here]:
                self._cancel(job)

    def _cancel(self, job: _Job) -> None:
        """End it; what it has not saved is lost."""
        self.jobs.remove(job)
        job.job.cancel(check=False)
        job.wait(SHUTDOWN_TIMEOUT_S if self.settings.cluster == "local" else 0.0)

    def _take(self, job: _Job, message: Mapping[str, Any]) -> Iterator[tuple[Run, RunRecord]]:
        if message["event"] == "here":
            job.is_here = True
        elif message["event"] == "started":
            self.listener.run_started(job.run)
        elif message["event"] == "advanced":
            self.listener.run_advanced(job.run, RunProgress(**message["progress"]))
        else:
            yield from self._end(job, message)

    def _end(self, job: _Job, message: Mapping[str, Any]) -> Iterator[tuple[Run, RunRecord]]:
        job.wait(SHUTDOWN_TIMEOUT_S if self.settings.cluster == "local" else 0.0)
        self.jobs.remove(job)
        if message["how"] == "refused":
            self.refusal = LabError(
                f"job {job.job.job_id} cannot make run {job.run.key} ({job.run.arm}, seed {job.run.seed})",
                where=message["text"],
                hint="every node needs the same lab, plugins, torch and data as this machine",
            )
        elif message["how"] == "done":
            record = job.run.store.record(job.run.key)
            self.listener.run_finished(job.run, record)
            yield job.run, record

    def _on_job_death(self, job: _Job) -> Iterator[tuple[Run, RunRecord]]:
        """A job is gone: its run is submitted again, or has failed."""
        self.jobs.remove(job)
        if self.stopping:
            return
        if self.attempts[job.run.key] < ATTEMPTS:
            self.waiting.appendleft(job.run)
            return
        self.keeps_logs = True
        failure = RunFailed(
            f"its job {job.job.job_id} ended with the state {job.job.state}, at the second attempt too",
            where=f"what it printed: {job.job.paths.stderr}",
            hint="too little memory? give it more: memory_gb",
        )
        record = job.run.fail(failure)
        self.listener.run_finished(job.run, record)
        yield job.run, record
