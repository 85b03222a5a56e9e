"""A GRU written out, with the gradients of its weights made at once.

Autograd makes the gradient of a recurrent weight in as many small products as there are steps, and adds them up; so
does torch's own GRU on a CPU, and with attention, which is asked before every step, it is the same for every other
weight. Here each step only hands its input and its gradient on, and one product over all steps gives the gradient of
the weight. The numbers are the same to rounding.

Under autocast the products are made in its type, from weights that are converted once for all steps; states and gates
stay in the weights' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lab_seq2seq.deferred import Deferred, defer, in_round_rows, product_type
from lab_seq2seq.dropout import dropout

__all__ = ["DeferredLinear", "Layers", "UnrolledGRU"]


class _LinearUses(Deferred):
    """Inputs and gradients of every use of a weight, until the last is known."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.given: list[Tensor] = []

    def gradients(self) -> tuple[Tensor, ...] | None:
        if not self.given:
            return None
        given, inputs = _joined(self.given), _joined(self.inputs)
        self.inputs.clear()
        self.given.clear()
        return given.t() @ inputs, given.sum(0)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts (n, X), each of round rows, as one of round rows."""
    if len(parts) == 1:
        return parts[0]
    missing = -sum(map(len, parts)) % 128
    return torch.cat([*parts, parts[0].new_zeros(missing, parts[0].shape[1])])


class DeferredLinear:
    """``x Wᵀ + b``, used many times in one forward pass.

    Args:
        weight: (O, I).
        bias: (O,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._uses = _LinearUses()
        kind = product_type(weight)
        self._weight, self._bias = (None if each is None else each.detach().to(kind) for each in (weight, bias))
        self._gate = defer(self._uses, weight, bias)

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = _Product.apply(x, self._gate, self._weight, self._bias, self._uses)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor | None, uses: _LinearUses) -> Tensor:
        rows, x = len(x), in_round_rows(x.to(weight.dtype))
        ctx.save_for_backward(x)
        ctx.weight, ctx.uses = weight, uses
        return functional.linear(x, weight, bias)[:rows]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        [x] = ctx.saved_tensors
        rows, gradient = len(gradient), in_round_rows(gradient)
        ctx.uses.inputs.append(x)
        ctx.uses.given.append(gradient)
        towards_x = (gradient @ ctx.weight)[:rows] if ctx.needs_input_grad[0] else None
        return towards_x, gradient.new_zeros(()), None, None, None


class _Gates(torch.autograd.Function):
    """The elementwise part of a GRU: from the gates' inputs (B, 3H) twice and the state (B, H) to the next state."""

    @staticmethod
    def forward(ctx: Any, from_input: Tensor, from_state: Tensor, state: Tensor) -> Tensor:
        width = state.shape[1]
        from_input, from_state = from_input.to(state.dtype), from_state.to(state.dtype)
        gates = torch.add(from_input[:, : 2 * width], from_state[:, : 2 * width]).sigmoid_()
        reset, update = gates[:, :width], gates[:, width:]
        old = from_state[:, 2 * width :].clone()  # a view would keep all of it for the backward pass
        new = torch.addcmul(from_input[:, 2 * width :], reset, old)
        new = new.mul_(2).sigmoid_().mul_(2).sub_(1)  # tanh, which torch makes several times as slowly
        ctx.save_for_backward(gates, new, old, state)
        return torch.addcmul(new, update, state - new)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, new, old, state = ctx.saved_tensors
        width = state.shape[1]
        reset, update = gates[:, :width], gates[:, width:]
        towards_state = gradient * update
        towards_new = (gradient - towards_state) * (1 - new * new)
        from_input = gradient.new_empty(len(state), 3 * width)
        torch.mul(towards_new, old, out=from_input[:, :width])
        torch.mul(gradient, state - new, out=from_input[:, width : 2 * width])
        from_input[:, : 2 * width].mul_(gates).mul_(1 - gates)
        from_input[:, 2 * width :] = towards_new
        from_state = from_input.clone()
        from_state[:, 2 * width :].mul_(reset)
        return from_input, from_state, towards_state


