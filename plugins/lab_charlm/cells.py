"""Recurrent layers written out step by step, for reading.

They compute the same as ``nn.RNN`` and ``nn.GRU`` and share the names and shapes of their weights, so either loads the
other's state dict; torch's are faster. Time first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["GRUCells", "RNNCells"]


class _Cells(nn.Module):
    """Base class: stacked layers of cells, with ``gates`` blocks of H rows in every weight."""

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.dropout = nn.Dropout(dropout)
        bound, rows = 1 / math.sqrt(hidden_size), self.gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size
            for name, shape in (
                (f"weight_ih_l{layer}", (rows, width)),
                (f"weight_hh_l{layer}", (rows, hidden_size)),
                (f"bias_ih_l{layer}", (rows,)),
                (f"bias_hh_l{layer}", (rows,)),
            ):
                self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the last layer's outputs (T, B, H) and the final states (L, B, H) for inputs (T, B, I)."""
        if state is None:
            state = inputs.new_zeros(self.num_layers, inputs.shape[1], self.hidden_size)
        last = []
        for layer in range(self.num_layers):
            weights = [getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            # One product for all steps: only the recurrent half has to wait for the previous step.
            entered = inputs @ weights[0].T + weights[2]
            hidden, outputs = state[layer], []
            for each in entered:
                hidden = self.step(each, hidden @ weights[1].T + weights[3], hidden)
                outputs.append(hidden)
            inputs = torch.stack(outputs)
            last.append(hidden)
            if layer < self.num_layers - 1:
                inputs = self.dropout(inputs)
        return inputs, torch.stack(last)

    def step(self, entered: Tensor, recurred: Tensor, hidden: Tensor) -> Tensor:
        """Return the next state (B, H) from ``W_ih x + b_ih`` and ``W_hh h + b_hh``, (B, gates · H) each, and ``h``."""
        raise NotImplementedError


class RNNCells(_Cells):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``: Elman 1990, as ``nn.RNN``."""

    def step(self, entered: Tensor, recurred: Tensor, hidden: Tensor) -> Tensor:
        return torch.tanh(entered + recurred)


class GRUCells(_Cells):
    """Gated recurrent unit, Cho et al. 2014, in the form of ``nn.GRU``.

    ``r = σ(x_r + h_r)``, ``z = σ(x_z + h_z)``, ``n = tanh(x_n + r · h_n)``, ``h' = (1 - z) n + z h``, where ``x_r`` is
    the first block of ``W_ih x + b_ih`` and so on. Differs from the paper: the reset gate is applied after the product.
    """

    gates = 3

    def step(self, entered: Tensor, recurred: Tensor, hidden: Tensor) -> Tensor:
        x_reset, x_update, x_new = entered.chunk(3, -1)
        h_reset, h_update, h_new = recurred.chunk(3, -1)
        reset, update = torch.sigmoid(x_reset + h_reset), torch.sigmoid(x_update + h_update)
        new = torch.tanh(x_new + reset * h_new)
        return new + update * (hidden - new)
