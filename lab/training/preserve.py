"""Trying something out on a learner, and leaving it as it was, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lab.training import checkpoint
from lab.training.loop import Losses

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["preserved"]

_INTERNAL = frozenset(vars(nn.Module()))
"""What torch keeps in every module; it is restored by its own means or does not change."""


@contextmanager
def preserved(learner: Learner) -> Iterator[None]:
    """Inside the block anything may be trained; after it the learner is as it was before, also when the body raised.

    Restored are weights, gradients and buffers of the model and of a loss that is a module, the tensors and numbers
    that their modules keep in plain attributes (the state of a stateful network), optimizer, stepper, named streams,
    torch's global generators, position, history and mode. Events fire to nobody, so no callback notices.
    """
    modules = [module for module in (learner.model, learner.loss) if isinstance(module, nn.Module)]
    kept = [_Kept(part) for module in modules for part in module.modules()]
    optimizer = copy.deepcopy(learner.optimizer.state_dict())
    stepper = copy.deepcopy(learner.stepper.state_dict())
    streams = learner.streams.state_dict()
    random_state = checkpoint.global_random_state(learner.device)
    others = {name: getattr(learner, name) for name in _ATTRIBUTES}
    learner.losses, learner.position = Losses(learner.device), copy.copy(learner.position)
    learner.history = list(learner.history)
    try:
        with learner.unobserved():
            yield
    finally:
        learner.optimizer.load_state_dict(optimizer)
        learner.stepper.load_state_dict(stepper)
        for part in kept:
            part.restore()
        learner.streams.return_to(streams)
        for name, value in others.items():
            setattr(learner, name, value)
        checkpoint.set_global_random_state(random_state, learner.device)


_ATTRIBUTES = ("batch", "history", "is_finished", "losses", "lr", "position", "step_loss", "_dropout_state")


class _Kept:
    """One module as it is now."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.weights = [
            (weight, weight.detach().clone(), None if weight.grad is None else weight.grad.clone())
            for weight in module.parameters(recurse=False)
        ]
        self.buffers = {name: _copied(buffer) for name, buffer in module._buffers.items()}
        self.plain = {name: _copied(value) for name, value in _plain_attributes(module).items()}
        self.mode = module.training

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back; weights keep their identity, since the optimizer holds them."""
        for weight, value, gradient in self.weights:
            weight.copy_(value)
            weight.grad = gradient
        for name, buffer in self.buffers.items():
            self.module._buffers[name] = buffer
        for name in set(_plain_attributes(self.module)) - set(self.plain):
            delattr(self.module, name)
        for name, value in self.plain.items():
            setattr(self.module, name, value)
        self.module.training = self.mode


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """What a module keeps besides what torch keeps for it, as far as it is values: tensors, numbers, and containers."""
    return {name: value for name, value in vars(module).items() if name not in _INTERNAL and _is_value(value)}


def _is_value(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_value(item) for item in value)
    if isinstance(value, dict):
        return all(_is_value(item) for item in value.values())
    return value is None or (isinstance(value, (Tensor, bool, int, float, str)) and not isinstance(value, nn.Parameter))


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple):
        items = [_copied(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return value
