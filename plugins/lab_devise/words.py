"""Words to search, and WordNet."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import attrs
import numpy as np
from lab_text.corpora import Corpus, find_corpus
from lab_text.indexes import unit
from lab_text.reading import read_lines
from lab_text.vectors import WordVectors

from lab.errors import DataError

__all__ = ["WordNet", "embedded_sentences", "lookup", "wordnet", "wordnet_corpus"]

# Kinds of nouns, those that an image is most likely to show first.
CONCRETE = ("noun.animal", "noun.artifact", "noun.plant", "noun.object", "noun.quantity", "noun.food", "noun.body")

FARTHEST = 1_000


def wordnet_corpus() -> Corpus:
    """Open English WordNet's nouns: 71,873 synsets with their hypernyms and definitions."""
    return Corpus(
        name="wordnet_nouns",
        title="Open English WordNet's nouns, 71,873 synsets with hypernyms and definitions",
        languages=("en",),
        license="CC BY 4.0 (Open English WordNet)",
        publisher="https://en-word.net",
        files={"nouns": ("wordnet/oewn_nouns.tsv.gz",)},
        note="a table made from the publisher's release; there is no automatic download",
    )


@attrs.frozen(eq=False)
class WordNet:
    """Nouns, in synsets.

    Attributes:
        members: synset → its words.
        kinds: synset → its kind, such as ``noun.animal``.
        hypernyms: synset → the more general ones.
        definitions: synset → its definition.
        senses: lower-case word → its synsets.
    """

    members: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]
    hypernyms: Mapping[str, tuple[str, ...]]
    definitions: Mapping[str, str]
    senses: Mapping[str, tuple[str, ...]]

    def sense(self, word: str) -> str | None:
        """Return the synset that an image labeled ``word`` most likely shows: a concrete one if there is any."""
        found = self.senses.get(word.lower().replace("_", " "), ())
        # Images show animals and things, not the abstract senses of a word.
        order = {kind: place for place, kind in enumerate(CONCRETE)}
        return min(found, key=lambda each: order.get(self.kinds[each], len(order)), default=None)

    def distances(self, synsets: Sequence[str]) -> np.ndarray:
        """Return the steps between synsets along hypernyms, up and down (K, K)."""
        below: dict[str, list[str]] = {}
        for child, parents in self.hypernyms.items():
            for parent in parents:
                below.setdefault(parent, []).append(child)
        places = {synset: number for number, synset in enumerate(synsets)}
        # Synsets without a common hypernym keep this distance.
        table = np.full((len(synsets), len(synsets)), FARTHEST)
        for start, row in places.items():
            # Breadth-first: edges have length 1.
            steps, queue = {start: 0}, deque([start])
            while queue:
                here = queue.popleft()
                if here in places:
                    table[row, places[here]] = steps[here]
                for each in (*self.hypernyms.get(here, ()), *below.get(here, ())):
                    if each not in steps:
                        steps[each] = steps[here] + 1
                        queue.append(each)
        return table


@cache
def wordnet() -> WordNet:
    """Return the nouns in the data directory.

    Raises:
        DataError: they are not there.
    """
    path = find_corpus("wordnet_nouns").path("nouns")
    members, kinds, hypernyms, definitions = {}, {}, {}, {}
    senses: dict[str, list[str]] = {}
    for synset, kind, words, above, _, definition in _rows(path):
        members[synset] = tuple(words.split("|"))
        kinds[synset], definitions[synset] = kind, definition
        hypernyms[synset] = tuple(each for each in above.split("|") if each)
        for word in members[synset]:
            senses.setdefault(word.lower(), []).append(synset)
    return WordNet(members, kinds, hypernyms, definitions, {word: tuple(each) for word, each in senses.items()})


def _rows(path: Path) -> Iterator[list[str]]:
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) != 6:
            raise DataError(
                f"line {number:,} has {len(cells)} columns, not 6", where=str(path), hint="fetch the corpus again"
            )
        if number > 1:
            yield cells


@cache
def embedded_sentences() -> tuple[tuple[str, ...], ...]:
    """Return the embedded English text in lower case, the training text of word vectors if no vectors are given."""
    from lab_text.embedded import generate, tokens

    return tuple(tuple(word.lower() for word in tokens(pair.english)) for pair in generate())


def lookup(vectors: WordVectors, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the unit vectors of the names that have one; a name of several words gets the mean of its words.

    Args:
        vectors: a component of ``lab_text``'s registry.
        names: such as ``polar bear`` or ``t-shirt``; case is ignored.
    """
    parts = {name: _parts(name) for name in names}
    # One lookup for all names: reading the file is the expensive part.
    wanted = list(dict.fromkeys(word for words in parts.values() for word in words))
    found = vectors.find(wanted, embedded_sentences)[1]
    for word, vector in found.items():
        if not np.isfinite(vector).all():
            raise DataError(
                f"the vector of '{word}' has values that are not finite", where=vectors.origin, hint="other vectors"
            )
    answer = {}
    for name, words in parts.items():
        # Unit vectors before the mean: otherwise the word with the longest vector would dominate.
        there = [unit(found[word]) for word in words if word in found and np.any(found[word])]
        if there and np.any(mean := np.mean(there, 0)):
            answer[name] = unit(mean)
    return answer


def _parts(name: str) -> list[str]:
    """Return the words of a name.

    >>> _parts("T-shirt_dress")
    ['t', 'shirt', 'dress']
    """
    return [word for word in re.split(r"[\s_\-/]+", name.lower()) if word]
