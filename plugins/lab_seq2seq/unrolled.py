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

from lab_seq2seq.deferred import Deferred, Stage, defer, product_type
from lab_seq2seq.dropout import dropout
from lab_seq2seq.rows import Rows, aligned, gathered, times

__all__ = ["DeferredLinear", "Layers", "SteppedLayer", "UnrolledGRU"]


def _of_both_passes(weight: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """``_both_ways`` for a state's weight: backwards as ``_of_state`` needs it, forwards as it is."""
    weight = weight.detach().to(kind)
    return aligned(_new_first(weight)), aligned(weight.t())


_LARGE = 512  # rows: more than steps have


class _LinearUses(Deferred):
    """Inputs and gradients of every use of a weight, until the last is known."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._inputs = Rows(weight, rows)
        self._given: Rows | None = None
        self._notes = _Notes()
        self._made: tuple[Tensor, Tensor] | None = None

    def begin(self, x: Tensor) -> tuple[int, Tensor]:
        """One use: its number, and its inputs (n, I) in round rows."""
        start = self._inputs.add(x)
        self._notes.begin(start, x.size(0))
        return start, self._inputs.read(start, x.size(0))

    def note(self, start: int, gradient: Tensor) -> Tensor:
        """The gradient (n, O) of a use, given back in round rows."""
        self._given = self._given or Rows(self._inputs.like(gradient.shape[1]), self._inputs.count)
        self._given.write(start, gradient)
        self._notes.add(start)
        return self._given.read(start, gradient.size(0))

    def add(self, x: Tensor, gradient: Tensor) -> None:
        """The inputs and the gradient of a use that is large enough to be a product by itself."""
        of_weight, of_bias = gathered(gradient, x), gradient.sum(0)
        if self._made is not None:
            of_weight, of_bias = of_weight + self._made[0], of_bias + self._made[1]
        self._made = of_weight, of_bias

    def gradients(self) -> tuple[Tensor, ...] | None:
        if self._given is not None:
            self._notes.clear([self._given])
            count = self._inputs.count
            self.add(self._inputs.all(count), self._given.all(count))
        made, self._made, self._given = self._made, None, None
        return made


class _Notes:
    """Which uses, by the row where each begins, have been given a gradient."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._noted: set[int] = set()

    def begin(self, start: int, size: int) -> None:
        self._sizes[start] = size

    def add(self, start: int) -> None:
        self._noted.add(start)

    def clear(self, gradients: Sequence[Rows]) -> None:
        """Forget them; the gradients of those uses that nobody needed become zeros."""
        for start in self._sizes.keys() - self._noted:
            for rows in gradients:
                rows.part(start, self._sizes[start]).zero_()
        self._noted.clear()


class DeferredLinear(Stage):
    """``x Wᵀ + b``, used many times in one forward pass: (n, I) -> (n, O).

    Args:
        weight: (O, I).
        bias: (O,), or None.
        rows: how many will come in all uses together, if that is known: memory is then asked for once.
        added: (O,), added where the bias is; who gives it sees to its gradient.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, rows: int = 0, added: Tensor | None = None
    ) -> None:
        kind = product_type(weight)
        self._weight, self._factor = _both_ways(weight, kind)
        constants = [each.detach() for each in (bias, added) if each is not None]
        self._bias = sum(constants[1:], constants[0]).to(kind) if constants else None
        self._uses = _LinearUses(self._weight, rows)
        self.gates = (defer(self._uses, weight, bias),)

    def ahead(self, x: Tensor) -> tuple[Tensor, Any]:
        kept, rows = (x.to(self._weight.dtype),) * 2 if x.size(0) >= _LARGE else self._uses.begin(x)
        return times(rows, self._factor, self._bias)[: x.size(0)], kept

    def back(self, gradient: Tensor, kept: Tensor | int, *, needed: bool = True) -> Tensor:
        rows = gradient = gradient.to(self._weight.dtype)
        if isinstance(kept, int):
            rows = self._uses.note(kept, gradient)
        else:
            self._uses.add(kept, gradient)
        return times(rows, self._weight)[: gradient.size(0)] if needed else gradient[:0]


def _both_ways(weight: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """``W`` (O, I) and ``Wᵀ``, each as products like it."""
    weight = weight.detach().to(kind)
    return aligned(weight), aligned(weight.t())


Four = tuple[Tensor, Tensor, Tensor, Tensor]


def _step(from_input: Tensor, from_state: Tensor, bias: Tensor, state: Tensor, into: Four) -> Tensor:
    """The elementwise part of a GRU's step, written into gates (B, 2H), new, old and the next state (B, H).

    ``from_input`` has the biases of ``_early``; ``bias`` is the state's, of which the rest is added here.
    """
    gates, new, old, following = into
    width = state.shape[1]
    torch.add(from_input[:, : 2 * width], from_state[:, : 2 * width], out=gates).sigmoid_()
    reset, update = gates[:, :width], gates[:, width:]
    torch.add(from_state[:, 2 * width :], bias[2 * width :], out=old)
    torch.addcmul(from_input[:, 2 * width :], reset, old, out=new)
    new.mul_(2).sigmoid_().mul_(2).sub_(1)  # tanh, which torch makes several times as slowly
    return torch.lerp(new, state, update, out=following)


def _early(bias: Tensor) -> Tensor:
    """What of a state's bias (3H,) can as well be added to the input's product: all but the new state's third."""
    early = bias.detach().clone()
    early[len(bias) * 2 // 3 :] = 0
    return early


def _step_back(gradient: Tensor, saved: Sequence[Tensor], given: Tensor) -> Tensor:
    """Gradients of a step's parts, written into (B, 4H); gives the one that goes straight to the state before.

    The gates' input and state have the same gradient. So there are four parts: of the state's share of the new state,
    of both gates, and of the input's share of the new state; ``_of_state`` is the first three, ``_of_input`` the last.
    """
    gates, new, old, state = saved
    width = state.shape[1]
    reset, update = gates[:, :width], gates[:, width:]
    of_gates, of_new = given[:, width : 3 * width], given[:, 3 * width :]
    towards_state = gradient * update
    torch.ops.aten.tanh_backward.grad_input(gradient - towards_state, new, grad_input=of_new)
    torch.mul(of_new, old, out=of_gates[:, :width])
    torch.mul(gradient, state - new, out=of_gates[:, width:])
    torch.ops.aten.sigmoid_backward.grad_input(of_gates, gates, grad_input=of_gates)
    torch.mul(of_new, reset, out=given[:, :width])
    return towards_state


def _of_input(given: Tensor) -> Tensor:
    """Of what ``_step_back`` has written: the gradient of the input's product (B, 3H), in the order of its weight."""
    return given[:, given.shape[1] // 4 :]


def _of_state(given: Tensor) -> Tensor:
    """Of what ``_step_back`` has written: that of the state's product (B, 3H), the new state's third first."""
    return given[:, : given.shape[1] * 3 // 4]


def _new_first(weight: Tensor) -> Tensor:
    """A state's weight (3H, …) in the order of ``_of_state``."""
    width = len(weight) // 3
    return torch.cat([weight[2 * width :], weight[: 2 * width]])


def _new_last(gradient: Tensor) -> Tensor:
    """What ``_new_first`` has put in order, back in torch's."""
    width = gradient.size(0) // 3
    return torch.cat([gradient[width:], gradient[:width]])


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


class SteppedLayer:
    """One layer of an ``nn.GRU``, step after step in one forward pass, differentiated by hand.

    Args:
        rnn: has the layer.
        end: of the names of its parameters, as in "_l0_reverse".
        rows: how many will come in all steps together, if that is known.

    Attributes:
        dtype: of the states.
    """

    def __init__(self, rnn: nn.GRU, end: str, rows: int) -> None:
        of_input, input_bias, of_state, state_bias = _parameters(rnn, end)
        self._kind, self.dtype = product_type(of_input), of_state.dtype
        self._input_weight, self._input_factor = _both_ways(of_input, self._kind)
        self._state_weight, self._state_factor = _of_both_passes(of_state, self._kind)
        self._input_bias, self._state_bias = (
            (input_bias.detach() + _early(state_bias)).to(self._kind),
            state_bias.detach(),
        )
        self._uses = _StepUses(self._input_weight, of_state.detach(), rows)
        self.gate = defer(self._uses, of_input, input_bias, of_state, state_bias)

    def __call__(self, x: Tensor, state: Tensor) -> Tensor:
        """Inputs (n, I) and states (n, H) to the next states, followed by autograd."""
        following: Tensor = _LayerStep.apply(x, state.to(self.dtype), self.gate, self)  # type: ignore[no-untyped-call]
        return following

    def ahead(self, x: Tensor, state: Tensor, out: Tensor) -> tuple[Tensor, int]:
        """The next states, written into ``out``, and the number of the step; without a graph."""
        uses, count = self._uses, x.size(0)
        start = uses.begin(x, state)
        from_input = times(uses.inputs.read(start, count), self._input_factor, self._input_bias)[:count]
        from_state = times(uses.states.read(start, count).to(self._kind), self._state_factor)[:count]
        into = (*uses.saved(start, count), out)
        return _step(from_input.to(state.dtype), from_state.to(state.dtype), self._state_bias, state, into), start

    def back(self, gradient: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Gradients towards inputs and states of a step, from that towards the next states."""
        uses, count = self._uses, gradient.size(0)
        given = uses.note(start, count)
        saved = (*uses.saved(start, count), uses.states.part(start, count))
        towards_state = _step_back(gradient, saved, given[:count])
        given = given.to(self._kind)
        towards_state += times(_of_state(given), self._state_weight)[:count]
        return times(_of_input(given), self._input_weight)[:count], towards_state


class _StepUses(Deferred):
    """What the steps of a layer keep, in the rows of a few matrices, and the gradients that they were given."""

    def __init__(self, of_input: Tensor, of_state: Tensor, rows: int) -> None:
        self.inputs, self.states = Rows(of_input, rows), Rows(of_state, rows)
        width = of_state.shape[1]
        self._saved = [Rows(self.states.like(size * width), rows) for size in (2, 1, 1)]
        self._given: Rows | None = None
        self._notes = _Notes()

    def begin(self, x: Tensor, state: Tensor) -> int:
        """A step: the row where it begins."""
        start = self.inputs.add(x)
        self.states.add(state)
        for rows in self._saved:
            rows.reserve(x.size(0))
        self._notes.begin(start, x.size(0))
        return start

    def saved(self, start: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Gates (n, 2H), new and old (n, H) of a step."""
        gates, new, old = (rows.part(start, count) for rows in self._saved)
        return gates, new, old

    def note(self, start: int, count: int) -> Tensor:
        """Room for the gradients of a step, as ``_step_back`` writes them, in round rows."""
        self._given = self._given or Rows(self.states.like(4 * self.states.width), self.inputs.count)
        self._notes.add(start)
        return self._given.read(start, count)

    def gradients(self) -> tuple[Tensor, ...] | None:
        if self._given is None:
            return None
        self._notes.clear([self._given])
        count = self.inputs.count
        exact, self._given = self._given.all(count), None
        inputs, states = self.inputs.all(count), self.states.all(count)
        given, of_biases = exact.to(inputs.dtype), exact.sum(0, keepdim=True)
        of_input = gathered(_of_input(given), inputs), _of_input(of_biases)[0]
        of_state = gathered(_of_state(given), states.to(inputs.dtype)), _of_state(of_biases)[0]
        return *of_input, *(_new_last(each) for each in of_state)


class _LayerStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, state: Tensor, gate: Tensor, layer: SteppedLayer) -> Tensor:
        following, ctx.start = layer.ahead(x, state, torch.empty_like(state))
        ctx.layer = layer
        return following

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.layer.back(gradient, ctx.start), None, None


class _Direction:
    """One layer in one direction."""

    def __init__(self, rnn: nn.GRU, end: str, rows: int) -> None:
        self._rnn, self._end, self._rows = rnn, end, rows

    @cached_property
    def step(self) -> SteppedLayer:
        """For single steps."""
        return SteppedLayer(self._rnn, self._end, self._rows)

    @cached_property
    def _from_input(self) -> DeferredLinear:
        """For whole sequences; their states are swept."""
        weight, bias, _, state_bias = _parameters(self._rnn, self._end)
        return DeferredLinear(weight, bias, rows=self._rows, added=_early(state_bias))

    def run(self, x: Tensor, sizes: Sequence[int], state: Tensor | None, *, backwards: bool) -> tuple[Tensor, Tensor]:
        """Outputs (N, H), and the state of every sequence at its own end (seen in this direction)."""
        weight, bias = _parameters(self._rnn, self._end)[2:]
        state = None if state is None else state.to(weight.dtype)
        kind = product_type(weight)
        outputs = _Sweep.apply(self._from_input(x), state, weight, bias, kind, sizes, backwards)  # type: ignore[no-untyped-call]
        return outputs, outputs[: sizes[0]] if backwards else outputs.index_select(0, _last_rows(sizes))


def _parameters(rnn: nn.GRU, end: str) -> list[nn.Parameter]:
    """Weight and bias of the input, then those of the state."""
    return [getattr(rnn, f"{kind}{end}") for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]


def _last_rows(sizes: Sequence[int]) -> Tensor:
    """Where in a packed sequence the last step of each sequence stands."""
    alive = torch.arange(sizes[0]).unsqueeze(1) < torch.tensor(sizes)  # (B, T)
    starts = torch.tensor([0, *accumulate(sizes)])
    return starts[alive.sum(1) - 1] + torch.arange(sizes[0])


class _Sweep(torch.autograd.Function):
    """The recurrence of a GRU's layer over a packed sequence: the inputs' part (N, 3H), first states (B, H) -> (N, H).

    The inputs' part has the biases of ``_early``; no first states are zeros.
    The same steps as ``SteppedLayer`` makes, without what autograd spends on each: they write into the rows of a few
    large tensors, and the gradients of weight and bias are each made at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        first: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        kind: torch.dtype,
        sizes: Sequence[int],
        backwards: bool,
    ) -> Tensor:
        from_zero = first is None
        first = weight.new_zeros(sizes[0], weight.shape[1]) if first is None else first
        count, width = len(inputs), first.shape[1]
        weight, factor = _of_both_passes(weight, kind)
        states = Rows(first.to(kind), count)  # before each step
        gates, new, old, outputs = (first.new_empty(count, size * width) for size in (2, 1, 1, 1))
        steps = _steps(sizes, backwards=backwards)
        for rows, previous in steps:
            size = rows.stop - rows.start
            state = _before(first, outputs, size, previous)
            states.write(rows.start, state)
            if from_zero and previous is None:
                product = inputs.new_zeros(size, 3 * width)
            else:
                product = times(states.read(rows.start, size), factor)[:size]
            into = (gates[rows], new[rows], old[rows], outputs[rows])
            _step(inputs[rows].to(first.dtype), product.to(first.dtype), bias, state, into)
        ctx.save_for_backward(first, outputs, gates, new, old, weight)
        ctx.states, ctx.steps = states, steps
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, outputs, gates, new, old, weight = ctx.saved_tensors
        count, width = gradient.shape
        of_first = torch.zeros_like(first)
        given = Rows(gradient.new_empty(0, 4 * width), count)
        following = gradient[:0]  # towards the states before the step behind this one
        for rows, previous in reversed(ctx.steps):
            size = rows.stop - rows.start
            of_outputs = gradient[rows].clone()
            of_outputs[: following.size(0)].add_(following[:size])
            of_first[size : following.size(0)] = following[size:]
            saved = (gates[rows], new[rows], old[rows], _before(first, outputs, size, previous))
            part = given.read(rows.start, size)
            following = _step_back(of_outputs, saved, part[:size])
            if previous is not None or ctx.needs_input_grad[1]:
                following += times(_of_state(part).to(weight.dtype), weight)[:size]
        of_first[: following.size(0)] = following
        of_products = _of_state(given.all(count))
        of_weight = gathered(of_products.to(weight.dtype), ctx.states.all(count)).to(first.dtype)
        of_bias = of_products.sum(0)
        towards_first = of_first if ctx.needs_input_grad[1] else None
        return (
            _of_input(given.part(0, count)),
            towards_first,
            _new_last(of_weight),
            _new_last(of_bias),
            None,
            None,
            None,
        )


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
    return known if known.size(0) == size else torch.cat([known, first[known.size(0) : size]])
