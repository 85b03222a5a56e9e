"""Training loop with its events.

::

    fit                                          before_fit … after_fit
      for each epoch                             before_epoch … after_epoch
        for each batch of the sampler            before_batch … after_batch
          stepper.train_step(batch)
            forward, loss
            gradients                            before_backward … after_backward
            optimizer                            before_step … after_step
        validation                               before_validate … after_validate
          with the evaluation weights (e.g. EMA) before_eval_weights … after_eval_weights
            stepper.valid_step(batch) → metrics

``after_X`` runs in reverse order and also when the body raised. Losses stay on the device: they are gathered in one
tensor per epoch and checked every ``CHECK_EVERY`` steps. A training or validation loss that is not finite stops the
run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from lab.errors import LabError, NonFiniteLossError, OutOfMemoryError, error_text
from lab.training.checkpoint import save_trained, save_unvalidated
from lab.training.data import to_device
from lab.training.scoring import score_of
from lab.training.state import CancelBatch, CancelEpoch, CancelFit, Training
from lab.training.stepper import Evaluation
from lab.training.weights import extra_state

__all__ = ["CHECK_EVERY", "fit", "is_out_of_memory", "is_timing", "validate"]

CHECK_EVERY = 50


def fit(training: Training) -> None:
    """Train from ``training.position`` to the end of its last epoch."""
    training.is_finished = False
    # outside of the level: a callback that cannot work with this learner gets no after_fit
    for callback in training.callbacks:
        callback.check(training)
    position = training.position
    # the outer one is for CancelFit in before_fit
    with suppress(CancelFit), training.level("fit"):
        with suppress(CancelFit):
            if position.batch == 0:
                training.restore_callbacks()
            while position.epoch < position.epochs:
                rows = len(training.history)
                try:
                    _epoch(training)
                except CancelFit:
                    # a fit that is cancelled in after_epoch has finished its epoch
                    if len(training.history) > rows:
                        position.end_epoch()
                    raise
                position.end_epoch()
        training.is_finished = True


def _epoch(training: Training) -> None:
    started = time.perf_counter()
    training.train_sampler.start_at(training.epochs_done, training.position.batch)
    with suppress(CancelEpoch), training.level("epoch"):
        training.restore_callbacks()
        _train(training)
        seconds = time.perf_counter() - started
        training.history.append(
            {
                "epoch": training.epochs_done,
                "train_loss": training.losses.mean(),
                "seconds": seconds,
                "examples_per_second": training.train_size / max(seconds, 1e-9),
            }
        )
        if training.data.valid is not None:
            with _kept_if_it_fails(training):
                training.history[-1] |= validate(training, "valid")
        # data without a validation split did not clear them above
        training.losses.clear()
        _check_validation(training)


@contextmanager
def _kept_if_it_fails(training: Training) -> Iterator[None]:
    """Save the epoch if its validation fails: a metric that raises in the last epoch costs no training.

    The checkpoint is positioned after the last batch of the epoch, so that a resumed run repeats the validation.
    """
    losses = training.losses.values
    training.losses.clear()
    try:
        yield
    except (CancelEpoch, CancelFit):
        raise
    except BaseException as error:
        training.history.pop()  # a row without its validation is no finished epoch, also after an interrupt
        for loss in losses:
            training.losses.add(loss)
        if isinstance(error, Exception):
            save_unvalidated(training)
        raise


def _train(training: Training) -> None:
    training.set_training_mode()
    with _explain_out_of_memory(training):
        _train_batches(training)
    # before finish_epoch: a resumed run comes back here with no batch left and finishes the epoch itself
    save_trained(training)
    training.stepper.finish_epoch()
    training.distributed.average_buffers()
    _check_losses(training)
    training.batch = None


def _train_batches(training: Training) -> None:
    position, device, ranks = training.position, training.device, training.distributed
    for batch in training.train_loader:
        try:  # not suppress(), which costs three calls per batch
            training.batch = to_device(batch, device)
            with training.level("batch"):
                if ranks.world_size > 1:
                    ranks.prepare_step()
                    ranks.seed_dropout(training.streams, training.epochs_done, position.batch)
                loss = ranks.global_loss(training.stepper.train_step(training.batch))
                training.step_loss = loss
                training.losses.add(loss)
                position.batch += 1
                position.step += 1
        except CancelBatch:
            pass
        # looking at a loss waits for the device, so not at every step
        if position.batch % CHECK_EVERY == 0:
            _check_losses(training)


def _check_losses(training: Training) -> None:
    first = training.losses.first_bad()
    if first is not None:
        position = training.position
        step = position.step - training.losses.count + first
        value = float(training.losses.values[first])
        raise _not_finite(
            training, f"the loss became {value} at step {step} (epoch {position.epoch + 1}, batch {first})"
        )


def _check_validation(training: Training) -> None:
    row = training.history[-1]
    loss = row.get("valid_loss", 0.0)
    if not math.isfinite(loss):
        reason = training.undefined.get("valid_loss", "")
        raise _not_finite(
            training,
            f"the validation loss is {loss} after epoch {training.position.epoch + 1}{reason and f': {reason}'}",
            where=f"train_loss {row['train_loss']:.4g}, ",
            hint="; look for NaN in the validation data",
        )


def _not_finite(training: Training, what: str, where: str = "", hint: str = "") -> NonFiniteLossError:
    rate = training.optimizer.param_groups[0]["lr"]
    remedy = f"try a smaller lr, or clip gradients: stepper=use(..., clip=1.0){hint}"
    return NonFiniteLossError(what, where=f"{where}learning rate {rate:.3g}", hint=remedy)


def validate(training: Training, split: str) -> dict[str, float]:
    """Return mean loss and every metric on one split, as ``{split}_loss`` and ``{split}_{metric}``.

    Validation is split across ranks only if every metric implements ``merge_state`` and the model has no extra state;
    otherwise each rank evaluates the whole split. The metrics are those of one process.
    """
    for metric in training.metrics.values():
        metric.reset()
    training.undefined = {name: why for name, why in training.undefined.items() if not name.startswith(f"{split}_")}
    ranks = training.distributed
    is_split = (
        ranks.shards_validation
        and all(hasattr(metric, "merge_state") for metric in training.metrics.values())
        and not extra_state(training.model)
    )
    # float64 keeps the mean of many batches exact; mps has none
    precision = torch.float32 if training.device.type == "mps" else torch.float64
    total = weight = torch.zeros((), device=training.device, dtype=precision)
    with (
        training.evaluation_mode(),
        training.level("validate"),
        training.level("eval_weights"),  # before the weights are gathered, since others may take their place
        ranks.gathered_weights(),
        _explain_out_of_memory(training),
    ):
        for batch in training.valid_loader(split, local=is_split):
            batch = to_device(batch, training.device)
            result = training.stepper.valid_step(batch)
            total = total + _weighted(result)
            weight = weight + result.weight
            for name, metric in training.metrics.items():
                options = {"batch": batch} if name in training.metrics_with_batch else {}
                metric.update(result.output, result.target, **options)
        if is_split:
            total, weight = ranks.sum(total, weight)
            ranks.merge_metrics(training.metrics)
        row = {f"{split}_loss": float(total / weight)}
        if not float(weight):
            training.undefined[f"{split}_loss"] = "no target counts"
        for name, metric in training.metrics.items():
            row[f"{split}_{name}"], reason = score_of(name, metric)
            if reason:
                training.undefined[f"{split}_{name}"] = reason
    return row


def _weighted(result: Evaluation) -> Tensor | float:
    """Return the loss of a batch times its weight; 0 for a batch of weight 0, whose mean is 0 / 0."""
    if isinstance(result.weight, Tensor):
        return torch.where(result.weight == 0, 0.0, result.loss * result.weight)
    return result.loss * result.weight if result.weight else 0.0


def is_timing(name: str) -> bool:
    """Return whether a column of the history is a time or a speed, which no two trainings share."""
    return name.startswith("seconds") or name.endswith("_per_second")


@contextmanager
def _explain_out_of_memory(training: Training) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"a batch did not fit in the memory of {training.device}",
            where=f"batch_size={training.batch_size}",
            hint="use a smaller batch_size; stepper=use(..., accumulate=N) keeps the effective size",
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch or Python reports with this error that memory ran out."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    # torch's CPU allocator raises a plain RuntimeError
    return not isinstance(error, LabError) and "can't allocate memory" in error_text(error)
