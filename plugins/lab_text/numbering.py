"""Numbering of tokens, a chunk of sentences at a time.

Most tokenizers look at one white-space separated word at a time. For these, each distinct word is tokenized once, and
a corpus is only looked up: all words of a chunk in one dictionary, then in flat tables of numbers.
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
    """N stretches of a flat array.

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
        """Return the values of all stretches, in a row."""
        found: npt.NDArray[Any] = self.values[ranges(self.starts, self.lengths)]
        return found


@attrs.frozen(eq=False)
class Chunk:
    """N sentences that were read.

    Attributes:
        texts: the sentences, with single spaces, in UTF-8.
        parts: what numbers are made of: of a :class:`TextNumbering` the tokens; of a :class:`WordNumbering` the
            private numbers of the words.
        token_counts: int64 (N), how many tokens each has.
    """

    texts: Ragged
    parts: Ragged
    token_counts: Numbers

    def take(self, rows: Numbers) -> Chunk:
        """Return some of the sentences; ``rows`` ascend."""
        return Chunk(self.texts.take(rows), self.parts.take(rows), self.token_counts[rows])


class Numbering(Protocol):
    """Gives every token the number of its first occurrence.

    Attributes:
        words: token → number, by first occurrence in what :meth:`ids` was asked for.
    """

    words: dict[str, int]

    def read(self, text: str) -> Chunk:
        """Return the chunk of sentences that :func:`joined` put together; the one before is done with."""

    def ids(self, chunk: Chunk) -> npt.NDArray[np.int32]:
        """Return the numbers of all tokens of a chunk, or of what was taken of it, in a row."""

    def spellings(self) -> Counter[str]:
        """Count each run of letters as written, except at the beginning of sentences."""


def numbering_of(tokenizer: Tokenizer) -> Numbering:
    """Return the faster of the two that gives what ``tokenizer`` gives."""
    return WordNumbering(tokenizer) if tokenizer.by_word else TextNumbering(tokenizer)


class TextNumbering:
    """Numbers of tokens, for a tokenizer that has to see whole texts."""

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
        """Return the numbers of all tokens, in a row."""
        for start, length in zip(chunk.texts.starts.tolist(), chunk.texts.lengths.tolist(), strict=True):
            text = chunk.texts.values[start : start + length].tobytes().decode()
            self._spellings.update(_LETTERS.findall(text)[1:])
        return np.fromiter(map(self.words.__getitem__, chunk.parts.flat()), np.int32)

    def spellings(self) -> Counter[str]:
        """Count each run of letters inside sentences."""
        return self._spellings


class WordNumbering:
    """Numbers of tokens, for a tokenizer that looks at one word at a time.

    A word has a private number from when it is met, and another for where it begins a sentence and its case says
    nothing. Its tokens get their numbers when it is first asked for, so words of sentences that are not kept leave no
    trace. Beyond ``_REMEMBERED_WORDS`` private numbers the rarer words are forgotten, and tokenized again when they
    come back: memory does not grow with the corpus.
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
        self._asked: list[int] = []  # private numbers in the order in which they were first asked for
        self._times = np.zeros(1, np.int64)  # how often each was asked for

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
        """Return the numbers of all tokens, in a row."""
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
        """Keep the more frequent words, up to a quarter of all that may be remembered, under new private numbers."""
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
        self.tokens: list[Sequence[str]] = []  # () where they have numbers
        # array and not list: millions of ints, read by numpy without a copy.
        self.ids = array("i")  # the numbers of the tokens of all words
        self.starts = array("q")  # where those of a word stand in ids; -1 where they have none yet
        self.lengths = array("q")  # how many they are
        self.lettered = array("q")  # whether the word has letters
        self.bases = array("q")  # of a word at the beginning of a sentence the word elsewhere; of others itself
        self.twins = array("q")  # the other way round; -1 where it was not met there

    def __len__(self) -> int:
        return len(self.names)

    def column(self, name: str) -> Numbers:
        """Return one column as it is now; let go of it before words are added."""
        return np.frombuffer(getattr(self, name), np.int64)

    def add(self, name: str, tokens: Sequence[str], ids: Sequence[int] = ()) -> None:
        """Add a word, with its tokens or with the numbers of its tokens."""
        self.words += 1
        self._append(name, tokens, len(self.ids) if ids else -1, len(ids or tokens))
        self.lettered.append(_LETTERS.search(name) is not None)
        self.bases.append(len(self) - 1)
        self.ids.extend(ids)

    def add_twin(self, base: int, number: int) -> None:
        """Add ``number``: the word ``base`` at the beginning of a sentence."""
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
        """Number the tokens of a word that is asked for."""
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
