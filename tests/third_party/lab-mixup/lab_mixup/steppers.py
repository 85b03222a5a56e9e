"""Mixup."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab import Evaluation, Stepper

__all__ = ["Mixup"]


class Mixup(Stepper):
    """Mixup: train on weighted means of two examples, ``λ · loss(y, a) + (1 - λ) · loss(y, b)``.

    Zhang, Cisse, Dauphin & Lopez-Paz 2018, arXiv:1710.09412. Differs from the paper: λ is uniform in [low, 1].

    Args:
        low: lower bound of λ, in [0, 1]; 1 disables mixing.
    """

    def __init__(self, *, low: float = 0.5) -> None:
        self.low = low

    def train_step(self, batch: Any) -> Tensor:
        """Train on mixed inputs; partners and λ are drawn from the stream ``stepper``."""
        inputs, target = batch
        generator = self.learner.streams.generator("stepper")
        partner = torch.randperm(len(target), generator=generator)
        share = self.low + (1 - self.low) * float(torch.rand((), generator=generator))
        output = self.learner.model(share * inputs + (1 - share) * inputs[partner])
        loss = share * self.learner.loss(output, target) + (1 - share) * self.learner.loss(output, target[partner])
        self.backward(loss)
        self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: Any) -> Evaluation:
        """Evaluate on unmixed examples."""
        inputs, target = batch
        return self.evaluation(self.learner.model(inputs), target)
