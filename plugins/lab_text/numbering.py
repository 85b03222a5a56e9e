"""Tokens as numbers, a chunk of sentences at a time.

Most tokenizers look at one white-space separated word at a time. For these, each distinct word is tokenised once, and
a corpus is only looked up: word by word in one dictionary, then in flat tables of numbers.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, count, islice
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from lab_text.tokenizers import Tokenizer

__all__ = ["Chunk", "Numbering", "TextNumbering", "WordNumbering", "numbering_of", "ranges"]

_REMEMBERED_WORDS = 100_000
_LETTERS = re.compile(r"[^\W\d_]+")
_FIRST = " "  # stands before the word that begins a sentence, whose case says nothing; no word has a space

Numbers = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Chunk:
    """N sentences that were read.

    Attributes:
        texts: the sentences, with single spaces.
        token_counts: int64 (N), how many tokens each has.
        parts: what numbers are made of: of a :class:`TextNumbering` the tokens, in a row; of a :class:`WordNumbering`
            the private numbers of the words.
        part_counts: int64 (N), how many parts each sentence has.
    """

    texts: list[str]
    token_counts: Numbers
    parts: npt.NDArray[np.generic]
    part_counts: Numbers

    def take(self, rows: Numbers) -> Chunk:
        """Some of the sentences, ascending."""
        if len(rows) == len(self.texts):
            return self
        starts = np.cumsum(self.part_counts) - self.part_counts
        counts = self.part_counts[rows]
        parts = self.parts[ranges(starts[rows], counts)]
        return Chunk([self.texts[row] for row in rows.tolist()], self.token_counts[rows], parts, counts)


class Numbering(Protocol):
    """Gives every token the number of its first occurrence.

    Attributes:
        words: token → number, by first occurrence in what :meth:`ids` was asked for.
    """

    words: dict[str, int]

    def read(self, texts: Sequence[str]) -> Chunk:
        """The chunk of these texts; the one before is done with."""

    def ids(self, chunk: Chunk) -> npt.NDArray[np.int32]:
        """The numbers of all tokens of a chunk, or of what was taken of it, in a row."""

    def spellings(self) -> Counter[str]:
        """How often each run of letters occurred, as it was written, where it did not begin a sentence."""


def numbering_of(tokenizer: Tokenizer) -> Numbering:
    """The faster of the two that gives what ``tokenizer`` gives."""
    return WordNumbering(tokenizer) if tokenizer.by_word else TextNumbering(tokenizer)


class TextNumbering:
    """Numbers of tokens, for a tokenizer that has to see whole texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.words: dict[str, int] = defaultdict(count().__next__)
        self._tokenizer = tokenizer
        self._spellings: Counter[str] = Counter()

    def read(self, texts: Sequence[str]) -> Chunk:
        """The chunk of these texts."""
        clean = [" ".join(text.split()) for text in texts]
        sentences = list(self._tokenizer.pipe(clean))
        counts = _counts(sentences)
        parts = np.fromiter(chain.from_iterable(sentences), object, int(counts.sum()))
        return Chunk(clean, counts, parts, counts)

    def ids(self, chunk: Chunk) -> npt.NDArray[np.int32]:
        """The numbers of all tokens, in a row."""
        for text in chunk.texts:
            self._spellings.update(_LETTERS.findall(text)[1:])
        return np.fromiter(map(self.words.__getitem__, chunk.parts.tolist()), np.int32, len(chunk.parts))

    def spellings(self) -> Counter[str]:
        """How often each run of letters occurred inside sentences."""
        return self._spellings


