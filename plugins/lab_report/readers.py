"""Rows of files: CSV, TSV, JSON lines, JSON and Parquet, and the change from wide tables to one row per run."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from lab.errors import DataError
from lab.study.outside import Rows, number_of

__all__ = ["FILES", "fit_names", "flat", "long_of", "read_file", "where"]

MAX_NAMES_SHOWN = 5


def read_file(path: Path) -> Rows:
    """Return the rows of a file; its suffix tells the format.

    Raises:
        DataError: it is not there, is empty or cannot be read as what its suffix says.
    """
    if not os.path.isfile(path):
        raise DataError(f"there is no file '{path}'", hint="a study is named without a suffix: lab compare STUDY")
    try:
        return attrs.evolve(FILES[path.suffix.casefold()](path), source=str(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not text in UTF-8", where=f"{path}: byte {error.start}") from None


def _read_separated(path: Path) -> Rows:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise DataError("the file is empty", where=str(path))
    header = next(line for line in text.splitlines() if line.strip())
    delimiter = "\t" if path.suffix.casefold() == ".tsv" else max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    rows, places, ragged = [], [], []
    while True:
        # The reader counts the lines that it has read, so a quoted value may hold line ends.
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            # the rows behind a quote that is not closed would be a part of its value
            what = "begins a quote that is not closed" if "end of data" in str(error) else f"cannot be read: {error}"
            raise DataError(f"line {line} {what}", where=str(path)) from None
        if not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = _checked_columns([cell.strip() for cell in cells], path)
            continue
        if len(cells) != len(columns):
            ragged.append(f"line {line} has {len(cells)} values, and the header names {len(columns)} columns")
            continue
        # pandas leaves the name of an index empty; further columns without a name are those of a spreadsheet.
        named = [
            (name, cell.strip()) for i, (name, cell) in enumerate(zip(columns, cells, strict=True)) if name or not i
        ]
        rows.append(_unpacked(dict(named)))
        places.append(f"line {line}")
    if ragged:
        more = [f"… and {len(ragged) - MAX_NAMES_SHOWN} more lines"] if len(ragged) > MAX_NAMES_SHOWN else []
        raise DataError(ragged[0], where=str(path), hint="\n".join([*ragged[1:MAX_NAMES_SHOWN], *more]))
    if not rows:
        raise DataError("the file has a header and no rows", where=str(path))
    return Rows(path.stem, rows, places)


def _checked_columns(columns: Sequence[str], path: Path) -> list[str]:
    named = [name for name in columns if name]
    if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
        raise DataError(f"two columns are called '{twice[0]}'", where=str(path))
    return list(columns)


def _unpacked(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with the dictionaries of ``summary`` and ``config`` as columns.

    The script that W&B's documentation gives for an export writes them as Python's text of a dictionary.
    """
    found: dict[str, Any] = {}
    for name, text in row.items():
        if name in ("summary", "config") and text.startswith("{"):
            # NaN and infinities are no literals of Python's.
            plain = re.sub(r"(?<=[:\[,\s])(-?)(nan|inf)(?=[,}\]\s])", r"'\1\2'", text)
            try:
                found |= flat(ast.literal_eval(plain), name)
                continue
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                pass
        found[name] = text
    return found


def _read_lines(path: Path) -> Rows:
    rows, places = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if line.strip():
            rows.append(_object_of(_parse(line, f"line {number}", path), f"line {number}", path))
            places.append(f"line {number}")
    if not rows:
        raise DataError("the file is empty", where=str(path))
    return Rows(path.stem, rows, places)


def _read_json(path: Path) -> Rows:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise DataError("the file is empty", where=str(path))
    found = _parse(text, "the file", path)
    if not isinstance(found, list):
        raise DataError("the file holds no list of rows", where=str(path), hint="frame.to_json(orient='records')")
    places = [f"row {number}" for number in range(1, len(found) + 1)]
    return Rows(path.stem, [_object_of(row, place, path) for row, place in zip(found, places, strict=True)], places)


def _parse(text: str, place: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # a line that is parsed alone is always line 1 of its own text
        where = f"column {error.colno}" if place.startswith("line ") else f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{place} is not JSON: {error.msg} ({where})", where=str(path)) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is not JSON: {error}", where=str(path)) from None


def _object_of(value: Any, place: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place} is not an object", where=str(path), hint="one object per run: {...}")
    return flat(value)


def _read_parquet(path: Path) -> Rows:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise DataError("Parquet needs pyarrow", where=str(path), hint="pip install 'lab-ablation[parquet]'") from None
    try:
        rows = [flat(row) for row in parquet.read_table(path).to_pylist()]
    except (ArrowInvalid, OSError) as error:
        raise DataError(f"the file is not Parquet: {error}", where=str(path)) from None
    # The index of pandas without a name, as CSV has it.
    rows = [{name.replace("__index_level_0__", ""): value for name, value in row.items()} for row in rows]
    return Rows(path.stem, rows, [f"row {number}" for number in range(1, len(rows) + 1)])


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested dictionaries as columns: ``{"config": {"lr": 0.1}}`` gives ``config.lr``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{before}.{name}" if before else str(name)
        found |= flat(value, path) if isinstance(value, Mapping) else {path: value}
    return found