class Layers:
    """The states of layers, as (layers, B, H) would be, but apart: taking one of them costs no gradient of the others.

    Args:
        states: of each layer (B, H).
    """

    def __init__(self, states: Sequence[Tensor]) -> None:
        self.states = tuple(states)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(layers, B, H)"""
        return len(self.states), *self.states[0].shape  # type: ignore[return-value]

    def __getitem__(self, key: Any) -> Any:
        """A layer's state by its number, or ``[:, rows]`` of all."""
        return self.states[key] if isinstance(key, int) else Layers([state[key[1]] for state in self.states])

    def contiguous(self) -> Layers:
        """As tensors have it."""
        return self


class UnrolledGRU:
    """The layers of an ``nn.GRU``, step by step or over whole sequences; make a new one for every forward pass.

    Args:
        rnn: one direction or two, any number of layers.
    """

    def __init__(self, rnn: nn.GRU) -> None:
        self._dropout = rnn.dropout if rnn.training else 0.0
        ends = ("", "_reverse") if rnn.bidirectional else ("",)
        self._layers = [[_Direction(rnn, f"_l{layer}{end}") for end in ends] for layer in range(rnn.num_layers)]

    def step(self, x: Tensor, state: Tensor | Layers) -> tuple[Tensor, Layers]:
        """One step forwards: inputs (B, I) and states (layers, B, H) to outputs (B, H) and states."""
        states = []
        for number, [direction] in enumerate(self._layers):
            if number and self._dropout:
                x = dropout(x, self._dropout)
            x = direction.step(x, state[number])
            states.append(x)
        return x, Layers(states)

    def run(self, x: Tensor, sizes: Sequence[int], state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sequences, packed (N, I), ``sizes[t]`` of them at step t, falling; outputs (N, D H) and last states.

        Args:
            x: inputs.
            sizes: as in ``PackedSequence.batch_sizes``.
            state: (layers D, B, H) to begin with; None is zeros.
        """
        last: list[Tensor] = []
        for number, directions in enumerate(self._layers):
            if number and self._dropout:
                x = dropout(x, self._dropout)
            outputs = []
            for place, direction in enumerate(directions):
                first = None if state is None else state[number * len(directions) + place]
                output, end = direction.run(x, sizes, first, backwards=place == 1)
                outputs.append(output)
                last.append(end)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)
        return x, torch.stack(last)


class _Direction:
    """One layer in one direction."""

    def __init__(self, rnn: nn.GRU, end: str) -> None:
        self._width = rnn.hidden_size
        weights = [getattr(rnn, f"{kind}{end}") for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
        self._weight = weights[0]
        self._from_input, self._from_state = DeferredLinear(*weights[:2]), DeferredLinear(*weights[2:])

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        return self._next(self._from_input(x), state)

    def run(self, x: Tensor, sizes: Sequence[int], state: Tensor | None, *, backwards: bool) -> tuple[Tensor, Tensor]:
        state = self._weight.new_zeros(sizes[0], self._width) if state is None else state
        inputs = self._from_input(x).split(list(sizes))
        sweep = self._backwards if backwards else self._forwards
        return sweep(inputs, sizes, state)

    def _forwards(self, inputs: Sequence[Tensor], sizes: Sequence[int], state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, ended = [], []
        for each, size in zip(inputs, sizes, strict=True):
            if size < len(state):  # the last sequences have ended
                ended.append(state[size:])
                state = state[:size]
            state = self._next(each, state)
            outputs.append(state)
        return torch.cat(outputs), torch.cat([state, *reversed(ended)])

    def _backwards(self, inputs: Sequence[Tensor], sizes: Sequence[int], first: Tensor) -> tuple[Tensor, Tensor]:
        outputs: list[Tensor] = []
        state = first[: sizes[-1]]
        for each, size in zip(reversed(inputs), reversed(sizes), strict=True):
            if size > len(state):  # seen from the end, further sequences begin
                state = torch.cat([state, first[len(state) : size]])
            state = self._next(each, state)
            outputs.append(state)
        return torch.cat(outputs[::-1]), state

    def _next(self, from_input: Tensor, state: Tensor) -> Tensor:
        following: Tensor = _Gates.apply(from_input, self._from_state(state), state)  # type: ignore[no-untyped-call]
        return following
