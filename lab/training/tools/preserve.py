"""Trial of a learner that restores it afterwards, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lab.training.rng import global_random_state, set_global_random_state
from lab.training.state import Losses, Training

__all__ = ["preserved"]

_OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes that torch keeps in every module; they are restored by their own means or do not change."""

_ATTRIBUTES = ("batch", "history", "is_finished", "losses", "lr", "position", "step_loss", "_dropout_state")


@contextmanager
def preserved(learner: Training) -> Iterator[None]:
    """Restore a learner after the block, also when the body raised, whatever was trained inside.

    Restored are weights, gradients and buffers of the model and of a loss that is a module, the tensors and numbers
    that their modules keep in plain attributes (the state of a stateful network), optimizer, stepper, named streams,
    global generators, position, history and mode. No callback sees an event.
    """
    modules = [module for module in (learner.model, learner.loss) if isinstance(module, nn.Module)]
    snapshots = [_Snapshot(part) for module in modules for part in module.modules()]
    # state_dict shares its tensors with the optimizer
    optimizer = copy.deepcopy(learner.optimizer.state_dict())
    stepper = copy.deepcopy(learner.stepper.state_dict())
    streams = learner.streams.state_dict()
    random_state = global_random_state(learner.device)
    others = {name: getattr(learner, name) for name in _ATTRIBUTES}
    learner.losses, learner.position = Losses(learner.device), copy.copy(learner.position)
    learner.history = list(learner.history)
    try:
        with learner.unobserved():
            yield
    finally:
        learner.optimizer.load_state_dict(optimizer)
        learner.stepper.load_state_dict(stepper)
        # after the stepper, whose load_state_dict may touch the model
        for snapshot in snapshots:
            snapshot.restore()
        learner.streams.return_to(streams)
        for name, value in others.items():
            setattr(learner, name, value)
        set_global_random_state(random_state, learner.device)


class _Snapshot:
    """Copy of one module's own weights, buffers, plain attributes and mode."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.weights = [
            (weight, weight.detach().clone(), None if weight.grad is None else weight.grad.clone())
            for weight in module.parameters(recurse=False)
        ]
        self.buffers = _copied(dict(module._buffers))
        self.plain = _copied(_plain_attributes(module))
        self.mode = module.training

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the module; its weights keep their identity, since the optimizer holds them."""
        for weight, value, gradient in self.weights:
            weight.copy_(value)
            weight.grad = gradient
        self.module._buffers.update(self.buffers)
        # attributes that the trial added, such as a first hidden state
        for name in _plain_attributes(self.module).keys() - self.plain:
            delattr(self.module, name)
        for name, value in self.plain.items():
            setattr(self.module, name, value)
        self.module.training = self.mode


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """Return a module's own attributes that are values: tensors, numbers, strings and containers of them."""
    return {
        name: value
        for name, value in vars(module).items()
        if name not in _OF_TORCH
        and all(
            leaf is None or (isinstance(leaf, (Tensor, bool, int, float, str)) and not isinstance(leaf, nn.Parameter))
            for leaf in tree_leaves(value)
        )
    }


def _copied(tree: Any) -> Any:
    return tree_map(lambda leaf: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf, tree)
