"""Predicting rows with a finished run, whose preparation was kept with it; the data it was trained on is not needed."""

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
    """Write how the rows of a run were prepared beside its weights; a run on other data keeps nothing."""
    from lab.study.files import to_standard, write_sealed

    if isinstance(run.data, TableData):
        path = folder / "artefacts" / PREPARATION
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, to_standard(run.data.to_json()))


def load_learner(key: str, runs: Path, *, catalog: Catalog, **options: Any) -> Learner:
    """The learner of a finished run on a table, ready to predict frames; it has no rows of its own.

    Args:
        key: the run's key, or its first few digits.
        runs: the folder of runs.
        catalog: the plugins.
        options: ``file``, ``stored_source``, ``anyway`` and ``tell`` of ``lab.load``.

    Raises:
        LabError: the run was not trained on a table, or what it kept cannot be read.
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
            f"run {key} keeps no preparation of a table", hint="`lab predict` is for runs on tables (lab_tabular)"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StoreError("the preparation of this run cannot be read", where=f"{path}: {describe(error)}") from error
    return load(key, runs, catalog=catalog, data=data, **options)
