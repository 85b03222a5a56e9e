"""Training tokenizers on the pairs that a dataset trains on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lab.errors import DataError
from lab_text.cache import content_key, entry
from lab_text.reading import PairSource
from lab_text.tokenized import Filters, TokenizedPairs, TokenizedSide, tokenized_pairs
from lab_text.tokenizer import Tokenizer, TrainableTokenizer

__all__ = ["learned_pairs"]

Rows = npt.NDArray[np.int64]


def learned_pairs(
    source: PairSource,
    tokenizers: Sequence[Tokenizer],
    filters: Filters,
    training_rows: Callable[[int], Rows],
    *,
    joint: bool,
) -> tuple[TokenizedPairs, tuple[Tokenizer, Tokenizer]]:
    """Train the tokenizers that need it and return the corpus as they split it, with the trained tokenizers.

    The corpus is filtered by words first, so it has the same pairs whatever is learned.

    Args:
        source: the training pairs.
        tokenizers: of source and target.
        filters: of the pairs; limits count the tokens of ``TrainableTokenizer.words``.
        training_rows: from the number of pairs to the rows that are not held out; nothing is learned from the others.
        joint: train one tokenizer on both languages.

    Raises:
        DataError: no pairs are left, a tokenizer cannot be trained, or leaves nothing of a sentence.
    """
    words = tuple(each.words if isinstance(each, TrainableTokenizer) else each for each in tokenizers)
    kept = tokenized_pairs(source, *words, filters)
    rows = training_rows(len(kept))
    first, second = (_learned(kept, rows, tokenizer, side, joint=joint) for side, tokenizer in enumerate(tokenizers))
    languages = Filters(filters.source_language, filters.target_language)
    corpus = tokenized_pairs(_Kept(source.name, kept), first, second, languages)
    if empty := len(kept) - len(corpus):
        raise DataError(
            f"{empty:,} of {len(kept):,} pairs have a side without tokens",
            where=f"{source.name}, split by {first.identity.get('name')} and {second.identity.get('name')}",
            hint="use tokenizers that keep a token of every sentence",
        )
    said = attrs.evolve(corpus, statistics=kept.statistics, notes=kept.notes, remarks=kept.remarks)
    return said, (first, second)


def _learned(kept: TokenizedPairs, rows: Rows, tokenizer: Tokenizer, side: int, *, joint: bool) -> Tokenizer:
    """Return the tokenizer, trained on one side or on both, from the cache or now."""
    if not isinstance(tokenizer, TrainableTokenizer) or tokenizer.is_trained:
        return tokenizer
    sides = (kept.source, kept.target) if joint else ((kept.source, kept.target)[side],)
    key = content_key(
        {
            "pairs": kept.key,
            "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
            "sides": "both" if joint else side,
            "tokenizer": tokenizer.identity,
        }
    )

    def write(folder: Path) -> None:
        tokenizer.train(_texts(sides, rows), folder)

    return tokenizer.trained(entry(key, write, [type(tokenizer)]))


def _texts(sides: Sequence[TokenizedSide], rows: Rows) -> Iterator[str]:
    """Yield the sentences of each pair together, so that the first million has both languages."""
    for row in rows.tolist():
        for side in sides:
            yield side.sentence(row)


@attrs.frozen
class _Kept:
    """The pairs of a corpus that passed its filters, as a source of pairs."""

    name: str
    corpus: TokenizedPairs

    @property
    def size(self) -> int | None:
        """Bytes of the files, for a progress bar."""
        return 0

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""
        return {"kept": self.corpus.key}

    def pairs(self, progress: Callable[[int], Any]) -> Iterator[tuple[str, str]]:
        """Yield (source, target) sentences."""
        for row in range(len(self.corpus)):
            yield self.corpus.source.sentence(row), self.corpus.target.sentence(row)
