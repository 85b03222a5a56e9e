"""Detection of formats: the parameters of ``table`` that a file asks for, found and shown rather than guessed silently.

What is found are the parameters that could have been given (``separator=';', decimal=','``), and a note lists them. A
file that two parameters would read differently, and nothing in it decides between them, is an error as it is without
detection.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.errors import DataError
from lab_tabular.columns import as_strings, plain_numbers, without
from lab_tabular.formats import (
    SOFT_MISSING,
    STYLES,
    date_format_of,
    day_first,
    looks_like_dates,
    written_number,
)
from lab_tabular.reading import BOMS, SEPARATORS, open_file

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["detect_formats", "detect_reading", "shown"]

LINES = 200
"""Lines of a file whose columns are counted."""


def detect_reading(path: Path) -> dict[str, str]:
    """Return the separator and the encoding of a CSV file; nothing for other kinds of files.

    UTF-8 with or without a mark is told from 8-bit encodings by its bytes; these are taken for cp1252, which reads
    Latin-1 and what Windows writes. The separator is the sign that cuts all lines into the same number of columns, the
    largest such number.
    """
    if path.suffix.lower() in (".parquet", ".pq", ".xlsx", ".xlsm") or not path.is_file():
        return {}
    encoding = _encoding(path)
    with open_file(path) as raw, io.TextIOWrapper(raw, encoding, errors="replace", newline="") as file:
        lines = [line for _, line in zip(range(LINES), file, strict=False)]
    counts = {sign: _columns(lines, sign) for sign in SEPARATORS}
    best = max(counts, key=lambda sign: counts[sign])
    separator = best if counts[best] > 1 else ","
    return {"separator": "tab" if separator == "\t" else separator, "encoding": encoding}


def _encoding(path: Path) -> str:
    with open_file(path) as file:
        head = file.read(4)
        for mark, name in BOMS.items():
            if head.startswith(mark):
                return name
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(head)
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _columns(lines: Sequence[str], sign: str) -> int:
    """Return the number of columns into which a separator cuts every line; 0 if lines differ."""
    rows = [row for row in csv.reader(lines, delimiter=sign, skipinitialspace=True) if row]
    # the last of the lines that were read may end within a quoted value
    widths = {len(row) for row in (rows[:-1] if len(lines) == LINES else rows)}
    return widths.pop() if len(widths) == 1 else 0


def detect_formats(
    columns: Mapping[str, pd.Series], target: str, options: SimpleNamespace, separator: str = ""
) -> dict[str, Any]:
    """Return the parameters of ``table`` with which the columns of the training rows are numbers and dates.

    Args:
        columns: the training rows.
        target: the column to predict.
        options: parameters of ``table``; columns that have a role, and formats that were given, stay as they are.
        separator: of the file's columns; empty where there is no file.

    Raises:
        DataError: points may be decimal or thousands signs in all columns, and the separator is not a comma, so that
            the file may come from where commas are decimal signs.
    """
    named = {*(options.categorical or ()), *(options.continuous or ()), *options.dates, *options.drop, *options.numeric}
    texts = {name: _texts(column, options) for name, column in columns.items() if name not in named}
    texts = {name: found for name, found in texts.items() if found}
    dates = [name for name, found in texts.items() if name != target and looks_like_dates(found)]
    numbers = {name: found for name, found in texts.items() if name not in dates and _like_numbers(found)}
    style = (options.decimal, options.thousands or "")
    given = style != (".", "")
    found: dict[str, Any] = {}
    if not given and any(np.isnan(plain_numbers(each)).any() for each in numbers.values()):
        chosen = _style(numbers)
        if chosen is not None:
            style = chosen
            needed = any(sign in text for each in numbers.values() for text in each for sign in chosen if sign != ".")
            found |= {"decimal": chosen[0], "thousands": chosen[1]} if needed else {}
    elif not given and separator not in ("", ","):
        _refuse_undecided(numbers)
    numeric = [name for name, each in numbers.items() if _has_units(each, style)]
    if numeric:
        found["numeric"] = [*options.numeric, *numeric]
    if dates:
        found["dates"] = [*options.dates, *dates]
        if options.dayfirst is None and options.date_format is None:
            order = _order(columns, dates)
            found |= {} if order is None else {"dayfirst": order}
    return found


def _texts(column: pd.Series, options: SimpleNamespace) -> list[str]:
    """Return the different values of a column of strings, without those that may mean a missing value."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return []
    try:
        _, texts = as_strings(without(column, tuple(options.missing)))
    except DataError:
        return []
    return [text for text in texts if text.lower() not in SOFT_MISSING]


def _like_numbers(texts: Sequence[str]) -> bool:
    return any(all(written_number(text, *style) for text in texts) for style in STYLES)


def _style(numbers: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """Return the decimal and thousands signs that fit all columns of numbers; None if none does, or several differ."""
    # integers without signs fit every style and decide nothing
    fitting = [s for s in STYLES if all(written_number(text, *s) for texts in numbers.values() for text in texts)]
    if not fitting:
        return None
    readings = {
        style: [found[0] for texts in numbers.values() for text in texts if (found := written_number(text, *style))]
        for style in fitting
    }
    return fitting[0] if len({tuple(values) for values in readings.values()}) == 1 else None


_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+")


def _refuse_undecided(numbers: Mapping[str, Sequence[str]]) -> None:
    """Raise if every number with a point has three digits behind it, as with thousands signs, in all columns."""
    pointed = [(name, text.strip()) for name, texts in numbers.items() for text in texts if "." in text]
    if not pointed or not all(_THOUSANDS.fullmatch(text) for _, text in pointed):
        return
    name, text = pointed[0]
    whole = text.replace(".", "")
    raise DataError(
        f"column '{name}': {text!r} may be {text} or {whole}, and nothing in the file decides",
        hint=f"formats='declared' reads {text} (give separator and encoding as well); "
        f"decimal=',', thousands='.' reads {whole}",
    )


def _has_units(texts: Sequence[str], style: tuple[str, str]) -> bool:
    """Return whether numbers have currency signs, units, percent signs or parentheses."""
    signs = [text.strip()[0] == "(" or bool(found[1]) for text in texts if (found := written_number(text, *style))]
    return len(signs) == len(texts) and any(signs)


def _order(columns: Mapping[str, pd.Series], dates: Sequence[str]) -> bool | None:
    """Return whether days come first, as columns say in which that is certain; None if no column needs to know it."""
    certain, unsure = set(), False
    for name in dates:
        try:
            certain.add(day_first(date_format_of(columns[name], name).date))
        except DataError:
            unsure = True
    certain.discard(None)
    return certain.pop() if unsure and len(certain) == 1 else None


def shown(found: Mapping[str, Any]) -> str:
    """Return what was detected as one note; empty if nothing differs from the defaults.

    >>> shown({"separator": ";", "decimal": ",", "dates": ["day"]})
    "detected: separator=';', decimal=',', dates=['day']"
    """
    parts = [f"{name}={value!r}" for name, value in found.items()]
    return f"detected: {', '.join(parts)}" if parts else ""
