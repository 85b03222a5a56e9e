"""Co-occurrence counts for GloVe (Pennington et al. 2014)."""

from __future__ import annotations

from lab.errors import ParameterError
from lab_words.corpora import read_sentences
from lab_words.data import WordData, counted_data
from lab_words.vocabulary import WordVocabulary

__all__ = ["word_counts"]


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

    Differs from the paper, which has no validation: words and corpora are those of ``word_pairs``, of which this is the
    objective ``counts``.

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
    return counted_data(train, vocab, name, window=window, weighted=weighted, valid_share=valid_share, seed=seed)
