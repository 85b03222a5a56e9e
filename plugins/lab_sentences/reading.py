"""Reading of texts and labels: tables (CSV, TSV, JSON lines), folders of files, and pandas frames."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab_text.files import read_text

from lab.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "Labelled", "read_file", "read_folders", "read_frame", "read_rows", "read_table"]

# Names of subfolders that hold a whole split, as in the distribution of IMDb.
_SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "val": "valid", "test": "test"}


class Columns(NamedTuple):
    """Names of the columns that are read.

    Attributes:
        text, label: always read.
        pair: of a second text, or None.
        group: of groups that a split keeps together, or None.
        split: names the split of each row, or None.
    """

    text: str = "text"
    label: str = "label"
    pair: str | None = None
    group: str | None = None
    split: str | None = None

    @property
    def named(self) -> list[str]:
        """Names of the columns that are read, in order."""
        return [name for name in self if name is not None]


class Labelled(NamedTuple):
    """Examples in one order.

    Attributes:
        texts: one text, or two, of each.
        labels: of each, as text.
        groups: group of each, or empty.
    """

    texts: list[tuple[str, ...]]
    labels: list[str]
    groups: list[str] = []  # noqa: RUF012 (never changed)


def read_file(path: Path, columns: Columns, encoding: str = "utf-8", joiner: str = ",") -> dict[str, Labelled]:
    """Return the splits of a table or a folder; without a column of splits, all is ``train``.

    Args:
        path: a CSV, TSV or JSON-lines file, plain or gzip (the name tells which), or a folder.
        columns: names of columns, or keys; folders have none.
        encoding: of the files.
        joiner: between the labels of a list in JSON lines.

    Raises:
        DataError: something is missing or damaged; the message gives the line.
    """
    if path.is_dir():
        return read_folders(path, encoding)
    return _divided(read_rows(path, columns.named, encoding, joiner), columns, str(path))


def read_rows(path: Path, names: Sequence[str], encoding: str = "utf-8", joiner: str = ",") -> list[tuple[str, ...]]:
    """Return the cells of the named columns, row by row, of a CSV, TSV or JSON-lines file.

    Raises:
        DataError: the file is missing or damaged, or lacks a column; the message gives the line.
    """
    suffix, content = _content(path, encoding)
    if suffix in _JSON:
        return [tuple(_cell(row[name], joiner) for name in names) for row in _json_rows(path, content, names)]
    header, rows = _table(path, content, _separator(suffix), names)
    places = [_place(str(path), header, name) for name in names]
    return [tuple(cells[place] for place in places) for cells in rows]


def read_table(path: Path, *, encoding: str = "utf-8", separator: str | None = None) -> pd.DataFrame:
    """Return all columns of a CSV, TSV or JSON-lines file as text.

    Args:
        path: the file.
        encoding: of the file.
        separator: a character, or ``tab``; None for that of the file's name.

    Raises:
        DataError: the file is missing or damaged; the message gives the line.
    """
    import pandas as pd

    suffix, content = _content(path, encoding)
    if suffix in _JSON:
        return pd.DataFrame(_json_rows(path, content, ()), dtype=object)
    between = _separator(suffix) if separator is None else "\t" if separator in ("tab", "\\t") else separator
    if len(between) != 1:
        raise DataError(f"separator {separator!r} is not one character", where=str(path), hint="--separator tab")
    header, rows = _table(path, content, between)
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise DataError(f"duplicate column '{twice}'", where=str(path), hint="rename one of them")
    return pd.DataFrame(rows, columns=header, dtype=object)


_JSON = (".jsonl", ".ndjson")


def _content(path: Path, encoding: str) -> tuple[str, str]:
    """Return the suffix of a table, that of gzip left out, and its content."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in (".csv", ".tsv", *_JSON):
        raise DataError(
            f"unknown format '{suffix or path.name}'", where=str(path), hint="use .csv, .tsv, .jsonl, or a folder"
        )
    return suffix, read_text(path, encoding=encoding, empty="the file is empty")


def _separator(suffix: str) -> str:
    return "\t" if suffix == ".tsv" else ","


