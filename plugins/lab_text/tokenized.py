"""A tokenised corpus of sentence pairs: flat arrays on disk, made once, mapped into memory afterwards."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Container, Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lab.errors import DataError
from lab_text.cache import ArrayWriter, content_key, entry, load_array
from lab_text.numbering import Chunk, numbering_of, ranges
from lab_text.progress import progress_bar
from lab_text.reading import PairSource, questions_only
from lab_text.tokenizers import Tokenizer

__all__ = ["Filters", "TokenizedPairs", "TokenizedSide", "tokenized_pairs"]

log = logging.getLogger("lab")

FORMAT_VERSION = 1
_CHUNK_PAIRS = 10_000
_STATISTICS = ("read", "dropped_empty", "dropped_long", "kept")


@attrs.frozen
class Filters:
    """Which pairs are kept.

    Attributes:
        source_language, target_language: their codes; questions are told by the English side.
        questions: keep pairs that begin with a question, cut to it.
        max_target_tokens: drop pairs with more target tokens; None keeps all.
        pairs: stop after so many kept pairs; None reads everything.
    """

    source_language: str
    target_language: str
    questions: bool = False
    max_target_tokens: int | None = None
    pairs: int | None = None


@attrs.frozen(eq=False)
class TokenizedSide:
    """One language of a tokenised corpus of N sentences.

    Attributes:
        words: every word that occurs, by first occurrence; ``ids`` points into it.
        ids: int32, the tokens of all sentences in a row.
        bounds: int64 (N + 1), where each sentence begins in ``ids``.
        text, text_bounds: the sentences as they were read, in UTF-8.
        casing: lower-cased word → how it is mostly written inside sentences, where that is another way.
    """

    words: list[str]
    ids: npt.NDArray[np.int32]
    bounds: npt.NDArray[np.int64]
    text: npt.NDArray[np.uint8]
    text_bounds: npt.NDArray[np.int64]
    casing: dict[str, str] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def token_counts(self) -> npt.NDArray[np.int64]:
        """The number of tokens of every sentence."""
        return np.diff(self.bounds)

    def sentence(self, index: int) -> str:
        """The original text of one sentence."""
        return self.text[self.text_bounds[index] : self.text_bounds[index + 1]].tobytes().decode("utf-8")

    def tokens(self, index: int) -> list[str]:
        """The tokens of one sentence."""
        return [self.words[i] for i in self.ids[self.bounds[index] : self.bounds[index + 1]]]

    def word_counts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How often each of ``words`` occurs in the sentences ``rows`` (ascending)."""
        counts = np.zeros(len(self.words), np.int64)
        for block in np.array_split(rows, max(1, len(rows) // 100_000)):
            counts += np.bincount(self.flat(block), minlength=len(self.words))
        return counts

    def flat(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The ids of the sentences ``rows``, in a row."""
        starts = self.bounds[rows]
        found: npt.NDArray[np.int32] = self.ids[ranges(starts, self.bounds[rows + 1] - starts)]
        return found


@attrs.frozen(eq=False)
class TokenizedPairs:
    """A tokenised corpus.

    Attributes:
        source, target: the two languages; sentence n of one translates sentence n of the other.
        statistics: how many pairs were ``read``, ``dropped_empty``, ``dropped_long`` and ``kept``.
        key: a hash of everything the content depends on.
    """

    source: TokenizedSide
    target: TokenizedSide
    statistics: dict[str, int]
    key: str

    def __len__(self) -> int:
        return len(self.source)


def tokenized_pairs(
    source: PairSource, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer, filters: Filters
) -> TokenizedPairs:
    """The tokenised corpus of ``source``: from the cache, or read, tokenised and cached now.

    Raises:
        DataError: a file cannot be read, or no pair is left.
    """
    key = content_key(
        {
            "format": FORMAT_VERSION,
            "pairs": source.identity,
            "tokenizers": [source_tokenizer.identity, target_tokenizer.identity],
            "filters": attrs.asdict(filters),
        }
    )
    builder = _Builder(source, source_tokenizer, target_tokenizer, filters)
    pairs = _load(entry(key, builder.write), key)
    _report(source.name, pairs.statistics)
    return pairs


def _load(folder: Path, key: str) -> TokenizedPairs:
    statistics = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
    return TokenizedPairs(_load_side(folder, "source"), _load_side(folder, "target"), statistics, key)


def _load_side(folder: Path, side: str) -> TokenizedSide:
    words, casing = (json.loads((folder / f"{side}.{n}.json").read_text(encoding="utf-8")) for n in ("words", "casing"))
    arrays = {name: load_array(folder / f"{side}.{name}.npy") for name in ("ids", "bounds", "text", "text_bounds")}
    return TokenizedSide(words=words, casing=casing, **arrays)


def _report(name: str, statistics: dict[str, int]) -> None:
    """Say what was kept, and what was dropped and why."""
    reasons = {"dropped_empty": "empty on one side", "dropped_long": "too long"}
    dropped = [f"{statistics[key]:,} {reason}" for key, reason in reasons.items() if statistics[key]]
    log.info("%s: %s pairs%s", name, f"{statistics['kept']:,}", f" (dropped: {', '.join(dropped)})" if dropped else "")


class _SideWriter:
    """Writes one language while it is tokenised."""

    def __init__(self, folder: Path, side: str, tokenizer: Tokenizer) -> None:
        self.numbering = numbering_of(tokenizer)
        self._words_file, self._casing_file = (folder / f"{side}.{name}.json" for name in ("words", "casing"))
        self._ids, self._text = (ArrayWriter(folder / f"{side}.{n}.npy", t) for n, t in (("ids", "i"), ("text", "B")))
        self._bounds, self._text_bounds = (
            ArrayWriter(folder / f"{side}.{name}.npy", "q") for name in ("bounds", "text_bounds")
        )
        for writer in (self._bounds, self._text_bounds):
            writer.extend([0])

    def extend(self, chunk: Chunk) -> None:
        """Append sentences, as text and as the numbers of their tokens."""
        _append(self._ids, self._bounds, chunk.token_counts, self.numbering.ids(chunk))
        encoded = [text.encode("utf-8") for text in chunk.texts]
        _append(self._text, self._text_bounds, list(map(len, encoded)), b"".join(encoded))

    def close(self) -> None:
        for writer in (self._ids, self._text, self._bounds, self._text_bounds):
            writer.close()
        casing = _casing(self.numbering.spellings(), self.numbering.words)
        for path, value in ((self._words_file, list(self.numbering.words)), (self._casing_file, casing)):
            path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _casing(spellings: Counter[str], words: Container[str]) -> dict[str, str]:
    """The most frequent spelling of every word that is mostly not written in lower case."""
    best: dict[str, str] = {}
    for spelling, number in spellings.items():
        lower = spelling.lower()
        if lower in words and number > spellings.get(best.get(lower, ""), 0):
            best[lower] = spelling
    return {lower: spelling for lower, spelling in best.items() if lower != spelling}


def _append(values: ArrayWriter, bounds: ArrayWriter, lengths: Any, block: Any) -> None:
    bounds.extend(values.length + np.cumsum(lengths, dtype=np.int64))
    values.extend(block)


@attrs.define(eq=False)
class _Builder:
    """Reads, filters and tokenises a corpus into a folder, a chunk of pairs at a time."""

    origin: PairSource
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    filters: Filters
    statistics: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(_STATISTICS, 0))

    def write(self, folder: Path) -> None:
        """Write the whole corpus; what :func:`entry` calls when it is not cached."""
        with (
            closing(_SideWriter(folder, "source", self.source_tokenizer)) as source,
            closing(_SideWriter(folder, "target", self.target_tokenizer)) as target,
            closing(self._read()) as pairs,
        ):
            while chunk := list(islice(pairs, self._wanted())):
                self._write_chunk(chunk, source, target)
        self._refuse_nothing()
        (folder / "statistics.json").write_text(json.dumps(self.statistics), encoding="utf-8")

    def _wanted(self) -> int:
        """How many pairs to read next: never more than may still be kept."""
        limit = self.filters.pairs
        return _CHUNK_PAIRS if limit is None else min(_CHUNK_PAIRS, limit - self.statistics["kept"])

    def _write_chunk(self, pairs: list[tuple[str, str]], source: _SideWriter, target: _SideWriter) -> None:
        sides = (source, target)
        chunks = [side.numbering.read(texts) for side, texts in zip(sides, zip(*pairs, strict=True), strict=True)]
        rows = self._kept(*(chunk.token_counts for chunk in chunks))
        for side, chunk in zip(sides, chunks, strict=True):
            side.extend(chunk.take(rows))

    def _kept(self, source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows that pass the filters, by their numbers of tokens."""
        longest = self.filters.max_target_tokens
        empty = (source == 0) | (target == 0)
        long = ~empty & (target > (np.inf if longest is None else longest))
        rows = np.flatnonzero(~(empty | long))
        for name, number in (("dropped_empty", empty.sum()), ("dropped_long", long.sum()), ("kept", len(rows))):
            self.statistics[name] += int(number)
        return rows

    def _refuse_nothing(self) -> None:
        if self.statistics["kept"] == 0:
            figures = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in self.statistics.items())
            raise DataError("no sentence pair is left", where=self.origin.name, hint=figures)

    def _read(self) -> Generator[tuple[str, str]]:
        with progress_bar(self.origin.name, self.origin.size) as bar:
            pairs: Iterable[tuple[str, str]] = self._counted(self.origin.pairs(bar.update))
            if self.filters.questions:
                pairs = questions_only(pairs, self.filters.source_language, self.filters.target_language)
            yield from pairs

    def _counted(self, pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for pair in pairs:
            self.statistics["read"] += 1
            yield pair
