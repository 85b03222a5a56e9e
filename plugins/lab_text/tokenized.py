"""A tokenized corpus of sentence pairs: flat arrays on disk, made once, mapped into memory afterwards."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lab.errors import DataError
from lab_text.cache import content_key, damaged_entry, entry, load_array
from lab_text.numbering import joined, ranges
from lab_text.progress import progress_bar
from lab_text.reading import Pair, PairSource, questions_only
from lab_text.remarks import count_signs, describe_signs
from lab_text.sides import Side, open_sides
from lab_text.tokenizer import Tokenizer

__all__ = ["Filters", "TokenizedPairs", "TokenizedSide", "row_hashes", "tokenized_pairs"]

log = logging.getLogger("lab")

FORMAT_VERSION = 1
_CHUNK_PAIRS = 10_000
# Fewer odd characters per pair than this are a note, not a warning.
_MANY_SIGNS = 1e-3
_LARGE_BYTES = 100_000_000
_LARGE_PAIRS = 500_000
_STATISTICS = ("read", "dropped_empty", "dropped_long", "kept")


@attrs.frozen
class Filters:
    """Filters of sentence pairs.

    Attributes:
        source_language, target_language: language codes; the filter of questions needs English.
        questions: keep pairs that begin with a question, cut to it.
        max_target_tokens: drop pairs with more target tokens; None keeps all.
        pairs: stop after this number of kept pairs; None for all.
    """

    source_language: str
    target_language: str
    questions: bool = False
    max_target_tokens: int | None = None
    pairs: int | None = None


@attrs.frozen(eq=False)
class TokenizedSide:
    """One language of a tokenized corpus of N sentences.

    Attributes:
        words: every word that occurs, by first occurrence; ``ids`` points into it.
        ids: int32, the concatenated tokens of all sentences.
        bounds: int64 (N + 1), where each sentence begins in ``ids``.
        text, text_bounds: the sentences as they were read, in UTF-8.
        casing: lower-case word → its most frequent spelling inside sentences, if different.
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
        """Return the original text of one sentence."""
        return self.text[self.text_bounds[index] : self.text_bounds[index + 1]].tobytes().decode("utf-8")

    def tokens(self, index: int) -> list[str]:
        """Return the tokens of one sentence."""
        return [self.words[i] for i in self.ids[self.bounds[index] : self.bounds[index + 1]]]

    def word_counts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Count each of ``words`` in the sentences ``rows`` (ascending)."""
        counts = np.zeros(len(self.words), np.int64)
        # In blocks: the ids of all sentences at once would need gigabytes.
        for block in np.array_split(rows, max(1, len(rows) // 100_000)):
            counts += np.bincount(self.flat(block), minlength=len(self.words))
        return counts

    def counts_in_lower_case(self, rows: npt.NDArray[np.int64]) -> dict[str, int]:
        """Count each word of the sentences ``rows``, ignoring case."""
        found: dict[str, int] = {}
        for word, count in zip(self.words, self.word_counts(rows).tolist(), strict=True):
            found[word.lower()] = found.get(word.lower(), 0) + count
        return found

    def flat(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return the concatenated ids of the sentences ``rows``."""
        starts = self.bounds[rows]
        found: npt.NDArray[np.int32] = self.ids[ranges(starts, self.bounds[rows + 1] - starts)]
        return found


@attrs.frozen(eq=False)
class TokenizedPairs:
    """A tokenized corpus.

    Attributes:
        source, target: the two languages; sentence n of one translates sentence n of the other.
        statistics: how many pairs were ``read``, ``dropped_empty``, ``dropped_long`` and ``kept``.
        key: a hash of everything the content depends on.
        notes, remarks: notes and warnings about the text.
    """

    source: TokenizedSide
    target: TokenizedSide
    statistics: dict[str, int]
    key: str
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.source)


def tokenized_pairs(
    source: PairSource, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer, filters: Filters
) -> TokenizedPairs:
    """Return the tokenized corpus of ``source``: from the cache, or read, tokenized and cached now.

    Raises:
        DataError: a file cannot be read, or no pairs are left.
    """
    key = content_key(
        {
            "format": FORMAT_VERSION,
            "pairs": source.identity,
            "tokenizers": [_identity(source_tokenizer), _identity(target_tokenizer)],
            "filters": attrs.asdict(filters),
        }
    )
    builder = _Builder(source, source_tokenizer, target_tokenizer, filters)
    # Their code decides what is written, so it is part of the entry's name.
    made_by = [type(source), type(source_tokenizer), type(target_tokenizer)]
    folder = entry(key, builder.write, made_by)
    try:
        pairs = _load(folder, key)
    # A truncated or edited entry; the message names the folder to remove.
    except (OSError, ValueError, IndexError, EOFError) as error:
        raise damaged_entry(folder, error) from error
    _report(source.name, pairs.statistics)
    return pairs


