"""Centred gradients."""

from __future__ import annotations

from typing import Any

from lab import Callback, Learner

__all__ = ["Centred"]


class Centred(Callback):
    """Takes the mean away from the gradient of every row of a matrix, before each step.

    Yong, Huang, Hua & Zhang 2020, arXiv:2004.01461. Differs from the paper: nothing for matrices; there are no kernels.

    Args:
        until_step: after so many steps gradients stay as they are; None never stops.
    """

    def __init__(self, *, until_step: int | None = None) -> None:
        self.until_step = until_step
        self.centred = 0

    def before_step(self, learner: Learner) -> None:
        """The gradients are there, the weights have not moved yet."""
        if self.until_step is not None and self.centred >= self.until_step:
            return
        self.centred += 1
        for weight in learner.stepper.trainable_parameters():
            if weight.grad is not None and weight.dim() == 2:
                weight.grad -= weight.grad.mean(1, keepdim=True)

    def state_dict(self) -> dict[str, Any]:
        """How many steps were centred."""
        return {"centred": self.centred}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.centred = state["centred"]
