"""Order of a batch in which padding costs nothing.

Sentences end at different steps. Sorted by length, longest first, the unfinished ones at step t are the first
``sizes[t]`` rows; computing those alone, step after step, gives a packed sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["Layout", "known_runs"]


class Layout(NamedTuple):
    """Order of a batch's sentences and the number of unfinished ones at each step.

    Attributes:
        sizes: unfinished sentences at each step, never rising.
        order: (B,) the sentences, longest first; None keeps their order.
        position: (N,) position of each packed value in a flattened (T, B) whose columns are sorted.
    """

    sizes: list[int]
    order: Tensor | None
    position: Tensor | None

    @classmethod
    def full(cls, steps: int, batch: int) -> Layout:
        """Return the layout that computes every sentence at every step."""
        return cls([batch] * steps, None, None)

    @classmethod
    def of(cls, lengths: Tensor, tokens: Tensor) -> Layout:
        """Return the layout of (T, B) tokens that computes every sentence up to its length (B,)."""
        # Stable, so that sentences of one length keep their order on every machine.
        lengths, order = lengths.sort(descending=True, stable=True)
        alive = torch.arange(int(lengths[0])).unsqueeze(1) < lengths  # (T, B)
        # Trailing steps that are padding for all sentences are part of T, too.
        position = torch.nn.functional.pad(alive, (0, 0, 0, len(tokens) - len(alive))).flatten().nonzero().squeeze(1)
        return cls(alive.sum(1).tolist(), order.to(tokens.device), position.to(tokens.device))

    def take(self, tokens: Tensor) -> Tensor:
        """Return the packed values (N,) of (T, B) ids."""
        if self.order is None or self.position is None:
            return tokens.flatten()
        return tokens.index_select(1, self.order).flatten().index_select(0, self.position)

    def pack(self, values: Tensor) -> PackedSequence:
        """Return the packed sequence with ``values`` (N, …) as its data."""
        # PackedSequence wants the inverse permutation, to restore the order.
        back = None if self.order is None else self.order.argsort()
        return PackedSequence(values, torch.tensor(self.sizes), self.order, back)


def known_runs(forced: Sequence[bool], *, multi_step: bool) -> list[tuple[int, int]]:
    """Split the steps into runs whose inputs are known when the run begins, as (start, end) pairs.

    A run begins at the first step and at every step that is not forced; without ``multi_step`` at every step.

    >>> known_runs([True, True, False, False, True], multi_step=True)
    [(0, 2), (2, 3), (3, 5)]
    """
    starts = [step for step, known in enumerate(forced) if step == 0 or not known or not multi_step]
    return list(pairwise([*starts, len(forced)]))
