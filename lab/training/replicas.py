"""Several processes that train one model, each on its part of every batch.

They were started by ``torchrun`` or by whoever called ``torch.distributed.init_process_group``; a learner that is made
then takes part by itself. Everything random is drawn alike in every process, apart from dropout, so that all of them
agree on the order of the examples and on the step to come. A process takes every ``size``-th example of a batch,
``DistributedDataParallel`` averages the gradients, and every loss counts by how many things it is the mean of:
training sees what one process would see, to rounding. What differs is dropout, and batch norm, which knows the part of
its own process alone. Inside ``sharded()`` a process keeps only a part of the weights, too (``lab.training.shards``).
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from lab.training.rng import Streams, seed_all_generators

__all__ = ["Alone", "Replicas", "alone", "find_replicas", "part_like", "sharded", "whole"]


class Alone:
    """One process, which trains by itself."""

    rank, size = 0, 1
    is_sharded = False
    judges_parts = False

    def watch_weights(self) -> None:
        """Before a step: see which weights are trained now."""

    def draw_apart(self, streams: Streams, epoch: int, batch: int) -> None:
        """Before a step: begin the dropout of this process where the step says, unless it is the first process."""

    def prepare(self, loss: Tensor, weight: float | Tensor | None) -> Tensor:
        """The loss, ready for its gradients."""
        return loss

    def loss_of_all(self, loss: Tensor) -> Tensor:
        """The training loss of the whole batch."""
        return loss

    def own_part(self, batches: Iterable[Sequence[int]]) -> Iterable[Sequence[int]]:
        """The validation batches that this process judges."""
        return batches

    def total(self, *values: Tensor) -> Sequence[Tensor]:
        """Sums over all processes."""
        return values

    def share_buffers(self) -> None:
        """Running averages become those of all processes."""

    def take_over(self, metrics: Mapping[str, Any]) -> None:
        """Metrics that would gather from other processes by themselves leave it to ``merge``."""

    def merge(self, metrics: Mapping[str, Any]) -> None:
        """Every metric knows what it saw in any process."""

    def whole_weights(self) -> AbstractContextManager[None]:
        """Inside the block this process has every weight whole."""
        return nullcontext()

    def own_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """What this process keeps of an optimizer's whole state."""
        return state

    def agreed(self, yes: bool) -> bool:
        """Whether to do what all processes must do together, or the first by itself."""
        return yes