FILES = {
    ".csv": _read_separated,
    ".tsv": _read_separated,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}
"""Suffix → its reader."""


# --- shapes -----------------------------------------------------------------------------------------------------------


def where(rows: Rows, conditions: Sequence[str]) -> Rows:
    """Return the rows in which every ``COLUMN=VALUE`` holds.

    Raises:
        DataError: a condition cannot be read, or no row is left.
        UnknownNameError: there is no such column.
    """
    kept = list(range(len(rows.rows)))
    for condition in conditions:
        name, equals, text = (part.strip() for part in condition.partition("="))
        if not equals:
            raise DataError(f"cannot read --where {condition}", hint="write it as COLUMN=VALUE")
        column = rows.column(name)
        values = [rows.rows[i].get(column) for i in kept]
        kept = [i for i, value in zip(kept, values, strict=True) if _is_alike(value, text)]
        if not kept:
            known = list(dict.fromkeys(str(value) for value in values))[:MAX_NAMES_SHOWN]
            raise DataError(f"no row has {condition}", where=rows.where, hint=f"{column}: {', '.join(known)} …")
    return attrs.evolve(rows, rows=[rows.rows[i] for i in kept], places=[rows.places[i] for i in kept])


def _is_alike(value: Any, text: str) -> bool:
    if str(value) == text:
        return True
    try:
        return number_of(value) == number_of(text) is not None
    except ValueError:
        return False


def fit_names(rows: Rows, pattern: str, column: str) -> Rows:
    """Return rows with the columns that a pattern like ``{arm}-seed{seed}`` finds in the names of runs.

    Raises:
        DataError: the pattern has no field, or a name does not fit it.
    """
    fields = re.findall(r"\{([^\W\d]\w*)\}", pattern)
    if not fields or len(set(fields)) < len(fields):
        raise DataError(f"the pattern '{pattern}' must name each column once", hint="for example {arm}-seed{seed}")
    parts = re.split(r"\{([^\W\d]\w*)\}", pattern)
    expression = "".join(
        re.escape(part) if i % 2 == 0 else f"(?P<{part}>{r'-?[0-9]+' if part == 'seed' else '.+?'})"
        for i, part in enumerate(parts)
    )
    found = [re.fullmatch(expression, str(row.get(column, ""))) for row in rows.rows]
    bad = [f"{rows.rows[i].get(column, '')} ({rows.places[i]})" for i, match in enumerate(found) if match is None]
    if bad:
        more = f" and {len(bad) - MAX_NAMES_SHOWN} more" if len(bad) > MAX_NAMES_SHOWN else ""
        raise DataError(
            f"names of runs do not fit '{pattern}': {', '.join(bad[:MAX_NAMES_SHOWN])}{more}", where=rows.where
        )
    return attrs.evolve(
        rows, rows=[{**row, **match.groupdict()} for row, match in zip(rows.rows, found, strict=True) if match]
    )


def long_of(rows: Rows, wide: Literal["arms", "seeds"], *, arm: str, seed: str, metric: str) -> Rows:
    """Return one row per run from a table with one column per arm, or with one column per seed.

    Args:
        rows: one per seed, or one per arm.
        wide: what the columns are.
        arm: with columns of seeds, the column that names the arm; the one without a name or the first if there is none.
        seed: with columns of arms, the column of the seeds; the one without a name if there is none, else rows are
            numbered from 0.
        metric: the name of what the table holds.

    Raises:
        DataError: the name of a column holds no seed, or columns hold text.
    """
    usual, asked = ("seed", seed) if wide == "arms" else ("arm", arm)
    key: str | None = None
    if asked != usual or usual in rows.columns:
        key = rows.column(asked)
    elif "" in rows.columns:
        key = ""
    elif wide == "seeds":
        key = rows.columns[0]
    others = [name for name in rows.columns if name != key]
    seeds = dict(zip(others, map(_seed_in, others), strict=True)) if wide == "seeds" else {}
    if strange := [name for name, found in seeds.items() if found is None]:
        raise DataError(
            f"no seed stands in the names of these columns: {', '.join(strange[:MAX_NAMES_SHOWN])}",
            where=rows.where,
            hint="columns of seeds are called 0, 1 … or seed_0, seed_1 …; --wide arms is for one column per arm",
        )
    found, places = [], []
    for number, (row, place) in enumerate(zip(rows.rows, rows.places, strict=True)):
        for name in others:
            run = (
                {arm: name, seed: number if key is None else row[key]}
                if wide == "arms"
                else {arm: row[key], seed: seeds[name]}
            )
            found.append({**run, metric: row.get(name)})
            places.append(f"{place}, column '{name}'")
    return attrs.evolve(rows, rows=found, places=places)


def _seed_in(name: str) -> int | None:
    found = re.fullmatch(r"(?:.*[^0-9-])?(-?[0-9]+)", name.strip())
    return int(found[1]) if found else None
