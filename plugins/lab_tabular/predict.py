"""Predicting rows with a finished run, whose preparation was kept with it; the data it was trained on is not needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, StoreError
from lab_tabular.data import TableData, kept_data

if TYPE_CHECKING:
    from lab import Learner
    from lab.registry.plugins import Catalog

__all__ = ["PREPARATION", "keep_preparation", "load_learner"]

PREPARATION = "preparation.json"


def keep_preparation(run: Any, folder: Path) -> None:
    """Write how the rows of a run were prepared beside its weights; a run on other data keeps nothing."""
    from lab.training.checkpoint import write_json

    if isinstance(run.data, TableData):
        path = folder / "artefacts" / PREPARATION
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, run.data.to_json())


def load_learner(key: str, runs: Path, *, catalog: Catalog, file: Path | None = None) -> Learner:
    """The learner of a finished run on a table, ready to predict frames; it has no rows of its own.

    Raises:
        LabError: the run was not trained on a table, or what it kept cannot be read.
    """
    from lab.study.rebuild import finished_run, load
    from lab.study.store import Store

    path = finished_run(Store(runs), key).folder / "artefacts" / PREPARATION
    if not path.is_file():
        raise LabError(
            f"run {key} keeps no preparation of a table", hint="`lab predict` is for runs on tables (lab_tabular)"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError("the preparation of this run cannot be read", where=f"{path}: {error}") from error
    return load(key, runs, catalog=catalog, file=file, data=kept_data(content))
