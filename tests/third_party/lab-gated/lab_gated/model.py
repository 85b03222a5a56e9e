"""Network with gated linear units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lab import part

__all__ = ["Gated"]


class Gated(nn.Module):
    """Gated linear units, ``y = V (W x · sigmoid(G x))``.

    Dauphin, Fan, Auli & Grangier 2017, arXiv:1612.08083. Differs from the paper: one dense layer, no convolution.

    Args:
        input_size: width of the input.
        output_size: width of the output.
        width: number of units.

    Shapes:
        (B, input_size) -> (B, output_size)
    """

    def __init__(self, input_size: int, output_size: int, *, width: int = 8) -> None:
        super().__init__()
        with part("hidden"):
            self.hidden = nn.Linear(input_size, width)
        with part("gate"):
            self.gate = nn.Linear(input_size, width)
        with part("output"):
            self.output = nn.Linear(width, output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits."""
        return self.output(self.hidden(inputs) * torch.sigmoid(self.gate(inputs)))