def read_frame(frame: pd.DataFrame, columns: Columns, name: str = "the frame") -> dict[str, Labelled]:
    """Return the splits of a pandas frame.

    Raises:
        DataError: it lacks a column, or has it twice.
    """
    header = [str(column) for column in frame.columns]
    places = [_place(name, header, column) for column in columns.named]
    cells = [frame.iloc[:, place] for place in places]
    # A missing value is an empty cell, as in a file.
    texts = [column.astype(object).where(column.notna(), "").map(_plain).tolist() for column in cells]
    return _divided(list(zip(*texts, strict=True)), columns, name)


def read_folders(path: Path, encoding: str = "utf-8") -> dict[str, Labelled]:
    """Return the texts of ``path/CLASS/*.txt``, or of ``path/train/CLASS/*.txt`` and other splits.

    Raises:
        DataError: there is no such file, or one cannot be read.
    """
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    splits = {_SPLITS[folder.name.lower()]: folder for folder in folders if folder.name.lower() in _SPLITS}
    if "train" not in splits:
        splits = {"train": path}
    found = {}
    for split, folder in splits.items():
        files = [file for file in sorted(folder.glob("*/*.txt")) if file.is_file()]
        # An empty file is a text without a word, which the dataset leaves out and reports.
        texts = [(read_text(file, encoding=encoding) if os.path.getsize(file) else "",) for file in files]
        found[split] = Labelled(texts, [file.parent.name for file in files])
        if not files:
            raise DataError(
                "no text files in subfolders", where=str(folder), hint="one folder per class: good/1.txt, bad/2.txt"
            )
    return found


def _divided(rows: Sequence[tuple[str, ...]], columns: Columns, name: str) -> dict[str, Labelled]:
    """Return rows of ``columns.named`` by split."""
    place = {column: number for number, column in enumerate(columns.named)}
    texts = [place[column] for column in (columns.text, columns.pair) if column is not None]
    found: dict[str, Labelled] = {}
    for number, row in enumerate(rows, 1):
        split = "train"
        if columns.split is not None:
            split = _SPLITS.get(row[place[columns.split]].strip().lower(), "")
            if not split:
                raise DataError(
                    f"row {number:,}: '{row[place[columns.split]]}' is not a split",
                    where=f"column '{columns.split}' of {name}",
                    hint="train, valid or test",
                )
        part = found.setdefault(split, Labelled([], [], []))
        part.texts.append(tuple(row[each] for each in texts))
        part.labels.append(row[place[columns.label]].strip())
        if columns.group is not None:
            part.groups.append(row[place[columns.group]])
    if "train" not in found:
        raise DataError("no training rows", where=name, hint="a header and at least two rows")
    return found


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _table(path: Path, content: str, separator: str, needed: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Return the header, which has the needed columns, and the rows of a table."""
    # files of tabs rarely quote, and a text may begin with a quotation mark
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    # a review may be longer than csv's limit of 131,072 characters, which is the same for the whole process
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(content) + 1))
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, quoting=quoting, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        # before the rows, which a wrong header makes look wrong
        for name in needed:
            _place(str(path), header, name)
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"line {reader.line_num:,} has {len(cells)} columns, and the header {len(header)}",
                    where=str(path),
                    hint="quote texts that contain the separator",
                )
            rows.append(cells)
    except csv.Error as error:
        raise DataError(
            f"line {reader.line_num:,}: {error}", where=str(path), hint="check its quotation marks"
        ) from error
    finally:
        csv.field_size_limit(limit)
    return header, rows


def _place(where: str, header: Sequence[str], column: str) -> int:
    if header.count(column) > 1:
        raise DataError(f"duplicate column '{column}'", where=where, hint="rename one of them")
    if column not in header:
        raise _missing(where, f"no column '{column}'", column, header)
    return header.index(column)


def _missing(where: str, what: str, column: str, names: Sequence[str]) -> DataError:
    close = difflib.get_close_matches(column, names, 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return DataError(what, where=where, hint=f"{hint}there are: {', '.join(names)}")


def _json_rows(path: Path, content: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number:,} is not JSON: {error}", where=str(path)) from error
        if not isinstance(value, dict):
            raise DataError(f"line {number:,} is not an object", where=str(path), hint='{"text": ..., "label": ...}')
        for key in keys:
            if value.get(key) is None:
                raise _missing(str(path), f"line {number:,} has no '{key}'", key, [str(name) for name in value])
        rows.append(value)
    return rows


def _cell(value: Any, joiner: str) -> str:
    return joiner.join(map(str, value)) if isinstance(value, list) else str(value)
