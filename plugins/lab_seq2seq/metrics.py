"""Metrics of translation: perplexity over real tokens, BLEU and chrF against the original reference text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from lab_basics.metrics import Perplexity
from lab_text.tokenizers import book_words
from torch import Tensor

from lab.errors import DataError, ParameterError

__all__ = ["Bleu", "BookBleu", "ChrF", "TokenPerplexity"]


class TokenPerplexity(Perplexity):
    """Perplexity per real target token, e to their mean cross-entropy.

    Validation decodes without forcing, so this is the perplexity of the target given the model's own previous words. It
    is higher than the usual one, which is conditioned on the true previous words.

    Args:
        pad_id: id of padding, which does not count.
    """

    def __init__(self, pad_id: int) -> None:
        super().__init__(ignore=pad_id)


class _CorpusScore:
    """Base class of sacrebleu's corpus scores: detokenized predictions against the original reference text."""

    higher_is_better = True
    undefined = ""

    def __init__(self, data: Any) -> None:
        if not hasattr(data, "decode"):
            raise DataError(
                f"{type(data).__name__} cannot turn ids into text", hint="the data needs a method decode(ids)"
            )
        self.data = data
        self.reset()

    def scorer(self) -> Any:
        """Return the sacrebleu metric."""
        raise NotImplementedError

    def reset(self) -> None:
        """Reset for a new epoch."""
        self._predicted: list[Tensor] = []
        self._references: list[str] = []

    def update(self, output: Tensor, target: Tensor, batch: Any) -> None:
        """Add a batch of logits (T, B, V); only the best token of each position is kept."""
        # Ids and not logits: a validation split of logits would not fit into memory.
        self._predicted.append(output.argmax(-1))
        self._references.extend(batch.references)

    @property
    def metric_state(self) -> dict[str, Any]:
        """Values so far, to be merged by another process."""
        return {"predicted": self._predicted, "references": self._references}

    def merge_state(self, incoming: Mapping[str, Any]) -> None:
        """Add the values of another process."""
        self._predicted.extend(incoming["predicted"])
        self._references.extend(incoming["references"])

    def compute(self) -> float:
        """Return the score of the whole split, from 0 to 100; NaN without any sentence."""
        # NaN with a reason: an empty split must not look like a score of 0.
        self.undefined = "" if self._references else "no sentence"
        if self.undefined:
            return math.nan
        return self.score(self._predictions(), self._references)

    def _predictions(self) -> list[str]:
        # Decoded at the end, in one pass; the corpus score needs all sentences anyway.
        return [text for ids in self._predicted for text in self.data.decode(ids.cpu())]

    def example_statistics(self) -> np.ndarray:
        """Return the counts of every sentence so far, (sentences, counts); their sum gives the score of a corpus."""
        return self.statistics(self._predictions(), self._references)

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Return the counts of every sentence, (sentences, counts), with one reference each."""
        # sacrebleu has no public name for what its own resampling tests use; the pin excludes its next major version.
        found = self.scorer()._extract_corpus_statistics(list(predictions), [list(references)])
        return np.asarray(found, dtype=np.float64)

    @staticmethod
    def score_of_statistics(sums: np.ndarray) -> np.ndarray:
        """Return the scores of corpora whose counts are summed, (..., counts) -> (...)."""
        raise NotImplementedError

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        """Return the score of predictions, with one reference each."""
        scorer = self.scorer()
        return float(scorer.corpus_score(list(predictions), [list(references)]).score)

    @property
    def signature(self) -> str:
        """sacrebleu's signature, to be reported with every score."""
        scorer = self.scorer()
        # sacrebleu knows its signature only after a score was computed.
        scorer.corpus_score(["a"], [["a"]])
        return str(scorer.get_signature())


