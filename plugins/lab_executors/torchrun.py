"""Distributed runs: ``torchrun --nproc-per-node 2 -m lab run …`` trains each run on all ranks.

All ranks plan the study and execute the same runs in the same order. Rank 0 owns the run store. Other ranks work in a
temporary store, seeded with rank 0's files for each run.
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
    """Executor of rank 0 under torchrun: all ranks train each run, rank 0 stores it.

    Without a process group it trains in this process alone.

    Args:
        shard: shard weights, gradients and optimizer state across ranks (FSDP), for models that do not fit on one
            device; otherwise each rank has a full copy (DDP). Metrics are equal up to rounding.
    """

    def __init__(self, *, shard: bool = False) -> None:
        self.shard = shard

    @contextmanager
    def process_group(self, device: str) -> Iterator[int]:
        """Initialize the process group and yield the rank of this process."""
        on_gpu = device.startswith("cuda")
        if on_gpu:
            # before NCCL starts: otherwise every rank of a node would open a context on cuda:0
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # gloo beside NCCL, since keys, stop flags and files are broadcast from CPU memory
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
        try:
            # planning and reporting are local; only the execution of a run uses collectives
            with alone():
                yield distributed.get_rank()
        finally:
            distributed.destroy_process_group()

    def submit(
        self, runs: Sequence[Run], listener: Listener, stop: threading.Event, *, fresh: bool
    ) -> Iterator[tuple[Run, RunRecord]]:
        """Execute each run as it is requested.

        Raises:
            KeyboardInterrupt: ``stop`` was set, and the run is saved.
            RunFailed: a run failed on one rank only, and the others cannot continue without it.
        """
        if not distributed.is_initialized():
            yield from InProcess().submit(runs, listener, stop, fresh=fresh)
            return
        # rank 0 has read the data: the other ranks wait, so that only one process fills the cache
        broadcast({})
        synchronized = SynchronizedStop(stop)
        try:
            for run in runs:
                # wait by rank 0's own stop flag: a synchronized one would need an all-reduce on all ranks
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
                # an empty key ends the loop of follow_rank0; after a synchronized stop all ranks have left it already
                broadcast({"key": ""})

    def follow_rank0(self, make_plan: Callable[[Store], Plan]) -> None:
        """Execute, on every other rank, the runs that rank 0 executes, until rank 0 has finished.

        Args:
            make_plan: plans the same study for another folder of runs.

        Raises:
            LabError: rank 0 executes a run that this rank's plan lacks, so their code or data differ.
            RunFailed: a run failed on this rank only.
        """
        # wait until rank 0 has read the data and filled the caches
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
                        f"rank {distributed.get_rank()} does not have run {message['key']} of rank 0",
                        hint="do all machines have the same code, plugins and data?",
                    )
                # checkpoints of rank 0: all ranks must resume at the same step
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
    """Wait until every rank has ended the run.

    Raises:
        RunFailed: another rank did not end it in time.
    """
    try:
        # monitored_barrier names the missing ranks; a plain barrier would hang until the group's timeout
        distributed.monitored_barrier(_control_group(), timeout=BARRIER_TIMEOUT)
    except RuntimeError as error:
        what = record.result.get("error", str(error)) if record.status == "failed" else str(error)
        raise RunFailed(
            f"run {run.key} ended on rank {distributed.get_rank()}, but not on all other ranks",
            where=what,
            hint="the same command goes on from its last checkpoint",
        ) from error


_groups: dict[int, Any] = {}


def _control_group() -> Any:
    """Return a gloo group of all ranks: only gloo has monitored_barrier."""
    world = distributed.group.WORLD
    if distributed.get_backend() == "gloo":
        return world
    return _groups.setdefault(id(world), distributed.new_group(backend="gloo"))


def files_of(folder: Path) -> dict[str, torch.Tensor]:
    """Return the contents of a run's folder, relative path → bytes."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    # tensors, which broadcast sends as they are; frombuffer refuses empty files
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
