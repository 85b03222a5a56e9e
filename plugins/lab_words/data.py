"""Pairs of a word and its context for word2vec (Mikolov et al. 2013, arXiv:1310.4546).

Batches are tensors that are cut from arrays of the whole corpus; no pair is a Python object. Subsampling, windows and
negatives are drawn once, from the named streams ``subsample``, ``window`` and ``negatives`` of ``seed``, as in
*Dive into Deep Learning*, section 14.3. word2vec's C program draws them anew in every epoch.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import attrs
import numpy as np
import torch
from lab_basics.notes import counted, log_notes
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab.training.rng import derive_seed
from lab_words.corpora import read_sentences
from lab_words.vocabulary import WordVocabulary

__all__ = ["PairBatch", "Pairs", "WordData", "huffman_paths", "word_pairs"]

NO_WORD = -1
_REDRAWS = 50
_CHUNK = 1 << 18


class PairBatch(NamedTuple):
    """A batch of B pairs.

    Attributes:
        words: (B, L) long, the input words: L is 1 for skip-gram, twice the window for CBOW, filled up with -1.
        candidates: (B, C) long, rows of the output table; -1 is padding. Empty (B, 0) for a softmax over all words.
        target: (B, C) float, 1 for the true word and 0 for negatives, or the bits of a path with -1 at padding;
            (B,) long for a softmax over all words.
    """

    words: Tensor
    candidates: Tensor
    target: Tensor


class Pairs:
    """Dataset of pairs, fetched a batch at a time.

    Args:
        words: (N, L) int32.
        outputs: (N,) int32, the word to predict.
        negatives: (N, K) int32, or None.
        paths: (V, D) nodes and bits of every word, or None.
    """

    def __init__(
        self, words: Tensor, outputs: Tensor, negatives: Tensor | None, paths: tuple[Tensor, Tensor] | None
    ) -> None:
        self.words, self.outputs, self.negatives, self.paths = words, outputs, negatives, paths

    def __len__(self) -> int:
        return len(self.outputs)

    def __getitem__(self, index: int) -> PairBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Return pairs as a batch."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64))
        words, outputs = self.words[chosen].long(), self.outputs[chosen].long()
        if self.paths is not None:
            nodes, bits = self.paths
            return PairBatch(words, nodes[outputs], bits[outputs])
        if self.negatives is None:
            return PairBatch(words, words.new_empty(len(words), 0), outputs)
        candidates = torch.cat([outputs[:, None], self.negatives[chosen].long()], 1)
        target = torch.zeros(candidates.shape)
        target[:, 0] = 1
        return PairBatch(words, candidates, target)


@attrs.define(eq=False)
class WordData(Data):
    """A corpus as pairs of words or as counts of pairs.

    Attributes:
        vocab: the vocabulary.
        vocab_size: its size.
        sentence_count: training sentences.
        notes: sentences on what was read.
    """

    vocab: WordVocabulary = attrs.field(factory=lambda: WordVocabulary([], []))
    vocab_size: int = 0
    sentence_count: int = 0
    notes: tuple[str, ...] = ()


def word_pairs(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    model: Literal["skipgram", "cbow"] = "skipgram",
    objective: Literal["negatives", "tree", "softmax"] = "negatives",
    min_freq: int = 10,
    subsample: float | None = 1e-4,
    window: int = 5,
    dynamic_window: bool = True,
    negatives: int = 5,
    exponent: float = 0.75,
    valid_share: float = 0.1,
    seed: int = 0,
) -> WordData:
    """Pairs of a word and its context.

    Args:
        corpus: ``embedded`` (Python's own help topics, no download), ``ptb``, ``wikitext2``, or another text corpus.
        path: a text file to use instead of a corpus, plain or gzip.
        model: ``skipgram`` predicts each context word from the center, ``cbow`` the center from its context.
        objective: ``negatives`` gives the true word and sampled ones, for the loss ``negative_sampling``; ``tree`` the
            path of the true word in a Huffman tree, for ``path_nll``; ``softmax`` its id, for ``cross_entropy``.
        min_freq: rarer words of the training part are left out, and windows close over them.
        subsample: threshold t: an occurrence of a word with relative frequency f stays with probability sqrt(t / f);
            None keeps all. It also applies to the validation part.
        window: context words on either side, at most.
        dynamic_window: draw the size of every window from 1 to ``window``.
        negatives: sampled words for each pair; they are not among the context words of its window. In a corpus with
            hardly any other words, those that still are after 50 draws stay.
        exponent: negatives are drawn in proportion to frequency to this power.
        valid_share: fraction of the sentences, from the end, of a text without a validation part; in (0, 1).
        seed: of the draws.

    Raises:
        DataError: a file is missing, no word is frequent enough, or no sentence has two known words.
        ParameterError: a parameter is out of range.
    """
    where = "dataset 'word_pairs'"
    _check(where, min_freq=min_freq, window=window, negatives=negatives)
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=where)
    if subsample is not None and subsample <= 0:
        raise ParameterError(f"subsample must be above 0, got {subsample}", where=where, hint="None keeps all words")
    train, valid, name = read_sentences(corpus, path, valid_share)
    vocab = WordVocabulary.of(train, min_freq, name)
    table = negative_weights(vocab.counts, exponent)
    paths = huffman_paths(vocab.counts) if objective == "tree" else None
    splits, sizes = [], []
    for part, sentences in (("train", train), ("valid", valid)):
        ids, numbers = encode(sentences, vocab)
        before = len(ids)
        ids, numbers = _subsampled(ids, numbers, vocab.counts, subsample, _generator(seed, "subsample", part))
        rows, contexts = _contexts(ids, numbers, window, dynamic_window, _generator(seed, "window", part))
        if not len(rows):
            raise DataError(
                f"no pair of words in the {part} part: no sentence has two known words after subsampling",
                where=name,
                hint="use a longer text, a lower min_freq or subsample=None",
            )
        words, outputs, banned = _arranged(ids, rows, contexts, model)
        drawn = None
        if objective == "negatives":
            drawn = torch.from_numpy(_draw(table, negatives, outputs, banned, _generator(seed, "negatives", part)))
        splits.append(Pairs(torch.from_numpy(words), torch.from_numpy(outputs), drawn, paths))
        pairs = int((contexts >= 0).sum())
        sizes.append(f"{part}: {counted(before, 'word')}, {len(ids):,} after subsampling, {counted(pairs, 'pair')}")
    notes = [f"{counted(len(train), 'sentence')} to train on, {counted(len(vocab), 'word')} in the vocabulary", *sizes]
    log_notes(name, notes, [])
    return WordData(
        *splits,
        collate=as_it_is,
        fingerprint=_fingerprint(splits, vocab),
        vocab=vocab,
        vocab_size=len(vocab),
        sentence_count=len(train),
        notes=tuple(notes),
    )


def _check(where: str, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ParameterError(f"{name} must be at least 1, got {value}", where=where)


def as_it_is(batch: Any) -> Any:
    """Return the batch that ``__getitems__`` made."""
    return batch


def _generator(seed: int, *purpose: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, "words", *purpose))


def encode(sentences: Sequence[Sequence[str]], vocab: WordVocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids (N,) of the known words and the number (N,) of the sentence of each."""
    ids = np.fromiter((vocab.ids.get(word, NO_WORD) for words in sentences for word in words), np.int32)
    numbers = np.repeat(np.arange(len(sentences), dtype=np.int32), [len(words) for words in sentences])
    known = ids >= 0
    return ids[known], numbers[known]


def _subsampled(
    ids: np.ndarray, numbers: np.ndarray, counts: np.ndarray, threshold: float | None, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if threshold is None:
        return ids, numbers
    keep = np.sqrt(threshold * counts.sum() / counts)
    stays = generator.random(len(ids)) < keep[ids]
    return ids[stays], numbers[stays]


def _contexts(
    ids: np.ndarray, numbers: np.ndarray, window: int, dynamic: bool, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions (M,) of words with a context, and its words (M, 2 · window), -1 where there is none."""
    count = len(ids)
    sizes = generator.integers(1, window + 1, count) if dynamic else np.full(count, window)
    offsets = np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])
    contexts = np.full((count, 2 * window), NO_WORD, np.int32)
    for column, offset in enumerate(offsets.tolist()):
        here = np.arange(max(0, -offset), min(count, count - offset))
        there = here + offset
        inside = (numbers[here] == numbers[there]) & (abs(offset) <= sizes[here])
        contexts[here[inside], column] = ids[there[inside]]
    rows = np.flatnonzero((contexts >= 0).any(1))
    return rows, contexts[rows]


def _arranged(
    ids: np.ndarray, rows: np.ndarray, contexts: np.ndarray, model: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return input words (N, L), words to predict (N,), and the words (N, C) that no negative may be."""
    if model == "cbow":
        return contexts, ids[rows], ids[rows][:, None]
    owner, column = np.nonzero(contexts >= 0)
    return ids[rows[owner]][:, None], contexts[owner, column], contexts[owner]


def negative_weights(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Return the cumulative probabilities (V,) of negatives, in proportion to ``counts ** exponent``."""
    weights = counts.astype(np.float64) ** exponent
    return np.cumsum(weights / weights.sum())


def _draw(
    table: np.ndarray, count: int, outputs: np.ndarray, banned: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return negatives (N, count) that are not among the banned words of their row."""
    drawn = np.empty((len(outputs), count), np.int32)
    last = len(table) - 1
    # in chunks: comparing all negatives with all banned words at once would need N · count · C bytes
    for start in range(0, len(outputs), _CHUNK):
        part, no = drawn[start : start + _CHUNK], banned[start : start + _CHUNK]
        part[:] = np.minimum(np.searchsorted(table, generator.random(part.shape)), last)
        row, column = np.nonzero((part[:, :, None] == no[:, None, :]).any(2))
        for _ in range(_REDRAWS):
            if not len(row):
                break
            again = np.minimum(np.searchsorted(table, generator.random(len(row))), last)
            part[row, column] = again
            wrong = (again[:, None] == no[row]).any(1)
            row, column = row[wrong], column[wrong]
    return drawn


def huffman_paths(counts: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the inner nodes (V, D) long on the way to each word of a Huffman tree and the branches (V, D) float.

    A tree of V words has V - 1 inner nodes. D is the longest path; -1 fills up shorter ones.
    """
    size = len(counts)
    heap = [(int(count), number) for number, count in enumerate(counts)]
    heapq.heapify(heap)
    parent: dict[int, tuple[int, int]] = {}
    for node in range(size - 1):
        (first, left), (second, right) = heapq.heappop(heap), heapq.heappop(heap)
        parent[left], parent[right] = (node, 0), (node, 1)
        # inner nodes follow the words, so that equal frequencies merge words first and paths stay short
        heapq.heappush(heap, (first + second, size + node))
    routes: list[list[tuple[int, int]]] = []
    for word in range(size):
        route, here = [], word
        while here in parent:
            node, bit = parent[here]
            route.append((node, bit))
            here = size + node
        routes.append(route[::-1])
    depth = max(map(len, routes))
    nodes, bits = torch.full((size, depth), NO_WORD), torch.full((size, depth), -1.0)
    for word, route in enumerate(routes):
        nodes[word, : len(route)] = torch.tensor([node for node, _ in route])
        bits[word, : len(route)] = torch.tensor([float(bit) for _, bit in route])
    return nodes, bits


def _fingerprint(splits: Sequence[Pairs], vocab: WordVocabulary) -> str:
    digest = hashlib.sha256("\0".join(vocab.words).encode())
    digest.update(vocab.counts.tobytes())
    for split in splits:
        for tensor in (split.words, split.outputs, split.negatives, *(split.paths or ())):
            digest.update(b"-" if tensor is None else tensor.numpy().tobytes())
    return digest.hexdigest()
