"""The optimizer Lion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["Lion"]


class Lion(Optimizer):
    """Lion, ``w -= lr · (sign(b1 · m + (1 - b1) · g) + weight_decay · w); m = b2 · m + (1 - b2) · g``.

    Chen et al. 2023, arXiv:2302.06675, algorithm 2. Differs from the paper: nothing.

    Args:
        param_groups: parameters in groups, each with its own ``lr``.
        lr: the size of a step.
        betas: shares of the average that are kept in the step and in the average, each in [0, 1).
        weight_decay: decoupled decay, per unit of ``lr``.
    """

    def __init__(
        self,
        param_groups: Iterable[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(param_groups, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)

    def _move(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
        direction = mean.lerp(weight.grad, 1 - beta1).sign()
        weight.sub_(group["lr"] * (direction + group["weight_decay"] * weight))
        mean.lerp_(weight.grad, 1 - beta2)
