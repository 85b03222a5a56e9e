"""Validation rows of a table: at random, by position, by the highest values of a column, marked, or by folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.errors import DataError, ParameterError
from lab_tabular.columns import as_strings, plain_numbers, require_columns, row_label
from lab_tabular.formats import as_numbers, date_format_of, read_column

if TYPE_CHECKING:
    from types import SimpleNamespace

    import pandas as pd

__all__ = ["check_split", "validation_mask"]

_WHERE = "dataset 'table'"
_YES = frozenset({"true", "yes", "y", "t", "x", "valid", "val", "validation", "dev"})
_NO = frozenset({"false", "no", "n", "f", "train", "training"})


def check_split(options: SimpleNamespace, *, has_valid: bool) -> None:
    """Raise a ParameterError if options of the split are out of range or exclude each other."""
    given = {name: getattr(options, name) for name in ("valid_rows", "valid_last", "valid_column", "folds")}
    chosen = [*(["valid_path"] if has_valid else []), *(name for name, value in given.items() if value is not None)]
    if len(chosen) > 1:
        raise ParameterError(f"{' and '.join(chosen)} exclude each other", where=_WHERE, hint="use one of them")
    if options.split_seed < 0:
        raise ParameterError(f"split_seed must be at least 0, got {options.split_seed}", where=_WHERE)
    if not has_valid and not 0 < options.valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {options.valid_share}", where=_WHERE)


def validation_mask(frame: pd.DataFrame, options: SimpleNamespace, name: str) -> tuple[np.ndarray, str]:
    """Return the mask (N,) of the validation rows, and a note on the split, or "".

    Args:
        frame: all rows.
        options: parameters of ``table``.
        name: the table's name in messages.

    Raises:
        DataError: a part would be empty, or the column that splits cannot be used.
        ParameterError: the range or fold does not exist.
    """
    count, share = len(frame), options.valid_share
    mask, note = np.zeros(count, bool), ""
    if options.valid_rows is not None:
        first, last = options.valid_rows
        if not 0 <= first < last <= count:
            raise ParameterError(f"rows {first} to {last} do not exist", where=_WHERE, hint=f"{count:,} rows")
        mask[first:last] = True
    elif options.valid_column is not None:
        require_columns([options.valid_column], frame, name)
        mask = _marked(frame[options.valid_column], options.valid_column)
    elif options.valid_last is not None:
        require_columns([options.valid_last], frame, name)
        mask, note = _highest(frame[options.valid_last], options)
    elif options.folds is not None:
        folds, fold = options.folds, options.fold
        if not (folds > 1 and 0 <= fold < folds):
            raise ParameterError(
                f"fold {fold} of {folds} does not exist", where=_WHERE, hint="folds of at least 2, fold from 0"
            )
        order = np.random.default_rng(options.split_seed).permutation(count)
        # Rounded bounds instead of equal sizes, so that every row is in exactly one fold.
        mask[order[round(count * fold / folds) : round(count * (fold + 1) / folds)]] = True
    else:
        mask[np.random.default_rng(options.split_seed).permutation(count)[: round(count * share)]] = True
    if not 0 < mask.sum() < count:
        raise DataError(
            f"{int(mask.sum()):,} of {count:,} rows would validate",
            where=name,
            hint="both parts need rows: use more rows, or another split",
        )
    return mask, note


def _highest(column: pd.Series, options: SimpleNamespace) -> tuple[np.ndarray, str]:
    """Return the mask of the rows with the highest values, and a note with the lowest of these."""
    name = options.valid_last
    values = _sortable(column, name, options)
    ordered = np.sort(values)
    count, wanted = len(values), round(len(values) * options.valid_share)
    # Rows with one value, such as the sales of one day, stay together: on both sides of the split, a model would be
    # validated on days that it was trained on.
    start = ordered[min(count - wanted, count - 1)]
    masks = [mask for mask in (values >= start, values > start) if 0 < mask.sum() < count]
    if not masks and count > 1:
        raise DataError(f"valid_last '{name}' has the same value in every row", hint="split by another column")
    if not masks:
        return np.zeros(count, bool), ""
    mask = min(masks, key=lambda each: abs(int(each.sum()) - wanted))
    lowest = int(np.flatnonzero(mask)[np.argmin(values[mask])])
    return mask, f"validation rows: {name} from {column.iloc[lowest]}, {int(mask.sum()):,} of {count:,} rows"


def _marked(column: pd.Series, name: str) -> np.ndarray:
    """Return the mask (N,) of the rows that a column marks: with a number other than 0, ``true``, ``yes``, ``valid`` …

    Raises:
        DataError: a value is ambiguous.
    """
    codes, strings = as_strings(column)
    numbers = plain_numbers(strings)
    marks = [string.lower() in _YES or bool(abs(number) > 0) for string, number in zip(strings, numbers, strict=True)]
    for string, mark, number in zip(strings, marks, numbers, strict=True):
        if not mark and number != 0 and string.lower() not in _NO:
            raise DataError(
                f"valid_column '{name}' has '{string}', which is neither yes nor no",
                hint="use 1 for validation rows, and 0 or nothing for the others",
            )
    return np.append(np.array(marks, bool), False)[codes]


def _sortable(column: pd.Series, name: str, options: SimpleNamespace) -> np.ndarray:
    """Return the numbers or dates (N,) of a column by which rows are ordered."""
    import pandas as pd

    # Read like the column itself will be, or sorting and features could disagree.
    given = options.date_format
    given = given.get(name) if isinstance(given, Mapping) else given
    is_date = name in options.dates or given or pd.api.types.is_datetime64_any_dtype(column)
    if not is_date:
        _, strings = as_strings(column)
        is_date = bool(len(strings)) and bool(np.isnan(plain_numbers(strings)).all())
    if is_date:
        form = date_format_of(column, name, given=given, dayfirst=options.dayfirst)
        values: Any = read_column(column, name, form)
        return np.asarray(values)
    numbers = as_numbers(column, name)
    is_missing = np.isnan(numbers)
    if is_missing.any():
        raise DataError(
            f"valid_last '{name}' is missing in {row_label(column, int(is_missing.argmax()))} "
            f"({int(is_missing.sum()):,} such rows)",
            hint="remove these rows",
        )
    return numbers
