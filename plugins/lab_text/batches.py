"""Batches of sentence pairs: splits that index flat arrays, and the padding of many sentences at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import attrs
import numpy as np
import numpy.typing as npt
import torch

from lab_text.tokenized import TokenizedPairs, TokenizedSide
from lab_text.vocabulary import EOS_ID, PAD_ID, Vocabulary

__all__ = ["Sample", "SideCoder", "TranslationBatch", "TranslationSplit", "collate", "pad"]


class TranslationBatch(NamedTuple):
    """B sentence pairs.

    Attributes:
        source: int64 (S, B), time first; every column ends with ``_eos_`` and is then padded.
        target: int64 (T, B), in the same format.
        references: the B original target sentences.
    """

    source: torch.Tensor
    target: torch.Tensor
    references: tuple[str, ...]


class Sample(NamedTuple):
    """One sentence pair: ids that end with ``_eos_``, int64 (S) and (T), and the original target sentence."""

    source: torch.Tensor
    target: torch.Tensor
    reference: str


@attrs.frozen(eq=False)
class SideCoder:
    """One language of a split: from row numbers to padded ids of a vocabulary.

    Args:
        side: the tokenized sentences.
        table: int64, the id in the vocabulary of each of ``side.words``.
        limit: maximum number of ids per sentence, ``_eos_`` included; longer ones are cut. None does not cut.
    """

    side: TokenizedSide
    table: npt.NDArray[np.int64]
    limit: int | None = None

    @classmethod
    def of(cls, side: TokenizedSide, vocabulary: Vocabulary, limit: int | None = None) -> SideCoder:
        """Return the coder of ``side`` for ``vocabulary``."""
        return cls(side, np.array(vocabulary.ids(side.words), np.int64), limit)

    def lengths(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of ids of each sentence, ``_eos_`` included."""
        counts = self.side.bounds[rows + 1] - self.side.bounds[rows] + 1
        return counts if self.limit is None else np.minimum(counts, self.limit)

    def padded(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return the sentences ``rows`` as one tensor (length, B)."""
        # All sentences at once with numpy: seven times as fast as torch's pad_sequence.
        lengths = self.lengths(rows) - 1
        steps = np.arange(int(lengths.max(initial=0)) + 1)[:, None]
        real = steps < lengths
        positions = (steps + self.side.bounds[rows])[real]
        # int64, as nn.Embedding wants it; a later cast would copy the batch.
        ids = np.full(real.shape, PAD_ID, np.int64)
        ids[real] = self.table[self.side.ids[positions]]
        ids[lengths, np.arange(len(rows))] = EOS_ID
        return torch.from_numpy(ids)


@attrs.define(eq=False, slots=False)
class TranslationSplit:
    """A map-style dataset of sentence pairs over the rows of a tokenized corpus.

    Args:
        pairs: the corpus.
        rows: int64, the pairs of this split.
        source, target: encoders of both sides.
    """

    pairs: TokenizedPairs
    rows: npt.NDArray[np.int64]
    source: SideCoder
    target: SideCoder

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[[index]]
        source, target = (coder.padded(row)[:, 0] for coder in (self.source, self.target))
        return Sample(source, target, self.pairs.target.sentence(int(row[0])))

    def __getitems__(self, indices: Sequence[int]) -> TranslationBatch:
        """Return a whole batch, several times as fast as padding samples."""
        # ``__getitems__`` is what torch's loader calls for a whole batch.
        rows = self.rows[np.asarray(indices, np.int64)]
        sentence = self.pairs.target.sentence
        return TranslationBatch(self.source.padded(rows), self.target.padded(rows), tuple(map(sentence, rows.tolist())))

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Target length of every pair, ``_eos_`` included: the sort key of samplers."""
        return self.target.lengths(self.rows)

    def source_text(self, index: int) -> str:
        """Return the original source sentence."""
        return self.pairs.source.sentence(int(self.rows[index]))

    def target_text(self, index: int) -> str:
        """Return the original target sentence."""
        return self.pairs.target.sentence(int(self.rows[index]))


def pad(sentences: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return ids of different lengths, (length) each, as one padded tensor (S, B)."""
    return torch.nn.utils.rnn.pad_sequence(list(sentences), padding_value=PAD_ID)


def collate(batch: TranslationBatch | Sequence[Sample]) -> TranslationBatch:
    """Return the batch of :meth:`TranslationSplit.__getitems__` unchanged, or pad a list of samples."""
    # The loader hands over what ``__getitems__`` returned.
    if isinstance(batch, TranslationBatch):
        return batch
    return TranslationBatch(
        pad([sample.source for sample in batch]),
        pad([sample.target for sample in batch]),
        tuple(sample.reference for sample in batch),
    )
