"""Prediction of tables with a finished run from its stored preprocessing, without the training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_basics.prediction import Predictor, keep_artefact

from lab_tabular.data import TableData, kept_data

if TYPE_CHECKING:
    import pandas as pd

    from lab import Learner
    from lab.registry.plugins import Catalog
    from lab.study.store import RunRecord

__all__ = ["PREPARATION", "TablePredictor", "keep_preparation"]

PREPARATION = "preparation.json"


def keep_preparation(run: Any, folder: Path) -> None:
    """Write the preprocessing of a run on a table next to its weights."""
    if isinstance(run.data, TableData):
        keep_artefact(run.data.to_json(), folder, PREPARATION)


class TablePredictor(Predictor):
    """Prediction of CSV, Parquet and Excel files with a run on a table."""

    artefact = PREPARATION

    def load(
        self, content: Mapping[str, Any], record: RunRecord, catalog: Catalog, load: Callable[..., Learner]
    ) -> Learner:
        """Return the learner without its rows: the stored facts stand in for the data."""
        return load(data=kept_data(content))

    def predict(self, learner: Learner, path: Path, *, only: bool, reading: Mapping[str, Any]) -> pd.DataFrame:
        """Return the rows of a file with their predictions; it is read as in training unless ``reading`` differs."""
        from lab_tabular.reading import read_table

        data: Any = learner.data
        rows = read_table(path, **{**data.preparation.reading, **reading})
        answer: pd.DataFrame = learner.predict(rows)
        if only:
            return answer
        return rows.drop(columns=[name for name in answer.columns if name in rows.columns]).join(answer)
