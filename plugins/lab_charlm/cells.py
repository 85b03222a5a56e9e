"""Recurrent layers written out step by step, for reading.

They compute the same as ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` and share the names and shapes of their weights, so
either loads the other's state dict; torch's are faster. Time first.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["GRUCells", "LSTMCells", "RNNCells", "truncate"]


class _Cells(nn.Module):
    """Base class: stacked layers of cells, with ``gates`` blocks of H rows in every weight.

    Args:
        input_size, hidden_size, num_layers, dropout: as in ``nn.RNN``.
        gradient_share: probability that the gradient passes from a step to the one before; see ``truncate``.
        gradient_steps: cut the gradient after so many steps, counted from the first of a window; None does not.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        gradient_share: float = 1.0,
        gradient_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.gradient_share, self.gradient_steps = gradient_share, gradient_steps
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

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Any]:
        """Return the last layer's outputs (T, B, H) and the final states (L, B, H) for inputs (T, B, I)."""
        if state is None:
            state = inputs.new_zeros(self.num_layers, inputs.shape[1], self.hidden_size)
        outputs, (last,) = self._run(inputs, (state,))
        return outputs, last

    def _run(self, inputs: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the last layer's outputs (T, B, H) and the final states, for states (L, B, H), the outputs' first."""
        last = []
        for layer in range(self.num_layers):
            weights = [getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            # One product for all steps: only the recurrent half has to wait for the previous step.
            entered = inputs @ weights[0].T + weights[2]
            current, outputs = tuple(state[layer] for state in states), []
            for number, each in enumerate(entered, 1):
                current = self.step(each, current[0] @ weights[1].T + weights[3], *current)
                outputs.append(current[0])
                if self.training and self.gradient_share < 1:
                    current = truncate(current, self.gradient_share)
                if self.training and self.gradient_steps and number % self.gradient_steps == 0:
                    current = tuple(each.detach() for each in current)
            inputs = torch.stack(outputs)
            last.append(current)
            if layer < self.num_layers - 1:
                inputs = self.dropout(inputs)
        return inputs, tuple(torch.stack(each) for each in zip(*last, strict=True))

    def step(self, entered: Tensor, recurred: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Return the next states (B, H) from ``W_ih x + b_ih`` and ``W_hh h + b_hh``, (B, gates · H), and states."""
        raise NotImplementedError


def truncate(states: tuple[Tensor, ...], share: float) -> tuple[Tensor, ...]:
    """Return equal states (B, H) whose gradient is cut at random: randomized truncation of backpropagation in time.

    *Dive into Deep Learning*, section 8.7 of the second Chinese edition, after Tallec & Ollivier 2017,
    arXiv:1705.08209: the gradient into the past is multiplied by 1 / ``share`` with the probability ``share``, else by
    0, so that its expectation is that of the whole sequence. Drawn for each sequence of the batch, from the generator
    that dropout uses.

    Args:
        states: hidden states of one step.
        share: probability in (0, 1] that the gradient passes; windows of gradients are 1 / (1 - share) steps long on
            average.
    """
    factor = torch.bernoulli(torch.full_like(states[0][:, :1], share)) / share
    return tuple(each.detach() + factor * (each - each.detach()) for each in states)


class RNNCells(_Cells):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``: Elman 1990, as ``nn.RNN``; ReLU in place of tanh on request."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        gradient_share: float = 1.0,
        gradient_steps: int | None = None,
    ) -> None:
        cuts: dict[str, Any] = {"gradient_share": gradient_share, "gradient_steps": gradient_steps}
        super().__init__(input_size, hidden_size, num_layers, dropout=dropout, **cuts)
        self.activation = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]

    def step(self, entered: Tensor, recurred: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        return (self.activation(entered + recurred),)


class GRUCells(_Cells):
    """Gated recurrent unit, Cho et al. 2014, in the form of ``nn.GRU``.

    ``r = σ(x_r + h_r)``, ``z = σ(x_z + h_z)``, ``n = tanh(x_n + r · h_n)``, ``h' = (1 - z) n + z h``, where ``x_r`` is
    the first block of ``W_ih x + b_ih`` and so on. Differs from the paper: the reset gate is applied after the product.
    """

    gates = 3

    def step(self, entered: Tensor, recurred: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        (hidden,) = states
        x_reset, x_update, x_new = entered.chunk(3, -1)
        h_reset, h_update, h_new = recurred.chunk(3, -1)
        reset, update = torch.sigmoid(x_reset + h_reset), torch.sigmoid(x_update + h_update)
        new = torch.tanh(x_new + reset * h_new)
        return (new + update * (hidden - new),)


class LSTMCells(_Cells):
    """Long short-term memory, Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, as ``nn.LSTM``.

    ``i, f, o = σ(a_i), σ(a_f), σ(a_o)``, ``g = tanh(a_g)``, ``c' = f c + i g``, ``h' = o tanh(c')``, where ``a`` is
    ``W_ih x + b_ih + W_hh h + b_hh`` and its blocks are in torch's order: i, f, g, o.
    """

    gates = 4

    def forward(  # type: ignore[override]
        self, inputs: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the last layer's outputs (T, B, H) and the final h and c, (L, B, H) each, for inputs (T, B, I)."""
        if state is None:
            zeros = inputs.new_zeros(self.num_layers, inputs.shape[1], self.hidden_size)
            state = zeros, zeros
        return self._run(inputs, state)  # type: ignore[return-value]

    def step(self, entered: Tensor, recurred: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        gate_in, gate_forget, new, gate_out = (entered + recurred).chunk(4, -1)
        memory = torch.sigmoid(gate_forget) * states[1] + torch.sigmoid(gate_in) * torch.tanh(new)
        return torch.sigmoid(gate_out) * torch.tanh(memory), memory
