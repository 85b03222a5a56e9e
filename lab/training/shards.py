"""Weights that no process has whole: each keeps its part of them, of their gradients and of the optimizer's state.

Fully sharded data parallelism (Zhao et al. 2023, arXiv:2304.11277) by torch's ``fully_shard``. A *unit* is a module
whose weights are gathered when it is called and given back after; what belongs to no unit is gathered for the whole
step. The fewer weights a unit has, the less memory a process needs, and the more often the processes wait for each
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn

from lab.errors import ParameterError
from lab.training.machine import give_memory_back
from lab.training.replicas import Replicas, part_like

__all__ = ["Shards", "units_of"]


class Shards(Replicas):
    """One of several processes, which keeps a part of every weight.

    Outside of a step and of ``whole_weights`` a weight is torch's ``DTensor``, as are its gradient and what the
    optimizer keeps for it; ``lab.training.replicas.whole`` gathers one of them.

    Args:
        model: the model that all of them train; unit by unit it is moved to the device and its weights, those of the
            first process, are divided. Its method ``shard_units()``, where it has one, names the units.
        device: where to train.

    Raises:
        ParameterError: torch cannot divide this model; it says why.
    """

    is_sharded = True

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__(model, device)
        if device.type == "cpu":
            give_memory_back()
        units = units_of(model)
        self.judges_parts = not units  # who calls a unit waits for all, so all must call equally often
        self._root = _divided(model, units, device)
        self._averaging = self._reached
        self._are_whole = False

    def watch_weights(self) -> None:
        """Before a step: gather what belongs to no unit."""
        self._root.unshard()

    @contextmanager
    def whole_weights(self) -> Iterator[None]:
        """Inside the block what belongs to no unit is whole, and any method of the model may be called."""
        if self._are_whole:
            yield
            return
        self._are_whole = True
        self._root.unshard()
        try:
            yield
        finally:
            self._root.reshard()
            self._are_whole = False

    def own_state(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Of what is shaped like a weight, the part that this process has of the weight; all else as it is."""
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        parts = {
            index: {name: _like_weight(value, weights[index]) for name, value in entries.items()}
            for index, entries in state["state"].items()
        }
        return {**state, "state": parts}

    def agreed(self, yes: bool) -> bool:
        """What the first process says."""
        answer = torch.tensor([int(yes)])
        distributed.broadcast(answer, 0)
        return bool(answer)

    def _reached(self, loss: Tensor) -> Tensor:
        """The loss, whose backward pass ends with every process having its part of the mean of the gradients."""
        reached: Tensor = self._root(_Held(loss))
        return reached


def units_of(model: nn.Module) -> list[nn.Module]:
    """The parts of a model that keep their weights only while they are called.

    A model names them by its method ``shard_units()``; of another the elements of every outermost ``nn.Sequential`` are
    taken, as far as they share no weight with anything else.
    """
    name_units = getattr(model, "shard_units", None)
    if callable(name_units):
        return list(name_units())
    return [unit for unit in _elements(model) if _is_closed(unit, model)]


def _elements(module: nn.Module) -> Iterator[nn.Module]:
    """Elements of the outermost sequences."""
    if isinstance(module, nn.Sequential):
        yield from module
        return
    for child in module.children():
        yield from _elements(child)


def _is_closed(unit: nn.Module, model: nn.Module) -> bool:
    """Whether it has weights, all of them used nowhere else."""
    inside = {(id(owner), name) for owner in unit.modules() for name in owner._parameters}
    weights = {id(weight) for weight in unit.parameters()}
    places = ((id(owner), name, id(w)) for owner in model.modules() for name, w in owner._parameters.items())
    return bool(weights) and all((owner, name) in inside for owner, name, weight in places if weight in weights)


def _like_weight(value: Any, weight: Tensor) -> Any:
    is_alike = isinstance(value, Tensor) and value.shape == weight.shape
    return part_like(value, weight) if is_alike else value


class _Held:
    """A loss that ``fully_shard`` does not see: gradients flowing into it are no sign that the model's are there."""

    def __init__(self, loss: Tensor) -> None:
        self.loss = loss


class _Root(nn.Module):
    """Holds the model for ``fully_shard``, and passes the loss, so that a stepper may call its model as it likes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, held: _Held) -> Tensor:
        return held.loss


def _divided(model: nn.Module, units: Sequence[nn.Module], device: torch.device) -> Any:
    """The model's weights divided among the processes; gives the root of ``fully_shard``."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    try:
        for unit in units:
            _as_in_the_first(unit, device)
            fully_shard(unit, mesh=mesh)
        root = _Root(model)
        _as_in_the_first(root, device)
        fully_shard(root, mesh=mesh)
        with torch.no_grad():
            root(_Held(torch.zeros((), device=device)))  # torch looks for the units at the first call
    except (AssertionError, NotImplementedError, ValueError) as error:
        raise ParameterError(
            "this model cannot be sharded",
            where=f"{type(model).__name__}: {error}",
            hint="leave out executor.shard, so that every process has the whole model",
        ) from error
    root.reshard()  # type: ignore[operator]  # fully_shard made it a module that can
    return root


def _as_in_the_first(module: nn.Module, device: torch.device) -> None:
    """Weights and buffers that are not divided yet, on the device and as the first process has them."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if not hasattr(tensor, "full_tensor") and tensor.numel():
            tensor.data = tensor.data.to(device)
            distributed.broadcast(tensor.data, 0)
