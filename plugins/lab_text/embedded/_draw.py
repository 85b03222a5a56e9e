"""Chance and links: what the rules of the grammar share while one sentence is made."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol, TypeVar

__all__ = ["Draw", "Stuck", "Tokens", "Word"]


class Word(NamedTuple):
    """A content word; its counterpart in the other language carries the same ``link``."""

    text: str
    link: int


Tokens = list["str | Word"]
"""A phrase in one language: content words and, as plain strings, function words."""


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


_Item = TypeVar("_Item")
_KeyedItem = TypeVar("_KeyedItem", bound=_Keyed)
_TRIES = 12


class Stuck(Exception):
    """No word is left that fits; the sentence is given up and another one begun."""


class Draw:
    """The random choices of the corpus, and the links and words used so far in the present sentence.

    Args:
        seed: the whole stream of sentences follows from it.

    Attributes:
        rich: how readily phrases grow, from 0 (bare) to 1.
        relatives: how many relative clauses the sentence may still take.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random
        self.rich = 0.0
        self.relatives = 0
        self._links = 0
        self._used: set[str] = set()
        self._counts: Counter[str] = Counter()

    def begin(self) -> None:
        """Begin a sentence: no links, no words used; draw how rich it will be."""
        self._links = 0
        self._used.clear()
        self.rich = 1.25 * self._random() ** 0.6
        self.relatives = 1 if self.rich < 0.9 else 2

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random() < probability

    def grow(self, probability: float) -> bool:
        """True with the given probability in a sentence of middling richness: rarer in bare ones."""
        return self._random() < 2 * probability * self.rich

    def pick(self, options: Sequence[_Item]) -> _Item:
        """Return one of ``options``, each as likely.

        Raises:
            Stuck: there are none.
        """
        if not options:
            raise Stuck
        return options[int(self._random() * len(options))]

    def fresh(self, options: Sequence[_KeyedItem]) -> _KeyedItem:
        """Return one of ``options`` whose key does not yet occur in this sentence; it does from now on.

        Two are drawn and the one taken that the corpus has had less often, so that words become about as frequent as
        their classes allow.

        Raises:
            Stuck: none was found.
        """
        for _ in range(_TRIES):
            item, other = self.pick(options), self.pick(options)
            if self._counts[other.key] < self._counts[item.key]:
                item = other
            if item.key not in self._used:
                self._used.add(item.key)
                self._counts[item.key] += 1
                return item
        raise Stuck

    def fresh_pair(self, options: Sequence[tuple[str, str]]) -> tuple[Word, Word]:
        """As :meth:`fresh` for plain ``(French, English)`` pairs; gives two linked words."""
        for _ in range(_TRIES):
            pair = self.pick(options)
            if pair[1] not in self._used:
                self._used.add(pair[1])
                return self.link(*pair)
        raise Stuck

    def link(self, french: str, english: str) -> tuple[Word, Word]:
        """Return a French and an English content word that translate each other."""
        self._links += 1
        return Word(french, self._links), Word(english, self._links)

    def phrase(self, template: str) -> tuple[Tokens, Tokens]:
        """Return a fixed phrase: ``"LA semaine_1 dernière_2|last_2 week_1"``; equal numbers are links.

        Raises:
            Stuck: one of its words occurs in the sentence already.
        """
        french, english, count = _parsed(template)
        words = {token[0] for token in english if isinstance(token, Word)}
        if words & self._used:
            raise Stuck
        self._used |= words
        base, self._links = self._links, self._links + count
        return _shifted(french, base), _shifted(english, base)


def _shifted(tokens: tuple[str | Word, ...], base: int) -> Tokens:
    return [token if token.__class__ is str else Word(token[0], token[1] + base) for token in tokens]  # type: ignore[operator]


@cache
def _parsed(template: str) -> tuple[tuple[str | Word, ...], tuple[str | Word, ...], int]:
    french, english = (tuple(_token(word) for word in side.split()) for side in template.split("|"))
    return french, english, max([token.link for token in french if isinstance(token, Word)], default=0)


def _token(word: str) -> str | Word:
    text, underscore, link = word.partition("_")
    return Word(text, int(link)) if underscore else text
