"""Fully sharded data-parallel training: every rank keeps a shard of weights, gradients and optimizer state.

Zhao et al. 2023, arXiv:2304.11277, by torch's ``fully_shard``. A *unit* is a module whose weights are gathered when it
is called and freed after; what belongs to no unit is gathered for the whole step. The smaller the units, the less
memory a rank needs, and the more often the ranks wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn

from lab.errors import ParameterError
from lab.training.cpu import trim_heap
from lab.training.distributed.ddp import DDP
from lab.training.weights import shard_like

__all__ = ["FSDP", "units_of"]


class FSDP(DDP):
    """One rank of fully sharded training.

    Outside of a step and of ``gathered_weights`` a weight is torch's ``DTensor``, as are its gradient and its optimizer
    state; ``lab.training.weights.full_tensor`` gathers one of them.

    Args:
        model: the model; unit by unit it is moved to the device and rank 0's weights are sharded. Its method
            ``shard_units()``, where it has one, names the units.
        device: where to train.

    Raises:
        ParameterError: torch cannot shard this model; it says why.
    """

    is_sharded = True

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__(model, device)
        if device.type == "cpu":
            trim_heap()
        units = units_of(model)
        # calling a unit waits for all ranks, so all must call it equally often: no rank may skip a batch
        self.shards_validation = not units
        self._root = _shard(model, units, device)
        self._reduce_gradients = lambda loss: self._root(_OpaqueLoss(loss))
        self._are_gathered = False

    def prepare_step(self) -> None:
        """Gather the weights that belong to no unit."""
        self._root.unshard()

    @contextmanager
    def gathered_weights(self) -> Iterator[None]:
        """Gather the weights that belong to no unit inside the block; any method of the model may be called."""
        # nested by validate inside of evaluating: the inner block must not reshard
        if self._are_gathered:
            yield
            return
        self._are_gathered = True
        self._root.unshard()
        try:
            yield
        finally:
            self._root.reshard()
            self._are_gathered = False

    def local_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Shard what has the shape of its weight, such as the moments of Adam; the rest stays as it is."""
        # in the order in which torch numbers the parameters of an optimizer's state
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        shards = {
            index: {
                name: shard_like(value, weights[index])
                if isinstance(value, Tensor) and value.shape == weights[index].shape
                else value
                for name, value in entries.items()
            }
            for index, entries in state["state"].items()
        }
        return {**state, "state": shards}

    def broadcast_flag(self, flag: bool) -> bool:
        # every decision that leads to a collective: clocks differ between ranks
        answer = torch.tensor([int(flag)])
        distributed.broadcast(answer, 0)
        return bool(answer)


def units_of(model: nn.Module) -> list[nn.Module]:
    """Return the modules that keep their full weights only while they are called.

    A model names them by its method ``shard_units()``; otherwise they are the elements of every outermost
    ``nn.Sequential`` that share no weight with anything else.
    """
    name_units = getattr(model, "shard_units", None)
    if callable(name_units):
        return list(name_units())
    # a weight that two modules share would be freed by one while the other uses it
    return [unit for unit in _elements(model) if _is_closed(unit, model)]


def _elements(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        yield from module
        return
    for child in module.children():
        yield from _elements(child)


def _is_closed(unit: nn.Module, model: nn.Module) -> bool:
    """Return whether a module has weights and all of them are used nowhere else."""
    inside = set(unit.modules())
    weights = set(unit.parameters())
    outside = (weight for owner in model.modules() if owner not in inside for weight in owner._parameters.values())
    return bool(weights) and weights.isdisjoint(outside)


class _OpaqueLoss:
    """A loss that ``fully_shard`` does not see: gradients flowing into it do not mean that the model's are complete."""

    def __init__(self, loss: Tensor) -> None:
        self.loss = loss


class _Root(nn.Module):
    """Holds the model for ``fully_shard``, and passes the loss, so that a stepper may call any method of its model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, opaque: _OpaqueLoss) -> Tensor:
        return opaque.loss


def _shard(model: nn.Module, units: Sequence[nn.Module], device: torch.device) -> Any:
    """Shard a model's weights over all ranks; returns the root of ``fully_shard``."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    root = _Root(model)
    try:
        for module in [*units, root]:
            # unit by unit, so that never more than one is on the device in full
            _broadcast_from_rank0(module, device)
            fully_shard(module, mesh=mesh)
        with torch.no_grad():
            root(_OpaqueLoss(torch.zeros((), device=device)))  # torch looks for the units at the first call
    except (AssertionError, NotImplementedError, ValueError) as error:
        raise ParameterError(
            "this model cannot be sharded",
            where=f"{type(model).__name__}: {error}",
            hint="leave out executor.shard, so that every process has the whole model",
        ) from error
    root.reshard()  # type: ignore[operator]  # fully_shard changes the class of its module
    return root


def _broadcast_from_rank0(module: nn.Module, device: torch.device) -> None:
    """Move tensors that are not sharded yet to the device and broadcast them from rank 0."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if not hasattr(tensor, "full_tensor") and tensor.numel():
            tensor.data = tensor.data.to(device)
            distributed.broadcast(tensor.data, 0)
