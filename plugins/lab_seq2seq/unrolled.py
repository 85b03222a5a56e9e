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
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lab_seq2seq.deferred import Deferred, defer, product_type
from lab_seq2seq.dropout import dropout
from lab_seq2seq.rows import Rows, gathered, linear

__all__ = ["DeferredLinear", "Layers", "UnrolledGRU"]


class _LinearUses(Deferred):
    """Inputs and gradients of every use of a weight, until the last is known."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._inputs: Rows | None = None
        self._given: Rows | None = None
        self._sizes: dict[int, int] = {}
        self._noted: set[int] = set()

    def begin(self, x: Tensor) -> tuple[int, Tensor]:
        """One use: its number, and its inputs (n, I) in round rows."""
        self._inputs = self._inputs or Rows(x, self._rows)
        start = self._inputs.count
        self._sizes[start] = len(x)
        return start, self._inputs.add(x)

    def note(self, start: int, gradient: Tensor) -> Tensor:
        """The gradient (n, O) of a use, given back in round rows."""
        assert self._inputs is not None
        self._given = self._given or Rows(gradient, self._inputs.count)
        self._given.write(start, gradient)
        self._noted.add(start)
        return self._given.read(start, len(gradient))

    def gradients(self) -> tuple[Tensor, ...] | None:
        if self._given is None or self._inputs is None:
            return None
        for start in self._sizes.keys() - self._noted:  # nobody needed what this use gave
            self._given.read(start, self._sizes[start])[: self._sizes[start]].zero_()
        count = self._inputs.count
        given, inputs = self._given.all(count), self._inputs.all(count)
        self._given = None
        self._noted.clear()
        return gathered(given, inputs), given.sum(0)


class DeferredLinear:
    """``x Wᵀ + b``, used many times in one forward pass.

    Args:
        weight: (O, I).
        bias: (O,), or None.
        rows: how many will come in all uses together, if that is known: memory is then asked for once.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, rows: int = 0) -> None:
        self._uses = _LinearUses(rows)
        kind = product_type(weight)
        self._weight, self._bias = (None if each is None else each.detach().to(kind) for each in (weight, bias))
        self._gate = defer(self._uses, weight, bias)

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = _Product.apply(x, self._gate, self._weight, self._bias, self._uses)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor | None, uses: _LinearUses) -> Tensor:
        ctx.start, rounded = uses.begin(x.to(weight.dtype))
        ctx.weight, ctx.uses = weight, uses
        return linear(rounded, weight, bias)[: len(x)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        rounded = ctx.uses.note(ctx.start, gradient)
        towards_x = linear(rounded, ctx.weight.t())[: len(gradient)] if ctx.needs_input_grad[0] else None
        return towards_x, None, None, None, None


class _Gates(torch.autograd.Function):
    """The elementwise part of a GRU: from the gates' inputs (B, 3H) twice and the state (B, H) to the next state."""

    @staticmethod
    def forward(ctx: Any, from_input: Tensor, from_state: Tensor, state: Tensor) -> Tensor:
        rows, width = state.shape
        saved = tuple(state.new_empty(rows, size * width) for size in (2, 1, 1))
        ctx.save_for_backward(*saved, state)
        return _step(from_input.to(state.dtype), from_state.to(state.dtype), state, (*saved, torch.empty_like(state)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, width = gradient.shape
        from_input, from_state = gradient.new_empty(rows, 3 * width), gradient.new_empty(rows, 3 * width)
        towards_state = _step_back(gradient, ctx.saved_tensors, from_input, from_state)
        return from_input, from_state, towards_state


Four = tuple[Tensor, Tensor, Tensor, Tensor]


def _step(from_input: Tensor, from_state: Tensor, state: Tensor, into: Four) -> Tensor:
    """The elementwise part of a GRU's step, written into gates (B, 2H), new, old and the next state (B, H)."""
    gates, new, old, following = into
    width = state.shape[1]
    torch.add(from_input[:, : 2 * width], from_state[:, : 2 * width], out=gates).sigmoid_()
    reset, update = gates[:, :width], gates[:, width:]
    old.copy_(from_state[:, 2 * width :])
    torch.addcmul(from_input[:, 2 * width :], reset, old, out=new)
    new.mul_(2).sigmoid_().mul_(2).sub_(1)  # tanh, which torch makes several times as slowly
    return torch.lerp(new, state, update, out=following)


def _step_back(gradient: Tensor, saved: Sequence[Tensor], from_input: Tensor, from_state: Tensor) -> Tensor:
    """Gradients of a step's parts, written into (B, 3H) each; gives the one that goes straight to the state before."""
    gates, new, old, state = saved
    width = state.shape[1]
    reset, update = gates[:, :width], gates[:, width:]
    of_gates, of_new = from_input[:, : 2 * width], from_input[:, 2 * width :]
    towards_state = gradient * update
    torch.ops.aten.tanh_backward.grad_input(gradient - towards_state, new, grad_input=of_new)
    torch.mul(of_new, old, out=of_gates[:, :width])
    torch.mul(gradient, state - new, out=of_gates[:, width:])
    torch.ops.aten.sigmoid_backward.grad_input(of_gates, gates, grad_input=of_gates)
    from_state[:, : 2 * width] = of_gates
    torch.mul(of_new, reset, out=from_state[:, 2 * width :])
    return towards_state


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
        rows: how many will come in all steps together, if that is known.
    """

    def __init__(self, rnn: nn.GRU, rows: int = 0) -> None:
        self._dropout = rnn.dropout if rnn.training else 0.0
        ends = ("", "_reverse") if rnn.bidirectional else ("",)
        self._layers = [[_Direction(rnn, f"_l{layer}{end}", rows) for end in ends] for layer in range(rnn.num_layers)]

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

    def __init__(self, rnn: nn.GRU, end: str, rows: int) -> None:
        weights = [getattr(rnn, f"{kind}{end}") for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
        self._weight, self._bias = weights[2:]
        self._rows = rows
        self._from_input = DeferredLinear(*weights[:2], rows=rows)

    @cached_property
    def _from_state(self) -> DeferredLinear:
        """For single steps; a whole sequence is swept."""
        return DeferredLinear(self._weight, self._bias, rows=self._rows)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        following: Tensor = _Gates.apply(self._from_input(x), self._from_state(state), state)  # type: ignore[no-untyped-call]
        return following

    def run(self, x: Tensor, sizes: Sequence[int], state: Tensor | None, *, backwards: bool) -> tuple[Tensor, Tensor]:
        """Outputs (N, H), and the state of every sequence at its own end (seen in this direction)."""
        state = self._weight.new_zeros(sizes[0], self._weight.shape[1]) if state is None else state
        kind = product_type(self._weight)
        outputs = _Sweep.apply(self._from_input(x), state, self._weight, self._bias, kind, sizes, backwards)  # type: ignore[no-untyped-call]
        return outputs, outputs[: sizes[0]] if backwards else outputs.index_select(0, _last_rows(sizes))


def _last_rows(sizes: Sequence[int]) -> Tensor:
    """Where in a packed sequence the last step of each sequence stands."""
    alive = torch.arange(sizes[0]).unsqueeze(1) < torch.tensor(sizes)  # (B, T)
    starts = torch.tensor([0, *accumulate(sizes)])
    return starts[alive.sum(1) - 1] + torch.arange(sizes[0])


class _Sweep(torch.autograd.Function):
    """The recurrence of a GRU's layer over a packed sequence: the inputs' part (N, 3H), first states (B, H) -> (N, H).

    The same steps as ``_Gates`` makes, without what autograd spends on each: they write into the rows of a few large
    tensors, and the gradients of weight and bias are each made at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        first: Tensor,
        weight: Tensor,
        bias: Tensor,
        kind: torch.dtype,
        sizes: Sequence[int],
        backwards: bool,
    ) -> Tensor:
        count, width = len(inputs), first.shape[1]
        weight, bias = weight.to(kind), bias.to(kind)
        states = Rows(first.to(kind), count)  # before each step
        gates, new, old, outputs = (first.new_empty(count, size * width) for size in (2, 1, 1, 1))
        steps = _steps(sizes, backwards=backwards)
        for rows, previous in steps:
            size = rows.stop - rows.start
            state = _before(first, outputs, size, previous)
            states.write(rows.start, state)
            product = linear(states.read(rows.start, size), weight, bias)[:size]
            into = (gates[rows], new[rows], old[rows], outputs[rows])
            _step(inputs[rows].to(first.dtype), product.to(first.dtype), state, into)
        ctx.save_for_backward(first, outputs, gates, new, old, weight)
        ctx.states, ctx.steps = states, steps
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, outputs, gates, new, old, weight = ctx.saved_tensors
        count, width = gradient.shape
        of_inputs, of_first = gradient.new_empty(count, 3 * width), torch.zeros_like(first)
        of_products = Rows(of_inputs, count)
        following = gradient[:0]  # towards the states before the step behind this one
        for rows, previous in reversed(ctx.steps):
            size = rows.stop - rows.start
            given = gradient[rows].clone()
            given[: len(following)] += following[:size]
            of_first[size : len(following)] = following[size:]
            saved = (gates[rows], new[rows], old[rows], _before(first, outputs, size, previous))
            product = of_products.read(rows.start, size)
            following = _step_back(given, saved, of_inputs[rows], product[:size])
            following += linear(product.to(weight.dtype), weight.t())[:size]
        of_first[: len(following)] = following
        of_all = of_products.all(count)
        of_weight = gathered(of_all.to(weight.dtype), ctx.states.all(count))
        return of_inputs, of_first, of_weight.to(of_all.dtype), of_all.sum(0), None, None, None


Step = tuple[slice, slice | None]


def _steps(sizes: Sequence[int], *, backwards: bool) -> list[Step]:
    """The rows of each step of a packed sequence, and those of the step before it, in the order of a direction."""
    ends = accumulate(sizes)
    rows = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)][:: -1 if backwards else 1]
    return list(zip(rows, [None, *rows], strict=False))


def _before(first: Tensor, outputs: Tensor, size: int, previous: slice | None) -> Tensor:
    """The states before a step; seen from the end, further sequences begin at it."""
    if previous is None:
        return first[:size]
    known = outputs[previous][:size]
    return known if len(known) == size else torch.cat([known, first[len(known) : size]])
