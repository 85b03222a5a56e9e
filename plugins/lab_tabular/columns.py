"""Columns of a frame: lookup by name, values as strings or numbers, and errors that name column and row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MAX_FLOAT32",
    "MISSING_STRINGS",
    "Columns",
    "as_strings",
    "plain_numbers",
    "refuse_nested",
    "refuse_twins",
    "require_columns",
    "row_label",
    "with_columns",
    "with_string_names",
    "without",
]

MISSING_STRINGS = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "null", "NULL", "Null", "?")
"""Strings that mean a missing value. Not ``None`` and ``-``, which are categories in some tables."""

Columns = Any
"""A pandas frame, or a dictionary of series and arrays of one length."""

MAX_FLOAT32 = float(np.finfo(np.float32).max)

MAX_SHOWN = 30


def require_columns(wanted: Sequence[str], frame: pd.DataFrame, where: str | None = None) -> None:
    """Raise a DataError, with close matches, unless every column exists once."""
    # Frames of pandas may have integers as names, and messages and parameters have strings.
    there = [str(name) for name in frame.columns]
    refuse_twins(there, where)
    known = set(there)
    missing = [name for name in wanted if name not in known]
    if not missing:
        return
    lines = [f"'{name}': {line}" for name in missing if (line := did_you_mean(name, there))]
    shown = ", ".join(there[:MAX_SHOWN]) + (f" and {len(there) - MAX_SHOWN} more" if len(there) > MAX_SHOWN else "")
    names = ", ".join(f"'{name}'" for name in missing)
    raise DataError(f"there is no column {names}", where=where, hint="\n".join([*lines, f"columns: {shown}"]))


def refuse_twins(names: Sequence[str], where: str | None = None) -> None:
    """Raise a DataError if two columns have the same name."""
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        raise DataError(f"duplicate column '{twins[0]}'", where=where, hint="rename one of them")


def row_label(column: pd.Series, row: int) -> str:
    """Return the name of a row in messages: its label in the frame, which is its line if it was read from a file."""
    return f"{column.index.name or 'row'} {column.index[row]}"


def plain_numbers(texts: Sequence[str]) -> np.ndarray:
    """Parse strings as numbers (N,) float64 in Python's notation; NaN if a string is not a number."""
    import pandas as pd

    return pd.to_numeric(pd.Series(list(texts), dtype=object), errors="coerce").to_numpy(float)


def refuse_nested(column: pd.Series, name: str) -> None:
    """Raise a DataError for lists, dictionaries, arrays or bytes, as in nested Parquet files."""
    import pandas as pd

    if column.dtype != object:
        arrow = str(getattr(column.dtype, "pyarrow_dtype", ""))
        if arrow.startswith(("list", "struct", "map", "large_list")):
            _refuse_kind(column, name, 0, arrow)
        return
    # infer_dtype stops at the first surprise: a column of strings is not walked in Python.
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if not (kind.startswith("mixed") or kind == "bytes"):
        return
    for row, value in enumerate(column.array):
        if isinstance(value, (list, dict, set, tuple, np.ndarray, bytes, bytearray)):
            _refuse_kind(column, name, row, type(value).__name__)


def _refuse_kind(column: pd.Series, name: str, row: int, kind: str) -> None:
    raise DataError(
        f"column '{name}', {row_label(column, row)}: the value is of type {kind}, neither a number nor a string",
        hint=f"expand it into columns of numbers or strings, or drop=['{name}']",
    )


def without(column: pd.Series, missing: Collection[str]) -> pd.Series:
    """Return the column with the values that mean a missing one, in upper or lower case, replaced by missing values."""
    if not missing:
        return column
    codes, texts = as_strings(column)
    wanted = {text.lower() for text in missing}
    is_missing = np.append(np.array([text.lower() in wanted for text in texts], bool), False)[codes]
    return column.mask(is_missing) if is_missing.any() else column


def with_columns(rows: Columns, columns: Mapping[str, Any], drop: Collection[str] = ()) -> Any:
    """Return a frame or a dictionary with columns added or replaced, whatever their names.

    A ``Preparation`` works on dictionaries: looking up a column of a frame takes 50 µs, seconds for 10,000 columns.
    """
    import pandas as pd

    # Not frame.assign(), which cannot take a column called "self".
    kept = {name: columns[name] if name in columns else rows[name] for name in rows if name not in drop}
    if isinstance(rows, dict):
        return {**kept, **columns}
    return pd.DataFrame({**kept, **columns}, index=rows.index, copy=False)


def with_string_names(frame: pd.DataFrame, where: str | None = None) -> pd.DataFrame:
    """Return the frame with strings as column names."""
    if frame.columns.nlevels > 1:
        raise DataError("the columns have several levels of names", where=where, hint="join each to one string")
    if all(isinstance(name, str) for name in frame.columns):
        return frame
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def as_strings(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the code (N,) of each row's value, -1 if missing, and the distinct values as strings.

    Whole numbers have no decimal point whatever their type, so that ``1``, ``1.0`` and ``"1"`` are one category.
    """
    import pandas as pd

    # The values of a categorical are factorized already.
    if isinstance(column.dtype, pd.CategoricalDtype):
        inner = column.cat.codes.to_numpy().astype(np.int64)
        used = np.flatnonzero(np.bincount(inner[inner >= 0], minlength=len(column.cat.categories)))
        numbering = np.full(len(column.cat.categories) + 1, -1, np.int64)
        numbering[used] = np.arange(len(used))
        codes, values = numbering[inner], column.cat.categories[used]
    else:
        codes, values = pd.factorize(column)
    texts = [_text(value) for value in values]
    # 1 and 1.0 may both occur in a column of objects and become one string.
    names = [text for text in dict.fromkeys(texts) if text not in MISSING_STRINGS]
    numbers = {text: number for number, text in enumerate(names)}
    table = np.array([*(numbers.get(text, -1) for text in texts), -1], np.int64)
    return table[codes], names


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
