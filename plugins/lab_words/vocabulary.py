"""Vocabulary of word vectors: known words by falling frequency, without special tokens."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from lab.errors import DataError, UnknownNameError

__all__ = ["WordVocabulary"]

UNKNOWN = "<unk>"


class WordVocabulary:
    """Mapping between words and ids; frequent words have small ids.

    Args:
        words: the words, each once.
        counts: the frequency of each in the training part.
    """

    def __init__(self, words: Sequence[str], counts: Sequence[int]) -> None:
        self.words = list(words)
        self.counts = np.asarray(counts, np.int64)
        self.ids = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], min_freq: int, name: str) -> WordVocabulary:
        """Build the vocabulary of the words that occur at least ``min_freq`` times; ``<unk>`` is never among them.

        Raises:
            DataError: no word is frequent enough.
        """
        counts = Counter(word for sentence in sentences for word in sentence)
        counts.pop(UNKNOWN, None)
        # by word where frequencies are equal, so that ids do not depend on the order of the sentences
        known = sorted(((w, n) for w, n in counts.items() if n >= min_freq), key=lambda item: (-item[1], item[0]))
        if len(known) < 2:
            top = max(counts.values(), default=0)
            raise DataError(
                f"{len(known)} of {len(counts):,} words occur at least {min_freq} times, 2 words are needed",
                where=name,
                hint=f"lower min_freq (the most frequent word occurs {top:,} times) or use a longer text",
            )
        return cls(*zip(*known, strict=True))

    def __len__(self) -> int:
        return len(self.words)

    def id(self, word: str) -> int:
        """Return the id of a word.

        Raises:
            UnknownNameError: it is not in the vocabulary; the message has close matches.
        """
        if (found := self.ids.get(word)) is None:
            close = difflib.get_close_matches(word, self.words, 3)
            raise UnknownNameError(
                f"the word '{word}' is not in the vocabulary of {len(self):,} words",
                hint=f"did you mean {', '.join(close)}?" if close else "use a word of the training text",
            )
        return found
