"""Windows of a text: runs of consecutive positions, each with a next token to predict.

A text of N tokens has N - 1 positions. Batches are time first: tokens (T, B) and target (T, B), which is shifted by one
token. The samplers ``streams``, ``chunks``, ``windows``, ``random`` and ``spans`` yield windows; a dataset of running
text takes them as indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import attrs
import torch
from torch import Tensor

__all__ = ["Window", "WindowBatch", "Windows", "as_tensor", "window_table", "windows_of"]


class Window(NamedTuple):
    """A run of consecutive positions in a text.

    Attributes:
        start: the first position; its token is the text's at ``start``, its target the next one.
        stop: one past the last position.
        continues: whether the batch starts where the previous one ended, so that a hidden state may be carried over.
    """

    start: int
    stop: int
    continues: bool = False


@attrs.frozen
class Windows(Sequence[Window]):
    """The windows of one batch, all of the same length; samplers yield them.

    A sequence of :class:`Window`. Slices are ``Windows`` too, because ranks that share a batch slice it.

    Attributes:
        starts: the first position of each window; a ``range`` if they are evenly spaced.
        length: positions per window.
        continues: as in :class:`Window`.
    """

    starts: Sequence[int]
    length: int
    continues: bool = False

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> Windows: ...
    def __getitem__(self, index: int | slice) -> Window | Windows:
        if isinstance(index, slice):
            return attrs.evolve(self, starts=self.starts[index])
        start = self.starts[index]
        return Window(start, start + self.length, self.continues)


class WindowBatch(NamedTuple):
    """A batch of windows.

    Attributes:
        tokens: (T, B) long.
        continues: whether the batch starts where the previous one ended.
        target: (T, B) long, the next token at each position.
    """

    tokens: Tensor
    continues: bool
    target: Tensor


def as_tensor(starts: Sequence[int]) -> Tensor:
    """Return the starts (B,) as a tensor."""
    # torch.arange is several times faster than torch.tensor on the numbers of a range.
    if isinstance(starts, range):
        return torch.arange(starts.start, starts.stop, starts.step)
    return torch.tensor(starts)


def windows_of(indices: Sequence[int | Window], count: int, bptt: int) -> Windows:
    """Return the windows of one length that these indices name.

    Args:
        indices: windows, or numbers of the consecutive windows of ``bptt`` positions.
        count: number of those.
        bptt: positions of each.

    Raises:
        IndexError: there is no window of a number.
    """
    if isinstance(indices, Windows):
        return indices
    windows = [_window(index, count, bptt) for index in indices]
    start, stop, continues = windows[0]
    return Windows([window.start for window in windows], stop - start, continues)


def _window(index: int | Window, count: int, bptt: int) -> Window:
    if isinstance(index, Window):
        return index
    if not -count <= index < count:
        raise IndexError(f"window {index} of {count}")
    index %= count
    return Window(index * bptt, (index + 1) * bptt)


def window_table(vocab: Any, batch: WindowBatch, count: int) -> list[list[str]]:
    """Return the texts of the first windows of a batch and their targets as rows, the header first.

    Args:
        vocab: a ``PromptVocabulary``.
        batch: windows.
        count: number of windows.
    """
    columns = zip(batch.tokens.T[:count].tolist(), batch.target.T[:count].tolist(), strict=True)
    return [["text", "target"], *([vocab.continued("", each) for each in pair] for pair in columns)]
