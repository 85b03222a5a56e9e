"""Training in one process; the interface that DDP and FSDP implement for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lab.training.rng import Streams

__all__ = ["SingleProcess"]


class SingleProcess:
    """One process that trains by itself.

    Attributes:
        rank: number of this process, from 0; rank 0 writes.
        world_size: number of processes.
        is_sharded: whether each rank keeps only a shard of the weights.
        shards_validation: whether each rank may validate a part of the batches.
    """

    rank, world_size = 0, 1
    is_sharded = False
    shards_validation = False

    def prepare_step(self) -> None:
        """Prepare the model for a forward and a backward pass."""

    def seed_dropout(self, streams: Streams, epoch: int, batch: int) -> None:
        """Seed the global generators of every rank but the first for one step."""

    def scale_loss(self, loss: Tensor, weight: float | Tensor | None) -> Tensor:
        """Return the loss whose gradients, averaged over ranks, are those of the whole batch."""
        return loss

    def global_loss(self, loss: Tensor) -> Tensor:
        """Return the training loss of the whole batch."""
        return loss

    def local_batches(self, batches: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """Return the validation batches of this rank."""
        return batches

    def sum(self, *values: Tensor) -> Sequence[Tensor]:
        """Return sums over all ranks."""
        return values

    def average_buffers(self) -> None:
        """Average running statistics, such as those of batch norm, over all ranks."""

    def disable_metric_sync(self, metrics: Mapping[str, Any]) -> None:
        """Keep metrics from gathering by themselves; ``merge_metrics`` does it."""

    def merge_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Merge the states of metrics over all ranks."""

    def gathered_weights(self) -> AbstractContextManager[None]:
        """Gather all weights inside the block."""
        return nullcontext()

    def local_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return this rank's part of an optimizer's full state."""
        return state

    def broadcast_flag(self, flag: bool) -> bool:
        """Return rank 0's flag where all ranks must act together, otherwise this rank's own."""
        return flag
