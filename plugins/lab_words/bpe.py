"""Byte-pair encoding: subwords as merges of frequent neighbors (Sennrich, Haddow & Birch 2016, arXiv:1508.07909)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from lab.errors import ParameterError

__all__ = ["learn_merges", "segment"]

Merge = tuple[str, str]


def learn_merges(counts: Mapping[str, int], count: int) -> list[Merge]:
    """Return the most frequent pairs of neighbors in words, each counted after the merges before it.

    Of equally frequent pairs, the one that occurs first is merged. It stops where no word has two symbols.

    Args:
        counts: frequencies of words; a mark such as ``_`` tells the end of a word from its inside.
        count: number of merges.

    >>> learn_merges({"low_": 5, "lower_": 2}, 2)
    [('l', 'o'), ('lo', 'w')]
    """
    if count < 0 or not all(counts):
        raise ParameterError(f"count={count}, words {[*counts][:3]}", where="bpe", hint="at least 0, and no empty word")
    words = {word: tuple(word) for word in counts}
    merges: list[Merge] = []
    while len(merges) < count:
        pairs: Counter[Merge] = Counter()
        for word, symbols in words.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        if not pairs:
            break
        # max keeps the first of equals, and a Counter the order in which pairs occur
        best = max(pairs, key=pairs.__getitem__)
        merges.append(best)
        words = {word: _merged(symbols, best) for word, symbols in words.items()}
    return merges


def segment(word: str, merges: Sequence[Merge]) -> tuple[str, ...]:
    """Return the symbols of a word after all merges, in their order.

    >>> segment("lowest_", [("l", "o"), ("lo", "w")])
    ('low', 'e', 's', 't', '_')
    """
    symbols = tuple(word)
    for merge in merges:
        symbols = _merged(symbols, merge)
    return symbols


def _merged(symbols: tuple[str, ...], merge: Merge) -> tuple[str, ...]:
    found: list[str] = []
    for symbol in symbols:
        # two of three equal symbols are merged from the left, and a merged one is no part of another pair
        if found and (found[-1], symbol) == merge:
            found[-1] = "".join(merge)
        else:
            found.append(symbol)
    return tuple(found)
