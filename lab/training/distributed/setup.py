"""Choice between one process, DDP and FSDP for the learners that are made in a block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import torch
from torch import distributed, nn

from lab.training.distributed.single import SingleProcess

__all__ = ["alone", "find_processes", "local_device", "sharded"]

# context variables: whoever starts a run decides, and a learner is made many calls deeper
_are_alone: ContextVar[bool] = ContextVar("lab_are_alone", default=False)
_are_sharded: ContextVar[bool] = ContextVar("lab_are_sharded", default=False)


def alone(yes: bool = True) -> AbstractContextManager[None]:
    """Make learners that train in this process alone, even if a process group exists; ``False`` ends that."""
    return _set_inside(_are_alone, yes)


def sharded(yes: bool = True) -> AbstractContextManager[None]:
    """Make learners that shard their weights if a process group exists (FSDP), or not."""
    return _set_inside(_are_sharded, yes)


@contextmanager
def _set_inside(variable: ContextVar[bool], value: bool) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def find_processes(model: nn.Module, device: torch.device) -> SingleProcess:
    """Join the process group, if there is one, and move the model to its device.

    Raises:
        ParameterError: the model was to be sharded and cannot be.
    """
    has_group = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    # nn.Module.to changes a model in place, so the caller's model is the one that is trained
    if _are_alone.get() or not has_group:
        model.to(device)
        return SingleProcess()
    # fully_shard refuses a model without weights
    if _are_sharded.get() and any(True for _ in model.parameters()):
        from lab.training.distributed.fsdp import FSDP

        return FSDP(model, device)
    from lab.training.distributed.ddp import DDP

    return DDP(model.to(device), device)


def local_device(device: str | torch.device) -> torch.device:
    """Return the device of this rank: of several on one machine that asked for ``cuda``, each gets its own GPU."""
    device = torch.device(device)
    number = os.environ.get("LOCAL_RANK")
    # "cuda:1" is meant as it is
    if str(device) == "cuda" and number is not None and distributed.is_initialized():
        return torch.device("cuda", int(number))
    return device
