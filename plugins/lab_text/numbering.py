"""Numbering of tokens, a chunk of sentences at a time.

Most tokenizers split at white space first. For these, each distinct word is tokenized once, and a corpus is only looked
up: all words of a chunk in one dictionary, then in flat tables of numbers.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, count, islice
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from lab_text.tokenizer import Tokenizer

__all__ = ["Chunk", "Numbering", "Ragged", "TextNumbering", "WordNumbering", "joined", "numbering_of", "ranges"]

_REMEMBERED_WORDS = 100_000
_LETTERS = re.compile(r"[^\W\d_]+")
_BREAK = "\0"  # between the sentences of a chunk

Numbers = npt.NDArray[np.int64]


def joined(texts: Iterable[str]) -> str:
    """Return the sentences of a chunk as one string, a NUL between them; a NUL inside one becomes U+FFFD.

    >>> joined(["Who?", "Me!"])
    'Who?\\x00Me!'
    """
    # One string for the whole chunk: it is split by one call of C code and not by 10,000.
    texts = tuple(texts)
    together = _BREAK.join(texts)
    if together.count(_BREAK) == len(texts) - 1:
        return together
    return _BREAK.join(text.replace(_BREAK, "\ufffd") for text in texts)


@attrs.frozen(eq=False)
class Ragged:
    """N stretches of a flat array (a ragged array).

    Attributes:
        values: the flat array.
        starts, lengths: int64 (N), of each stretch.
    """

    values: npt.NDArray[Any]
    starts: Numbers
    lengths: Numbers

    @classmethod
    def of(cls, values: npt.NDArray[Any], lengths: Numbers) -> Ragged:
        """Return consecutive stretches without gaps."""
        return cls(values, np.cumsum(lengths) - lengths, lengths)

    def take(self, rows: Numbers) -> Ragged:
        """Return some of the stretches."""
        return Ragged(self.values, self.starts[rows], self.lengths[rows])

    def flat(self) -> npt.NDArray[Any]:
        """Return the concatenated values of all stretches."""
        found: npt.NDArray[Any] = self.values[ranges(self.starts, self.lengths)]
        return found


@attrs.frozen(eq=False)
class Chunk:
    """A chunk of N sentences.

    Attributes:
        texts: the sentences, with single spaces, in UTF-8.
        parts: the tokens, for a :class:`TextNumbering`; the internal ids of the words, for a :class:`WordNumbering`.
        token_counts: int64 (N), tokens per sentence.
    """

    texts: Ragged
    parts: Ragged
    token_counts: Numbers

    def take(self, rows: Numbers) -> Chunk:
        """Return some of the sentences; ``rows`` ascend."""
        return Chunk(self.texts.take(rows), self.parts.take(rows), self.token_counts[rows])


class Numbering(Protocol):
    """Numbering of tokens in the order of their first occurrence.

    Attributes:
        words: token → number, in the order of first occurrence in :meth:`ids`.
    """

    words: dict[str, int]

    def read(self, text: str) -> Chunk:
        """Return the chunk of sentences joined by :func:`joined`; invalidates the previous chunk."""

    def ids(self, chunk: Chunk) -> npt.NDArray[np.int32]:
        """Return the concatenated numbers of the tokens of a chunk, or of a part of it."""

    def spellings(self) -> Counter[str]:
        """Count each run of letters as written, except at the beginning of sentences."""


def numbering_of(tokenizer: Tokenizer) -> Numbering:
    """Return the faster numbering that is right for ``tokenizer``."""
    return WordNumbering(tokenizer) if tokenizer.by_word else TextNumbering(tokenizer)


class TextNumbering:
    """Numbering for a tokenizer that needs whole texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.words: dict[str, int] = defaultdict(count().__next__)
        self._tokenizer = tokenizer
        self._spellings: Counter[str] = Counter()

    def read(self, text: str) -> Chunk:
        """Return the chunk of these sentences."""
        texts = [" ".join(sentence.split()) for sentence in text.split(_BREAK)]
        encoded = [sentence.encode() for sentence in texts]
        tokens = list(self._tokenizer.pipe(texts))
        parts = Ragged.of(np.fromiter(chain.from_iterable(tokens), object), _counts(tokens))
        return Chunk(Ragged.of(np.frombuffer(b"".join(encoded), np.uint8), _counts(encoded)), parts, parts.lengths)

    def ids(self, chunk: Chunk) -> npt.NDArray[np.int32]:
        """Return the concatenated numbers of all tokens."""
        for start, length in zip(chunk.texts.starts.tolist(), chunk.texts.lengths.tolist(), strict=True):
            text = chunk.texts.values[start : start + length].tobytes().decode()
            self._spellings.update(_LETTERS.findall(text)[1:])
        return np.fromiter(map(self.words.__getitem__, chunk.parts.flat()), np.int32)

    def spellings(self) -> Counter[str]:
        """Count each run of letters inside sentences."""
        return self._spellings


