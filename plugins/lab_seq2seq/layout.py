"""Which sentences of a batch are still alive at which step.

Sentences end at different steps. Put in order, the longest first, those alive at step t are the first ``sizes[t]``
rows; what is computed for them alone, step after step, is a packed sequence, and nothing is spent on padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["Layout", "ends_of", "stretches"]


def ends_of(tokens: Tensor, pad_id: int) -> Tensor:
    """Length of every column of (T, B) token ids without the padding at its end, on the CPU; at least 1."""
    steps = torch.arange(1, len(tokens) + 1, device=tokens.device).unsqueeze(1)
    return (steps * (tokens != pad_id)).amax(0).clamp(min=1).cpu()


class Layout(NamedTuple):
    """The order of a batch's sentences and how many are alive at each step.

    Attributes:
        sizes: sentences alive at each step, never rising; its length is the number of steps.
        order: (B,) the sentences, longest first; None leaves them where they stand.
        position: (N,) where each packed value stands in a flattened (T, B) whose columns are in order.
    """

    sizes: list[int]
    order: Tensor | None
    position: Tensor | None

    @classmethod
    def full(cls, steps: int, batch: int) -> Layout:
        """Every sentence alive at every step."""
        return cls([batch] * steps, None, None)

    @classmethod
    def of(cls, tokens: Tensor, pad_id: int) -> Layout:
        """Every sentence of (T, B) alive up to its last token that is no padding."""
        lengths, order = ends_of(tokens, pad_id).sort(descending=True, stable=True)
        alive = torch.arange(int(lengths[0])).unsqueeze(1) < lengths  # (T, B)
        position = torch.nn.functional.pad(alive, (0, 0, 0, len(tokens) - len(alive))).flatten().nonzero().squeeze(1)
        return cls(alive.sum(1).tolist(), order.to(tokens.device), position.to(tokens.device))

    def take(self, tokens: Tensor) -> Tensor:
        """Packed values (N,) of (T, B) ids."""
        if self.order is None or self.position is None:
            return tokens.flatten()
        return tokens.index_select(1, self.order).flatten().index_select(0, self.position)

    def pack(self, values: Tensor) -> PackedSequence:
        """The packed sequence whose data are ``values`` (N, …)."""
        back = None if self.order is None else self.order.argsort()
        return PackedSequence(values, torch.tensor(self.sizes), self.order, back)


def stretches(forced: Sequence[bool], *, together: bool) -> list[tuple[int, int]]:
    """Runs of steps whose inputs are all known when the run begins: (start, end) pairs that cover every step.

    A run begins at the first step and at every step that is not forced; without ``together`` at every step.

    >>> stretches([True, True, False, False, True], together=True)
    [(0, 2), (2, 3), (3, 5)]
    """
    starts = [step for step, known in enumerate(forced) if step == 0 or not known or not together]
    return list(pairwise([*starts, len(forced)]))
