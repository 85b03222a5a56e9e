"""Pairs of a word and its context for word2vec (Mikolov et al. 2013, arXiv:1310.4546).

Batches are tensors that are cut from arrays of the whole corpus; no pair is a Python object. Subsampling, windows and
negatives are drawn anew in every epoch, as in word2vec's C program, from the named streams ``subsample``, ``window``
and ``negatives`` of ``seed``.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import attrs
import numpy as np
import torch
from lab_basics.notes import counted, log_notes
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab.training.rng import derive_seed
from lab_words.cooccurrence import cooccurrences
from lab_words.corpora import read_sentences
from lab_words.vocabulary import WordVocabulary

__all__ = [
    "CountedPairs",
    "Draws",
    "PairBatch",
    "Pairs",
    "WordData",
    "alias_table",
    "counted_data",
    "huffman_paths",
    "word_pairs",
]

NO_WORD = -1
_REDRAWS = 50
_CHUNK = 1 << 14


class PairBatch(NamedTuple):
    """A batch of B pairs.

    Attributes:
        words: (B, L) int, the input words: L is 1 for skip-gram, twice the window for CBOW, filled up with -1.
        candidates: (B, C) int, rows of the output table; -1 is padding. Empty (B, 0) for a softmax over all words;
            (B,) for counts.
        target: (B, C) float, 1 for the true word and 0 for negatives, or the bits of a path with -1 at padding;
            (B,) long for a softmax over all words; (B,) float for counts.
    """

    words: Tensor
    candidates: Tensor
    target: Tensor


class Drawn(NamedTuple):
    """The pairs of one epoch.

    Attributes:
        words: (N, L) int32.
        outputs: (N,) int32, the word to predict.
        negatives: (N, K) int32, or None.
    """

    words: Tensor
    outputs: Tensor
    negatives: Tensor | None


@attrs.frozen(eq=False)
class Draws:
    """Subsampling, windows and negatives of one part of a corpus, as a function of the epoch.

    Attributes:
        ids: (M,) known words of the part.
        numbers: (M,) sentence of each.
        counts: (V,) frequencies in the training part.
        part: ``train`` or ``valid``, part of the names of the random streams.
        seed: of the draws.
        model, subsample, window, dynamic_window, negatives, exponent: as in ``word_pairs``; ``negatives`` is 0
            for objectives without.
    """

    ids: np.ndarray
    numbers: np.ndarray
    counts: np.ndarray
    part: str
    seed: int
    model: str
    subsample: float | None
    window: int
    dynamic_window: bool
    negatives: int
    exponent: float

    def pairs(self, epoch: int, size: int | None = None) -> tuple[Drawn, int]:
        """Return the pairs of an epoch, and how many words stayed after subsampling.

        Args:
            epoch: from 0.
            size: number of pairs; a random part of the surplus is left out, and a random part of the pairs fills up.
        """
        keep = self._generator("subsample", epoch)
        ids, numbers = _subsampled(self.ids, self.numbers, self.counts, self.subsample, keep)
        sizes = self._generator("window", epoch)
        rows, contexts = _contexts(ids, numbers, self.window, self.dynamic_window, sizes)
        words, outputs, banned = _arranged(ids, rows, contexts, self.model)
        if size is not None and len(outputs):
            chosen = _resized(len(outputs), size, self._generator("size", epoch))
            words, outputs, banned = words[chosen], outputs[chosen], banned[chosen]
        drawn = None
        if self.negatives:
            generator = self._generator("negatives", epoch)
            drawn = torch.from_numpy(_draw(alias_table(self.counts, self.exponent), self.negatives, banned, generator))
        return Drawn(torch.from_numpy(words), torch.from_numpy(outputs), drawn), len(ids)

    def _generator(self, purpose: str, epoch: int) -> np.random.Generator:
        names = ("words", purpose, self.part, *((f"epoch {epoch}",) if epoch else ()))
        return np.random.default_rng(derive_seed(self.seed, *names))


class Pairs:
    """Dataset of pairs, fetched a batch at a time.

    Args:
        drawn: the pairs.
        paths: (V, D) nodes and bits of every word, or None.
        draws: source of the pairs of later epochs; None keeps those of the first.
    """

    def __init__(self, drawn: Drawn, paths: tuple[Tensor, Tensor] | None = None, draws: Draws | None = None) -> None:
        self.paths, self.draws, self.epoch = paths, draws, 0
        self._keep(drawn)

    def _keep(self, drawn: Drawn) -> None:
        self.words, self.outputs, self.negatives = drawn
        self._candidates = self.outputs[:, None]
        if self.negatives is not None:
            self._candidates = torch.cat([self._candidates, self.negatives], 1)

    def start_epoch(self, epoch: int) -> None:
        """Draw the pairs of an epoch, as many as in the first, so that schedules know the number of batches."""
        if self.draws is not None and epoch != self.epoch:
            self._keep(self.draws.pairs(epoch, len(self))[0])
            self.epoch = epoch

    def __len__(self) -> int:
        return len(self.outputs)

    def __getitem__(self, index: int) -> PairBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        return self.__getitems__([index % len(self)])

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Return pairs as a batch."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64))
        words = self.words.index_select(0, chosen)
        if self.paths is not None:
            nodes, bits = self.paths
            outputs = self.outputs.index_select(0, chosen)
            return PairBatch(words, nodes.index_select(0, outputs), bits.index_select(0, outputs))
        if self.negatives is None:
            return PairBatch(words, words.new_empty(len(words), 0), self.outputs.index_select(0, chosen).long())
        candidates = self._candidates.index_select(0, chosen)
        target = torch.zeros(len(words), 1 + self.negatives.shape[1])
        target[:, 0] = 1
        return PairBatch(words, candidates, target)


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
        """Return pairs as a batch: words (B, 1), contexts and counts (B,)."""
        chosen = torch.from_numpy(np.asarray(indices, np.int64))
        return PairBatch(self.words[chosen].long()[:, None], self.contexts[chosen].long(), self.counts[chosen])


class _Batches:
    """Batches of a split; its pairs are drawn before each epoch.

    Args:
        split: the pairs.
        sampler: batches of indices.
        batches: a loader with workers, or None to fetch them here.
    """

    def __init__(self, split: Pairs, sampler: Any, batches: Any = None) -> None:
        self.split, self.sampler, self.batches = split, sampler, batches

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        # lists of batches, as in validation, have no epoch
        self.split.start_epoch(getattr(self.sampler, "epoch", 0))
        return map(self.split.__getitems__, self.sampler) if self.batches is None else iter(self.batches)


@attrs.define(eq=False)
class WordData(Data):
    """A corpus as pairs of words or as counts of pairs.

    Attributes:
        vocab: the vocabulary.
        vocab_size: its size.
        objective: ``negatives``, ``tree``, ``softmax`` or ``counts``; empty if it is none of these.
        sentence_count: training sentences.
        notes: sentences on what was read.
    """

    vocab: WordVocabulary = attrs.field(factory=lambda: WordVocabulary([], []))
    vocab_size: int = 0
    objective: str = ""
    sentence_count: int = 0
    notes: tuple[str, ...] = ()

    def loader(
        self, split: Any, sampler: Iterable[Sequence[int]], *, workers: int = 0, pin: bool = False, **options: Any
    ) -> Any:
        """Return the batches of ``split`` in the order of the sampler; its epochs draw pairs anew."""
        if isinstance(split, Pairs) and not workers and not pin:
            return _Batches(split, sampler)
        batches = super().loader(split, sampler, workers=workers, pin=pin, **options)
        return _Batches(split, sampler, batches) if isinstance(split, Pairs) else batches


def word_pairs(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    model: Literal["skipgram", "cbow"] = "skipgram",
    objective: Literal["negatives", "tree", "softmax", "counts"] = "negatives",
    min_freq: int = 10,
    subsample: float | None = 1e-4,
    window: int = 5,
    dynamic_window: bool = True,
    negatives: int = 5,
    exponent: float = 0.75,
    redraw: bool = True,
    valid_share: float = 0.1,
    seed: int = 0,
) -> WordData:
    """Pairs of a word and its context.

    Args:
        corpus: ``embedded`` (Python's own help topics, no download), ``ptb``, ``wikitext2``, or another text corpus.
        path: a text file to use instead of a corpus, plain or gzip.
        model: ``skipgram`` predicts each context word from the center, ``cbow`` the center from its context.
        objective: ``negatives`` gives the true word and sampled ones, for the loss ``negative_sampling``; ``tree`` the
            path of the true word in a Huffman tree, for ``path_nll``; ``softmax`` its id, for ``cross_entropy``;
            ``counts`` how often the pair occurs, for ``glove_loss``. ``word_nll`` fits all of them. Of the parameters
            below, counts use ``min_freq``, ``window``, ``valid_share`` and ``seed``, as in ``word_counts``.
        min_freq: rarer words of the training part are left out, and windows close over them.
        subsample: threshold t: an occurrence of a word with relative frequency f stays with probability sqrt(t / f);
            None keeps all. It also applies to the validation part.
        window: context words on either side, at most.
        dynamic_window: draw the size of every window from 1 to ``window``.
        negatives: sampled words for each pair; they are not among the context words of its window. In a corpus with
            hardly any other words, those that still are after 50 draws stay.
        exponent: negatives are drawn in proportion to frequency to this power.
        redraw: draw occurrences, windows and negatives of the training part anew in every epoch; False repeats those of
            the first, as in *Dive into Deep Learning*, section 14.3. An epoch has as many pairs as the first.
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
    if objective == "counts":
        return counted_data(train, vocab, name, window=window, weighted=True, valid_share=valid_share, seed=seed)
    paths = huffman_paths(vocab.counts) if objective == "tree" else None
    splits, sizes = [], []
    for part, sentences in (("train", train), ("valid", valid)):
        draws = Draws(
            *encode(sentences, vocab),
            counts=vocab.counts,
            part=part,
            seed=seed,
            model=model,
            subsample=subsample,
            window=window,
            dynamic_window=dynamic_window,
            negatives=negatives if objective == "negatives" else 0,
            exponent=exponent,
        )
        drawn, words = draws.pairs(0)
        if not len(drawn.outputs):
            raise DataError(
                f"no pair of words in the {part} part: no sentence has two known words after subsampling",
                where=name,
                hint="use a longer text, a lower min_freq or subsample=None",
            )
        again = draws if redraw and part == "train" else None
        splits.append(Pairs(drawn, paths, again))
        pairs = int((drawn.words >= 0).sum())
        sizes.append(
            f"{part}: {counted(len(draws.ids), 'word')}, {words:,} after subsampling, {counted(pairs, 'pair')}"
        )
    notes = [f"{counted(len(train), 'sentence')} to train on, {counted(len(vocab), 'word')} in the vocabulary", *sizes]
    log_notes(name, notes, [])
    return WordData(
        *splits,
        collate=as_it_is,
        fingerprint=_fingerprint(splits, vocab),
        vocab=vocab,
        vocab_size=len(vocab),
        objective=objective,
        sentence_count=len(train),
        notes=tuple(notes),
    )


def counted_data(
    train: Sequence[Sequence[str]],
    vocab: WordVocabulary,
    name: str,
    *,
    window: int,
    weighted: bool,
    valid_share: float,
    seed: int,
) -> WordData:
    """Return the co-occurrence counts of sentences; a random part of the pairs validates.

    Args:
        train: sentences.
        vocab: the vocabulary.
        name: of the text, for messages.
        window, weighted, valid_share, seed: as in ``word_counts``.

    Raises:
        DataError: hardly any pair occurs.
    """
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
        objective="counts",
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


def _resized(count: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Return ``size`` of ``count`` rows: a random part of them, or all and a random part again."""
    if count >= size:
        return np.sort(generator.permutation(count)[:size])
    return np.concatenate([np.arange(count), generator.integers(0, count, size - count)])


def alias_table(counts: np.ndarray, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """Return thresholds (V,) and aliases (V,) to draw words in proportion to ``counts ** exponent``.

    The alias method in Vose's form (1991): a uniform word stays with its threshold as probability, else its alias is
    taken; exact, in constant time.
    """
    weights = counts.astype(np.float64) ** exponent
    threshold, alias = weights * (len(weights) / weights.sum()), np.arange(len(weights), dtype=np.int32)
    small, large = np.flatnonzero(threshold < 1).tolist(), np.flatnonzero(threshold >= 1).tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        threshold[high] -= 1 - threshold[low]
        if threshold[high] < 1:
            small.append(large.pop())
    # what rounding left over has a threshold of 1 up to rounding
    threshold[small + large] = 1
    return threshold, alias


def _draw(
    table: tuple[np.ndarray, np.ndarray], count: int, banned: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return negatives (N, count) that are not among the banned words (N, C) of their row."""
    drawn = np.empty((len(banned), count), np.int32)
    # in chunks that fit into the processor's cache
    for start in range(0, len(banned), _CHUNK):
        part, no = drawn[start : start + _CHUNK], banned[start : start + _CHUNK]
        part[:] = _drawn_words(table, part.size, generator).reshape(part.shape)
        wrong = np.zeros(part.shape, bool)
        for each in no.T:
            wrong |= part == each[:, None]
        row, column = np.nonzero(wrong)
        for _ in range(_REDRAWS):
            if not len(row):
                break
            again = _drawn_words(table, len(row), generator)
            part[row, column] = again
            still = (again[:, None] == no[row]).any(1)
            row, column = row[still], column[still]
    return drawn


def _drawn_words(table: tuple[np.ndarray, np.ndarray], size: int, generator: np.random.Generator) -> np.ndarray:
    threshold, alias = table
    # the fraction of one random number is independent of its whole part
    scaled = generator.random(size) * len(alias)
    words = scaled.astype(np.int32)
    return np.where(scaled - words < threshold[words], words, alias[words])


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
