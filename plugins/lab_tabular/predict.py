"""Prediction with a finished run from its stored preprocessing, without the training data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, StoreError, describe
from lab_tabular.data import TableData, kept_data

if TYPE_CHECKING:
    from lab import Learner
    from lab.registry.plugins import Catalog

__all__ = ["PREPARATION", "keep_preparation", "load_learner"]

PREPARATION = "preparation.json"


def keep_preparation(run: Any, folder: Path) -> None:
    """Write the preprocessing of a run on a table next to its weights."""
    from lab.study.files import to_standard, write_sealed

    if isinstance(run.data, TableData):
        path = folder / "artefacts" / PREPARATION
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, to_standard(run.data.to_json()))


def load_learner(key: str, runs: Path, *, catalog: Catalog, **options: Any) -> Learner:
    """Load the learner of a finished run on a table, without its rows, to predict frames.

    Args:
        key: the run's key, or its first digits.
        runs: the folder of runs.
        catalog: the plugins.
        options: ``file``, ``stored_source``, ``anyway`` and ``tell`` of ``lab.load``.

    Raises:
        LabError: the run was not trained on a table, or its preprocessing cannot be read.
    """
    from lab.study import files
    from lab.study.rebuild import finished_run, load
    from lab.study.store import Store

    path = finished_run(Store(runs), key).path(f"artefacts/{PREPARATION}")
    try:
        content = files.from_plain(files.read_json(path, files.ANY_OBJECT))
        data = kept_data(content)
    except FileNotFoundError as error:
        raise LabError(
            f"run {key} has no stored preprocessing", hint="`lab predict` needs a run on a table (lab_tabular)"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StoreError("the preprocessing of this run cannot be read", where=f"{path}: {describe(error)}") from error
    # The stored facts stand in for the data, so that the training file is not read.
    return load(key, runs, catalog=catalog, data=data, **options)
