"""Quasi-recurrent network: convolutions over steps, and a recurrence of elementwise products."""

from __future__ import annotations

from itertools import pairwise

import torch
from lab_attention.dropout import Dropout
from torch import Tensor, nn

__all__ = ["QRNN"]

State = tuple[tuple[Tensor, Tensor], ...]


class _Layer(nn.Module):
    """Layer ``z = tanh(W [x_{t-1}; x_t])``, gates f, o likewise with σ, ``c = f c + (1 - f) z``, ``h = o c``."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.gates = nn.Linear(2 * input_size, 3 * hidden_size)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if state is None:
            state = (x.new_zeros(1, x.shape[1], self.hidden_size), torch.zeros_like(x[:1]))
        cell, last = state
        # All products at once: only the elementwise recurrence has to wait for the previous step.
        z, f, o = self.gates(torch.cat([torch.cat([last, x[:-1]]), x], 2)).chunk(3, 2)
        z, f = torch.tanh(z), torch.sigmoid(f)
        kept, current, cells = (1 - f) * z, cell[0], []
        for forget, new in zip(f, kept, strict=True):
            current = forget * current + new
            cells.append(current)
        return torch.sigmoid(o) * torch.stack(cells), (current.unsqueeze(0), x[-1:])


class QRNN(nn.Module):
    """Quasi-recurrent layers with windows of two steps and fo-pooling, called as ``nn.LSTM``.

    Bradbury, Merity, Xiong & Socher 2017, arXiv:1611.01576. Differs from the paper: without zoneout.

    Args:
        input_size: width of the input.
        hidden_size: width H of each layer.
        num_layers: number of layers.
        dropout: probability between layers.

    Shapes:
        x (T, B, I), state or None → (T, B, H), state
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, *, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [input_size, *[hidden_size] * num_layers]
        self.layers = nn.ModuleList(_Layer(before, after) for before, after in pairwise(sizes))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the outputs of the last layer and the state behind the last step."""
        states = []
        for number, layer in enumerate(self.layers):
            x = self.dropout(x) if number else x
            x, own = layer(x, None if state is None else state[number])
            states.append(own)
        return x, tuple(states)