class WordNumbering:
    """Numbers of tokens, for a tokenizer that looks at one word at a time.

    A word has a private number from when it is met; its tokens get theirs when it is first asked for, so words of
    sentences that are not kept leave no trace. Beyond ``_REMEMBERED_WORDS`` distinct words the rarer half is
    forgotten, and tokenised again when it comes back: memory does not grow with the corpus.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.words: dict[str, int] = defaultdict(count().__next__)
        self._tokenizer = tokenizer
        self._spellings: Counter[str] = Counter()
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self._tokens: list[Sequence[str]] = []  # of each word; () where its tokens have numbers
        self._lengths = array("q")  # tokens of each word
        self._starts = array("q")  # where its tokens' numbers stand in _ids; -1 where they have none yet
        self._ids = array("i")
        self._asked: list[int] = []  # words whose tokens have numbers, in this order
        self._times = np.zeros(0, np.int64)  # how often each word was asked for

    def _forget(self) -> None:
        """Keep the more frequent half of the words, under new private numbers."""
        self._spellings = self.spellings()
        names, spans = list(self._numbers), zip(self._starts, self._lengths, strict=True)
        places = [self._ids[start : start + length] for start, length in spans]
        frequent = np.argsort(-self._times, kind="stable")[: _REMEMBERED_WORDS // 2]
        kept = [word for word in frequent.tolist() if self._starts[word] >= 0]
        self._numbers = defaultdict(count(len(kept)).__next__, {names[word]: new for new, word in enumerate(kept)})
        self._tokens = [()] * len(kept)
        self._lengths = array("q", (self._lengths[word] for word in kept))
        self._starts = array("q", np.cumsum(self._lengths) - self._lengths)
        self._ids = array("i", chain.from_iterable(places[word] for word in kept))
        self._asked = list(range(len(kept)))
        self._times = np.zeros(len(kept), np.int64)

    def read(self, texts: Sequence[str]) -> Chunk:
        """The chunk of these texts."""
        if len(self._numbers) > _REMEMBERED_WORDS:
            self._forget()
        words = [text.split() for text in texts]
        clean = [" ".join(sentence) for sentence in words]
        for sentence in words:
            _mark_first(sentence)
        counts = _counts(words)
        numbers = map(self._numbers.__getitem__, chain.from_iterable(words))
        parts = np.fromiter(numbers, np.int32, int(counts.sum()))
        self._learn()
        return Chunk(clean, _sums(np.frombuffer(self._lengths, np.int64)[parts], counts), parts, counts)

    def _learn(self) -> None:
        """Tokenise the words that were not met before."""
        new = [word.removeprefix(_FIRST) for word in islice(self._numbers, len(self._tokens), None)]
        tokens = list(self._tokenizer.pipe(new)) if new else []
        self._tokens += tokens
        self._lengths.extend(map(len, tokens))
        self._starts.extend([-1] * len(new))

    def ids(self, chunk: Chunk) -> npt.NDArray[np.int32]:
        """The numbers of all tokens, in a row."""
        words = chunk.parts
        self._number(words)
        self._count(words)
        lengths, starts = (np.frombuffer(values, np.int64)[words] for values in (self._lengths, self._starts))
        found: npt.NDArray[np.int32] = np.frombuffer(self._ids, np.int32)[ranges(starts, lengths)]
        return found

    def _number(self, words: npt.NDArray[np.generic]) -> None:
        """Give numbers to the tokens of words that have none, in the order they come."""
        new = words[np.frombuffer(self._starts, np.int64)[words] < 0]
        for word in dict.fromkeys(new.tolist()):
            self._asked.append(word)
            self._starts[word] = len(self._ids)
            self._ids.extend(self.words[token] for token in self._tokens[word])
            self._tokens[word] = ()

    def _count(self, words: npt.NDArray[np.generic]) -> None:
        times = np.bincount(words, minlength=len(self._lengths))
        times[: len(self._times)] += self._times
        self._times = times

    def spellings(self) -> Counter[str]:
        """How often each run of letters occurred inside sentences."""
        found, names = self._spellings.copy(), list(self._numbers)
        for word in self._asked:
            runs = _LETTERS.findall(names[word])
            for run in runs[1:] if names[word].startswith(_FIRST) else runs:
                found[run] += int(self._times[word])
        return found


def _mark_first(words: list[str]) -> None:
    """Mark the word with the first letters of a sentence."""
    for position, word in enumerate(words):
        if word.isalpha() or _LETTERS.search(word):
            words[position] = _FIRST + word
            return


def _counts(sentences: Iterable[Sequence[object]]) -> Numbers:
    return np.fromiter(map(len, sentences), np.int64)


def _sums(values: Numbers, counts: Numbers) -> Numbers:
    """The sums over so many values at a time."""
    totals = np.concatenate(([0], np.cumsum(values)))
    ends = np.cumsum(counts)
    sums: Numbers = totals[ends] - totals[ends - counts]
    return sums


def ranges(starts: Numbers, lengths: Numbers) -> Numbers:
    """The positions of stretches of a flat array, one stretch after the other.

    >>> ranges(np.array([7, 0]), np.array([2, 3])).tolist()
    [7, 8, 0, 1, 2]
    """
    firsts = np.cumsum(lengths) - lengths
    positions: Numbers = np.arange(int(lengths.sum())) + np.repeat(starts - firsts, lengths)
    return positions
