"""The embedded corpus: pairs of questions with their word alignment, a deterministic stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab_text.embedded._draw import Draw, Stuck
from lab_text.embedded.questions import question
from lab_text.embedded.spelling import spell_english, spell_french

__all__ = ["VERSION", "Pair", "generate"]

VERSION = "1"
"""Changes whenever :func:`generate` gives other pairs; it belongs to a run's key."""

_LONGEST = 25  # tokens, with the question mark


@dataclass(frozen=True, slots=True)
class Pair:
    """A French question, its English translation, and which content words translate each other.

    Attributes:
        french: *Où sont les petites tables que le voisin a achetées ?*
        english: *Where are the small tables that the neighbour bought?*
        alignment: ``(French index, English index)`` of nouns, verbs, adjectives, names, numbers and adverbs, by French
            position. Indices count in :func:`~lab_text.embedded.tokens`. A word that the other language does not say
            with a word of its own (an auxiliary, an article, *-t-il*) has no entry.
    """

    french: str
    english: str
    alignment: tuple[tuple[int, int], ...]


def generate(n: int = 20_000, seed: int = 0) -> Iterator[Pair]:
    """Yield the first ``n`` pairs of the stream of ``seed``; no French sentence comes twice.

    The stream is the same on every machine and Python version, and a longer one begins with the shorter.

    >>> next(generate(1)) == next(generate(20_000))
    True
    """
    draw = Draw(seed)
    seen: set[str] = set()
    while len(seen) < n:
        pair = _attempt(draw)
        if pair is not None and pair.french not in seen:
            seen.add(pair.french)
            yield pair


def _attempt(draw: Draw) -> Pair | None:
    """Return a sentence, or None where the draw got stuck or the sentence is too long."""
    draw.begin()
    try:
        left, right = question(draw)
    except Stuck:
        return None
    french, french_links, french_length = spell_french(left)
    english, english_links, english_length = spell_english(right)
    if max(french_length, english_length) > _LONGEST:
        return None
    alignment = tuple((place, english_links[link]) for link, place in french_links.items())
    return Pair(french, english, alignment)