class WordNumbering:
    """Numbering for a tokenizer that splits at white space.

    Each word gets an internal id when it first occurs, and another one for its occurrences at the beginning of
    sentences, where its case carries no information. Its tokens are numbered on its first use in :meth:`ids`, so words
    of dropped sentences leave no trace. Beyond ``_REMEMBERED_WORDS`` ids the rarer words are dropped and tokenized
    again when they recur, so memory does not grow with the corpus.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.words: dict[str, int] = defaultdict(count().__next__)
        self._tokenizer = tokenizer
        self._spellings: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        """Reset: only the break between sentences has an internal id, 0."""
        self._next = count()
        self._numbers: defaultdict[str, int] = defaultdict(self._next.__next__, {_BREAK: next(self._next)})
        self._table = _WordTable()
        self._table.add(_BREAK, ())
        self._asked: list[int] = []  # internal ids in the order of first use
        self._times = np.zeros(1, np.int64)  # uses of each internal id

    def read(self, text: str) -> Chunk:
        """Return the chunk of these sentences."""
        # Between chunks, because internal ids of the current chunk must stay valid.
        if len(self._table) > _REMEMBERED_WORDS:
            self._forget()
        # Breaks become words of their own, so that one split and one lookup do for the chunk.
        words = text.replace(_BREAK, f" {_BREAK} ").split()
        # The defaultdict gives new words their ids while they are looked up, without a branch in Python.
        numbers = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        self._learn()
        breaks = np.flatnonzero(numbers == 0)
        parts = Ragged.of(numbers[numbers != 0], np.diff(breaks, prepend=-1, append=len(numbers)) - 1)
        self._tell_first(parts)
        return Chunk(_encoded(words), parts, _sums(self._table.column("lengths")[parts.values], parts))

    def _learn(self) -> None:
        """Tokenize the new words."""
        new = list(islice(self._numbers, self._table.words, None))
        for word, tokens in zip(new, self._tokenizer.pipe(new) if new else (), strict=True):
            self._table.add(word, tokens)

    def _tell_first(self, parts: Ragged) -> None:
        """Give the first word with letters of each sentence its internal id for that position."""
        # The first word of a sentence is capitalized whatever it is; counting it would distort the casing.
        lettered = np.flatnonzero(self._table.column("lettered")[parts.values])
        places = np.searchsorted(lettered, parts.starts)
        inside = places < np.searchsorted(lettered, parts.starts + parts.lengths)
        first = lettered[places[inside]]
        words = parts.values[first]
        for word in dict.fromkeys(words[self._table.column("twins")[words] < 0].tolist()):
            self._table.add_twin(word, next(self._next))
        parts.values[first] = self._table.column("twins")[words]

    def ids(self, chunk: Chunk) -> npt.NDArray[np.int32]:
        """Return the concatenated numbers of all tokens."""
        words = chunk.parts.flat()
        self._count(words)
        starts, lengths = (self._table.column(name)[words] for name in ("starts", "lengths"))
        found: npt.NDArray[np.int32] = np.frombuffer(self._table.ids, np.int32)[ranges(starts, lengths)]
        return found

    def _count(self, words: Numbers) -> None:
        """Count words, and number the tokens of new ones in order of occurrence."""
        times = np.zeros(len(self._table), np.int64)
        times[: len(self._times)] = self._times
        # dict.fromkeys: distinct words in order of occurrence.
        for word in dict.fromkeys(words[times[words] == 0].tolist()):
            self._asked.append(word)
            self._table.number(word, self.words)
        self._times = times + np.bincount(words, minlength=len(times))

    def _forget(self) -> None:
        """Keep the most frequent words, a quarter of the limit, under new internal ids."""
        self._spellings = self.spellings()
        old, times = self._table, np.bincount(self._table.column("bases"), self._times, len(self._table))
        self._begin()
        # A quarter, so that the table does not fill up again at once.
        for word in np.argsort(-times, kind="stable")[: _REMEMBERED_WORDS // 4].tolist():
            if times[word]:
                self._numbers[old.names[word]]
                self._table.add(old.names[word], (), old.numbers(word))

    def spellings(self) -> Counter[str]:
        """Count each run of letters inside sentences."""
        found = self._spellings.copy()
        for word in self._asked:
            base = self._table.bases[word]
            runs = _LETTERS.findall(self._table.names[base])
            for run in runs if base == word else runs[1:]:
                found[run] += int(self._times[word])
        return found


class _WordTable:
    """Table of words by their internal ids; the columns are parallel."""

    def __init__(self) -> None:
        self.words = 0  # without twins
        self.names: list[str] = []
        self.tokens: list[Sequence[str]] = []  # () once they are numbered
        # array and not list: millions of ints, read by numpy without a copy.
        self.ids = array("i")  # numbers of the tokens of all words
        self.starts = array("q")  # first position of a word in ids; -1 before it is numbered
        self.lengths = array("q")  # tokens per word
        self.lettered = array("q")  # 1 if the word has letters
        self.bases = array("q")  # the word itself, or for a twin the word elsewhere in sentences
        self.twins = array("q")  # the twin at the beginning of sentences; -1 for none

    def __len__(self) -> int:
        return len(self.names)

    def column(self, name: str) -> Numbers:
        """Return a view of a column; release it before words are added."""
        return np.frombuffer(getattr(self, name), np.int64)

    def add(self, name: str, tokens: Sequence[str], ids: Sequence[int] = ()) -> None:
        """Add a word with its tokens, or with their numbers."""
        self.words += 1
        self._append(name, tokens, len(self.ids) if ids else -1, len(ids or tokens))
        self.lettered.append(_LETTERS.search(name) is not None)
        self.bases.append(len(self) - 1)
        self.ids.extend(ids)

    def add_twin(self, base: int, number: int) -> None:
        """Add the twin ``number`` of the word ``base`` for the beginning of sentences."""
        self._append("", (), -1, self.lengths[base])
        self.lettered.append(1)
        self.bases.append(base)
        self.twins[base] = number

    def _append(self, name: str, tokens: Sequence[str], start: int, length: int) -> None:
        self.names.append(name)
        self.tokens.append(tokens)
        self.starts.append(start)
        self.lengths.append(length)
        self.twins.append(-1)

    def number(self, word: int, numbers: dict[str, int]) -> None:
        """Number the tokens of a word on its first use."""
        base = self.bases[word]
        if self.starts[base] < 0:
            self.starts[base] = len(self.ids)
            self.ids.extend(numbers[token] for token in self.tokens[base])
            self.tokens[base] = ()
        self.starts[word] = self.starts[base]

    def numbers(self, word: int) -> Sequence[int]:
        """Return the numbers of a word's tokens."""
        return self.ids[self.starts[word] : self.starts[word] + self.lengths[word]]


