"""Checks of samplers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from lab.testing.conformance import Conformance, skip
from lab.testing.finding import Finding
from lab.testing.probe import no_global_randomness, same, seeded
from lab.training.data import EpochSampler, Sampler
from lab.training.rng import Streams

__all__ = ["SamplerConformance"]

SETTINGS = ((23, 4), (3, 8), (1, 1))


class SamplerConformance(Conformance):
    """The checks of samplers: ``factory(…)`` gives batches of indices, with a length.

    Attributes:
        replaces: whether it draws with replacement; then an epoch need not hold every index once. A sampler declares it
            by an attribute of its own: ``with_replacement = True``.
    """

    kind = "samplers"
    replaces: ClassVar[bool] = False

    def build(self, size: int, batch_size: int, streams: Streams | None = None) -> Sampler:
        """Return the sampler over ``size`` examples, drawing from the stream ``sampler``."""
        streams = streams or Streams(0)
        return self.resolved.build(self._facts(size, batch_size) | {"generator": streams.generator("sampler")})  # type: ignore[no-any-return]

    def exercise(self) -> None:
        _plain(self.build(*self._settings()[0]))

    def epoch(self, number: int, *, skip_batches: int = 0, rank: int = 0, ranks: int = 1) -> list[list[Any]]:
        """Return the batches of an epoch, as a fresh run that starts there sees them."""
        streams, (size, batch_size) = Streams(3), self._settings()[0]
        sampler = EpochSampler(self.build(size, batch_size, streams), streams, rank=rank, ranks=ranks)
        sampler.start_at(number, skip_batches)
        return _plain(sampler)

    def test_every_index_occurs_once_per_epoch(self) -> None:
        """No example is forgotten, none is seen twice."""
        if self.replaces or getattr(self.build(*self._settings()[0]), "with_replacement", False):
            skip("it draws with replacement")
        for size, batch_size in self._settings():
            # Training on an example twice, or never, would show in no loss curve.
            indices = [index for batch in _plain(self.build(size, batch_size)) for index in batch]
            missing = sorted(set(range(size)) - set(indices))
            twice = sorted({index for index in indices if indices.count(index) > 1})
            problem = f"misses {missing[:5]}" if missing else f"repeats {twice[:5]}" if twice else ""
            if problem or len(indices) != size:
                raise Finding(f"{self.label}: an epoch of {size} examples {problem or f'has {len(indices)} indices'}")

    def test_batches_hold_indices_of_the_split(self) -> None:
        """A batch is a list of integers from 0 to size - 1, and never empty."""
        for size, batch_size in self._settings():
            for batch in self.build(size, batch_size):
                if not len(batch):
                    raise Finding(f"{self.label} gives an empty batch, for {size} examples")
                wrong = [i for i in batch if not isinstance(i, (int, np.integer)) or not 0 <= i < size]
                if wrong:
                    raise Finding(f"{self.label} gives {wrong[0]!r} as an index of {size} examples")

    def test_length_is_the_number_of_batches(self) -> None:
        """``len(sampler)`` says how many batches will come, before and after they came."""
        for size, batch_size in self._settings():
            sampler = self.build(size, batch_size)
            # Schedules compute with the number of batches before the first one comes.
            said, came, afterwards = len(sampler), len(_plain(sampler)), len(sampler)
            if not said == came == afterwards:
                raise Finding(f"{self.label} says {said} batches, gives {came}, and says {afterwards} afterwards")

    def test_epoch_depends_on_seed_and_epoch_alone(self) -> None:
        """An epoch is the same whether the epochs before it were run or not."""
        streams, (size, batch_size) = Streams(3), self._settings()[0]
        sampler = EpochSampler(self.build(size, batch_size, streams), streams)
        for number in range(3):
            sampler.start_at(number)
            if _plain(sampler) != self.epoch(number):
                raise Finding(
                    f"{self.label}: epoch {number + 1} differs when the epochs before it were run",
                    hint="draw from `generator` alone, anew in every pass, and keep nothing from pass to pass",
                )

    def test_resumes_in_the_middle_of_an_epoch(self) -> None:
        """After a crash the batches that are left are those that would have come."""
        whole = self.epoch(1)
        if self.epoch(1, skip_batches=2) != whole[2:]:
            raise Finding(f"{self.label}: resumed behind two batches, it gives others than the epoch had")

    def test_several_processes_share_an_epoch(self) -> None:
        """The processes of a group see, batch by batch, the examples of a single process: none lost, none twice."""
        shares = [self.epoch(1, rank=rank, ranks=2) for rank in range(2)]
        # A batch that cannot be divided is given to all processes.
        together = [sorted(one if one == other else one + other) for one, other in zip(*shares, strict=True)]
        if together != [sorted(batch) for batch in self.epoch(1)]:
            raise Finding(
                f"{self.label}: two processes do not share its batches",
                hint="every process draws the whole epoch from `generator`; the kernel gives each its share",
            )

    def test_draws_from_its_own_generator(self) -> None:
        """It leaves every global random state alone."""
        with no_global_randomness(self.label, hint="draw from the parameter `generator`"):
            _plain(self.build(*self._settings()[0]))

    def test_does_not_change_the_lengths(self) -> None:
        """The lengths that it is given are not changed."""
        size, batch_size = self._settings()[0]
        facts = self._facts(size, batch_size) | {"generator": seeded()}
        # Training and validation share the lengths of a split.
        before = facts["lengths"].copy()
        _plain(self.resolved.build(facts))
        if not same(facts["lengths"], before):
            raise Finding(f"{self.label} changes `lengths`", hint="work on a copy")

    def _settings(self) -> Sequence[tuple[int, int]]:
        """Return (size, batch_size) pairs to try; those of its example data if it needs further facts."""
        if not self.needs:
            return SETTINGS
        return [(len(self.candidates()[0].data.split("train")), 4)]

    def _facts(self, size: int, batch_size: int) -> dict[str, Any]:
        own = self.candidates()[0].facts if self.needs else {}
        lengths = np.random.default_rng(0).integers(1, 30, size)
        # Classes of unequal size, as a balancing sampler is made for; both occur in the smallest split of two.
        targets = torch.arange(size) % 4 == 0
        of_split = {"targets": targets.long(), "groups": targets.long(), "weights": 1.0 + targets.float()}
        return {**own, **of_split, "size": size, "lengths": lengths, "batch_size": batch_size}


def _plain(batches: Any) -> list[list[Any]]:
    """Return batches as lists; an index may be a tuple, if the split takes tuples."""
    return [[index if isinstance(index, tuple) else int(index) for index in batch] for batch in _checked(batches)]


def _checked(batches: Any) -> Iterator[Any]:
    declared = len(batches)
    for number, batch in enumerate(batches):
        # An endless sampler would fill the memory; one that gives a few too many has a check of its own.
        if number > 10 * declared + 100:
            raise Finding(f"a sampler that declares {declared} batches does not end", hint="its pass is one epoch")
        if not hasattr(batch, "__iter__"):
            raise Finding(f"a sampler gives batches, lists of indices, not {batch!r}")
        yield batch
