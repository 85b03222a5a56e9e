"""Columns of a frame: which are there, and what their values are, with clear words where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.errors import DataError
from lab.registry.registry import close_matches

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GAPS",
    "as_dates",
    "as_numbers",
    "as_texts",
    "is_number_column",
    "place",
    "refuse_twins",
    "require_columns",
]

GAPS = ("", "NA", "NaN", "nan", "null", "?")
"""How a text says that a value is missing."""

MOST_SHOWN = 30


def require_columns(wanted: Sequence[str], frame: pd.DataFrame, where: str | None = None) -> None:
    """Raise a DataError, with close matches, unless all columns are there once."""
    there = [str(name) for name in frame.columns]
    refuse_twins(there, where)
    missing = [name for name in wanted if name not in there]
    if not missing:
        return
    close = {name: close_matches(name, there) for name in missing}
    lines = [f"did you mean, for '{name}': {' or '.join(names)}?" for name, names in close.items() if names]
    shown = ", ".join(there[:MOST_SHOWN]) + (f" and {len(there) - MOST_SHOWN} more" if len(there) > MOST_SHOWN else "")
    names = ", ".join(f"'{name}'" for name in missing)
    raise DataError(f"there is no column {names}", where=where, hint="\n".join([*lines, f"columns: {shown}"]))


def refuse_twins(names: Sequence[str], where: str | None = None) -> None:
    """Raise a DataError where two columns have one name."""
    twins = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if twins:
        raise DataError(f"two columns are called '{twins[0]}'", where=where, hint="rename one of them")


def place(column: pd.Series, row: int) -> str:
    """How messages name a row: by its label in the frame, which is the line where a file was read."""
    return f"{column.index.name or 'row'} {column.index[row]}"


def as_numbers(column: pd.Series, name: str) -> np.ndarray:
    """The values (N,) as float64, NaN where there is a gap.

    Raises:
        DataError: a value is no number, or is infinite; its row is named.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(float, na_value=np.nan, copy=True)
    else:
        numbers, bad = _parsed(column)
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"column '{name}', {place(column, row)}: '{column.iloc[row]}' is no number "
                f"({int(bad.sum()):,} such rows)",
                hint="mend the column, or name it under categorical",
            )
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(infinite.argmax())
        raise DataError(
            f"column '{name}', {place(column, row)}: {numbers[row]} is not finite ({int(infinite.sum()):,} such rows)",
            hint="mend the column, or leave such values empty",
        )
    return numbers


def is_number_column(column: pd.Series, name: str) -> bool:
    """Whether a column holds numbers; gaps may be among them.

    Raises:
        DataError: some values are numbers and some are not, so that nobody can tell.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    numbers, bad = _parsed(column)
    count = int((~np.isnan(numbers)).sum())
    if count and bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"column '{name}' mixes numbers and texts: {place(column, row)} says '{column.iloc[row]}', "
            f"{count:,} other rows have numbers",
            hint="mend the column, or name it under categorical",
        )
    return bool(count) and not bad.any()


def _parsed(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Texts as numbers, NaN where that is not possible; and where something else than a gap stands there."""
    import pandas as pd

    codes, texts = as_texts(column)
    values = np.append(pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(float), np.nan)
    numbers = values[codes]
    return numbers, np.isnan(numbers) & (codes >= 0)


def as_dates(column: pd.Series, name: str) -> pd.Series:
    """The values as dates.

    Raises:
        DataError: a value is no date, or there is a gap; its row is named.
    """
    import pandas as pd

    dates = pd.to_datetime(column, errors="coerce")
    bad = dates.isna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"column '{name}', {place(column, row)}: '{column.iloc[row]}' is no date ({int(bad.sum()):,} such rows)",
            hint="write dates as 2015-07-31",
        )
    return dates


def as_texts(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """The different values as texts, and for each row (N,) which it has, -1 for a gap.

    A whole number is written without a point whatever its type, so that ``1``, ``1.0`` and ``"1"`` are one category.
    """
    import pandas as pd

    codes, values = pd.factorize(column)
    texts = [_text(value) for value in values]
    names = [text for text in dict.fromkeys(texts) if text not in GAPS]
    numbers = {text: number for number, text in enumerate(names)}
    table = np.array([*(numbers.get(text, -1) for text in texts), -1], np.int64)
    return table[codes], names


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
