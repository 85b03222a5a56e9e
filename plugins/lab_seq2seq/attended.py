"""The steps of a decoder that looks at the source before each, as one function with a backward pass of its own.

A step with attention cannot be joined to its neighbours: it looks from where the step before has led. What can be saved
is what autograd spends on each of some thirty small operations, and the copies between them. Here a whole run of steps
whose words are known passes in one loop forwards and one backwards, over the same stages (``deferred``) of which the
step-by-step path is made; the numbers are the same to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lab_seq2seq.deferred import Stage
from lab_seq2seq.dropout import scaled_mask
from lab_seq2seq.unrolled import Layers, SteppedLayer

__all__ = ["AttendedGRU"]


class AttendedGRU:
    """``h' = gru(word + bring(look(top of h)), h)``; make a new one for every forward pass.

    Args:
        rnn: one direction, any number of layers.
        look: the top states (n, H) of the first n sentences -> their context (n, K).
        bring: context (n, K) -> (n, I), added to the words.
        rows: how many will come in all steps together, if that is known.
    """

    def __init__(self, rnn: nn.GRU, look: Stage, bring: Stage, rows: int = 0) -> None:
        self.layers = [SteppedLayer(rnn, f"_l{layer}", rows) for layer in range(rnn.num_layers)]
        self.dropout = rnn.dropout if rnn.training else 0.0
        self.look, self.bring = look, bring
        self._gates = (*look.gates, *bring.gates, *(layer.gate for layer in self.layers))

    def run(self, words: Tensor, sizes: Sequence[int], state: Tensor | Layers) -> tuple[Tensor, Layers]:
        """Sequences, packed (N, I), ``sizes[t]`` of them at step t, falling; outputs (N, H) and last states.

        Args:
            words: inputs, as far as they are known without looking.
            sizes: as in ``PackedSequence.batch_sizes``.
            state: (layers, sizes[0], H) to begin with.

        The last states are those of the sequences that are left at the last step.
        """
        first = [state[number].to(layer.dtype) for number, layer in enumerate(self.layers)]
        outputs, *last = _Attended.apply(words, _Run(self, sizes), *first, *self._gates)  # type: ignore[no-untyped-call]
        return outputs, Layers(last)


class _Attended(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, words: Tensor, run: _Run, *states_and_gates: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.run, ctx.others = run, len(states_and_gates)
        return run.ahead(words, states_and_gates)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor | None, *of_last: Tensor | None) -> tuple[Tensor | None, ...]:
        towards_words, towards_first = ctx.run.back(of_outputs, of_last)
        return towards_words, None, *towards_first, *[None] * (ctx.others - len(towards_first))


class _Noted(NamedTuple):
    """What the backward pass needs to know of a step."""

    rows: slice
    seen: Any
    brought: Any
    numbers: list[int]  # of the step in each layer


class _Run:
    """A run of steps, forwards and then backwards."""

    def __init__(self, gru: AttendedGRU, sizes: Sequence[int]) -> None:
        self._gru, self._sizes = gru, sizes
        self._noted: list[_Noted] = []
        self._masks: list[Tensor] = []

    def ahead(self, words: Tensor, first: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Outputs (N, H), and each layer's last states."""
        states = list(first[: len(self._gru.layers)])
        outputs = states[-1].new_empty(len(words), states[-1].shape[1])
        if self._gru.dropout:
            self._masks = [scaled_mask(outputs, self._gru.dropout) for _ in states[1:]]
        for end, size in zip(accumulate(self._sizes), self._sizes, strict=True):
            rows = slice(end - size, end)
            states = self._step(words[rows], [state[:size] for state in states], rows, outputs[rows])
        return outputs, *states[:-1], states[-1].clone()

    def _step(self, words: Tensor, states: Sequence[Tensor], rows: slice, out: Tensor) -> list[Tensor]:
        gru, top = self._gru, len(states) - 1
        context, seen = gru.look.ahead(states[top])
        product, brought = gru.bring.ahead(context)
        x = words + product
        following, numbers = [], []
        for place, (layer, state) in enumerate(zip(gru.layers, states, strict=True)):
            x = self._dropped(x, place, rows)
            x, number = layer.ahead(x, state, out if place == top else torch.empty_like(state))
            following.append(x)
            numbers.append(number)
        self._noted.append(_Noted(rows, seen, brought, numbers))
        return following

    def back(
        self, of_outputs: Tensor | None, of_last: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        """Gradients towards the words and towards each layer's first states."""
        given = next((each for each in (of_outputs, *of_last) if each is not None), None)
        if given is None:
            return None, [None] * len(of_last)
        total, size = sum(self._sizes), self._sizes[-1]
        of_outputs = given.new_zeros(total, given.shape[1]) if of_outputs is None else of_outputs
        following = [given.new_zeros(size, given.shape[1]) if each is None else each for each in of_last]
        towards_words: list[Tensor] = []
        for noted in reversed(self._noted):
            towards_word, following = self._step_back(noted, of_outputs[noted.rows].clone(), following)
            towards_words.append(towards_word)
        return torch.cat(towards_words[::-1]), list(following)

    def _step_back(self, noted: _Noted, given: Tensor, following: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """From the gradient of a step's outputs, and those towards the states behind it, to those before it."""
        gru, before = self._gru, list[Tensor]()
        for place in reversed(range(len(gru.layers))):
            behind = following[place]
            given = given.to(behind.dtype)
            given[: behind.size(0)].add_(behind)
            given, towards_state = gru.layers[place].back(given, noted.numbers[place])
            given = self._dropped(given, place, noted.rows)
            before.insert(0, towards_state)
        towards_context = gru.bring.back(given, noted.brought)
        before[-1] += gru.look.back(towards_context, noted.seen)
        return given, before

    def _dropped(self, x: Tensor, place: int, rows: slice) -> Tensor:
        """A layer's input behind dropout, and as well its gradient before it."""
        return x * self._masks[place - 1][rows] if place and self._masks else x