class Bleu(_CorpusScore):
    """BLEU, from 0 to 100, by sacrebleu (Papineni et al. 2002; Post 2018, arXiv:1804.08771).

    Args:
        data: turns ids into text.
        tokenize: sacrebleu's tokenizer, part of the signature.
        lowercase: ignore case.
    """

    def __init__(
        self, data: Any, *, tokenize: Literal["13a", "intl", "char", "zh", "none"] = "13a", lowercase: bool = False
    ) -> None:
        super().__init__(data)
        self.tokenize, self.lowercase = tokenize, lowercase

    def scorer(self) -> Any:
        # sacrebleu is imported only by runs that use the metric.
        from sacrebleu.metrics import BLEU

        return BLEU(tokenize=self.tokenize, lowercase=self.lowercase)

    @staticmethod
    def score_of_statistics(sums: np.ndarray) -> np.ndarray:
        """Return BLEU from ``(length, reference length, 4 matches, 4 n-grams)``, smoothed as sacrebleu's ``exp``.

        Shapes:
            sums (..., 10) -> (...)
        """
        length, reference = sums[..., 0], sums[..., 1]
        matches, total = sums[..., 2:6], sums[..., 6:10]
        # The k-th order without a match counts as 1 / 2^k matches; an order without n-grams makes the score 0.
        halvings = np.cumsum((matches == 0) & (total > 0), axis=-1)
        counted = np.where(matches > 0, matches, 0.5**halvings)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.log(counted / total).mean(axis=-1)
            brevity = np.minimum(0.0, 1 - reference / length)
            score = 100 * np.exp(precision + brevity)
        return np.where((total > 0).all(axis=-1) & (matches > 0).any(axis=-1), score, 0.0)


class BookBleu(_CorpusScore):
    """BLEU of *Dive into Deep Learning*, section 9.7, from 0 to 1, the mean of the sentences.

    ``exp(min(0, 1 - reference length / length)) · Π p_n^(1 / 2^n)``, with the precision ``p_n`` of n-grams up to ``k``,
    over lower-case words with ``, . ! ?`` apart. Differs from the book: a translation of fewer than ``k`` words has
    only the n-grams that it can have, and one without words scores 0.

    Args:
        data: turns ids into text.
        k: maximum n of n-grams.
    """

    def __init__(self, data: Any, *, k: int = 2) -> None:
        if k < 1:
            raise ParameterError(f"k must be at least 1, got {k}", where="metric 'bleu_book'")
        super().__init__(data)
        self.k = k

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        return float(self.statistics(predictions, references)[:, 0].mean())

    def statistics(self, predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Return the score of every sentence, and 1: (sentences, 2)."""
        scores = [
            book_bleu(book_words(prediction), book_words(reference), self.k)
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        return np.stack([np.asarray(scores, dtype=np.float64), np.ones(len(scores))], axis=-1)

    @staticmethod
    def score_of_statistics(sums: np.ndarray) -> np.ndarray:
        """Return the mean over sentences.

        Shapes:
            sums (..., 2) -> (...)
        """
        mean: np.ndarray = sums[..., 0] / sums[..., 1]
        return mean

    @property
    def signature(self) -> str:
        return f"bleu_book|k:{self.k}|case:lc|tok:book"


def book_bleu(predicted: Sequence[str], reference: Sequence[str], k: int = 2) -> float:
    """Return the book's BLEU of one sentence.

    >>> round(book_bleu("A B B C D".split(), "A B C D E F".split()), 4)
    0.6815
    """
    if not predicted:
        return 0.0
    score = math.exp(min(0.0, 1 - len(reference) / len(predicted)))
    for n in range(1, min(k, len(predicted)) + 1):
        found, wanted = (
            Counter(zip(*(words[at:] for at in range(n)), strict=False)) for words in (predicted, reference)
        )
        score *= ((found & wanted).total() / (len(predicted) - n + 1)) ** 0.5**n
    return score


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


class ChrF(_CorpusScore):
    """chrF, character n-gram F-score from 0 to 100, by sacrebleu (Popović 2015; chrF++ with ``word_order=2``).

    Args:
        data: turns ids into text.
        word_order: maximum n of word n-grams, in addition to those of characters.
        lowercase: ignore case.
    """

    def __init__(self, data: Any, *, word_order: int = 0, lowercase: bool = False) -> None:
        super().__init__(data)
        self.word_order, self.lowercase = word_order, lowercase

    def scorer(self) -> Any:
        from sacrebleu.metrics import CHRF

        return CHRF(word_order=self.word_order, lowercase=self.lowercase)

    @staticmethod
    def score_of_statistics(sums: np.ndarray) -> np.ndarray:
        """Return chrF, with recall weighted by β = 2, from ``(n-grams, n-grams of the reference, matches)`` per order.

        Shapes:
            sums (..., 3 · orders) -> (...)
        """
        predicted, reference, matches = (sums[..., i::3] for i in range(3))
        # Orders longer than all texts of one side have no precision or no recall, and do not count.
        counts = (predicted > 0) & (reference > 0)
        orders = np.maximum(counts.sum(axis=-1), 1)
        precision, recall = (
            np.where(counts, matches / np.maximum(side, 1), 0.0).sum(axis=-1) / orders
            for side in (predicted, reference)
        )
        score: np.ndarray = 500 * precision * recall / np.where(precision + recall > 0, 4 * precision + recall, 1.0)
        return score
