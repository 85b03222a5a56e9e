"""One study, each of its runs trained by several processes together: ``torchrun --nproc-per-node 2 -m lab run …``.

Every process plans the study and executes the same runs in the same order. The first keeps them; the others follow it
in a folder of runs of their own, which is thrown away, beginning each run with the files that the first has of it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lab.errors import LabError, RunFailed
from lab.study.execute import InProcess, SilentListener
from lab.study.interrupt import stop_on_interrupt
from lab.study.preflight import Plan
from lab.study.run import Listener, Run
from lab.study.store import RunRecord, Store
from lab.training.distributed.collectives import broadcast
from lab.training.distributed.setup import alone, sharded

__all__ = ["TorchrunExecutor"]

BARRIER_TIMEOUT = timedelta(minutes=1)
SYNC_EVERY = 16


class TorchrunExecutor:
    """All processes that torchrun started train each run; this is the first of them, which keeps it.

    In a process that nobody is with, the plain executor.

    Args:
        shard: each process keeps a part of the weights, of their gradients and of the optimizer's state (FSDP), for
            models that do not fit into one device; otherwise each has a whole copy (DDP). The figures are the same to
            rounding.
    """

    def __init__(self, *, shard: bool = False) -> None:
        self.shard = shard

    @contextmanager
    def process_group(self, device: str) -> Iterator[int]:
        """Join the processes that torchrun started; gives the rank of this one."""
        on_gpu = device.startswith("cuda")
        if on_gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
        try:
            # whatever is done besides executing runs, each process does by itself
            with alone():
                yield distributed.get_rank()
        finally:
            distributed.destroy_process_group()

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]:
        """Execute each run when it is asked for.

        Raises:
            KeyboardInterrupt: ``stop`` was set, and the run is saved.
            RunFailed: a run went wrong in one process alone; the others cannot go on without it.
        """
        if not distributed.is_initialized():
            yield from InProcess().submit(runs, listener, stop, fresh=fresh)
            return
        # the data is read
        broadcast({})
        synchronized = SynchronizedStop(stop)
        try:
            for run in runs:
                # by its own flag: no other process waits for the lock
                with run.locked(listener, stop):
                    broadcast({"key": run.key, "files": {} if fresh else files_of(run.store.folder / run.key)})
                    with alone(False), sharded(self.shard):
                        record = run.execute_locked(listener, synchronized, fresh=fresh)
                wait_for_all(run, record)
                yield run, record
                if stop.is_set():
                    raise KeyboardInterrupt
        finally:
            if not synchronized.is_set():
                broadcast({"key": ""})

    def follow_rank0(self, make_plan: Callable[[Store], Plan]) -> None:
        """In every process but the first: execute what the first one executes, until it has finished.

        Args:
            make_plan: plans the same study for another folder of runs.

        Raises:
            LabError: the first process executes a run that this one does not know, so their code or data differ.
            RunFailed: a run went wrong in this process alone.
        """
        # the first has read the data, so that caches are there
        broadcast()
        with tempfile.TemporaryDirectory(prefix="lab-follows-") as folder, stop_on_interrupt() as stop:
            store = Store(folder)
            store.prepare()
            known = {run.key: run for run in make_plan(store).runs}
            synchronized = SynchronizedStop(stop)
            while (message := broadcast())["key"]:
                run = known.get(message["key"])
                if run is None:
                    raise LabError(
                        f"process {distributed.get_rank()} does not know run {message['key']} of the first process",
                        hint="do all machines have the same code, plugins and data?",
                    )
                write_files(store.folder / run.key, message["files"])
                try:
                    with alone(False), sharded(self.shard):
                        record = run.execute_locked(SilentListener(), synchronized, fresh=False)
                except KeyboardInterrupt:
                    return
                wait_for_all(run, record)


class SynchronizedStop(threading.Event):
    """A stop flag that all ranks observe at the same step: a rank that left early would deadlock the others.

    Args:
        own: this rank's own flag.
    """

    def __init__(self, own: threading.Event) -> None:
        super().__init__()
        self.own = own

    def sync(self, step: int) -> None:
        """Set the flag on all ranks if it is set on one; all ranks must call it at the same steps."""
        # an all-reduce at every step would cost more than a short step
        if step % SYNC_EVERY == 0:
            flag = torch.tensor([int(self.own.is_set())])
            distributed.all_reduce(flag)
            if flag:
                self.set()


def wait_for_all(run: Run, record: RunRecord) -> None:
    """Go on once every process has ended the run."""
    try:
        distributed.monitored_barrier(_control_group(), timeout=BARRIER_TIMEOUT)
    except RuntimeError as error:
        what = record.result.get("error", str(error)) if record.status == "failed" else str(error)
        raise RunFailed(
            f"run {run.key} ended in process {distributed.get_rank()} and not in all others",
            where=what,
            hint="the same command goes on from its last checkpoint",
        ) from error


_groups: dict[int, Any] = {}


def _control_group() -> Any:
    """The processes, as gloo has them: it alone can tell who is missing."""
    world = distributed.group.WORLD
    if distributed.get_backend() == "gloo":
        return world
    return _groups.setdefault(id(world), distributed.new_group(backend="gloo"))


def files_of(folder: Path) -> dict[str, torch.Tensor]:
    """Every file of a run's folder, by its name in it, as bytes."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    return {name: torch.frombuffer(bytearray(raw), dtype=torch.uint8) for name, raw in contents.items() if raw}


def write_files(folder: Path, files: dict[str, torch.Tensor]) -> None:
    """Write what ``files_of`` read.

    Raises:
        LabError: a name would leave the folder.
    """
    for name, content in files.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise LabError(f"the file name '{name}' leaves the run's folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.numpy().tobytes())
