"""Gradient centralization."""

from __future__ import annotations

from typing import Any

from lab import Callback, Learner

__all__ = ["Centred"]


class Centred(Callback):
    """Gradient centralization: subtract the mean of each row from the gradients of matrices before a step.

    Yong, Huang, Hua & Zhang 2020, arXiv:2004.01461. Differs from the paper: nothing for matrices; there are no kernels.

    Args:
        until_step: number of steps after which gradients are left unchanged; None for no limit.
    """

    def __init__(self, *, until_step: int | None = None) -> None:
        self.until_step = until_step
        self.centred = 0

    def before_step(self, learner: Learner) -> None:
        """Center the gradients."""
        if self.until_step is not None and self.centred >= self.until_step:
            return
        self.centred += 1
        for weight in learner.stepper.trainable_parameters():
            if weight.grad is not None and weight.dim() == 2:
                weight.grad -= weight.grad.mean(1, keepdim=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of centered steps."""
        return {"centred": self.centred}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the number of centered steps."""
        self.centred = state["centred"]
