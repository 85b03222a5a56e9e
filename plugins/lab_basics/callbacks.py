"""General callbacks: early stopping, saving the best weights, logs of the history, gradient norms, timing."""

from __future__ import annotations

import csv
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lab.training.callback import Callback
from lab.training.state import CancelFit
from lab.training.weights import full_tensor
from lab_basics.monitor import Monitor, finished_epoch

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["CSVLog", "EarlyStopping", "GradientNorm", "SaveBest", "Timing"]

# Callbacks that add to an epoch's row.
MEASURING = ("activation_stats", "grad_norm", "on_plateau", "swa", "timing")


class EarlyStopping(Callback):
    """End training when a metric has not improved for some epochs.

    Args:
        monitor: the metric, for example ``valid_loss`` or ``valid_accuracy``.
        patience: number of epochs without improvement to tolerate; one more ends training.
        min_delta: smallest change that counts as an improvement.
    """

    def __init__(self, *, monitor: str = "valid_loss", patience: int = 3, min_delta: float = 0.0) -> None:
        self.monitor = Monitor(monitor, min_delta, self.name)
        self.patience = patience

    def check(self, learner: Learner) -> None:
        self.monitor.check(learner)

    def before_fit(self, learner: Learner) -> None:
        self.monitor.begin(learner)

    def before_epoch(self, learner: Learner) -> None:
        # The run may have been resumed right after the epoch that should have been its last.
        self._stop_if_due()

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is not None:
            self.monitor.improved(learner, row)
            self._stop_if_due()

    def _stop_if_due(self) -> None:
        if self.monitor.epochs_without > self.patience:
            raise CancelFit

    def state_dict(self) -> dict[str, Any]:
        return self.monitor.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.monitor.load_state_dict(state)


class SaveBest(Callback):
    """Save the weights of the best epoch as the artefact ``best.safetensors``.

    Args:
        monitor: the metric, for example ``valid_loss`` or ``valid_accuracy``.
        min_delta: smallest change that counts as an improvement.
        restore: load the best weights when training ends.
    """

    def __init__(self, *, monitor: str = "valid_loss", min_delta: float = 0.0, restore: bool = False) -> None:
        self.monitor = Monitor(monitor, min_delta, self.name)
        self.restore = restore

    def check(self, learner: Learner) -> None:
        self.monitor.check(learner)

    def before_fit(self, learner: Learner) -> None:
        self.monitor.begin(learner)
        # Asked for now, so that a folder that cannot be written fails before training.
        learner.artefact("best.safetensors")

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is not None and self.monitor.improved(learner, row):
            # The weights that were evaluated, such as an average, and not those being trained.
            with learner.level("eval_weights"):
                learner.save(learner.artefact("best.safetensors"))

    def after_fit(self, learner: Learner) -> None:
        if self.restore and self.monitor.best is not None:
            learner.load(learner.artefact("best.safetensors"))

    def state_dict(self) -> dict[str, Any]:
        return self.monitor.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.monitor.load_state_dict(state)


class CSVLog(Callback):
    """Write the history to the artefact ``epochs.csv`` after every epoch; without a folder it does nothing."""

    observer = True

    name = "csv_log"
    before = MEASURING

    def after_epoch(self, learner: Learner) -> None:
        if learner.folder is None or finished_epoch(learner) is None:
            return
        # Written as a whole, since a callback may add a column in a later epoch.
        columns = dict.fromkeys(column for row in learner.history for column in row)
        with learner.artefact("epochs.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(learner.history)


class GradientNorm(Callback):
    """Add ``grad_norm`` and ``grad_norm_max`` to the history: the norm of all gradients of a step, before clipping.

    They are the mean and the maximum over the steps of an epoch, without a synchronization per step.
    """

    observer = True

    name = "grad_norm"

    def __init__(self) -> None:
        self._sums: torch.Tensor | None = None

    def before_step(self, learner: Learner) -> None:
        # Clipping has computed the norm already, and scaled the gradients by the time this event fires.
        clipped = getattr(learner.stepper, "gradient_norm", None)
        norm = _norm_of_gradients(learner) if clipped is None else clipped
        mean_and_max = torch.stack([torch.ones_like(norm), norm, norm]).detach().double()
        self._sums = mean_and_max if self._sums is None else _joined(self._sums.to(norm.device), mean_and_max)

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is not None and self._sums is not None:
            count, total, largest = self._sums.tolist()
            row |= {"grad_norm": total / count, "grad_norm_max": largest}
            self._sums = None

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums = state["sums"]


class Timing(Callback):
    """Add the time spent in each part of an epoch to the history: ``seconds_data, seconds_step, seconds_valid``.

    These are waiting for batches, steps including callbacks, and validation. On a GPU, queued work is counted where the
    program next waits for it.
    """

    observer = True

    def __init__(self) -> None:
        self._seconds = {"seconds_data": 0.0, "seconds_step": 0.0, "seconds_valid": 0.0}
        self._since = 0.0

    def before_epoch(self, learner: Learner) -> None:
        self._since = time.perf_counter()
        self._seconds = dict.fromkeys(self._seconds, 0.0)

    def before_batch(self, learner: Learner) -> None:
        self._count("seconds_data")

    def after_batch(self, learner: Learner) -> None:
        self._count("seconds_step")

    def before_validate(self, learner: Learner) -> None:
        self._since = time.perf_counter()

    def after_validate(self, learner: Learner) -> None:
        self._count("seconds_valid")

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is not None:
            row |= self._seconds

    def _count(self, name: str) -> None:
        now = time.perf_counter()
        self._seconds[name] += now - self._since
        self._since = now


def _norm_of_gradients(learner: Learner) -> torch.Tensor:
    gradients = [weight.grad for weight in learner.stepper.trainable_parameters() if weight.grad is not None]
    return full_tensor(nn.utils.get_total_norm(gradients))


def _joined(sums: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Add counts and sums, and keep the maximum."""
    return torch.cat([sums[:2] + new[:2], torch.maximum(sums[2:], new[2:])])
