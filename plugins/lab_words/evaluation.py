"""Evaluation of word vectors: neighbors, similarity judged by people, and analogies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from lab_text.corpora import find_corpus
from lab_text.files import read_text
from lab_text.indexes import ExactIndex, Index
from lab_text.reading import read_lines

from lab.errors import DataError
from lab_words.vocabulary import WordVocabulary

__all__ = [
    "Question",
    "Score",
    "analogy_score",
    "answers",
    "correlation",
    "nearest",
    "neighbors",
    "plane",
    "read_analogies",
    "read_similarities",
    "similarity_score",
    "solve",
    "unit_rows",
]

Pair = tuple[str, str, float]


class Question(NamedTuple):
    """Analogy question: a is to b as c is to d."""

    a: str
    b: str
    c: str
    d: str


class Score(NamedTuple):
    """Score of an evaluation, and how much of it the vocabulary covers.

    Attributes:
        value: NaN if too few entries are known.
        known: entries whose words are all in the vocabulary.
        total: all entries.
    """

    value: float
    known: int
    total: int


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return the rows (V, D) with length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def nearest(
    vocab: WordVocabulary, vectors: np.ndarray, word: str, count: int = 5, index: Index | None = None
) -> list[tuple[str, float]]:
    """Return the ``count`` words that are nearest to a word by cosine, best first, without the word itself.

    Args:
        vocab: the vocabulary.
        vectors: (V, D); words with a vector of zeros have no neighbors and are none.
        word: in the vocabulary.
        count: number of neighbors.
        index: kind of index; None for exact.

    Raises:
        UnknownNameError: the word is not in the vocabulary.
    """
    vocab.id(word)
    return neighbors(vocab, vectors, [word], count, index)[word]


def neighbors(
    vocab: WordVocabulary, vectors: np.ndarray, words: Sequence[str], count: int = 5, index: Index | None = None
) -> dict[str, list[tuple[str, float]]]:
    """Return the nearest words of each known word, as ``nearest`` does for one, from one index."""
    nonzero = np.flatnonzero(np.linalg.norm(vectors, axis=1))
    known = [word for word in words if word in vocab.ids]
    if len(nonzero) < 2 or not known:
        return {word: [] for word in known}
    index = ExactIndex() if index is None else index
    index.build(vectors[nonzero])
    rows = np.array([vocab.ids[word] for word in known])
    found: dict[str, list[tuple[str, float]]] = {word: [] for word in known}
    asked = [number for number in range(len(known)) if vectors[rows[number]].any()]
    if asked:
        # one more, as a word is its own nearest
        places, near = index.search(vectors[rows[asked]], min(count + 1, len(nonzero)))
        for number, some, cosines in zip(asked, nonzero[places].tolist(), near.tolist(), strict=True):
            # frequent words first among equals, whose order an index does not promise
            others = sorted((-x, i) for i, x in zip(some, cosines, strict=True) if i != rows[number])
            found[known[number]] = [(vocab.words[i], -x) for x, i in others[:count]]
    return found


def answers(
    vocab: WordVocabulary, vectors: np.ndarray, questions: Sequence[Question], count: int = 8
) -> list[tuple[Question, str]]:
    """Return ``count`` of the questions whose words are known, evenly spaced, with the best answer to each."""
    known = [each for each in questions if all(word in vocab.ids for word in each)]
    if not known:
        return []
    chosen = [known[place] for place in np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int)]
    rows = unit_rows(vectors)
    ids = np.array([[vocab.ids[word] for word in each[:3]] for each in chosen])
    scores = _analogy_scores(rows, ids, "add")
    np.put_along_axis(scores, ids, -np.inf, 1)
    return [(each, vocab.words[best]) for each, best in zip(chosen, scores.argmax(1).tolist(), strict=True)]


def plane(vectors: np.ndarray) -> np.ndarray:
    """Return the two principal components (N, 2) of unit vectors (N, D), zero where there are fewer.

    Signs are chosen so that the largest entry of a component is positive, as they are arbitrary otherwise.
    """
    rows = unit_rows(vectors)
    left, sizes, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    places = np.zeros((len(rows), 2))
    found = (left * sizes)[:, :2]
    places[:, : found.shape[1]] = found
    largest = places[np.abs(places).argmax(0), [0, 1]]
    return places * np.where(largest < 0, -1, 1)


def _best(vocab: WordVocabulary, scores: np.ndarray, left_out: Sequence[int], count: int) -> list[tuple[str, float]]:
    scores = scores.copy()
    scores[list(left_out)] = -np.inf
    # stable, so that equal scores have one order on every machine
    order = np.argsort(-scores, kind="stable")[: max(0, min(count, len(scores) - len(set(left_out))))]
    return [(vocab.words[number], float(scores[number])) for number in order.tolist()]


def solve(
    vocab: WordVocabulary,
    vectors: np.ndarray,
    a: str,
    b: str,
    c: str,
    *,
    count: int = 1,
    method: Literal["add", "multiply"] = "add",
) -> list[tuple[str, float]]:
    """Return the words that are to ``c`` as ``b`` is to ``a``, best first; the three words themselves are left out.

    Args:
        vocab: the vocabulary.
        vectors: (V, D).
        a, b, c: words.
        count: number of answers.
        method: ``add`` is 3CosAdd (Mikolov et al. 2013), ``multiply`` 3CosMul (Levy & Goldberg 2014).

    Raises:
        UnknownNameError: a word is not in the vocabulary.
    """
    ids = [vocab.id(word) for word in (a, b, c)]
    scores = _analogy_scores(unit_rows(vectors), np.array([ids]), method)[0]
    return _best(vocab, scores, ids, count)


def _analogy_scores(rows: np.ndarray, ids: np.ndarray, method: str) -> np.ndarray:
    """Return the scores (Q, V) of all words for questions (Q, 3)."""
    a, b, c = (rows[ids[:, column]] for column in range(3))
    if method == "add":
        return (b - a + c) @ rows.T
    # cosines are shifted to [0, 1], and a thousandth keeps the quotient finite, as in the paper
    near_a, near_b, near_c = ((each @ rows.T + 1) / 2 for each in (a, b, c))
    return near_b * near_c / (near_a + 1e-3)


def similarity_score(vocab: WordVocabulary, vectors: np.ndarray, pairs: Sequence[Pair]) -> Score:
    """Return Spearman's correlation of cosines with people's judgments, over the pairs whose words are known."""
    from scipy.stats import spearmanr

    known = [(vocab.ids[a], vocab.ids[b], judged) for a, b, judged in pairs if a in vocab.ids and b in vocab.ids]
    if len(known) < 3:
        return Score(math.nan, len(known), len(pairs))
    left, right, judged = map(np.array, zip(*known, strict=True))
    rows = unit_rows(vectors)
    cosines = (rows[left.astype(int)] * rows[right.astype(int)]).sum(1)
    # a constant has no rank correlation, and scipy warns of it
    if np.ptp(cosines) == 0 or np.ptp(judged) == 0 or not np.isfinite(cosines).all():
        return Score(math.nan, len(known), len(pairs))
    return Score(float(spearmanr(cosines, judged).statistic), len(known), len(pairs))


def analogy_score(
    vocab: WordVocabulary,
    vectors: np.ndarray,
    questions: Sequence[Question],
    method: Literal["add", "multiply"] = "add",
) -> Score:
    """Return the fraction of questions whose best answer is right, over those whose four words are known."""
    ids = [[vocab.ids[word] for word in each] for each in questions if all(word in vocab.ids for word in each)]
    if not ids:
        return Score(math.nan, 0, len(questions))
    table, rows = np.array(ids), unit_rows(vectors)
    right = 0
    for part in np.array_split(table, -(-len(table) // 512)):
        scores = _analogy_scores(rows, part[:, :3], method)
        np.put_along_axis(scores, part[:, :3], -np.inf, 1)
        right += int((scores.argmax(1) == part[:, 3]).sum())
    return Score(right / len(ids), len(ids), len(questions))


def correlation(vocab: WordVocabulary, vectors: np.ndarray, first: str, second: str) -> float:
    """Return Pearson's correlation of the values of two words' vectors."""
    return float(np.corrcoef(vectors[vocab.id(first)], vectors[vocab.id(second)])[0, 1])


def read_similarities(name: str) -> list[Pair]:
    """Return the pairs of ``wordsim353`` or ``simlex999`` in lower case, with people's judgments.

    Raises:
        DataError: the file is missing, or a line has other columns.
    """
    path = find_corpus("word_eval").path(name)
    pairs = []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        try:
            pairs.append((cells[0].lower(), cells[1].lower(), float(cells[2])))
        except (IndexError, ValueError) as error:
            raise DataError(
                f"line {number:,} is not two words and a number, separated by tabs",
                where=str(path),
                hint="fetch the file again",
            ) from error
    return pairs


def read_analogies(section: str | None = None) -> list[Question]:
    """Return the Google analogies in lower case, all or those of one section such as ``family``.

    Raises:
        DataError: the file is missing, or a line has other than four words.
    """
    path = find_corpus("word_eval").path("analogies")
    questions, here = [], ""
    for number, line in enumerate(read_text(path, empty="the file is empty").splitlines(), 1):
        if line.startswith(":"):
            here = line[1:].strip()
            continue
        words = line.lower().split()
        if len(words) != 4:
            raise DataError(f"line {number:,} has {len(words)} words, not 4", where=str(path), hint="fetch it again")
        if section in (None, here):
            questions.append(Question(*words))
    return questions
