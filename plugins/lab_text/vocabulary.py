"""Vocabulary of one language: words to ids and back, with four special tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.errors import DataError

__all__ = ["BOS_ID", "EOS_ID", "PAD_ID", "SPECIAL_TOKENS", "UNK_ID", "Vocabulary"]

SPECIAL_TOKENS = ("_bos_", "_pad_", "_eos_", "_unk")
BOS_ID, PAD_ID, EOS_ID, UNK_ID = range(4)


class Vocabulary:
    """Words by id; the first four are ``_bos_ _pad_ _eos_ _unk``.

    Words spelled like a special token are unknown words.

    Args:
        words: the words after the four special tokens, most frequent first, without duplicates.
        counts: frequency of each of ``words``; empty if unknown.

    Raises:
        DataError: a word occurs twice, or the number of counts is wrong.

    >>> vocabulary = Vocabulary.from_tokens([["who", "won", "?"], ["who", "?"]])
    >>> vocabulary.words
    ['_bos_', '_pad_', '_eos_', '_unk', 'who', '?', 'won']
    >>> vocabulary.ids(["who", "lost", "?"])
    [4, 3, 5]
    """

    def __init__(self, words: Sequence[str], counts: Sequence[int] = ()) -> None:
        self.words = [*SPECIAL_TOKENS, *words]
        self.counts = list(counts)
        first = len(SPECIAL_TOKENS)
        # Special tokens are no words: a text cannot inject ``_eos_``.
        self._ids = {word: position for position, word in enumerate(words, first) if word not in SPECIAL_TOKENS}
        if len(self._ids) + first != len(self.words):
            raise DataError("duplicate word in a vocabulary", hint=f"{_repeated(self.words)!r}")
        if self.counts and len(self.counts) != len(words):
            raise DataError(f"a vocabulary of {len(words)} words was given {len(self.counts)} counts")

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], *, max_size: int = 40_000, min_freq: int = 1) -> Vocabulary:
        """Return the ``max_size`` most frequent words (special tokens not counted) seen at least ``min_freq`` times.

        Words of equal frequency keep the order of ``counts``.
        """
        return cls.from_arrays(list(counts), np.fromiter(counts.values(), np.int64, len(counts)), max_size, min_freq)

    @classmethod
    def from_arrays(
        cls, words: Sequence[str], counts: npt.NDArray[np.int64], max_size: int = 40_000, min_freq: int = 1
    ) -> Vocabulary:
        """Build a vocabulary as :meth:`from_counts` does, from parallel sequences of words and counts."""
        # Stable: equal counts keep the order of occurrence, so ids are the same on every machine.
        order = np.argsort(-counts, kind="stable")[:max_size]
        kept = [int(i) for i in order if counts[i] >= min_freq and words[i] not in SPECIAL_TOKENS]
        return cls([words[i] for i in kept], [int(counts[i]) for i in kept])

    @classmethod
    def from_tokens(
        cls, sentences: Iterable[Iterable[str]], *, max_size: int = 40_000, min_freq: int = 1
    ) -> Vocabulary:
        """Return the vocabulary of tokenized sentences."""
        counts: dict[str, int] = {}
        for sentence in sentences:
            for word in sentence:
                counts[word] = counts.get(word, 0) + 1
        return cls.from_counts(counts, max_size=max_size, min_freq=min_freq)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(tuple(self.words))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} words)"

    def id(self, word: str) -> int:
        """Return the id of one word; of an unknown one that of ``_unk``."""
        return self._ids.get(word, UNK_ID)

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of ``tokens``; no words are added."""
        find = self._ids.get
        return [find(token, UNK_ID) for token in tokens]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the words of ``ids`` up to the first ``_eos_``; ``_bos_`` and ``_pad_`` are left out."""
        words: list[str] = []
        for position in ids:
            # Whatever follows the end is padding or noise.
            if position == EOS_ID:
                break
            if position not in (BOS_ID, PAD_ID):
                words.append(self.words[position])
        return words

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values for :meth:`from_json`."""
        return {"words": self.words[len(SPECIAL_TOKENS) :], "counts": self.counts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that :meth:`to_json` wrote."""
        return cls(value["words"], value.get("counts", ()))

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as a JSON file."""
        Path(path).write_text(json.dumps(self.to_json(), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a JSON file that :meth:`save` wrote; a DataError if it is none."""
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"not a vocabulary: {error}", where=str(path)) from error


def _repeated(words: Iterable[str]) -> str | None:
    """Return the first duplicate."""
    seen: set[str] = set()
    return next((word for word in words if word in seen or seen.add(word)), None)  # type: ignore[func-returns-value]