class Replicas(Alone):
    """One of several processes.

    Args:
        model: the model that all of them train; its weights become those of the first process.
        device: where it is.

    Attributes:
        rank: which process this is, from 0; the first is the one that writes.
        size: how many they are.
        is_sharded: whether each keeps a part of the weights.
        judges_parts: whether each may judge a part of the validation batches.
    """

    judges_parts = True

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._model, self._device = model, device
        self._trained: list[bool] = []
        self._averaging: Callable[[Tensor], Tensor] | None = None
        self._loss: Tensor | None = None

    def draw_apart(self, streams: Streams, epoch: int, batch: int) -> None:
        """Begin the dropout of this process where the step says: a checkpoint holds that of the first process alone."""
        if self.rank:
            seed_all_generators(streams.seed("dropout", self.rank, epoch, batch))

    def watch_weights(self) -> None:
        """Whose gradients are averaged; where that is new, all weights become those of the first process."""
        trained = [weight.requires_grad for weight in self._model.parameters()]
        if trained != self._trained:
            self._trained = trained
            self._averaging = self._averaging_of_gradients() if any(trained) else None

    def prepare(self, loss: Tensor, weight: float | Tensor | None) -> Tensor:
        """The loss, scaled so that the mean of all processes' gradients is the gradient over the whole batch.

        Args:
            loss: of this process's part of the batch, with its graph.
            weight: of how many things it is the mean; None counts every process alike.
        """
        counted = torch.as_tensor(1.0 if weight is None else weight, dtype=torch.float64, device=self._device)
        sums = torch.stack([counted, counted * loss.detach()])
        distributed.all_reduce(sums)
        self._loss = (sums[1] / sums[0]).to(loss.dtype)
        scaled = loss * (counted * self.size / sums[0]).to(loss.dtype)
        return scaled if self._averaging is None else self._averaging(scaled)

    def loss_of_all(self, loss: Tensor) -> Tensor:
        """The training loss of the whole batch, as ``prepare`` found it."""
        found, self._loss = self._loss, None
        return loss if found is None else found

    def own_part(self, batches: Iterable[Sequence[int]]) -> Iterable[Sequence[int]]:
        """Every ``size``-th batch."""
        return list(batches)[self.rank :: self.size]

    def total(self, *values: Tensor) -> Sequence[Tensor]:
        """Sums over all processes, each of one number, in double precision."""
        sums = torch.stack([value.double().reshape(()) for value in values]).to(self._device)
        distributed.all_reduce(sums)
        return sums.unbind()

    def share_buffers(self) -> None:
        """Running averages, such as those of batch norm, become the mean over all processes."""
        for buffer in self._model.buffers():
            if buffer.is_floating_point() and buffer.numel():
                distributed.all_reduce(buffer)
                buffer /= self.size

    def take_over(self, metrics: Mapping[str, Any]) -> None:
        """Torchmetrics' metrics gather whenever several processes are there; here that would count twice."""
        for metric in metrics.values():
            if hasattr(metric, "distributed_available_fn"):
                metric.distributed_available_fn = _nobody_else

    def merge(self, metrics: Mapping[str, Any]) -> None:
        """Every metric takes in what the other processes' saw (``metric_state``, ``merge_state``)."""
        own = {name: metric.metric_state for name, metric in metrics.items()}
        for rank, theirs in enumerate(exchange(own)):
            for name, metric in metrics.items():
                if rank != self.rank:
                    metric.merge_state(theirs[name])

    def _averaging_of_gradients(self) -> Callable[[Tensor], Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # 2.13 has another word for broadcast_buffers
            return nn.parallel.DistributedDataParallel(
                _PassesLoss(self._model),
                device_ids=[self._device] if self._device.type == "cuda" else None,
                broadcast_buffers=False,
                find_unused_parameters=True,
            )


def _nobody_else() -> bool:
    return False


class _PassesLoss(nn.Module):
    """Shows a model's weights to DistributedDataParallel, which then looks for their gradients from the loss down.

    A stepper may so call its model as it likes, with any method, and as often as it likes.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Tensor) -> Tensor:
        return loss


_are_alone: ContextVar[bool] = ContextVar("lab_are_alone", default=False)
_are_sharded: ContextVar[bool] = ContextVar("lab_are_sharded", default=False)


def alone(yes: bool = True) -> AbstractContextManager[None]:
    """Learners that are made inside train by themselves, whatever other processes there are; ``False`` ends that."""
    return _holding(_are_alone, yes)


def sharded(yes: bool = True) -> AbstractContextManager[None]:
    """Where learners that are made inside train with other processes, each keeps a part of the weights; or not."""
    return _holding(_are_sharded, yes)


@contextmanager
def _holding(variable: ContextVar[bool], value: bool) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def find_replicas(model: nn.Module, device: torch.device) -> Alone:
    """The other processes, where there are any; the model is on its device then.

    Raises:
        ParameterError: the model was to be sharded and cannot be.
    """
    together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    if _are_alone.get() or not together:
        model.to(device)
        return Alone()
    if _are_sharded.get() and any(True for _ in model.parameters()):
        from lab.training.shards import Shards

        return Shards(model, device)
    return Replicas(model.to(device), device)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, of which this process may keep only a part; every process must ask for it.

    Args:
        tensor: of any shape; a ``DTensor`` or a plain tensor, which is given back.
    """
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """What this process keeps of a whole tensor where it keeps such a part of ``like``, on the device of ``like``.

    Args:
        tensor: whole, the same in every process.
        like: of the same shape.
    """
    tensor = tensor.to(like.device)
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def own_device(device: str | torch.device) -> torch.device:
    """Where this process trains: of several on one machine that were asked for ``cuda``, each has a GPU of its own."""
    device = torch.device(device)
    number = os.environ.get("LOCAL_RANK")
    if str(device) == "cuda" and number is not None and distributed.is_initialized():
        return torch.device("cuda", int(number))
    return device


def exchange(tree: Any) -> list[Any]:
    """What every process gave, in the order of their ranks: tensors and plain values, without pickle."""
    content = pack(tree)
    sizes = [torch.zeros(1, dtype=torch.long) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, torch.tensor([len(content)]))
    longest = max(int(size) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(content)] = content
    received = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
    distributed.all_gather(received, padded)
    return [unpack(part[: int(size)]) for part, size in zip(received, sizes, strict=True)]


def broadcast(tree: Any = None) -> Any:
    """What the first process gave, in every process."""
    content = pack(tree) if distributed.get_rank() == 0 else torch.zeros(0, dtype=torch.uint8)
    size = torch.tensor([len(content)])
    distributed.broadcast(size, 0)
    if distributed.get_rank() != 0:
        content = torch.zeros(int(size), dtype=torch.uint8)
    distributed.broadcast(content, 0)
    return unpack(content)


def pack(tree: Any) -> Tensor:
    """A tree of tensors and plain values as bytes: the two files of a checkpoint, one after the other."""
    from lab.training.checkpoint import write_tree

    with tempfile.TemporaryDirectory() as folder:
        write_tree(tree, Path(folder), "tree")
        plain, tensors = (Path(folder, f"tree.{ending}").read_bytes() for ending in ("json", "safetensors"))
    head = len(plain).to_bytes(8, "little")
    return torch.frombuffer(bytearray(head + plain + tensors), dtype=torch.uint8)


def unpack(content: Tensor) -> Any:
    """What ``pack`` packed."""
    from lab.training.checkpoint import read_tree

    raw = content.numpy().tobytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tree.json").write_bytes(raw[8:end])
        Path(folder, "tree.safetensors").write_bytes(raw[end:])
        return read_tree(Path(folder), "tree")
