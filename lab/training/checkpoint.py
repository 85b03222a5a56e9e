"""Checkpoints: the whole state of training, so that a killed run continues with the same numbers."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from lab.errors import StoreError
from lab.files import atomic_folder, sync_files
from lab.training.callback import Callback
from lab.training.scoring import column_direction
from lab.training.state import Training
from lab.training.weights import (
    full_tensor,
    load_weights,
    read_tree,
    read_weights,
    rehearse_saving,
    save_weights,
    split_tensors,
    unique_weights,
    write_tree,
)

__all__ = ["Checkpoint", "load_checkpoint", "remove_checkpoints", "save_checkpoint"]

BEST = "best.safetensors"
MIN_INTERVAL_S = 1.0
MIN_TRAINING_RATIO = 50
"""Skip the checkpoint at the end of an epoch unless training took this many times as long as saving the last one."""
MIN_VALIDATION_RATIO = 10
"""Save an epoch before its validation, too, if validating takes this many times as long as saving."""


class Checkpoint(Callback):
    """Saves the whole state of training, so that a killed run continues with the same numbers.

    It comes first of all callbacks, so that its ``after_epoch`` sees what all others did. Without a folder (a learner
    used by itself) it does nothing.

    The weights of the best epoch so far are kept beside it as ``best.safetensors``.

    Args:
        every_epochs: save after every N epochs.
        min_interval_s: skip the checkpoint at the end of an epoch if fewer seconds have passed since the last one, or
            fewer than 50 times those that it took to save, so that saving costs at most 2 %; 0 saves every epoch.
        every_steps: also save after every N steps.
        every_minutes: also save when N minutes have passed since the last checkpoint.
        monitor: the metric that selects the best epoch; its direction is the metric's, a loss is better when lower.
        select: which weights a run is evaluated with at its end, those of its last epoch or of its best.
    """

    def __init__(
        self,
        *,
        every_epochs: int = 1,
        min_interval_s: float = MIN_INTERVAL_S,
        every_steps: int | None = None,
        every_minutes: float | None = None,
        monitor: str = "valid_loss",
        select: Literal["last", "best"] = "last",
    ) -> None:
        self.every_epochs, self.every_steps, self.every_minutes = every_epochs, every_steps, every_minutes
        self.min_interval_s = min_interval_s
        self.monitor, self.select = monitor, select
        self.best_epoch: int | None = None
        self._best = math.inf
        self._higher_is_better = False
        self._saved_at = time.monotonic()
        self._saving_s = 0.0
        self._trained_at = math.nan
        self._validating_s = math.inf
        """Seconds from the last batch of an epoch to its end, as of the epoch before; infinite before the first."""

    @classmethod
    def deciding_parameters(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return which weights a run is evaluated with; when they are written changes no number."""
        names = ("select", "monitor") if params.get("select") == "best" else ("select",)
        return {name: value for name, value in params.items() if name in names}

    def check(self, learner: Training) -> None:
        if learner.data.valid is None and self.monitor == "valid_loss" and self.select == "last":
            return
        self._higher_is_better = column_direction(self.monitor, learner, "callback 'checkpoint', parameter 'monitor'")

    def before_fit(self, learner: Training) -> None:
        self._saved_at = time.monotonic()

    def after_batch(self, learner: Training) -> None:
        due = self.every_steps is not None and learner.position.step % self.every_steps == 0
        if not due and self.every_minutes is not None:
            is_late = time.monotonic() - self._saved_at > 60 * self.every_minutes
            due = learner.distributed.broadcast_flag(is_late)
        if due:
            self.save(learner)

    def after_epoch(self, learner: Training) -> None:
        # after a failure or CancelEpoch there is no new row
        if not (learner.history and learner.history[-1]["epoch"] == learner.epochs_done):
            return
        self._validating_s = time.monotonic() - self._trained_at
        # a run with such a loss fails, and must fail again when it is resumed
        if not math.isfinite(learner.history[-1].get("valid_loss", 0.0)):
            return
        self._keep_best(learner)
        due = (learner.position.epoch + 1) % self.every_epochs == 0
        interval_s = max(self.min_interval_s, MIN_TRAINING_RATIO * self._saving_s) if self.min_interval_s else 0.0
        # the clock of rank 0 decides, since saving gathers shards from all ranks
        if due and learner.distributed.broadcast_flag(time.monotonic() - self._saved_at >= interval_s):
            self.save(learner)

    def save_before_validation(self, learner: Training) -> None:
        """Save after the last batch of an epoch that is due, unless its validation is short."""
        due = (learner.position.epoch + 1) % self.every_epochs == 0
        is_long = self._validating_s >= max(self.min_interval_s, MIN_VALIDATION_RATIO * self._saving_s)
        lost_s = time.monotonic() - self._saved_at
        if due and learner.distributed.broadcast_flag(is_long and lost_s >= self.min_interval_s):
            self.save(learner)
        self._trained_at = time.monotonic()

    def _keep_best(self, learner: Training) -> None:
        sign = -1 if self._higher_is_better else 1
        value = sign * learner.history[-1].get(self.monitor, math.nan)
        if learner.folder is not None and learner.distributed.broadcast_flag(value < self._best):
            with learner.level("eval_weights"):
                # not durable: the next checkpoint syncs it before it names this epoch the best
                save_weights(learner.model, learner.folder / BEST, durable=False)
            self._best, self.best_epoch = value, learner.epochs_done

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self.best_epoch = state["best"], state["best_epoch"]

    def save(self, learner: Training) -> None:
        """Write a new checkpoint, then remove the one before."""
        if learner.folder is not None:
            began = time.monotonic()
            save_checkpoint(learner, learner.folder)
            self._saved_at = time.monotonic()
            self._saving_s = self._saved_at - began


