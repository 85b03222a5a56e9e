"""Ways to read a text: samplers that give pieces of it instead of numbers of examples.

Each is called with what the kernel and the data say: ``size`` (whole pieces of the split), ``bptt`` (places of a
piece), ``batch_size`` and ``generator``. The generator is set anew before every epoch, so that what is drawn follows
from seed and epoch, and a run that was interrupted in the middle of an epoch reads on exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from lab.errors import DataError, ParameterError
from lab_charlm.data import Pieces

__all__ = ["Chunks", "RandomOffsets", "Spans", "Streams", "Windows"]


class Streams:
    """The text as ``batch_size`` equal blocks side by side, read from left to right, a piece at a time.

    Every batch goes on where the last one ended, so that a stateful network sees whole blocks; the first one of an
    epoch begins anew. The few places left over by the blocks are left out.

    With ``vary`` the lengths of pieces differ as in fast.ai 2018: about one in twenty is half as long, and all have a
    little noise (a standard deviation of 5 places there, here an eighth of ``bptt`` so that short pieces stay short).
    Differs from the course: the lengths are then scaled so that an epoch always has the same number of batches.

    Raises:
        DataError: the text is shorter than one batch.
    """

    def __init__(
        self, size: int, bptt: int, batch_size: int, generator: torch.Generator, *, vary: bool = False
    ) -> None:
        self.block = size * bptt // batch_size
        if self.block < 1:
            raise DataError(
                f"a text of {size * bptt} places is shorter than one batch of {batch_size} streams",
                hint="choose a smaller batch_size, or a longer text",
            )
        self.bptt, self.batch_size, self.generator, self.vary = min(bptt, self.block), batch_size, generator, vary

    def __len__(self) -> int:
        return -(-self.block // self.bptt)

    def __iter__(self) -> Iterator[Pieces]:
        cuts = self._varied_cuts() if self.vary else [*range(0, self.block, self.bptt), self.block]
        for start, stop in itertools.pairwise(cuts):
            yield Pieces(range(start, self.batch_size * self.block, self.block), stop - start, start > 0)

    def _varied_cuts(self) -> list[int]:
        count = len(self)
        halved = torch.rand(count, generator=self.generator) < 0.05
        noise = torch.randn(count, generator=self.generator) * self.bptt / 8
        lengths = (torch.where(halved, self.bptt / 2, float(self.bptt)) + noise).clamp(min=1.0)
        ends = (lengths.cumsum(0) / lengths.sum() * (self.block - count)).round().long() + torch.arange(1, count + 1)
        return [0, *ends.tolist()]


class Windows:
    """Every window of ``bptt`` characters, one starting at each place, shuffled: with their next character as target.

    The course's way to feed ``char3`` and the first recurrent networks, there with a step of its length.

    Args:
        step: places from one window to the next.
    """

    def __init__(self, size: int, bptt: int, batch_size: int, generator: torch.Generator, *, step: int = 1) -> None:
        if step < 1:
            raise ParameterError(f"step must be at least 1, got {step}", where="sampler 'windows'")
        self.count = ((size - 1) * bptt) // step + 1
        self.bptt, self.batch_size, self.generator, self.step = bptt, batch_size, generator, step

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Pieces]:
        starts = torch.randperm(self.count, generator=self.generator) * self.step
        return _batches(starts, self.bptt, self.batch_size)


class Chunks:
    """Pieces that do not overlap, shuffled; the next character is foreseen at every place."""

    def __init__(self, size: int, bptt: int, batch_size: int, generator: torch.Generator) -> None:
        self.size, self.bptt, self.batch_size, self.generator = size, bptt, batch_size, generator

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Pieces]:
        starts = torch.randperm(self.size, generator=self.generator) * self.bptt
        return _batches(starts, self.bptt, self.batch_size)


class RandomOffsets:
    """As ``chunks``, but each epoch cuts the text from another random offset, below a piece's length.

    *Dive into Deep Learning*, section 8.3 of the first edition, "random sampling".
    """

    def __init__(self, size: int, bptt: int, batch_size: int, generator: torch.Generator) -> None:
        if size < 2:
            raise DataError(f"a text of {size} piece cannot be cut from an offset", hint="choose a smaller bptt")
        self.size, self.bptt, self.batch_size, self.generator = size, bptt, batch_size, generator

    def __len__(self) -> int:
        return -(-(self.size - 1) // self.batch_size)

    def __iter__(self) -> Iterator[Pieces]:
        offset = torch.randint(self.bptt, (1,), generator=self.generator)
        starts = torch.randperm(self.size - 1, generator=self.generator) * self.bptt + offset
        return _batches(starts, self.bptt, self.batch_size)


class Spans:
    """Stretches of random length from random places, as many places in an epoch as the text has.

    After the char-rnn article that trains on spans of 10 to 40 characters; all spans of a batch are equally long.

    Args:
        shortest, longest: bounds of the length, both included.
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
        self.places = size * bptt
        if self.places < longest:
            raise DataError(
                f"a text of {self.places} places is shorter than a span of {longest}",
                hint="choose a smaller longest, or a longer text",
            )
        self.shortest, self.longest, self.batch_size, self.generator = shortest, longest, batch_size, generator

    def __len__(self) -> int:
        return max(1, round(2 * self.places / (self.batch_size * (self.shortest + self.longest))))

    def __iter__(self) -> Iterator[Pieces]:
        for _ in range(len(self)):
            length = int(torch.randint(self.shortest, self.longest + 1, (1,), generator=self.generator))
            starts = torch.randint(self.places - length + 1, (self.batch_size,), generator=self.generator)
            yield Pieces(starts.tolist(), length)


def _batches(starts: Tensor, length: int, batch_size: int) -> Iterator[Pieces]:
    for batch in starts.split(batch_size):
        yield Pieces(batch.tolist(), length)
