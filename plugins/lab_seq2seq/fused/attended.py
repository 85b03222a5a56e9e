"""Steps of a decoder that attends before each step, as one function with a hand-written backward pass.

A step that attends with the previous state cannot be batched with its neighbors. What can be saved is autograd's cost
for each of about thirty small operations per step, and the copies between them. Here a run of steps whose words are
known is one loop forwards and one loop backwards, over the same stages as the step-by-step path; the numbers are the
same up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from lab_attention.dropout import scaled_mask
from lab_attention.fused.stages import Stage
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lab_seq2seq.fused.gru import Layers, SteppedLayer

__all__ = ["AttendedGRU"]


class AttendedGRU:
    """``h' = gru(word + project(attend(top of h)), h)`` for the steps of one forward pass.

    Args:
        rnn: one direction, any number of layers.
        attend: top states (n, H) of the first n sentences -> their context (n, K).
        project: context (n, K) -> (n, I), added to the words.
        rows: total rows of all steps, if known.
    """

    def __init__(self, rnn: nn.GRU, attend: Stage, project: Stage, rows: int = 0) -> None:
        self.layers = [SteppedLayer(rnn, f"_l{layer}", rows) for layer in range(rnn.num_layers)]
        # Read once: all steps of a pass have the same mode.
        self.dropout = rnn.dropout if rnn.training else 0.0
        self.attend, self.project = attend, project
        self._anchors = (*attend.anchors, *project.anchors, *(layer.anchor for layer in self.layers))

    def run(self, words: Tensor, sizes: Sequence[int], state: Tensor | Layers) -> tuple[Tensor, Layers]:
        """Compute packed sequences: (N, I) -> outputs (N, H) and the states after the last step.

        Args:
            words: inputs, without the context's share.
            sizes: rows of each step, falling, like ``PackedSequence.batch_sizes``.
            state: (layers, sizes[0], H) to begin with.
        """
        first = [state[number].to(layer.dtype) for number, layer in enumerate(self.layers)]
        outputs, *last = _Attended.apply(words, _Run(self, sizes), *first, *self._anchors)  # type: ignore[no-untyped-call]
        return outputs, Layers(last)


class _Attended(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, words: Tensor, run: _Run, *states_and_anchors: Tensor) -> tuple[Tensor, ...]:
        # Outputs or last states may be unused; None is cheaper than zeros of their size.
        ctx.set_materialize_grads(False)
        ctx.run, ctx.others = run, len(states_and_anchors)
        return run.forward(words, states_and_anchors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor | None, *of_last: Tensor | None) -> tuple[Tensor | None, ...]:
        towards_words, towards_first = ctx.run.backward(of_outputs, of_last)
        return towards_words, None, *towards_first, *[None] * (ctx.others - len(towards_first))


class _SavedStep(NamedTuple):
    rows: slice
    attended: Any
    projected: Any
    starts: list[int]  # of the step in each layer


class _Run:
    """Run of steps, forwards and then backwards."""

    def __init__(self, gru: AttendedGRU, sizes: Sequence[int]) -> None:
        self._gru, self._sizes = gru, sizes
        self._saved: list[_SavedStep] = []
        self._masks: list[Tensor] = []

    def forward(self, words: Tensor, first: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs (N, H) and each layer's last states."""
        states = list(first[: len(self._gru.layers)])
        outputs = states[-1].new_empty(len(words), states[-1].shape[1])
        if self._gru.dropout:
            # One draw per layer for all steps: drawing is the cost of dropout, whatever the number of values.
            self._masks = [scaled_mask(outputs, self._gru.dropout) for _ in states[1:]]
        for end, size in zip(accumulate(self._sizes), self._sizes, strict=True):
            rows = slice(end - size, end)
            states = self._step(words[rows], [state[:size] for state in states], rows, outputs[rows])
        # The top states are rows of the outputs; autograd does not allow one result to be a view of another.
        return outputs, *states[:-1], states[-1].clone()

    def _step(self, words: Tensor, states: Sequence[Tensor], rows: slice, out: Tensor) -> list[Tensor]:
        gru, top = self._gru, len(states) - 1
        context, attended = gru.attend.forward(states[top])
        product, projected = gru.project.forward(context)
        x = words + product
        following, starts = [], []
        for place, (layer, state) in enumerate(zip(gru.layers, states, strict=True)):
            x = self._dropped(x, place, rows)
            x, start = layer.forward(x, state, out if place == top else torch.empty_like(state))
            following.append(x)
            starts.append(start)
        self._saved.append(_SavedStep(rows, attended, projected, starts))
        return following

    def backward(
        self, of_outputs: Tensor | None, of_last: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        """Return the gradients towards the words and towards each layer's first states."""
        known = next((each for each in (of_outputs, *of_last) if each is not None), None)
        if known is None:
            return None, [None] * len(of_last)
        total, size = sum(self._sizes), self._sizes[-1]
        of_outputs = known.new_zeros(total, known.shape[1]) if of_outputs is None else of_outputs
        following = [known.new_zeros(size, known.shape[1]) if each is None else each for each in of_last]
        # Collected and concatenated once; writing into one tensor would need its dtype before the first step.
        towards_words: list[Tensor] = []
        for saved in reversed(self._saved):
            towards_word, following = self._step_backward(saved, of_outputs[saved.rows].clone(), following)
            towards_words.append(towards_word)
        return torch.cat(towards_words[::-1]), list(following)

    def _step_backward(
        self, saved: _SavedStep, gradient: Tensor, following: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the gradients towards a step's words and towards the states that enter it.

        Args:
            saved: the step.
            gradient: towards its outputs.
            following: gradients towards the states that leave it.
        """
        gru, before = self._gru, list[Tensor]()
        for place in reversed(range(len(gru.layers))):
            behind = following[place]
            gradient = gradient.to(behind.dtype)
            # Sentences that ended at this step have no later gradient.
            gradient[: behind.size(0)].add_(behind)
            gradient, towards_state = gru.layers[place].backward(gradient, saved.starts[place])
            gradient = self._dropped(gradient, place, saved.rows)
            before.insert(0, towards_state)
        towards_context = gru.project.backward(gradient, saved.projected)
        # The top state has two uses: the recurrence and the attention query.
        before[-1] += gru.attend.backward(towards_context, saved.attended)
        return gradient, before

    def _dropped(self, x: Tensor, place: int, rows: slice) -> Tensor:
        """Apply dropout to a layer's input, or in the backward pass to its gradient."""
        return x * self._masks[place - 1][rows] if place and self._masks else x
