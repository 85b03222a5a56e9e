"""Samplers over a text: they yield batches of windows instead of example indices.

Parameters without a default come from the kernel and the data: ``size`` (whole windows in the split), ``bptt``
(positions per window), ``batch_size`` and ``generator``. The generator is reseeded before every epoch from (seed,
epoch), so a run that was interrupted inside an epoch continues with the same windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from lab.errors import DataError, ParameterError
from lab_text.windows import Windows

__all__ = ["Chunks", "RandomOffsets", "SlidingWindows", "Spans", "Streams"]


class Streams:
    """``batch_size`` contiguous streams: equal blocks of the text, read in parallel from left to right.

    Every batch continues where the previous one ended, so that a stateful model sees whole blocks; the first batch of
    an epoch starts anew. The remainder that does not fill the blocks is dropped.

    With ``vary``, window lengths vary as in fast.ai 2018: about one in twenty is half as long, and all get Gaussian
    noise (standard deviation 5 positions in the course, here ``bptt / 8`` so that short windows stay short).
    Differs from the course: the lengths are then scaled so that every epoch has the same number of batches.

    Raises:
        DataError: the text is shorter than one batch.
    """

    def __init__(
        self, size: int, bptt: int, batch_size: int, generator: torch.Generator, *, vary: bool = False
    ) -> None:
        # In positions, not windows: the blocks need not end at a multiple of bptt.
        self.block = size * bptt // batch_size
        if self.block < 1:
            raise DataError(
                f"a text of {size * bptt} positions is shorter than one batch of {batch_size} streams",
                hint="use a smaller batch_size or a longer text",
            )
        self.bptt, self.batch_size, self.generator, self.vary = min(bptt, self.block), batch_size, generator, vary

    def __len__(self) -> int:
        return -(-self.block // self.bptt)

    def __iter__(self) -> Iterator[Windows]:
        cuts = self._varied_cuts() if self.vary else [*range(0, self.block, self.bptt), self.block]
        for start, stop in itertools.pairwise(cuts):
            yield Windows(range(start, self.batch_size * self.block, self.block), stop - start, start > 0)

    def _varied_cuts(self) -> list[int]:
        count = len(self)
        halved = torch.rand(count, generator=self.generator) < 0.05
        noise = torch.randn(count, generator=self.generator) * self.bptt / 8
        lengths = (torch.where(halved, self.bptt / 2, float(self.bptt)) + noise).clamp(min=1.0)
        # Every window keeps one position and they share the rest in proportion, so that rounding empties none.
        ends = (lengths.cumsum(0) / lengths.sum() * (self.block - count)).round().long() + torch.arange(1, count + 1)
        return [0, *ends.tolist()]


class SlidingWindows:
    """Overlapping windows of ``bptt`` positions, one from every start position, shuffled.

    fast.ai 2018 feeds ``char3`` so with a step of the window's length (``step=3``), and its first recurrent networks,
    with windows of 8 characters, with a step of 1.

    Args:
        step: positions between the starts of neighboring windows.
    """

    def __init__(self, size: int, bptt: int, batch_size: int, generator: torch.Generator, *, step: int = 1) -> None:
        if step < 1:
            raise ParameterError(f"step must be at least 1, got {step}", where="sampler 'windows'")
        self.count = ((size - 1) * bptt) // step + 1
        self.bptt, self.batch_size, self.generator, self.step = bptt, batch_size, generator, step

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Windows]:
        starts = torch.randperm(self.count, generator=self.generator) * self.step
        return _batches(starts, self.bptt, self.batch_size)


class Chunks:
    """Consecutive windows that do not overlap, shuffled."""

    def __init__(self, size: int, bptt: int, batch_size: int, generator: torch.Generator) -> None:
        self.size, self.bptt, self.batch_size, self.generator = size, bptt, batch_size, generator

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Windows]:
        starts = torch.randperm(self.size, generator=self.generator) * self.bptt
        return _batches(starts, self.bptt, self.batch_size)


class RandomOffsets:
    """Random sampling: non-overlapping windows, shuffled, cut from a new random offset every epoch.

    *Dive into Deep Learning*, section 8.3 of the first edition. The offset is smaller than a window.
    """

    def __init__(self, size: int, bptt: int, batch_size: int, generator: torch.Generator) -> None:
        if size < 2:
            raise DataError(f"random offsets need at least 2 windows, the text has {size}", hint="use a smaller bptt")
        self.size, self.bptt, self.batch_size, self.generator = size, bptt, batch_size, generator

    def __len__(self) -> int:
        return -(-(self.size - 1) // self.batch_size)

    def __iter__(self) -> Iterator[Windows]:
        # Shifting by less than a window, and one window fewer, keeps all windows inside the text.
        offset = torch.randint(self.bptt, (1,), generator=self.generator)
        starts = torch.randperm(self.size - 1, generator=self.generator) * self.bptt + offset
        return _batches(starts, self.bptt, self.batch_size)


class Spans:
    """Spans of random length from random positions; an epoch has about as many positions as the text.

    All spans of a batch have one length, and none continues another, so ``stateful`` has no effect. The char-rnn
    article has the same lengths but reads its text in order and carries the state along: ``consecutive_spans``.

    Args:
        shortest, longest: range of the length, both ends included.
    """

    def __init__(
        self,
        size: int,
        bptt: int,
        batch_size: int,
        generator: torch.Generator,
        *,
        shortest: int = 10,
        longest: int = 40,
    ) -> None:
        if not 1 <= shortest <= longest:
            raise ParameterError(
                f"spans have 1 ≤ shortest ≤ longest, got {shortest} and {longest}", where="sampler 'spans'"
            )
        self.positions = size * bptt
        if self.positions < longest:
            raise DataError(
                f"a text of {self.positions} positions is shorter than a span of {longest}",
                hint="use a smaller longest or a longer text",
            )
        self.shortest, self.longest, self.batch_size, self.generator = shortest, longest, batch_size, generator

    def __len__(self) -> int:
        return max(1, round(2 * self.positions / (self.batch_size * (self.shortest + self.longest))))

    def __iter__(self) -> Iterator[Windows]:
        for _ in range(len(self)):
            length = int(torch.randint(self.shortest, self.longest + 1, (1,), generator=self.generator))
            starts = torch.randint(self.positions - length + 1, (self.batch_size,), generator=self.generator)
            yield Windows(starts.tolist(), length)


def _batches(starts: Tensor, length: int, batch_size: int) -> Iterator[Windows]:
    for batch in starts.split(batch_size):
        yield Windows(batch.tolist(), length)
