"""Evaluation of word vectors after every epoch."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from lab_text.indexes import Index

from lab import Callback
from lab.errors import ParameterError
from lab_words.embedded_eval import embedded_analogies, embedded_similarities
from lab_words.evaluation import (
    analogy_score,
    answers,
    neighbors,
    plane,
    read_analogies,
    read_similarities,
    similarity_score,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab import Learner
    from lab_words.evaluation import Question
    from lab_words.vocabulary import WordVocabulary

__all__ = ["NEIGHBORS", "WordScores"]

NEIGHBORS = "neighbors.json"
_SIMILARITIES = ("embedded", "wordsim353", "simlex999")
_ANALOGIES = ("embedded", "google")


class WordScores(Callback):
    """Similarity and analogy scores as metrics of every epoch; neighbors, answers and a map of words for the report.

    Metrics: ``similarity``, Spearman's correlation with people's judgments, and ``analogy``, the fraction of right
    answers (3CosAdd). Entries with an unknown word are left out; the artifact ``neighbors.json`` tells how many are
    known, and holds what the report shows. A score without enough known entries is NaN.

    Args:
        similarity: ``embedded`` (a small list for the embedded text), ``wordsim353`` or ``simlex999``.
        analogy: ``embedded`` (nouns and plurals of the embedded text) or ``google``.
        words: words whose neighbors are kept; None for the most frequent of more than three letters.
        count: neighbors per word.
        index: kind of index that finds neighbors; None for exact.
        map_words: most frequent words of more than three letters on the map.
    """

    observer = True

    def __init__(
        self,
        *,
        similarity: str = "embedded",
        analogy: str = "embedded",
        words: Sequence[str] | None = None,
        count: int = 5,
        index: Index | None = None,
        map_words: int = 60,
    ) -> None:
        for name, value, known in (("similarity", similarity, _SIMILARITIES), ("analogy", analogy, _ANALOGIES)):
            if value not in known:
                raise ParameterError(f"{name}={value!r}", where="callback 'word_scores'", hint=f"one of {known}")
        for name, number in (("count", count), ("map_words", map_words)):
            if number < 1:
                raise ParameterError(f"{name} must be at least 1, got {number}", where="callback 'word_scores'")
        self.similarity, self.analogy, self.words, self.count = similarity, analogy, words, count
        self.index, self.map_words = index, map_words
        self.metrics = {"similarity": True, "analogy": True}

    def check(self, learner: Learner) -> None:
        if not hasattr(learner.model, "vectors") or not hasattr(learner.data, "vocab"):
            raise ParameterError(
                f"{type(learner.model).__name__} on {type(learner.data).__name__} has no word vectors",
                where="callback 'word_scores'",
                hint="dataset='word_pairs', architecture='word_vectors'",
            )
        # reading the lists now reports a missing file before training
        self._lists()

    def _lists(self) -> tuple[Any, Any]:
        pairs = embedded_similarities() if self.similarity == "embedded" else read_similarities(self.similarity)
        return pairs, embedded_analogies() if self.analogy == "embedded" else read_analogies()

    def after_validate(self, learner: Learner) -> None:
        vocab, vectors = learner.data.vocab, learner.model.vectors().float().cpu().numpy()
        pairs, questions = self._lists()
        found = {
            "similarity": similarity_score(vocab, vectors, pairs),
            "analogy": analogy_score(vocab, vectors, questions),
        }
        learner.history[-1].update({name: score.value for name, score in found.items()})
        if learner.folder is None:
            return
        score = {n: None if math.isnan(score.value) else score.value for n, score in found.items()}
        coverage = {name: [score.known, score.total] for name, score in found.items()}
        # a diverged run has no neighbors, and its scores are NaN
        shown = self._shown(vocab, vectors, questions) if np.isfinite(vectors).all() else {"neighbors": {}}
        content = {"coverage": coverage, "scores": score, **shown}
        learner.artefact(NEIGHBORS).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")

    def _shown(self, vocab: WordVocabulary, vectors: np.ndarray, questions: Sequence[Question]) -> dict[str, Any]:
        """Return neighbors, answers and places on the map."""
        frequent = [word for word in vocab.words if len(word) > 3] or vocab.words
        words, mapped = self.words or frequent[:8], frequent[: self.map_words]
        places = plane(vectors[[vocab.ids[word] for word in mapped]]).round(4).tolist()
        return {
            "neighbors": neighbors(vocab, vectors, words, self.count, self.index),
            "unknown": [word for word in words if word not in vocab.ids],
            "answers": [[*question, answer] for question, answer in answers(vocab, vectors, questions)],
            "map": [[word, *place] for word, place in zip(mapped, places, strict=True)],
        }
