"""Weight averaging: the averaged weights are evaluated and kept at the end, the others are trained.

Averages are those of ``torch.optim.swa_utils``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from lab.errors import ParameterError
from lab.training.callback import Callback
from lab.training.data import to_device
from lab.training.state import CancelFit
from lab.training.weights import shard_like
from lab_basics.monitor import finished_epoch

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["EMA", "SWA", "AveragedWeights"]


class AveragedWeights(Callback):
    """Base class: keep an average of the weights and swap it with the model's whenever weights are evaluated.

    After a fit that finished or was ended by ``CancelFit``, the model has the averaged weights; after a failure, it has
    its own, so that a resumed run continues exactly. Only floating-point tensors are averaged.
    """

    reads_metrics = False

    # Last in order is first in ``after_fit``, so that the artefacts of the other callbacks are made from the average.
    after = ("*",)

    def __init__(self) -> None:
        self._average: list[Tensor] = []
        self._swapped = False
        self._count = 0

    def before_fit(self, learner: Learner) -> None:
        # A resumed fit keeps the average that was loaded.
        if learner.position.step == 0 or not self._average:
            self._average = [tensor.clone() for tensor in _averaged_tensors(learner.model)]
            self._count = 0

    def before_eval_weights(self, learner: Learner) -> None:
        if self._average and self._count:
            self._swap(learner)

    def after_eval_weights(self, learner: Learner) -> None:
        if self._swapped:
            self._swap(learner)

    def after_fit(self, learner: Learner) -> None:
        if not _ended_well():
            return
        if self._average and self._count:
            self._swap(learner)
        self._average, self._swapped = [], False

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for mine, saved in zip(self._average, state["average"], strict=True):
            mine.copy_(shard_like(saved, mine))
        self._count = state["count"]

    def _move_average(self, learner: Learner, update: Callable[[Any, Any, int], None]) -> None:
        """Move the average towards the model.

        Args:
            learner: with the model.
            update: of ``torch.optim.swa_utils``, called with averages, weights, and how many were averaged before.
        """
        pairs = list(zip(self._average, _averaged_tensors(learner.model), strict=True))
        # torch's foreach kernels refuse a list that mixes sharded weights with plain buffers.
        for kind in {type(mine) for mine, _ in pairs}:
            alike = [pair for pair in pairs if type(pair[0]) is kind]
            update([mine for mine, _ in alike], [theirs for _, theirs in alike], self._count)
        self._count += 1

    @torch.no_grad()
    def _swap(self, learner: Learner) -> None:
        for mine, theirs in zip(self._average, _averaged_tensors(learner.model), strict=True):
            # In place: optimizers and compiled models hold references to these tensors.
            kept = theirs.clone()
            theirs.copy_(mine)
            mine.copy_(kept)
        self._swapped = not self._swapped


class EMA(AveragedWeights):
    """Exponential moving average of the weights over steps.

    Polyak & Juditsky 1992. As in TensorFlow, the average forgets faster at the beginning: step t keeps
    ``min(decay, (1 + t) / (10 + t))`` of it.

    Args:
        decay: decay rate, the fraction of the old average that a step keeps, in [0, 1).
    """

    def __init__(self, *, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ParameterError(f"decay must lie in [0, 1), got {decay}", where="callback 'ema'")
        self.decay = decay

    def after_step(self, learner: Learner) -> None:
        step = self._count
        # Empty if a single step is made outside a fit.
        if self._average:
            self._move_average(learner, get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step))))


class SWA(AveragedWeights):
    """Stochastic weight averaging: the mean of the weights at the ends of epochs, from some epoch on.

    Izmailov et al. 2018, arXiv:1803.05407. Batch norm statistics are recomputed for the averaged weights by one pass
    over the training data before each validation and at the end.

    Args:
        start: fraction of the epochs after which averaging starts, in [0, 1).
        every_epochs: epochs between averaged weights; with ``cos_anneal``, use its ``cycle_len``.
    """

    def __init__(self, *, start: float = 0.75, every_epochs: int = 1) -> None:
        super().__init__()
        if not 0 <= start < 1 or every_epochs < 1:
            given = f"start={start}, every_epochs={every_epochs}"
            raise ParameterError(
                f"start must lie in [0, 1) and every_epochs be at least 1, got {given}", where="callback 'swa'"
            )
        self.start, self.every_epochs = start, every_epochs
        self._collected_epoch = self._measured = -1

    def remarks(self, learner: Learner) -> Sequence[str]:
        epochs = learner.position.epochs
        averaged = sum(self._is_averaged(epoch, epochs) for epoch in range(epochs))
        if averaged > 1:
            return ()
        return (
            f"swa: one epoch of {epochs} is averaged, which changes nothing; train longer, or choose a smaller start",
        )

    def before_eval_weights(self, learner: Learner) -> None:
        self._collect(learner)
        super().before_eval_weights(learner)
        if self._swapped and self._measured != self._count:
            _update_batch_norm(learner)
            self._measured = self._count

    def after_epoch(self, learner: Learner) -> None:
        if finished_epoch(learner) is not None:
            self._collect(learner)

    def after_fit(self, learner: Learner) -> None:
        averaged = _ended_well() and self._average and self._count
        super().after_fit(learner)
        if averaged and self._measured != self._count:
            _update_batch_norm(learner)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "collected_epoch": self._collected_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._collected_epoch = state["collected_epoch"]

    def _collect(self, learner: Learner) -> None:
        """Add the weights of this epoch to the average, once, if it is one of the averaged epochs."""
        due = self._is_averaged(learner.position.epoch, learner.position.epochs)
        if self._average and due and self._collected_epoch != learner.epochs_done:
            self._collected_epoch = learner.epochs_done
            self._move_average(learner, get_swa_multi_avg_fn())

    def _is_averaged(self, epoch: int, epochs: int) -> bool:
        # Counted from the end, so that the last epoch, where a schedule has annealed the rate, is always averaged.
        return epoch + 1 > self.start * epochs and (epochs - epoch - 1) % self.every_epochs == 0


def _ended_well() -> bool:
    """Return True in ``after_fit`` if training finished or was ended by ``CancelFit``, not by a failure."""
    return isinstance(sys.exc_info()[1], (CancelFit, type(None)))


def _averaged_tensors(model: nn.Module) -> list[Tensor]:
    """Return the floating-point parameters and buffers of a model's state, each once."""
    # By identity: a shared parameter has several names and must not be averaged several times.
    state = model.state_dict(keep_vars=True).items()
    # Extra state, such as a carried hidden state, is no weight, and may be no tensor.
    weights = [tensor for name, tensor in state if not name.endswith("_extra_state")]
    tensors = {id(tensor): tensor for tensor in weights if tensor.is_floating_point()}
    return [tensor.detach() for tensor in tensors.values()]


def _update_batch_norm(learner: Learner) -> None:
    """Recompute the running statistics of every batch norm in one pass over the training data."""
    # not torch's update_bn, which calls the model with the first part of a batch and turns dropout on
    norms = [module for module in learner.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    try:
        with learner.evaluating():
            for norm in norms:
                # The statistics of the trained weights do not fit the averaged ones.
                norm.reset_running_stats()
                norm.train()
            for seen, batch in enumerate(learner.train_loader, start=1):
                for norm in norms:
                    # The mean over batches; some subclasses do not know momentum=None.
                    norm.momentum = 1 / seen
                learner.stepper.valid_step(to_device(batch, learner.device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.train(learner.model.training)
