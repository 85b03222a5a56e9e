"""Sentence pairs without end, for benchmarks of size: words by Zipf's law, punctuation, apostrophes, numbers.

Nothing is kept: the n-th pair is the same however many are asked for. Run as a program, it tokenizes so many of them
and prints how much memory that took at every hundredth, tenth and at the end.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

WORDS = 30_000
_SYLLABLES = [
    a + b + c for a in ("", "b", "ch", "d", "l", "m", "n", "r", "s", "t", "v") for b in "aeiouy" for c in ("", "n", "s")
]
_BLOCK = 5_000


@attrs.frozen
class MadePairs:
    """Generated sentence pairs as a source of pairs.

    Attributes:
        number: how many.
        seen: told, before every pair, its number.
    """

    number: int
    seen: Callable[[int], Any] = attrs.field(default=lambda number: None, eq=False)

    name = "made"
    size = 0

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""
        return {"made": 1, "pairs": self.number}

    def pairs(self, progress: Callable[[int], Any]) -> Iterator[tuple[str, str]]:
        """Yield (source, target) sentences."""
        for number, pair in enumerate(made_pairs(self.number)):
            self.seen(number)
            yield pair


def made_pairs(number: int) -> Iterator[tuple[str, str]]:
    """``number`` pairs of 5 to 18 words a side."""
    languages = [_forms(("l'", "qu'", "-t-il")), _forms(("", "", "'s"))]
    for start in range(0, number, _BLOCK):
        generator = np.random.default_rng(start)
        sides = [_sentences(forms, generator) for forms in languages]
        yield from zip(*(side[: number - start] for side in sides), strict=True)


def write_pairs(folder: Path, number: int) -> tuple[Path, Path]:
    """The pairs as two aligned files."""
    paths = folder / "made.fr", folder / "made.en"
    with paths[0].open("w", encoding="utf-8") as source, paths[1].open("w", encoding="utf-8") as target:
        for one, other in made_pairs(number):
            source.write(one + "\n")
            target.write(other + "\n")
    return paths


def _forms(clitics: tuple[str, str, str]) -> list[str]:
    """The words of one language, most frequent first; some with an apostrophe, a hyphen or a comma."""
    generator = np.random.default_rng(len(clitics[0]))
    lengths = np.minimum(1 + np.log10(np.arange(1, WORDS + 1)).astype(int), 4)
    words = ["".join(generator.choice(_SYLLABLES, length)) for length in lengths.tolist()]
    before, between, behind = clitics
    shapes = [f"{before}{{}}", f"{between}{{}}", f"{{}}{behind}", "{},", *["{}"] * 6]
    written = [
        shapes[position].format(word) for position, word in zip(generator.integers(0, 10, WORDS), words, strict=True)
    ]
    return [word.capitalize() if position % 20 == 7 else word for position, word in enumerate(written)]


def _sentences(forms: list[str], generator: np.random.Generator) -> list[str]:
    lengths = generator.integers(5, 19, _BLOCK)
    ranks = np.minimum(np.exp(generator.random(int(lengths.sum())) * np.log(WORDS)).astype(int) - 1, WORDS - 1)
    words = [forms[rank] for rank in ranks.tolist()]
    ends = np.cumsum(lengths).tolist()
    marks = generator.choice([".", "?", " !", "…"], _BLOCK, p=[0.6, 0.2, 0.1, 0.1]).tolist()
    return [
        _sentence(words[end - length : end], mark)
        for end, length, mark in zip(ends, lengths.tolist(), marks, strict=True)
    ]


def _sentence(words: list[str], mark: str) -> str:
    text = " ".join(words)
    return text[0].upper() + text[1:] + mark


def memory_while_tokenizing(number: int) -> dict[str, Any]:
    """Tokenize ``number`` made pairs; the megabytes that were the most so far when a share of them had been read.

    Only what the process itself holds is counted, not the pages of files that it maps.
    """
    from lab_text.tokenized import Filters, tokenized_pairs
    from lab_text.tokenizers import SpacyTokenizer

    most, shares = 0.0, {}

    def look(position: int) -> None:
        nonlocal most
        if position % 1_000 == 0:
            most = max(most, own_megabytes())
        if position + 1 in (number // 100, number // 10, number):
            shares[position + 1] = most

    started = time.perf_counter()
    pairs = tokenized_pairs(MadePairs(number, look), SpacyTokenizer("fr"), SpacyTokenizer("en"), Filters("fr", "en"))
    seconds = time.perf_counter() - started
    return {"pairs": len(pairs), "seconds": seconds, "megabytes": shares, "at_end": own_megabytes()}


def own_megabytes() -> float:
    """The memory that this process holds for itself, in MB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) / 1000


if __name__ == "__main__":
    print(json.dumps(memory_while_tokenizing(int(sys.argv[1]))))
