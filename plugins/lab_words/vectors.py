"""Vectors of a finished run as a source for embedding layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from lab_text.vector_files import variants
from lab_text.vectors import Found, Sentences, WordVectors

from lab.errors import DataError, ParameterError

if TYPE_CHECKING:
    from lab.study.store import Store

__all__ = ["RunVectors"]


@attrs.define(kw_only=True)
class RunVectors(WordVectors):
    """Vectors that a finished run of this plugin learned.

    A word is looked up as it is, in lower case, and capitalized.

    Args:
        run: key of the run, or its first digits.
        runs: the folder of runs.
    """

    run: str = ""
    runs: str = "runs"

    @classmethod
    def check_runs(cls, params: Mapping[str, Any], store: Store) -> None:
        """Raise if the run is not there or not finished; a plan calls it before it reads data."""
        from lab.study.needed import check_run

        check_run(params, store)

    @property
    def origin(self) -> str:
        """The run."""
        return f"run {self.run} in {self.runs}"

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """Return the width, and the vectors of the words that have one.

        Raises:
            DataError: the run has no word vectors.
        """
        from lab.study.rebuild import load

        if not self.run:
            raise ParameterError("no run was named", where="vectors 'run_vectors'", hint="run='KEY'; see lab runs")
        learner = load(self.run, self.runs)
        if not hasattr(learner.model, "vectors") or not hasattr(learner.data, "vocab"):
            raise DataError("the run has no word vectors", where=self.origin, hint="name a run of word_vectors")
        vectors = learner.model.vectors().float().cpu().numpy()
        ids = learner.data.vocab.ids
        found: Found = {}
        for word in words:
            row = next((ids[spelling] for spelling in variants(word) if spelling in ids), None)
            if row is not None:
                found[word] = vectors[row]
        return vectors.shape[1], found
