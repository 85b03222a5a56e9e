"""Co-occurrence counts for GloVe (Pennington et al. 2014)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from lab_basics.notes import counted, log_notes

from lab.errors import DataError, ParameterError
from lab.training.rng import derive_seed
from lab_words.corpora import read_sentences
from lab_words.data import PairBatch, WordData, as_it_is, encode
from lab_words.vocabulary import WordVocabulary

__all__ = ["CountedPairs", "cooccurrences", "word_counts"]


class CountedPairs:
    """Dataset of pairs of words with their counts.

    Args:
        words, contexts: (N,) int32.
        counts: (N,) float32.
    """

    def __init__(self, words: np.ndarray, contexts: np.ndarray, counts: np.ndarray) -> None:
        self.words, self.contexts = torch.from_numpy(words), torch.from_numpy(contexts)
        self.counts = torch.from_numpy(counts)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int) -> PairBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Return pairs as a batch: words, contexts and counts, each (B, 1)."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64))
        return PairBatch(
            self.words[chosen].long()[:, None], self.contexts[chosen].long()[:, None], self.counts[chosen][:, None]
        )


def cooccurrences(
    ids: np.ndarray, numbers: np.ndarray, size: int, window: int, *, weighted: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return words (N,), contexts (N,) and counts (N,) of the pairs that occur, sorted; sparse and symmetric.

    Args:
        ids: (M,) words of the corpus.
        numbers: (M,) sentence of each.
        size: of the vocabulary.
        window: context words on either side.
        weighted: count a pair at distance d as 1 / d, as the paper does.
    """
    keys, values = np.empty(0, np.int64), np.empty(0, np.float64)
    # one distance at a time: memory grows with the distinct pairs, not with all occurrences
    for distance in range(1, window + 1):
        together = numbers[:-distance] == numbers[distance:]
        left, right = ids[:-distance][together].astype(np.int64), ids[distance:][together].astype(np.int64)
        found = np.concatenate([keys, left * size + right, right * size + left])
        weight = 1 / distance if weighted else 1.0
        counts = np.concatenate([values, np.full(2 * len(left), weight)])
        keys, place = np.unique(found, return_inverse=True)
        values = np.bincount(place, counts, len(keys))
    return (keys // size).astype(np.int32), (keys % size).astype(np.int32), values.astype(np.float32)


def word_counts(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    min_freq: int = 10,
    window: int = 5,
    weighted: bool = True,
    valid_share: float = 0.1,
    seed: int = 0,
) -> WordData:
    """Co-occurrence counts of the training sentences; a random part of the pairs validates.

    Differs from the paper, which has no validation: words and corpora are those of ``word_pairs``.

    Args:
        corpus: ``embedded``, ``ptb``, ``wikitext2``, or another text corpus.
        path: a text file to use instead of a corpus, plain or gzip.
        min_freq: rarer words are left out, and windows close over them.
        window: context words on either side.
        weighted: count a pair at distance d as 1 / d.
        valid_share: fraction of the pairs that validates, in (0, 1).
        seed: of the split.

    Raises:
        DataError: a file is missing, no word is frequent enough, or hardly any pair occurs.
        ParameterError: a parameter is out of range.
    """
    if min(min_freq, window) < 1 or not 0 < valid_share < 1:
        raise ParameterError(
            f"min_freq={min_freq}, window={window}, valid_share={valid_share}",
            where="dataset 'word_counts'",
            hint="min_freq and window are at least 1, valid_share lies in (0, 1)",
        )
    train, _, name = read_sentences(corpus, path, valid_share)
    vocab = WordVocabulary.of(train, min_freq, name)
    words, contexts, counts = cooccurrences(*encode(train, vocab), len(vocab), window, weighted=weighted)
    if len(words) < 2:
        raise DataError("fewer than two pairs of words occur", where=name, hint="use a longer text or a lower min_freq")
    order = np.random.default_rng(derive_seed(seed, "words", "split")).permutation(len(words))
    cut = min(max(1, round(len(words) * (1 - valid_share))), len(words) - 1)
    splits = [CountedPairs(words[part], contexts[part], counts[part]) for part in (order[:cut], order[cut:])]
    notes = [
        f"{counted(len(train), 'sentence')} to train on, {counted(len(vocab), 'word')} in the vocabulary",
        f"{counted(len(words), 'pair')} of words occur, {counted(len(words) - cut, 'pair')} validate",
    ]
    log_notes(name, notes, [])
    digest = hashlib.sha256("\0".join(vocab.words).encode())
    for array in (words, contexts, counts, order[:cut]):
        digest.update(array.tobytes())
    return WordData(
        *splits,
        collate=as_it_is,
        fingerprint=digest.hexdigest(),
        vocab=vocab,
        vocab_size=len(vocab),
        sentence_count=len(train),
        notes=tuple(notes),
    )
