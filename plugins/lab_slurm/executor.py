"""Driver side of the SLURM executor: submits one job per run and reads its messages from a file."""

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
"""Time before its time limit at which a job gets a signal."""

LATE_NEWS_S = {"slurm": 15.0, "local": 0.0}
"""Time after a job's end for which its last lines may be delayed by a shared file system."""


class Slurm:
    """Train each run as a SLURM job, with submitit; the nodes must share the folder of runs and the Python environment.

    A job that times out or is preempted saves its run and is requeued. If it is killed, the steps since the last
    checkpoint are lost; the run is submitted once more, and then counts as failed.

    submitit stores the name of a function and a folder in a pickle in ``runs/.store/.slurm-…``, which only the user can
    read; the folder is removed when all went well.

    Args:
        workers: maximum number of jobs in parallel; None for one per run.
        threads: CPUs and threads per job.
        gpus: GPUs per job; None for one if runs train on a GPU.
        timeout_min: time limit of a job in minutes, after which it is requeued.
        memory_gb: memory per job; None for the cluster's default.
        partition: SLURM partition; None for the cluster's default.
        options: further options of sbatch by their long names, such as ``{"account": "physics"}``.
        max_timeouts: maximum number of times that a job is requeued after a timeout.
        cluster: ``"local"`` runs jobs on this machine, all at once, for tests.
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
            raise LabError(
                "submitit is not installed", where="executor 'slurm'", hint="pip install 'lab-ablation[slurm]'"
            )
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise LabError(
                "SLURM is not available: there is no command sbatch",
                where="executor 'slurm'",
                hint="run the command on a login node of the cluster",
            )
        if workers is not None and workers < 1:
            raise ParameterError(f"workers must be at least 1, not {workers}", where="executor 'slurm'")
        self.workers, self.threads, self.gpus, self.cluster = workers, threads or 1, gpus, cluster
        self.timeout_min, self.memory_gb, self.partition = timeout_min, memory_gb, partition
        self.options, self.max_timeouts = options or {}, max_timeouts

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]:
        """Submit every run and follow its messages.

        Raises:
            KeyboardInterrupt: ``stop`` was set; running jobs have saved their runs, pending ones were cancelled.
            LabError: a node has other code, packages or data.
        """
        if stop.is_set():
            raise KeyboardInterrupt
        if not runs:
            return
        folder = runs[0].store.folder.absolute() / f".slurm-{uuid.uuid4().hex[:12]}"
        # Only for the user: a pickle that others could write would run their code.
        folder.mkdir(mode=0o700)
        queue = _Queue(self, folder, runs, listener, stop, fresh=fresh)
        try:
            yield from queue.follow()
        finally:
            queue.close()

    def queue(self, folder: Path, on_gpu: bool) -> Any:
        """Return submitit's executor with these options."""
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
        # None: not asked for.
        executor.update_parameters(**settings)
        return executor


class _Job:
    """Job with the position up to which its messages were read."""

    def __init__(self, run: Run, folder: Path, job: Any, late_s: float) -> None:
        self.run, self.folder, self.job, self.late_s = run, folder, job, late_s
        self.is_here = False
        self._read = 0
        self._done_at: float | None = None

    def news(self) -> Iterator[Mapping[str, Any]]:
        """Yield messages that were not read yet."""
        try:
            with (self.folder / NEWS).open("rb") as file:
                file.seek(self._read)
                lines = file.read()
        except FileNotFoundError:
            return
        # A line that is still being written has no line end, and is read the next time.
        for line in lines[: lines.rfind(b"\n") + 1].splitlines(keepends=True):
            self._read += len(line)
            yield json.loads(line)

    def is_lost(self) -> bool:
        """Return True if the job ended so long ago that no more messages can arrive."""
        if not self.job.done():
            return False
        self._done_at = self._done_at or time.monotonic()
        return time.monotonic() - self._done_at >= self.late_s

    def wait(self, timeout_s: float) -> None:
        """Wait until the job has ended, or for ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while not self.job.done() and time.monotonic() < deadline:
            time.sleep(POLL_S / 10)


class _Queue:
    """Queue of one ``submit``: its jobs, waiting runs, and attempts per run."""

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
        self.max_jobs = settings.workers or len(runs)
        self.jobs: list[_Job] = []
        self.attempts: Counter[str] = Counter()
        self.refusal: LabError | None = None
        self.keeps_logs = self.stopping = False

    def follow(self) -> Iterator[tuple[Run, RunRecord]]:
        """Yield runs as they end, until all have ended or every job has stopped."""
        while self.waiting or self.jobs:
            if self.stop.is_set() or self.refusal is not None:
                self._stop()
            while self.waiting and len(self.jobs) < self.max_jobs:
                self._submit(self.waiting.popleft())
            has_news = False
            for job in list(self.jobs):
                # Before reading its messages, so that the last one cannot arrive in between and be missed.
                lost = job.is_lost()
                for message in job.news():
                    has_news = True
                    yield from self._take(job, message)
                if lost and job in self.jobs:
                    yield from self._on_job_death(job)
            if not has_news:
                time.sleep(POLL_S / 5 if self.settings.cluster == "local" else POLL_S)
        if self.refusal is not None:
            raise self.refusal
        if self.stop.is_set():
            raise KeyboardInterrupt

    def close(self) -> None:
        """Cancel the jobs that still run, and remove the folder."""
        for job in list(self.jobs):
            self._cancel(job)
        if not self.keeps_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _submit(self, run: Run) -> None:
        self.attempts[run.key] += 1
        attempt = self.attempts[run.key]
        # Here and not in the job, so that a job that is lost or requeued does not start from scratch again.
        if self.fresh and attempt == 1:
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
        """Cancel a job; steps since its last checkpoint are lost."""
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
                f"job {job.job.job_id} cannot train run {job.run.key} ({job.run.arm}, seed {job.run.seed})",
                where=message["text"],
                hint="every node needs the same lab, plugins, torch and data as this machine",
            )
        elif message["how"] == "done":
            record = job.run.store.record(job.run.key)
            self.listener.run_finished(job.run, record)
            yield job.run, record

    def _on_job_death(self, job: _Job) -> Iterator[tuple[Run, RunRecord]]:
        """Submit the run of a dead job again, or fail it at the second attempt."""
        self.jobs.remove(job)
        if self.stopping:
            return
        if self.attempts[job.run.key] < ATTEMPTS:
            self.waiting.appendleft(job.run)
            return
        self.keeps_logs = True
        failure = RunFailed(
            f"the job {job.job.job_id} ended with the state {job.job.state}, at the second attempt too",
            where=f"its output: {job.job.paths.stderr}",
            hint="if memory ran out, request more: memory_gb",
        )
        record = job.run.fail(failure)
        self.listener.run_finished(job.run, record)
        yield job.run, record