def rehearse_checkpoint(learner: Training) -> None:
    """Save a checkpoint to memory and load it again.

    Raises:
        LabError: something in it cannot be saved.
        Exception: whatever ``load_state_dict`` or ``set_extra_state`` raises.
    """
    learner.load_state_dict(rehearse_saving(learner.model, learner.state_dict()))
    learner.restore_callbacks()


def save_trained(learner: Training) -> None:
    """Save the training of an epoch whose validation may take long: a process killed in it loses no step."""
    if learner.folder is not None and learner.data.valid is not None:
        for callback in learner.callbacks:
            if isinstance(callback, Checkpoint):
                callback.save_before_validation(learner)


def save_unvalidated(learner: Training) -> None:
    """Save an epoch whose validation failed, if the learner keeps checkpoints."""
    # several ranks could not agree: validation may have failed on one of them alone
    if learner.folder is None or learner.distributed.world_size > 1:
        return
    if any(isinstance(callback, Checkpoint) for callback in learner.callbacks):
        save_checkpoint(learner, learner.folder)


def save_checkpoint(learner: Training, folder: Path) -> None:
    """Write ``checkpoint-N`` in ``folder`` and remove the older ones; only rank 0 writes."""
    if learner.distributed.rank:
        _join_gather(learner)
        return
    older = _checkpoints(folder)
    number = _number(older[0]) + 1 if older else 0
    # best.safetensors and metrics.jsonl were written without waiting for the disk
    # a learner may have been given a folder that does not exist yet
    folder.mkdir(parents=True, exist_ok=True)
    sync_files(folder)
    with atomic_folder(folder / f"checkpoint-{number:06d}") as temporary:
        save_weights(learner.model, temporary / "model.safetensors", durable=False)
        write_tree(learner.state_dict(), temporary, "state")
    # only now: a crash at any moment leaves a whole checkpoint
    for path in older:
        shutil.rmtree(path, ignore_errors=True)


def _join_gather(learner: Training) -> None:
    """Take part in gathering the shards that rank 0 writes, in the order in which it asks for them."""
    if learner.distributed.is_sharded:
        for tensor in unique_weights(learner.model)[0].values():
            full_tensor(tensor.detach())
        split_tensors(learner.state_dict(), _DiscardingDict())


class _DiscardingDict(dict[str, Any]):
    """A dictionary that keeps nothing, so that no rank but the first holds the full state."""

    def __setitem__(self, name: str, tensor: Any) -> None:
        pass


def load_checkpoint(learner: Training, folder: Path, warn: Callable[[str], None]) -> bool:
    """Load the newest checkpoint of ``folder`` that can be read; returns False if there is none.

    If the weights of the best epoch are damaged, none is loaded: only training again makes them anew.
    """
    try:
        if (folder / BEST).exists():
            read_weights(folder / BEST)
    except StoreError as error:
        warn(f"the weights of the best epoch are damaged, so the run begins again: {error}")
        return False
    for path in _checkpoints(folder):
        try:
            # the state first: loading weights already changes the model
            state = read_tree(path, "state")
            load_weights(learner.model, path / "model.safetensors")
        except StoreError as error:
            warn(f"a checkpoint is damaged and skipped: {error}")
            continue
        learner.load_state_dict(state)
        return True
    return False


def remove_checkpoints(folder: Path) -> None:
    """Remove every checkpoint of a finished run, and what crashes left."""
    for path in [*_checkpoints(folder), *folder.glob(".checkpoint-*.tmp")]:
        shutil.rmtree(path, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints, the newest first; temporary names of a crash do not match."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]
    return sorted(found, key=_number, reverse=True)


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
