"""The recurrent layers behind encoder and decoder: GRU, LSTM and plain RNN behind one face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lab_seq2seq.attended import AttendedGRU
from lab_seq2seq.deferred import Stage
from lab_seq2seq.unrolled import UnrolledGRU

__all__ = ["CELLS", "Cell", "Hidden", "Recurrent"]

Cell = Literal["gru", "lstm", "rnn"]
Hidden = tuple[Tensor, ...]
CELLS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Recurrent(nn.Module):
    """Stacked recurrent layers whose state is always a tuple: ``(h,)``, or ``(h, c)`` for an LSTM.

    Args:
        cell: "gru" (Cho et al. 2014), "lstm" (Hochreiter & Schmidhuber 1997) or "rnn" (Elman 1990, tanh).
        input_size, hidden_size, layers: as in torch.
        dropout: probability between layers; a single layer has none.
        bidirectional: two directions, their states side by side.

    Shapes:
        state: each (layers, B, directions · hidden_size).
    """

    def __init__(
        self, cell: Cell, input_size: int, hidden_size: int, layers: int, *, dropout: float, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.layers, self.directions = layers, 2 if bidirectional else 1
        self.states = 2 if cell == "lstm" else 1
        self.rnn = CELLS[cell](
            input_size, hidden_size, layers, dropout=dropout if layers > 1 else 0.0, bidirectional=bidirectional
        )

    @property
    def output_size(self) -> int:
        """Width of the outputs and of each state."""
        return self.directions * self.rnn.hidden_size

    def forward(self, inputs: Tensor | PackedSequence) -> tuple[Tensor | PackedSequence, Hidden]:
        """A whole sequence from a state of zeros."""
        gru = self._written_out()
        if gru is None:
            outputs, state = self.rnn(inputs)
        elif isinstance(inputs, PackedSequence):
            values, state = gru.run(inputs.data, inputs.batch_sizes.tolist(), None)
            outputs = inputs._replace(data=values)
            if inputs.unsorted_indices is not None:
                state = state.index_select(1, inputs.unsorted_indices)
        else:
            steps, batch = inputs.shape[:2]
            values, state = gru.run(inputs.flatten(0, 1), [batch] * steps, None)
            outputs = values.view(steps, batch, -1)
        return outputs, tuple(self._side_by_side(part) for part in _as_tuple(state))

    def go_on(self, inputs: Tensor, sizes: Sequence[int], hidden: Hidden) -> tuple[Tensor, Hidden]:
        """Packed inputs (N, I), ``sizes[t]`` rows at step t, from a state of ``sizes[0]`` rows, in one call.

        Gives the packed outputs (N, H) and, for every row, the state at its own last step.
        """
        state = hidden if self.states == 2 else hidden[0]
        if len(sizes) == 1:
            outputs, state = self.rnn(inputs.unsqueeze(0), state)
            return outputs[0], _as_tuple(state)
        if (gru := self._written_out()) is not None:
            values, state = gru.run(inputs, sizes, hidden[0])
            return values, (state,)
        outputs, state = self.rnn(PackedSequence(inputs, torch.tensor(sizes)), state)
        return outputs.data, _as_tuple(state)

    def unrolled(self, rows: int) -> Callable[[Tensor, Hidden], tuple[Tensor, Hidden]]:
        """A function for one step after another in one forward pass: (n, I) and a state to (n, H) and a state.

        Args:
            rows: how many will come in all steps together.
        """
        gru = self._written_out(rows)
        if gru is None:
            return lambda inputs, hidden: self.go_on(inputs, [len(inputs)], hidden)

        def step(inputs: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
            outputs, state = gru.step(inputs, hidden[0])
            return outputs, (state,)

        return step

    def attended(
        self, look: Stage, bring: Stage, rows: int
    ) -> Callable[[Tensor, Sequence[int], Hidden], tuple[Tensor, Hidden]] | None:
        """``go_on`` for steps that each look first, in one forward pass; None where they are to be made one by one.

        Args:
            look, bring: as ``AttendedGRU`` has them.
            rows: how many will come in all steps together.
        """
        if self._written_out() is None:
            return None
        gru = AttendedGRU(self.rnn, look, bring, rows)

        def go_on(words: Tensor, sizes: Sequence[int], hidden: Hidden) -> tuple[Tensor, Hidden]:
            outputs, state = gru.run(words, sizes, hidden[0])
            return outputs, (state,)

        return go_on

    def _written_out(self, rows: int = 0) -> UnrolledGRU | None:
        """The GRU whose weights get their gradients at once: for training on a CPU, where torch has nothing faster."""
        if not isinstance(self.rnn, nn.GRU) or not torch.is_grad_enabled():
            return None
        weight = self.rnn.weight_ih_l0
        if weight.device.type != "cpu" or not weight.requires_grad:
            return None
        return UnrolledGRU(self.rnn, rows)

    def _side_by_side(self, state: Tensor) -> Tensor:
        if self.directions == 1:
            return state
        batch = state.shape[1]
        return state.view(self.layers, 2, batch, -1).permute(0, 2, 1, 3).reshape(self.layers, batch, -1)


def _as_tuple(state: Tensor | Hidden) -> Hidden:
    return state if isinstance(state, tuple) else (state,)
