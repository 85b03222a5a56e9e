"""The training loop, drawn once with its events.

::

    fit                                          before_fit … after_fit
      for each epoch                             before_epoch … after_epoch
        for each batch of the sampler            before_batch … after_batch
          stepper.train_step(batch)
            forward, loss
            gradients                            before_backward … after_backward
            optimizer                            before_step … after_step
        validation                               before_validate … after_validate
          with the weights that count            before_judge … after_judge
            stepper.valid_step(batch) → metrics

``after_X`` runs in reverse order and also when the body raised. Losses stay on the device: they are gathered in one
tensor per epoch and looked at every ``CHECK_EVERY`` steps, when a loss that is not finite stops the run; so does a
validation loss that is not finite.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from lab.errors import LabError, NonFiniteLossError, OutOfMemoryError, error_text
from lab.training.callback import CancelBatch, CancelEpoch, CancelFit
from lab.training.checkpoint import carried_state, save_trained, save_unjudged
from lab.training.data import EpochSampler, to_device
from lab.training.scoring import score_of

if TYPE_CHECKING:
    from lab.training.learner import Learner
    from lab.training.stepper import Evaluation

__all__ = ["CHECK_EVERY", "Position", "fit", "is_timing", "validate"]

CHECK_EVERY = 50


@attrs.define
class Position:
    """Where training stands; every count is of things finished.

    Attributes:
        epoch: epochs finished in this fit, so the index of the current one.
        epochs: epochs that this fit was asked for.
        batch: batches finished in this epoch, so before a step the index of the current one.
        batches: batches of an epoch.
        step: batches finished in this fit.
    """

    epoch: int = 0
    epochs: int = 0
    batch: int = 0
    batches: int = 0
    step: int = 0

    @property
    def steps(self) -> int:
        """Batches that this fit will see in all."""
        return self.epochs * self.batches

    def end_epoch(self) -> None:
        """One more epoch is finished; the next begins at its first batch."""
        self.epoch += 1
        self.batch = 0


def fit(learner: Learner) -> None:
    """Train from ``learner.position`` to the end of its last epoch."""
    learner.is_finished = False
    for callback in learner.callbacks:
        callback.check(learner)
    with suppress(CancelFit), learner.level("fit"):
        with suppress(CancelFit):
            _epochs(learner)
        learner.is_finished = True


def _epochs(learner: Learner) -> None:
    position = learner.position
    if position.batch == 0:
        learner.restore_callbacks()
    while position.epoch < position.epochs:
        rows = len(learner.history)
        try:
            _epoch(learner)
        except CancelFit:
            if len(learner.history) > rows:
                position.end_epoch()
            raise
        position.end_epoch()


def _epoch(learner: Learner) -> None:
    started = time.perf_counter()
    sampler = learner.train_sampler
    sampler.start_at(learner.epochs_done, learner.position.batch)
    with suppress(CancelEpoch), learner.level("epoch"):
        learner.restore_callbacks()
        _train(learner, sampler)
        trained = time.perf_counter()
        learner.history.append(
            {
                "epoch": learner.epochs_done,
                "train_loss": learner.losses.mean(),
                "seconds": trained - started,
                "examples_per_second": learner.train_size / max(trained - started, 1e-9),
            }
        )
        if learner.data.valid is not None:
            with _kept_if_it_fails(learner):
                learner.history[-1] |= validate(learner, "valid")
        learner.losses.clear()  # there is nothing to validate on
        _check_validation(learner)


@contextmanager
def _kept_if_it_fails(learner: Learner) -> Iterator[None]:
    """Save the epoch if its validation fails: a metric that raises in the last epoch costs no training.

    The checkpoint stands behind the last batch of the epoch, so that a resumed run goes on with the validation.
    """
    losses = learner.losses.values
    learner.losses.clear()
    try:
        yield
    except (CancelEpoch, CancelFit):
        raise
    except BaseException as error:
        learner.history.pop()  # a row without its validation is no finished epoch, also for who interrupts
        for loss in losses:
            learner.losses.add(loss)
        if isinstance(error, Exception):
            save_unjudged(learner)
        raise


def _check_validation(learner: Learner) -> None:
    row = learner.history[-1]
    loss = row.get("valid_loss", 0.0)
    if not math.isfinite(loss):
        reason = learner.undefined.get("valid_loss", "")
        raise NonFiniteLossError(
            f"the validation loss is {loss} after epoch {learner.position.epoch}{reason and f': {reason}'}",
            where=f"train_loss {row['train_loss']:.4g}, learning rate {learner.optimizer.param_groups[0]['lr']:.3g}",
            hint="try a smaller lr, or clip gradients: stepper=use(..., clip=1.0); look for NaN in the validation data",
        )


def _train(learner: Learner, sampler: EpochSampler) -> None:
    learner.set_training_mode()
    with _named_memory_error(learner):
        _train_batches(learner)
    save_trained(learner)
    learner.stepper.finish_epoch()
    learner.replicas.share_buffers()
    _check_losses(learner)
    learner.batch = None


def _train_batches(learner: Learner) -> None:
    position, device = learner.position, learner.device
    for batch in learner.train_loader:
        with suppress(CancelBatch):
            learner.batch = to_device(batch, device)
            with learner.level("batch"):
                learner.replicas.watch_weights()
                learner.replicas.draw_apart(learner.streams, learner.epochs_done, position.batch)
                loss = learner.replicas.loss_of_all(learner.stepper.train_step(learner.batch))
                learner.step_loss = loss
                learner.losses.add(loss)
                position.batch += 1
                position.step += 1
        if position.batch % CHECK_EVERY == 0:
            _check_losses(learner)


def is_timing(name: str) -> bool:
    """Whether a column of the history tells of time, which no two trainings share."""
    return name.startswith("seconds") or name.endswith("_per_second")


def validate(learner: Learner, split: str) -> dict[str, float]:
    """Mean loss and every metric on one split, as ``{split}_loss`` and ``{split}_{metric}``.

    Several processes share the batches where every metric says how its parts are put together (``merge_state``) and
    the model carries nothing from batch to batch; otherwise each of them judges the whole split. The figures are those
    of one process.
    """
    for metric in learner.metrics.values():
        metric.reset()
    learner.undefined = {name: why for name, why in learner.undefined.items() if not name.startswith(f"{split}_")}
    shared = learner.replicas.judges_parts and _can_be_shared(learner)
    total = weight = torch.zeros((), device=learner.device, dtype=_PRECISE.get(learner.device.type, torch.float64))
    with (
        learner.evaluation_mode(),
        learner.level("validate"),
        learner.level("judge"),  # other weights may take their place before they are gathered
        learner.replicas.whole_weights(),
        _named_memory_error(learner),
    ):
        for batch in learner.valid_loader(split, part=shared):
            batch = to_device(batch, learner.device)
            result = learner.stepper.valid_step(batch)
            total = total + _weighted(result)
            weight = weight + result.weight
            for name, metric in learner.metrics.items():
                _update(metric, name in learner.metrics_with_batch, result, batch)
        if shared:
            total, weight = learner.replicas.total(total, weight)
            learner.replicas.merge(learner.metrics)
        row = {f"{split}_loss": float(total / weight)}
        if not float(weight):
            learner.undefined[f"{split}_loss"] = "no target counts"
        for name, metric in learner.metrics.items():
            row[f"{split}_{name}"], reason = score_of(name, metric)
            if reason:
                learner.undefined[f"{split}_{name}"] = reason
    return row


_PRECISE = {"mps": torch.float32}
"""Devices without double precision."""


def _weighted(result: Evaluation) -> Tensor | float:
    """The loss of a batch times its weight; 0 for a batch without a target that counts, whose mean is 0 / 0."""
    if isinstance(result.weight, Tensor):
        return torch.where(result.weight == 0, 0.0, result.loss * result.weight)
    return result.loss * result.weight if result.weight else 0.0


def _can_be_shared(learner: Learner) -> bool:
    merges = all(hasattr(metric, "merge_state") for metric in learner.metrics.values())
    return merges and not carried_state(learner.model)


def _update(metric: Any, with_batch: bool, result: Any, batch: Any) -> None:
    if with_batch:
        metric.update(result.output, result.target, batch=batch)
    else:
        metric.update(result.output, result.target)


class Losses:
    """The losses of the current epoch, on their device until somebody asks for a number."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._gathered = torch.zeros(0, device=device)
        self._recent: list[Tensor] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._gathered) + len(self._recent)

    @property
    def values(self) -> Tensor:
        """All of them, (count,), in float32."""
        if self._recent:
            recent = torch.stack([loss.reshape(()) for loss in self._recent]).to(self.device, torch.float32)
            self._gathered = torch.cat([self._gathered, recent])
            self._recent.clear()
        return self._gathered

    def add(self, loss: Tensor) -> None:
        """Keep one more loss."""
        self._recent.append(loss)

    def mean(self) -> float:
        """Mean over the batches so far; NaN where there was none."""
        return float(self.values.mean())

    def clear(self) -> None:
        """Begin the next epoch."""
        self._gathered = self._gathered[:0]
        self._recent.clear()

    def first_bad(self) -> int | None:
        """Index of the first loss that is not finite, or None."""
        bad = ~torch.isfinite(self.values)
        return int(bad.nonzero()[0]) if bool(bad.any()) else None


def _check_losses(learner: Learner) -> None:
    first = learner.losses.first_bad()
    if first is not None:
        position = learner.position
        step = position.step - learner.losses.count + first
        raise NonFiniteLossError(
            f"the loss became {float(learner.losses.values[first])} at step {step} "
            f"(epoch {position.epoch}, batch {first})",
            where=f"learning rate {learner.optimizer.param_groups[0]['lr']:.3g}",
            hint="try a smaller lr, or clip gradients: stepper=use(..., clip=1.0)",
        )


@contextmanager
def _named_memory_error(learner: Learner) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"a batch did not fit in the memory of {learner.device}",
            where=f"batch_size={learner.batch_size}",
            hint="use a smaller batch_size; stepper=use(..., accumulate=N) keeps the effective size",
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python says with this error that memory ran out."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return not isinstance(error, LabError) and "can't allocate memory" in error_text(error)
