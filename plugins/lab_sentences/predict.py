"""Prediction of texts with a finished run, without the training texts; and ``lab classify``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lab_basics.prediction import Predictor, keep_artefact
from lab_text.tokenizer import Tokenizer, TrainableTokenizer
from lab_text.tokenizers import tokenizer_factory

from lab.errors import DataError, LabError
from lab_sentences.data import TextData, kept_data
from lab_sentences.preparation import Preparation
from lab_sentences.reading import read_table

if TYPE_CHECKING:
    import pandas as pd

    from lab import Learner
    from lab.registry.plugins import Catalog
    from lab.study.store import RunRecord

__all__ = ["PREPARATION", "TextPredictor", "answers_frame", "keep_preparation"]

PREPARATION = "text_preparation.json"


def keep_preparation(run: Any, folder: Path) -> None:
    """Write the preprocessing of a run on texts next to its weights."""
    data = run.data
    if isinstance(data, TextData) and data.preparation is not None:
        width = None if data.word_vectors is None else data.word_vectors.shape[1]
        facts = {
            "width": width,
            "target_mean": data.target_mean,
            "target_range": list(data.target_range),
            "fingerprint": data.fingerprint,
        }
        keep_artefact({**data.preparation.to_json(), "facts": facts}, folder, PREPARATION)


class TextPredictor(Predictor):
    """Prediction of CSV, TSV and JSON-lines files with a run on texts.

    The columns are those of training: ``text``, and that of the second texts of pairs. ``prediction`` is the class,
    or the number; with several classes per text, those of a probability of at least 0.5. Each class has a column of
    probabilities, ``p(CLASS)``.
    """

    artefact = PREPARATION

    def load(
        self, content: Mapping[str, Any], record: RunRecord, catalog: Catalog, load: Callable[..., Learner]
    ) -> Learner:
        """Return the learner without its texts, unless its tokenizer was trained on them."""
        tokenizer = _tokenizer(record, catalog)
        if tokenizer is None:
            return load()
        if tokenizer.identity != content["tokenizer"]:
            raise LabError(
                f"the tokenizer of run {record.key} is another one here",
                where=f"then {content['tokenizer']}\nnow  {tokenizer.identity}",
                hint="install the version of then",
            )
        preparation, facts = Preparation.from_json(content, tokenizer), content["facts"]
        low, high = facts["target_range"]
        size = len(preparation.vocabulary)
        vectors = None if facts["width"] is None else torch.zeros(size, facts["width"])
        data = kept_data(
            preparation,
            fingerprint=facts["fingerprint"],
            word_vectors=vectors,
            target_mean=facts["target_mean"],
            target_range=(float(low), float(high)),
        )
        return load(data=data)

    def predict(self, learner: Learner, path: Path, *, only: bool, reading: Mapping[str, Any]) -> pd.DataFrame:
        """Return the rows of a file with their predictions."""
        preparation: Preparation = learner.data.preparation  # type: ignore[attr-defined]
        rows = read_table(
            path,
            encoding=reading.get("encoding") or preparation.reading.get("encoding", "utf-8"),
            separator=reading.get("separator"),
        )
        missing = [name for name in preparation.columns if name not in rows.columns]
        if missing:
            raise DataError(
                f"no column '{missing[0]}'", where=str(path), hint=f"there are: {', '.join(map(str, rows.columns))}"
            )
        texts = list(rows[list(preparation.columns)].itertuples(index=False, name=None))
        answer = answers_frame(learner, texts, where=str(path))
        if only:
            return answer
        return rows.drop(columns=[name for name in answer.columns if name in rows.columns]).join(answer)

    def most_probable(self, learner: Learner, probabilities: Mapping[str, Any]) -> list[str]:
        """Return the class of every text; of texts with several, those of a probability of at least 0.5."""
        labels = learner.data.preparation.labels  # type: ignore[attr-defined]
        if labels.kind == "class":
            return super().most_probable(learner, probabilities)
        names, shares = list(probabilities), zip(*probabilities.values(), strict=True)
        return [
            labels.joiner.join(name for name, share in zip(names, row, strict=True) if share >= 0.5) for row in shares
        ]


def answers_frame(learner: Learner, texts: Sequence[tuple[str, ...]], where: str = "") -> pd.DataFrame:
    """Return the predictions of texts as a frame: ``prediction``, and the probability of each class.

    Raises:
        DataError: there are no texts, or one is empty; the message gives its row.
    """
    import pandas as pd

    if not texts:
        raise DataError("there are no texts to predict", where=where, hint="a header and at least one row")
    for number, example in enumerate(texts, 1):
        if not all(isinstance(text, str) and text.strip() for text in example):
            raise DataError(f"row {number:,} has an empty text", where=where, hint="fill it, or leave the row out")
    found = learner.predict(list(texts))
    labels = learner.data.preparation.labels  # type: ignore[attr-defined]
    if labels.kind == "number":
        return pd.DataFrame({"prediction": found})
    if labels.kind == "class":
        chosen = [max(each, key=each.get) for each in found]
    else:
        chosen = [labels.joiner.join(name for name, share in each.items() if share >= 0.5) for each in found]
    return pd.DataFrame(
        {"prediction": chosen} | {f"p({name})": [each[name] for each in found] for name in labels.names}
    )


def _tokenizer(record: RunRecord, catalog: Catalog) -> Tokenizer | None:
    """Return the tokenizer of a run, built from its record, or None if it has to be trained first."""
    from lab.registry.resolved import Component
    from lab.study.experiment import checked
    from lab.study.former import with_current_names
    from lab.study.record import experiment_from_json

    # names are looked up in registries; a file of the store names no class to import
    experiment = checked(experiment_from_json(with_current_names(record.experiment(), catalog)["experiment"]), catalog)
    for component in experiment.component("dataset").walk():
        if "tokenizer" in component.params and "language" in component.params:
            chosen = component.params["tokenizer"]
            if isinstance(chosen, Component):
                chosen = partial(chosen.factory, **chosen.arguments({}))
            made = tokenizer_factory(chosen)(language=component.params["language"])
            return None if isinstance(made, TrainableTokenizer) else made
    return None
