"""One run: one arm with one seed, built from its names, trained, recorded."""

from __future__ import annotations

import copy
import math
import os
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import attrs
import torch

from lab.errors import (
    LabError,
    OutOfMemoryError,
    PluginError,
    RunFailed,
    StoreError,
    describe_error,
    notes_of,
    printable,
)
from lab.files import atomic_path, is_disk_full, sync_files
from lab.registry.plugins import Catalog
from lab.registry.resolved import Component
from lab.study.build import build_learner
from lab.study.complete import complete, higher_is_better, lacks, observers
from lab.study.culprit import explained
from lab.study.environment import environment, peak_memory_mb, reset_peak_memory
from lab.study.examples import is_pristine, pristine
from lab.study.experiment import ResolvedExperiment
from lab.study.files import mark_files, one_line, to_standard, write_sealed
from lab.study.folder import keeps_working_folder
from lab.study.guard import isolated
from lab.study.keys import key_content, metric_identities
from lab.study.modules import leaves_modules
from lab.study.sources import keep_sources
from lab.study.store import MARKED, POLL_S, RunRecord, Store
from lab.study.task import TaskRun, forget_checkpoint, train_task
from lab.study.workspace import Workspace
from lab.study.yardstick import yardstick_of
from lab.training.callback import Callback
from lab.training.checkpoint import (
    BEST,
    MIN_INTERVAL_S,
    Checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from lab.training.cpu import configure_cpu
from lab.training.data import Data
from lab.training.learner import Learner
from lab.training.loop import is_out_of_memory, is_timing
from lab.training.state import Training
from lab.training.weights import save_weights

__all__ = ["Listener", "Run", "RunProgress", "refuse_full_disk"]

REFRESH_S = 0.1
LAST = "model.safetensors"


@attrs.frozen
class RunProgress:
    """Progress of a run.

    Attributes:
        epoch: index of the current epoch.
        epochs: how many it will be.
        step: steps done.
        steps: how many it will be.
        loss: of the last step.
        row: scores of the last finished epoch, or None.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    row: dict[str, float] | None

    @classmethod
    def of(cls, learner: Training) -> RunProgress:
        """Return the progress of a learner; waits for its device."""
        position = learner.position
        return cls(
            epoch=position.epoch,
            epochs=position.epochs,
            step=position.step,
            steps=position.steps,
            loss=None if learner.step_loss is None else float(learner.step_loss),
            row=dict(learner.history[-1]) if learner.history else None,
        )


_training = threading.RLock()


@contextmanager
def _alone(stop: threading.Event) -> Iterator[None]:
    """Wait until no other thread trains a run: generators and settings of torch belong to the whole process.

    Raises:
        KeyboardInterrupt: ``stop`` was set while it waited.
    """
    while not _training.acquire(timeout=POLL_S):
        if stop.is_set():
            raise KeyboardInterrupt
    try:
        yield
    finally:
        _training.release()


class Listener(Protocol):
    """Receiver of progress updates, such as a display."""

    def run_started(self, run: Run) -> None:
        """Called when a run begins to train."""

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Called at most ten times a second, and at the end of every epoch."""

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Called when a run has ended, finished or failed."""


@attrs.frozen(eq=False)
class Run:
    """One arm with one seed: the unit that is executed, cached, resumed and reported.

    Attributes:
        study: name of the study it was made for.
        arm, seed: its arm and seed.
        key: its name in the store; runs with equal keys have equal numbers.
        experiment: its complete experiment.
        workspace: the plugins, the store, and the device.
        data: the data, built once for all runs that share it.
        file: the study's file, as it was given.
        processes: how many processes train it together.
        compare, directions: the primary metric and its direction, which a training function cannot say itself.
    """

    study: str
    arm: str
    seed: int
    key: str
    experiment: ResolvedExperiment
    workspace: Workspace
    data: Data
    file: str = ""
    processes: int = 1
    compare: str = ""
    directions: Mapping[str, bool] = attrs.field(factory=dict)

    @property
    def device(self) -> str:
        """The device that it trains on."""
        return self.workspace.device

    @property
    def store(self) -> Store:
        """The store that it is kept in."""
        return self.workspace.store

    @property
    def catalog(self) -> Catalog:
        """The plugins."""
        return self.workspace.catalog

    def execute(self, listener: Listener, stop: threading.Event, *, fresh: bool = False) -> RunRecord:
        """Train the run unless it is finished; failures are recorded, not raised.

        Runs of one process wait for each other, also in other threads: random generators are those of the process.

        Raises:
            KeyboardInterrupt: ``stop`` was set; the state of training is saved.
        """
        with self.locked(listener, stop):
            return self.execute_locked(listener, stop, fresh=fresh)

    @contextmanager
    def locked(self, listener: Listener, stop: threading.Event) -> Iterator[None]:
        """Lock the run against other processes; waits for one that trains it, and notifies the listener.

        Raises:
            KeyboardInterrupt: ``stop`` was set while it waited.
        """
        with self.store.lock(self.key, stop=stop, notice=partial(_notify_waiting, self, listener)):
            yield

    def execute_locked(self, listener: Listener, stop: threading.Event, *, fresh: bool = False) -> RunRecord:
        """Execute the run inside ``locked``.

        Raises:
            KeyboardInterrupt: ``stop`` was set; the state of training is saved.
        """
        # read inside the lock: another process may have finished the run while this one waited
        record = None if fresh else self.store.finished(self.key)
        if record is not None:
            if not lacks(self.experiment, record):
                return record
            completed = self._complete(record)
            if completed is not None:
                return completed
            # its weights do not reproduce its scores (e.g. averaged weights that were not kept), so it trains again
            fresh = True
        with _alone(stop):
            return self._execute(listener, stop, fresh=fresh)

    def _execute(self, listener: Listener, stop: threading.Event, *, fresh: bool) -> RunRecord:
        configure_cpu()
        try:
            folder = self._begin(fresh=fresh)
            # before training: an interrupted or failed run can be rebuilt too
            keep_sources(self.experiment, self.file, folder)
        except OSError as error:
            refuse_full_disk(error, self.store.root)
            raise
        listener.run_started(self)
        self.catalog.call("lab_run_started", run=self)
        try:
            owner = f"run {self.key} (arm '{self.arm}', seed {self.seed})"
            with isolated(owner), leaves_modules(self.experiment.all_components(), owner):
                self._train(folder, listener, stop)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # BaseException: a callback may call sys.exit or pytest.skip, which must end only its own run
            self._leave_failure(folder, error)
        record = self.store.record(self.key)
        # a copy, since plugins only watch: the table is made of the record itself
        self.catalog.call(
            "lab_run_finished", run=self, result=attrs.evolve(record, result=copy.deepcopy(record.result))
        )
        listener.run_finished(self, record)
        return record

    def _complete(self, record: RunRecord) -> RunRecord | None:
        """Add missing metrics to a finished run; None if it must be trained again. A failure changes nothing."""
        try:
            with keeps_working_folder():
                found = complete(self.learner(record.folder), self.experiment, record)
                if found is None:
                    return None
                # the result last: a kill between both leaves the old result with a newer recipe, which is completed
                # again
                write_sealed(record.folder / "experiment.json", to_standard(self.record()))
                write_sealed(record.folder / "result.json", found)
                return self.store.record(self.key)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            refuse_full_disk(error, self.store.root)
            # failed for this command only: the trained run is intact and must stay finished in the store
            return attrs.evolve(record, status="failed", result=failure_content(error, self.experiment))

    def fail(self, error: BaseException, *, fresh: bool = False) -> RunRecord:
        """Record that the run failed because its process died.

        Args:
            error: the reason.
            fresh: discard the files of an earlier training.
        """
        record_failure(self.store.begin(self.key, self.record(), {}, fresh=fresh), error)
        return self.store.record(self.key)

    def _begin(self, *, fresh: bool) -> Path:
        """Return the run's folder as an absolute path, since components may change the working folder."""
        made = environment(self.catalog, self.device)
        return Path(os.path.abspath(self.store.begin(self.key, self.record(), made, fresh=fresh)))

    def _leave_failure(self, folder: Path, error: BaseException) -> None:
        """Record a failure, also of a component that removed the folder of its run."""
        refuse_full_disk(error, self.store.root)
        try:
            if folder.is_file():
                folder.unlink()
            if not (folder / "experiment.json").is_file():
                self._begin(fresh=False)
            record_failure(folder, error, self.experiment)
        except OSError as second:
            # a warning, not an error: the records of other runs may still be written
            self.catalog.warn(f"lab: the failure of run {self.key} cannot be recorded: {second}")
            self.catalog.warn(f"  {describe_error(error)}")

    def record(self) -> dict[str, Any]:
        """Return the content of ``experiment.json``, from which the run can be rebuilt."""
        content = key_content(
            self.experiment,
            self.seed,
            self.data.fingerprint,
            torch.device(self.device).type,
            processes=self.processes,
            catalog=self.catalog,
        )
        return {
            "study": self.study,
            "arm": self.arm,
            "seed": self.seed,
            "key": self.key,
            "device": self.device,
            "processes": self.processes,
            "data": self.data.fingerprint,
            "torch": torch.__version__,
            "code": content["code"],
            "files": content["files"],
            "file": self.file,
            "key_content": content,
            **({"compare": self.compare, "directions": dict(self.directions)} if self.experiment.task else {}),
            "experiment": self.experiment.to_json(),
        }

    def learner(self, folder: Path | None = None, callbacks: tuple[Callback, ...] = ()) -> Learner:
        """Return a new learner for this run, not trained yet."""
        return build_learner(
            self.experiment,
            pristine(self.data),
            seed=self.seed,
            device=self.device,
            folder=folder,
            catalog=self.catalog,
            callbacks=callbacks,
        )

    def _train(self, folder: Path, listener: Listener, stop: threading.Event) -> None:
        started = time.perf_counter()
        reset_peak_memory(self.device)
        if self.experiment.task is not None:
            self._call_task(self.experiment.task, folder, listener, stop, started)
            return
        with keeps_working_folder():
            learner = self.learner(folder, (Recorder(self, listener, stop),))
            learner.resume(self.experiment.values["epochs"])
            _refuse_empty_training(learner)
            _refuse_written_data(learner)
            # durable=False: short runs must not wait for the disk; the sync below covers long ones
            save_weights(learner.model, folder / LAST, durable=False)
            # after saving: select="best" loads other weights into the learner
            selected, row = _select(learner, folder)
            metrics = {**row, **(learner.validate("test") if self.data.test is not None else {})}
        seconds = time.perf_counter() - started
        result = {
            "selected": selected,
            "epoch": row.get("epoch"),
            "metrics": {name: value for name, value in metrics.items() if name != "epoch" and not is_timing(name)},
            "undefined": learner.undefined,
            "higher_is_better": higher_is_better(learner),
            "yardstick": yardstick_of(learner, selected, self.experiment),
            "evaluated": metric_identities(self.experiment),
            "observers": observers(self.experiment),
            "budget": _budget(learner, seconds),
        }
        self._finish(folder, result, seconds)
        remove_checkpoints(folder)

    def _call_task(
        self, task: Component, folder: Path, listener: Listener, stop: threading.Event, started: float
    ) -> None:
        def advanced(row: dict[str, float]) -> None:
            listener.run_advanced(self, RunProgress(int(row["epoch"]), 0, 0, 0, None, row))

        given = TaskRun(self.seed, folder, self.device, stop, advanced)
        with keeps_working_folder():
            metrics, more = train_task(task, given, self.compare, self.directions)
        seconds = time.perf_counter() - started
        memory = peak_memory_mb(torch.device(self.device))
        budget = {"seconds": round(seconds, 3), "peak_memory_mb": round(memory, 1)}
        self._finish(folder, {"metrics": metrics, **more, "budget": budget}, seconds)
        forget_checkpoint(folder)

    def _finish(self, folder: Path, result: dict[str, Any], seconds: float) -> None:
        """Write ``result.json``, which makes the run a finished one, after all the files that it vouches for."""
        # a run shorter than the checkpoint interval is cheaper to repeat than to protect by waiting for the disk
        if worth_waiting := seconds > MIN_INTERVAL_S:
            sync_files(folder)
        # written last, since it declares the run finished and lists the digests of the other files
        write_sealed(folder / "result.json", {**result, "files": mark_files(folder, MARKED)}, durable=worth_waiting)


def _refuse_empty_training(learner: Learner) -> None:
    """Raise if training ended without a finished epoch or a batch, which leaves no metric to compare.

    Raises:
        RunFailed: nothing was trained.
    """
    if not learner.history:
        raise RunFailed(
            "no epoch was trained", hint="a callback or the stepper ended the training before its first epoch did"
        )
    # NaN here means an empty mean: a NaN loss of a batch would have ended the run already
    if all(math.isnan(row["train_loss"]) for row in learner.history):
        raise RunFailed("no batch was trained", hint="the sampler gave no batch, or every batch was cancelled")


def _refuse_written_data(learner: Learner) -> None:
    """Raise if data were written into while an observer took part, whose runs count as those without it.

    Raises:
        PluginError: they were, by the observer or another part of the run.
    """
    watched = [callback.name for callback in learner.callbacks if callback.is_watched]
    if watched and not is_pristine(learner.data):
        raise PluginError(
            f"the examples were changed while callback '{watched[0]}' took part, though it says observer = True",
            hint="copy what you change: learner.data is shared by all runs; or leave `observer` out",
        )


def _notify_waiting(run: Run, listener: Listener) -> None:
    """Notify the listener that another process trains the run; ``run_waits`` is optional."""
    notify = getattr(listener, "run_waits", None)
    if notify is not None:
        notify(run)


def _select(learner: Learner, folder: Path) -> tuple[str, dict[str, float]]:
    """Load the weights that the experiment selects; return their file and the row of their epoch."""
    rule = learner.callback("checkpoint")
    assert isinstance(rule, Checkpoint)
    if rule.select == "best" and learner.history:
        if rule.best_epoch is None:
            raise LabError(
                f"no epoch has a finite {rule.monitor} by which the best could be chosen",
                where="checkpoint.select='best'",
                hint="choose another checkpoint.monitor, or select='last'",
            )
        learner.load(folder / BEST)
        return BEST, learner.history[rule.best_epoch]
    return LAST, learner.history[-1] if learner.history else {}


class Recorder(Callback):
    """Callback that keeps a run's history on disk, updates the listener, and saves and stops on request."""

    name = "recorder"

    def __init__(self, run: Run, listener: Listener, stop: threading.Event) -> None:
        self.run, self.listener, self.stop = run, listener, stop
        self._next_refresh = 0.0

    def after_batch(self, learner: Training) -> None:
        # ranks must stop at the same step: one that left alone would deadlock the others in the next all-reduce
        if (sync := getattr(self.stop, "sync", None)) is not None:
            sync(learner.position.step)
        if self.stop.is_set():
            if learner.folder is not None:
                save_checkpoint(learner, learner.folder)
            raise KeyboardInterrupt
        if time.monotonic() > self._next_refresh:
            # reading the loss synchronizes with the GPU, so at most ten times a second
            self._next_refresh = time.monotonic() + REFRESH_S
            self.listener.run_advanced(self.run, RunProgress.of(learner))

    def after_epoch(self, learner: Training) -> None:
        self.listener.run_advanced(self.run, RunProgress.of(learner))
        if learner.folder is not None:
            with atomic_path(learner.folder / "metrics.jsonl", durable=False) as temporary:
                # whole and atomic, not appended: a kill in mid-line would damage the history
                temporary.write_text("".join(map(one_line, learner.history)), encoding="utf-8")


def _budget(learner: Learner, seconds: float) -> dict[str, float]:
    parameters = sum(weight.numel() for weight in learner.model.parameters())
    trained = [row["seconds"] for row in learner.history]
    epochs = len(learner.history)
    return {
        "parameters": parameters,
        "steps": epochs * len(learner.train_sampler),
        "examples_per_second": round(epochs * learner.train_size / max(sum(trained), 1e-9), 1),
        "seconds": round(seconds, 3),
        "peak_memory_mb": round(peak_memory_mb(learner.device), 1),
    }


def refuse_full_disk(error: BaseException, root: Path) -> None:
    """Raise if the disk is full: every later run would fail in the same way.

    Raises:
        StoreError: ``error`` means that the disk is full.
    """
    if is_disk_full(error):
        raise StoreError(
            f"cannot write to the folder of runs: {error}",
            where=str(root),
            hint="free some space and run the same command again; finished runs are kept, this one resumes",
        ) from error


def record_failure(folder: Path, error: BaseException, experiment: ResolvedExperiment | None = None) -> None:
    """Write ``failure.json``: the error and its traceback."""
    write_sealed(folder / "failure.json", failure_content(error, experiment))


def failure_content(error: BaseException, experiment: ResolvedExperiment | None = None) -> dict[str, Any]:
    """Return the content of ``failure.json``; with the component at fault if the experiment is given."""
    if is_out_of_memory(error):
        error = OutOfMemoryError("the run did not fit in memory", hint="use a smaller batch_size")
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as second:
        # __str__ of a user's error class may raise
        trace = f"(no traceback: {type(second).__name__})"
    text = "\n".join(
        explained(error, experiment, suspects=True)
        if experiment is not None
        else [describe_error(error), *notes_of(error)]
    )
    return {"kind": type(error).__name__, "error": text, "traceback": printable(trace)}
