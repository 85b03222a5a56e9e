"""The Brier score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError

__all__ = ["Brier"]


class Brier:
    """Brier score, the mean of ``Σ_c (p_c - [c is the target])²``, from 0 to 2. Brier 1950.

    Shapes:
        output (B, C) logits, target (B) class numbers

    Raises:
        ShapeError: the shapes do not match.
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Reset the state at the start of an epoch."""
        self.total, self.count = torch.zeros((), dtype=torch.float64), 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Accumulate one batch."""
        if output.dim() != 2 or output.shape[:1] != target.shape:
            raise ShapeError(f"brier: output {tuple(output.shape)} does not fit target {tuple(target.shape)}")
        truth = functional.one_hot(target, output.shape[1])
        self.total = self.total + (output.double().softmax(1) - truth).square().sum()
        self.count += len(target)

    def compute(self) -> Tensor:
        """Return the score of the epoch."""
        return self.total / self.count
