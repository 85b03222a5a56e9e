"""Activations, and a network that takes one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lab import part

__all__ = ["Activation", "Bent", "Cube", "Swish"]


class Activation(nn.Module):
    """Contract of the registry ``activations``: an elementwise function."""

    def forward(self, values: Tensor) -> Tensor:
        """Apply the function elementwise."""
        raise NotImplementedError


class Swish(Activation):
    """``x · sigmoid(sharpness · x)``. Ramachandran, Zoph & Le 2017, arXiv:1710.05941.

    Args:
        sharpness: 0 is linear; larger values approach ``relu``.
    """

    def __init__(self, *, sharpness: float = 1.0) -> None:
        super().__init__()
        self.sharpness = sharpness

    def forward(self, values: Tensor) -> Tensor:
        """Apply the function elementwise."""
        return values * torch.sigmoid(self.sharpness * values)


class Cube(Activation):
    """``x³``."""

    def forward(self, values: Tensor) -> Tensor:
        """Apply the function elementwise."""
        return values**3


class Bent(nn.Module):
    """Network with one hidden layer and a given activation.

    Args:
        input_size: width of the input.
        output_size: width of the output.
        width: of the hidden layer.
        activation: a component of the registry ``activations``.

    Shapes:
        (B, input_size) -> (B, output_size)
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        width: int = 8,
        activation: Activation = "swish",  # type: ignore[assignment]  # a name stands for the component
    ) -> None:
        super().__init__()
        with part("hidden"):
            self.hidden = nn.Linear(input_size, width)
        with part("output"):
            self.output = nn.Linear(width, output_size)
        self.activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits."""
        return self.output(self.activation(self.hidden(inputs)))
