"""Distributed data-parallel training: every rank trains a copy of the model on its part of every batch.

The ranks were started by ``torchrun`` or by whoever called ``torch.distributed.init_process_group``; a learner that is
made then takes part by itself. Everything random is drawn alike on every rank, apart from dropout, so that all of them
agree on the order of the examples and on the next step. A rank takes every ``world_size``-th example of a batch,
``DistributedDataParallel`` averages the gradients, and each rank's loss is weighted by its number of elements: training
equals that of one process, to rounding. What differs is dropout, and batch norm, which sees its rank's part alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from lab.training.distributed.collectives import all_gather
from lab.training.distributed.single import SingleProcess
from lab.training.rng import Streams, seed_all_generators

__all__ = ["DDP"]


class DDP(SingleProcess):
    """One rank of distributed data-parallel training.

    Args:
        model: the model, on its device; its weights become those of rank 0.
        device: where it is.
    """

    shards_validation = True

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.rank, self.world_size = distributed.get_rank(), distributed.get_world_size()
        self._model, self._device = model, device
        self._trained: list[bool] = []
        self._reduce_gradients: Callable[[Tensor], Tensor] | None = None
        self._global_loss: Tensor | None = None

    def prepare_step(self) -> None:
        """Rebuild DDP if the set of trainable parameters changed; DDP broadcasts rank 0's weights when it is built."""
        trained = [weight.requires_grad for weight in self._model.parameters()]
        if trained != self._trained:
            self._trained = trained
            self._reduce_gradients = self._wrap() if any(trained) else None

    def _wrap(self) -> Callable[[Tensor], Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 renames broadcast_buffers
            return nn.parallel.DistributedDataParallel(
                _PassesLoss(self._model),
                device_ids=[self._device] if self._device.type == "cuda" else None,
                # buffers are averaged once per epoch, and a stepper may leave parts of its model out
                broadcast_buffers=False,
                find_unused_parameters=True,
            )

    def seed_dropout(self, streams: Streams, epoch: int, batch: int) -> None:
        # by the step, not by a stream: a checkpoint holds the stream of rank 0 alone
        if self.rank:
            seed_all_generators(streams.seed("dropout", self.rank, epoch, batch))

    def scale_loss(self, loss: Tensor, weight: float | Tensor | None) -> Tensor:
        """Return the loss whose gradients, averaged over ranks, are those of the whole batch.

        Args:
            loss: of this rank's part of the batch, with its graph.
            weight: the number of elements that it is the mean over; None weighs every rank the same.
        """
        # float64, so that the loss curve agrees with that of one process to float32 rounding
        count = torch.as_tensor(1.0 if weight is None else weight, dtype=torch.float64, device=self._device)
        sums = torch.stack([count, count * loss.detach()])
        distributed.all_reduce(sums)
        # without .item(): the device is not waited for
        self._global_loss = (sums[1] / sums[0]).to(loss.dtype)
        scaled = loss * (count * self.world_size / sums[0]).to(loss.dtype)
        return scaled if self._reduce_gradients is None else self._reduce_gradients(scaled)

    def global_loss(self, loss: Tensor) -> Tensor:
        """Return the training loss of the whole batch, as ``scale_loss`` computed it."""
        found, self._global_loss = self._global_loss, None
        return loss if found is None else found

    def local_batches(self, batches: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        # whole batches: splitting one would change what batch norm or a ranking loss sees
        return batches[self.rank :: self.world_size]

    def sum(self, *values: Tensor) -> Sequence[Tensor]:
        """Return sums over all ranks, each of one number, in double precision."""
        sums = torch.stack([value.double().reshape(()) for value in values]).to(self._device)
        distributed.all_reduce(sums)
        return sums.unbind()

    def average_buffers(self) -> None:
        for buffer in self._model.buffers():
            # counters of batches are the same everywhere
            if buffer.is_floating_point() and buffer.numel():
                distributed.all_reduce(buffer)
                buffer /= self.world_size

    def disable_metric_sync(self, metrics: Mapping[str, Any]) -> None:
        # torchmetrics gather whenever a process group exists; with merge_metrics that would count twice
        for metric in metrics.values():
            if hasattr(metric, "distributed_available_fn"):
                metric.distributed_available_fn = _always_false

    def merge_metrics(self, metrics: Mapping[str, Any]) -> None:
        # metric_state before any merge: all ranks send what they saw themselves
        for rank, states in enumerate(all_gather({name: metric.metric_state for name, metric in metrics.items()})):
            for name, metric in metrics.items():
                if rank != self.rank:
                    metric.merge_state(states[name])


def _always_false() -> bool:
    return False


class _PassesLoss(nn.Module):
    """Registers a model's weights with DistributedDataParallel, and passes the loss.

    DDP then finds the gradients from the loss down, so that a stepper may call any method of its model, any number of
    times.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Tensor) -> Tensor:
        return loss