def row_hashes(pairs: TokenizedPairs, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return a number for the tokens of each pair, the same in this process for equal pairs of any corpus."""
    # int64 arithmetic wraps around, which is fine for a hash.
    total = np.zeros(len(rows), np.int64)
    for factor, side in ((1, pairs.source), (0x5851F42D, pairs.target)):
        words = np.fromiter(map(hash, side.words), np.int64, len(side.words))
        lengths = side.token_counts[rows]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(rows) else 0) - np.repeat(ends - lengths, lengths)
        # Odd factors by position, so that the order of tokens counts.
        values = words[side.flat(rows)] * (2 * places + factor)
        sums = np.concatenate(([0], np.cumsum(values)))
        total = total * 31 + sums[ends] - sums[ends - lengths]
    return total


def _identity(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the identity of a tokenizer and its class: a subclass may inherit the one and change the other."""
    return {"class": f"{type(tokenizer).__module__}:{type(tokenizer).__qualname__}", **tokenizer.identity}


def _load(folder: Path, key: str) -> TokenizedPairs:
    statistics = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
    said = json.loads((folder / "remarks.json").read_text(encoding="utf-8"))
    sides = _load_side(folder, "source"), _load_side(folder, "target")
    return TokenizedPairs(*sides, statistics, key, *(tuple(said[name]) for name in ("notes", "remarks")))


def _load_side(folder: Path, side: str) -> TokenizedSide:
    words, casing = (json.loads((folder / f"{side}.{n}.json").read_text(encoding="utf-8")) for n in ("words", "casing"))
    arrays = {name: load_array(folder / f"{side}.{name}.npy") for name in ("ids", "bounds", "text", "text_bounds")}
    for bounds, values in (("bounds", "ids"), ("text_bounds", "text")):
        # Wrong bounds would give wrong sentences without an error.
        if arrays[bounds][0] != 0 or arrays[bounds][-1] != len(arrays[values]) or (np.diff(arrays[bounds]) < 0).any():
            raise ValueError(f"{side}.{bounds} does not fit {side}.{values}")
    if len(arrays["ids"]) and not 0 <= arrays["ids"].min() <= arrays["ids"].max() < len(words):
        raise ValueError(f"{side}.ids does not fit {side}.words")
    return TokenizedSide(words=words, casing=casing, **arrays)


def _report(name: str, statistics: dict[str, int]) -> None:
    """Log how many pairs were kept and dropped, with reasons."""
    reasons = {"dropped_empty": "empty on one side", "dropped_long": "too long"}
    dropped = [f"{statistics[key]:,} {reason}" for key, reason in reasons.items() if statistics[key]]
    log.info("%s: %s pairs%s", name, f"{statistics['kept']:,}", f" (dropped: {', '.join(dropped)})" if dropped else "")


@attrs.define(eq=False)
class _Builder:
    """Reads, filters and tokenizes a corpus into a folder, a chunk of pairs at a time."""

    origin: PairSource
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    filters: Filters
    statistics: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(_STATISTICS, 0))
    signs: Counter[str] = attrs.field(factory=Counter)

    def write(self, folder: Path) -> None:
        """Write the whole corpus; what :func:`entry` calls when it is not cached."""
        given = [("source", self.source_tokenizer), ("target", self.target_tokenizer)]
        with closing(self._read()) as pairs, open_sides(folder, given, apart=self._is_large()) as sides:
            self._write(pairs, sides)
        self._refuse_nothing()
        (folder / "statistics.json").write_text(json.dumps(self.statistics), encoding="utf-8")
        few = {sign: count for sign, count in self.signs.items() if count < _MANY_SIGNS * self.statistics["read"]}
        many = {sign: count for sign, count in self.signs.items() if sign not in few}
        said = {
            "notes": describe_signs(few),
            "remarks": [*getattr(self.origin, "remarks", ()), *describe_signs(many)],
        }
        (folder / "remarks.json").write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")

    def _is_large(self) -> bool:
        """Return True if the corpus is large enough for one process per language."""
        limit = self.filters.pairs
        # Starting two interpreters takes seconds, which a small corpus does not.
        return (self.origin.size or 0) > _LARGE_BYTES and (limit is None or limit > _LARGE_PAIRS)

    def _write(self, pairs: Iterator[Pair], sides: Sequence[Side]) -> None:
        """Write all pairs; a chunk is tokenized while the next one is read."""
        # One chunk is tokenized (perhaps in other processes) while the next one is read.
        rows, chunk = None, self._next(pairs)
        while chunk:
            for side, texts in zip(sides, zip(*chunk, strict=True), strict=True):
                text = joined(texts)
                self.signs += count_signs(text)
                side.advance(rows, text)
            # At most as many pairs are read as may still be kept, in case all of this chunk are.
            following = self._next(pairs, under_way=len(chunk))
            rows = self._kept(*(side.token_counts() for side in sides))
            # If the limit was assumed too early, more may be read now.
            chunk = following or self._next(pairs)
        for side in sides:
            side.advance(rows, None)

    def _next(self, pairs: Iterator[Pair], *, under_way: int = 0) -> list[Pair]:
        """Return the next chunk: never more pairs than may still be kept."""
        limit = self.filters.pairs
        left = _CHUNK_PAIRS if limit is None else limit - self.statistics["kept"] - under_way
        return list(islice(pairs, min(left, _CHUNK_PAIRS)))

    def _kept(self, source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the rows that pass the filters, by their numbers of tokens."""
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
            raise DataError("no sentence pairs are left", where=self.origin.name, hint=figures)

    def _read(self) -> Generator[Pair, None, None]:
        with progress_bar(self.origin.name, self.origin.size) as bar:
            pairs: Iterable[Pair] = self._counted(self.origin.pairs(bar.update))
            if self.filters.questions:
                pairs = questions_only(pairs, self.filters.source_language, self.filters.target_language)
            yield from pairs

    def _counted(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        for pair in pairs:
            self.statistics["read"] += 1
            yield pair