def _encoded(words: list[str]) -> Ragged:
    """Return the sentences that the words make, with single spaces."""
    text = np.frombuffer(" ".join(words).encode(), np.uint8)
    breaks = np.flatnonzero(text == 0)
    starts, ends = np.concatenate(([0], breaks + 2)), np.concatenate((breaks - 1, [len(text)]))
    return Ragged(text, starts, np.maximum(ends - starts, 0))


def _counts(sentences: Iterable[Sequence[object]]) -> Numbers:
    return np.fromiter(map(len, sentences), np.int64)


def _sums(values: Numbers, like: Ragged) -> Numbers:
    """Return the sum over each stretch."""
    # Prefix sums; np.add.reduceat gives wrong values for empty stretches.
    totals = np.concatenate(([0], np.cumsum(values)))
    sums: Numbers = totals[like.starts + like.lengths] - totals[like.starts]
    return sums


def ranges(starts: Numbers, lengths: Numbers) -> Numbers:
    """Return the positions of stretches of a flat array, one stretch after the other.

    >>> ranges(np.array([7, 0]), np.array([2, 3])).tolist()
    [7, 8, 0, 1, 2]
    """
    firsts = np.cumsum(lengths) - lengths
    # Without a loop: a chunk has 10,000 stretches.
    positions: Numbers = np.arange(int(lengths.sum())) + np.repeat(starts - firsts, lengths)
    return positions
