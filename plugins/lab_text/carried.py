"""Hidden states that models of running text carry from batch to batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["CarriesState", "detached"]


class CarriesState(nn.Module):
    """Base class of networks that carry their detached hidden state to the next batch.

    Training and evaluation have separate states, so that validation in the middle of an epoch does not disturb the
    state of training. The state of training is part of a checkpoint but not of saved weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.carried: dict[bool, Any] = {True: None, False: None}

    def carried_state(self, batch_size: int) -> Any:
        """Return the state for a batch that continues the last one; None if that had another size."""
        state = self.carried[self.training]
        first = _first(state)
        # The last batch of an epoch may be smaller, and its state belongs to other streams.
        return state if first is not None and first.shape[1] == batch_size else None

    def carry(self, state: Any) -> None:
        """Keep the state behind a batch for the next one."""
        self.carried[self.training] = detached(state)

    def get_extra_state(self) -> Any:
        """Return the hidden state that training carries to the next batch."""
        return self.carried[True]

    def set_extra_state(self, state: Any) -> None:
        """Restore the hidden state of ``get_extra_state``."""
        self.carried[True] = _moved(state, next(self.parameters()).device)


def detached(state: Any) -> Any:
    """Return the state without its graph."""
    if isinstance(state, (tuple, list)):
        return tuple(detached(each) for each in state)
    return None if state is None else state.detach()


def _moved(state: Any, device: torch.device) -> Any:
    if isinstance(state, (tuple, list)):
        return tuple(_moved(each, device) for each in state)
    return state.to(device) if isinstance(state, Tensor) else state


def _first(state: Any) -> Tensor | None:
    while isinstance(state, (tuple, list)):
        state = state[0] if state else None
    return state
