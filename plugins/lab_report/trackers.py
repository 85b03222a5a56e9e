"""Rows of trackers: MLflow's store, folders of TensorBoard events, and Optuna's storages.

A metric of a run is its last value. Nothing is written: a storage is opened only if it is there.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from lab.errors import DataError, describe
from lab.study.outside import Rows
from lab_report.readers import FILES, fit_names, read_file

__all__ = ["SUFFIXES", "read"]

NAME_COLUMNS = ("name", "run_name", "run name", "tags.mlflow.runname")
USUAL_NAME = re.compile(r"(?P<arm>.+?)[/\\_.=-]+(?:seed|run|rep|version|s)?[_=-]?(?P<seed>[0-9]+)", re.IGNORECASE)
DATABASES = (".db", ".sqlite", ".sqlite3")
JOURNALS = (".log", ".journal")
SUFFIXES = (*FILES, *DATABASES, *JOURNALS)
MLFLOW_STATUS = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}


def read(source: str, pattern: str = "") -> Rows:
    """Return the rows of a file, a folder or a storage.

    Args:
        source: a path, or the address of an Optuna storage.
        pattern: how names of runs hold arm and seed: ``{arm}-seed{seed}``.

    Raises:
        DataError: it is not there, or nothing can read it.
    """
    rows = attrs.evolve(_read(source), source=source)
    rows = attrs.evolve(rows, rows=[_with_final(row) for row in rows.rows])
    if not rows.rows:
        raise DataError("there are no runs", where=source)
    if not pattern:
        return rows
    # The whole name counts here: MLflow exports tags.mlflow.source.name too, which is that of the script.
    column = next((name for name in rows.columns if name.casefold() in NAME_COLUMNS), None)
    if column is None:
        raise DataError("these runs have no names", where=source, hint=f"columns: {', '.join(rows.columns)}")
    return fit_names(rows, pattern, column)


def _read(source: str) -> Rows:
    path, suffix = Path(source), Path(source).suffix.casefold()
    if "://" in source:
        return _optuna(source, source.rpartition("/")[2])
    if os.path.isdir(path):
        return _folder(path)
    if not os.path.isfile(path) or suffix in FILES:
        return read_file(path)
    if suffix in JOURNALS:
        return _optuna(path, path.stem)
    if suffix in DATABASES:
        return _mlflow_database(path) if "latest_metrics" in _tables(path) else _optuna(path, path.stem)
    raise DataError(f"nothing reads files that end in '{suffix}'", where=source, hint=f"known: {', '.join(SUFFIXES)}")


def _with_final(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in which the final value of a metric takes the place of the last one that was logged.

    ``lab`` sends both: the last epoch's, and that of the selected epoch as ``final/accuracy``.
    """
    final = {name.replace("final/", "", 1): value for name, value in row.items() if "final/" in name}
    return {name: final.get(name, value) for name, value in row.items()}


def _folder(path: Path) -> Rows:
    for folder in (path / "mlruns", path):
        if any(folder.glob("*/*/meta.yaml")) or (folder / "meta.yaml").is_file():
            return _mlflow_files(folder)
    runs = sorted({file.parent for file in path.rglob("*tfevents*") if file.is_file()})
    if runs:
        return _tensorboard(path, runs)
    raise DataError(
        "this folder holds neither TensorBoard events nor runs of MLflow",
        where=str(path),
        hint="a study is named without its folder: lab compare STUDY --runs DIR",
    )


# --- TensorBoard ------------------------------------------------------------------------------------------------------


def _tensorboard(root: Path, folders: Sequence[Path]) -> Rows:
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util
    except ImportError as error:
        raise DataError(f"events need TensorBoard: {describe(error)}", hint="pip install tensorboard") from None
    rows = []
    for folder in folders:
        # One event is kept per tag, and the reservoir always keeps the last.
        events = EventAccumulator(str(folder), size_guidance={"scalars": 1, "tensors": 1})
        events.Reload()
        name = folder.relative_to(root).as_posix()
        row: dict[str, Any] = {"name": root.name if name == "." else name}
        for tag in events.Tags()["scalars"]:
            row[tag] = events.Scalars(tag)[-1].value
        for tag in events.Tags()["tensors"]:
            value = tensor_util.make_ndarray(events.Tensors(tag)[-1].tensor_proto)
            if value.size == 1 and value.dtype.kind in "fiu":
                row[tag] = value.item()
        rows.append(row)
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        raise DataError("the events hold no scalars", where=str(root))
    matches = [USUAL_NAME.fullmatch(row["name"]) for row in rows]
    if all(matches):
        rows = [{**row, **match.groupdict()} for row, match in zip(rows, matches, strict=True) if match]
    return Rows(root.name, rows, [f"run {row['name']}" for row in rows])


# --- MLflow -----------------------------------------------------------------------------------------------------------


def _mlflow_files(root: Path) -> Rows:
    """Return the runs of MLflow's file store: ``EXPERIMENT/RUN/{meta.yaml, metrics/, params/, tags/}``."""
    experiments = (
        [root] if (root / "meta.yaml").is_file() else [each.parent for each in sorted(root.glob("*/meta.yaml"))]
    )
    rows, places = [], []
    for experiment in experiments:
        name = _yaml(experiment / "meta.yaml").get("name", experiment.name)
        for meta in sorted(experiment.glob("*/meta.yaml")):
            facts = _yaml(meta)
            if facts.get("lifecycle_stage") == "deleted" or "status" not in facts:
                continue
            folder, status = meta.parent, facts["status"]
            named = facts.get("run_name") or dict(_texts(folder / "tags")).get("mlflow.runName", "")
            rows.append(
                {
                    "experiment": name,
                    "run_id": folder.name,
                    "name": named,
                    "status": MLFLOW_STATUS.get(status, status),
                    **{f"params.{key}": text for key, text in _texts(folder / "params")},
                    **{f"metrics.{key}": _last_value(text) for key, text in _texts(folder / "metrics")},
                    **{f"tags.{key}": text for key, text in _texts(folder / "tags") if not key.startswith("mlflow.")},
                }
            )
            places.append(f"run {folder.name[:8]}" + (f" ({named})" if named else ""))
    return Rows(root.resolve().name, rows, places)


def _yaml(path: Path) -> dict[str, str]:
    """Return the plain entries of a ``meta.yaml``; MLflow writes nothing else that is needed."""
    pairs = [line.partition(":") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(" ")]
    return {key.strip(): value.strip().strip("'\"") for key, colon, value in pairs if colon}


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Return the files below a folder by their names; names with a slash lie in folders."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8").strip()


def _last_value(text: str) -> str:
    """Return the value of the highest step of ``timestamp value step`` lines, and of the last one written for it."""
    lines = [line.split() for line in text.splitlines() if len(line.split()) > 1]
    if not lines:
        return ""
    return max(enumerate(lines), key=lambda item: (int(item[1][2]) if len(item[1]) > 2 else 0, item[0]))[1][1]


def _mlflow_database(path: Path) -> Rows:
    with closing(_open(path)) as database:
        runs = database.execute(
            "SELECT r.run_uuid, r.name, r.status, e.name FROM runs r LEFT JOIN experiments e USING (experiment_id) "
            "WHERE r.lifecycle_stage = 'active' ORDER BY r.start_time, r.run_uuid"
        ).fetchall()
        rows = {
            run: {"experiment": experiment, "run_id": run, "name": name, "status": status}
            for run, name, status, experiment in runs
        }
        for query, kind in (
            ("SELECT run_uuid, key, value FROM params", "params"),
            ("SELECT run_uuid, key, value FROM tags WHERE key NOT LIKE 'mlflow.%'", "tags"),
            ("SELECT run_uuid, key, CASE WHEN is_nan THEN 'nan' ELSE value END FROM latest_metrics", "metrics"),
        ):
            for run, key, value in database.execute(query):
                if run in rows:
                    rows[run][f"{kind}.{key}"] = value
    places = [f"run {run[:8]}" + (f" ({row['name']})" if row["name"] else "") for run, row in rows.items()]
    return Rows(path.stem, list(rows.values()), places)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _tables(path: Path) -> set[str]:
    try:
        with closing(_open(path)) as database:
            return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise DataError(f"the file is no database of SQLite: {error}", where=str(path)) from None


# --- Optuna -----------------------------------------------------------------------------------------------------------


def _optuna(source: Path | str, name: str) -> Rows:
    try:
        import optuna
    except ImportError as error:
        raise DataError(f"the trials of a study need Optuna: {describe(error)}", hint="pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        studies = optuna.study.get_all_study_summaries(storage := _storage(source, optuna))
        loaded = [optuna.load_study(study_name=each.study_name, storage=storage) for each in studies]
    except DataError:
        raise
    except Exception as error:
        # Storages raise errors of SQLAlchemy, of JSON and of their own.
        raise DataError(f"this is no storage of Optuna: {describe(error)}", where=str(source)) from None
    rows, places, directions = [], [], set()
    for study in loaded:
        directions.add(tuple(study.directions))
        for trial in study.get_trials(deepcopy=False):
            values = trial.values or []
            names = ["value"] if len(study.directions) == 1 else [f"values_{i}" for i in range(len(values))]
            rows.append(
                {
                    "name": study.study_name,
                    "number": trial.number,
                    "state": trial.state.name,
                    **dict(zip(names, values, strict=False)),
                    **{f"params.{key}": value for key, value in trial.params.items()},
                    **{f"user_attrs.{key}": value for key, value in trial.user_attrs.items()},
                }
            )
            places.append(f"trial {trial.number}" + (f" of {study.study_name}" if len(loaded) > 1 else ""))
    known = {}
    if len(directions) == 1 and len(only := directions.pop()) == 1:
        known = {"value": only[0] == optuna.study.StudyDirection.MAXIMIZE}
    return Rows(name, rows, places, known)


def _storage(source: Path | str, optuna: Any) -> Any:
    if isinstance(source, Path) and source.suffix.casefold() in JOURNALS:
        backend = optuna.storages.journal.JournalFileBackend(str(source))
        return optuna.storages.JournalStorage(backend)
    address = f"sqlite:///{source.resolve()}" if isinstance(source, Path) else source
    file = address.removeprefix("sqlite:///")
    # SQLite would make the file, and Optuna the tables, of a database that is only to be read.
    if address.startswith("sqlite:///") and not os.path.isfile(file):
        raise DataError(f"there is no file '{file}'", where=address)
    if address.startswith("redis"):
        return address
    return optuna.storages.RDBStorage(address, skip_table_creation=True)
