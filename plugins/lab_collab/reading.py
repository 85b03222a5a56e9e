"""Readers of ratings from files and frames; errors give the line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
from lab_text.files import read_text

from lab.errors import DataError, ParameterError
from lab_collab.sources import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "plain_id", "read_frame", "read_ratings"]

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "::": "double colons"}

HEAD = 1 << 16
"""Characters in which the first line is searched."""

_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")
_CODE = re.compile(r"[+-]?0[0-9]")
_PLACES = {"user": 0, "item": 1, "rating": 2, "time": 3}


@attrs.frozen
class Columns:
    """Names of the columns, and the format of their values.

    Attributes:
        user, item, rating, time: names of the columns.
        decimal: decimal sign of ratings.
        time_format: format of times, for ``strptime``; None reads numbers and ISO 8601 dates.
    """

    user: str = "user"
    item: str = "item"
    rating: str = "rating"
    time: str | None = None
    decimal: str = "."
    time_format: str | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of the columns that are read."""
        return [self.user, self.item, self.rating, *([self.time] if self.time else [])]

    @property
    def are_usual(self) -> bool:
        """Return True if the names are the defaults."""
        return (self.user, self.item, self.rating) == ("user", "item", "rating")


def read_ratings(path: Path, columns: Columns, *, separator: str | None = None, encoding: str = "utf-8") -> Source:
    """Read the ratings of a text file.

    Args:
        path: the file, plain or gzip, with a header, or with the columns user, item, rating, time in this order.
        columns: the columns to read.
        separator: column separator; None detects it.
        encoding: encoding of the file.

    Raises:
        DataError: the file cannot be read, a column is missing, or a value is invalid.
        ParameterError: there is no such encoding or separator.
    """
    # A tab is hard to type on a command line.
    separator = {"tab": "\t", "\\t": "\t"}.get(separator or "", separator)
    if separator is not None and (len(separator) != 1 or separator in '"\r\n') and separator != "::":
        raise ParameterError(
            f"separator={separator!r} is not one character", where=str(path), hint="',', ';', 'tab', '|' or '::'"
        )
    text = read_text(path, encoding, noun="ratings file", empty="the file is empty")
    separator = separator or _separator_of(text, columns)
    rows = _rows(text, separator, path)
    first = next(rows, None)
    if first is None:
        raise DataError("the file is empty", where=str(path), hint="a header and ratings are needed")
    line, header = first
    header = [cell.strip() for cell in header]
    if _is_headless(header, columns):
        places = list(range(3)) + ([3] if columns.time else [])
        if places[-1] >= len(header):
            raise DataError(
                f"line {line:,} has {len(header)} columns and no header, so there is no time column", where=str(path)
            )
        shown = ", ".join(name for name in list(_PLACES)[: len(places)])
        note = f"no header: the first {len(places)} columns, separated by {_name(separator)}, are {shown}"
        rows = _with(first, rows)
    else:
        _check_columns(columns.names, header, str(path), separator)
        places = [header.index(name) for name in columns.names]
        note = f"columns separated by {_name(separator)}, with a header"
    cells = ((line, _cells(row, places, len(header), path, line)) for line, row in rows)
    return attrs.evolve(_source(cells, str(path), "line", columns), notes=(note,))


def read_frame(frame: pd.DataFrame, columns: Columns) -> Source:
    """Read the ratings of a pandas frame."""
    _check_columns(columns.names, list(map(str, frame.columns)), "frame", ",")
    kept = frame.set_axis([str(name) for name in frame.columns], axis=1)[columns.names]
    gaps = kept.isna().to_numpy()
    rows = (
        [_text(value, is_gap) for value, is_gap in zip(row, missing, strict=True)]
        for row, missing in zip(kept.itertuples(index=False, name=None), gaps, strict=True)
    )
    return _source(enumerate(rows), "frame", "row", columns)


def _text(value: object, is_gap: bool) -> str:
    if is_gap:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        # Pandas stores integers as floats if a value of the column is missing.
        return str(int(value))
    return str(value)


def _separator_of(text: str, columns: Columns) -> str:
    """Return the separator of the first line: the one that yields the expected names, or the most columns."""
    line = next((line for line in text[:HEAD].splitlines() if line.strip()), "")
    cells = {sign: [cell.strip().strip('"') for cell in line.split(sign)] for sign in SEPARATORS}
    counts = {sign: sum(name in found for name in columns.names) for sign, found in cells.items()}
    if max(counts.values()):
        return max(SEPARATORS, key=lambda sign: counts[sign])
    numeric = [sign for sign in SEPARATORS if len(cells[sign]) > 2 and _is_number(cells[sign][2], columns.decimal)]
    if "::" in numeric:
        return "::"
    return max(numeric or SEPARATORS, key=lambda sign: len(cells[sign]))


def _name(separator: str) -> str:
    return SEPARATORS.get(separator, repr(separator))


def _is_headless(cells: Sequence[str], columns: Columns) -> bool:
    """Return True if the first line is a rating and not a header."""
    if not columns.are_usual or set(columns.names) & set(cells):
        return False
    return len(cells) > 2 and _is_number(cells[2], columns.decimal)


def _is_number(text: str, decimal: str) -> bool:
    try:
        return math.isfinite(float(text.replace(decimal, ".")))
    except ValueError:
        return False


def _with(first: tuple[int, list[str]], rows: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rows


def _rows(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a file with their first lines; quoted fields may contain line ends."""
    lines = io.StringIO(text, newline="")
    if separator == "::":
        for line, row in enumerate(lines, 1):
            if row.strip():
                yield line, row.rstrip("\r\n").split("::")
        return
    reader = csv.reader(lines, delimiter=separator, strict=True)
    # csv refuses fields above 128 KiB by default, with an error that names neither file nor line.
    limit, line = csv.field_size_limit(max(len(text), 1 << 17)), 1
    try:
        for row in reader:
            if row and not (len(row) == 1 and not row[0].strip()):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"line {line:,} cannot be read: {error}",
            where=str(path),
            hint='close the quotation marks; write " inside a quoted field as ""',
        ) from error
    finally:
        csv.field_size_limit(limit)


def _cells(row: Sequence[str], places: Sequence[int], width: int, path: Path, line: int) -> list[str]:
    if len(row) != width:
        raise DataError(
            f"line {line:,} has {len(row)} columns, the header {width}",
            where=str(path),
            hint="fix the line; quote fields that contain the separator",
        )
    return [row[place] for place in places]


def _check_columns(wanted: Sequence[str], there: Sequence[str], where: str, separator: str) -> None:
    twice = [name for name in dict.fromkeys(there) if list(there).count(name) > 1]
    if twice:
        raise DataError(f"duplicate column '{twice[0]}'", where=where, hint="column names must be unique")
    for name in wanted:
        if list(wanted).count(name) > 1:
            raise ParameterError(f"column '{name}' is used twice", where=where)
    for column in wanted:
        if column not in there:
            shown = ", ".join(name[:60] for name in there[:20]) + (" …" if len(there) > 20 else "")
            one = f"\nif they are not separated by {_name(separator)}: separator=…" if len(there) == 1 else ""
            raise DataError.among("column", column, there, where=where, hint=f"columns: {shown}{one}")


def _source(rows: Iterable[tuple[int, Sequence[str]]], name: str, unit: str, columns: Columns) -> Source:
    """Return the names, ratings and times of numbered rows of strings."""
    users, items, values, times, places = [], [], [], [], []
    for place, (user, item, rating, *rest) in rows:
        for what, text in (("user", user), ("item", item)):
            if not text.strip() or text.strip().lower() in ("nan", "<na>", "nat"):
                raise DataError(f"{unit} {place:,} has no {what}", where=name, hint=f"every rating needs a {what}")
        users.append(user)
        items.append(item)
        values.append(_number(rating, place, name, unit, columns.decimal))
        if rest:
            times.append(rest[0].strip())
            places.append(place)
    if not values:
        raise DataError("there are no ratings", where=name, hint="one rating per line is expected")
    (user_ids, user_remarks), (item_ids, item_remarks) = _ids(users, "users"), _ids(items, "items")
    return Source(
        name,
        np.array(user_ids),
        np.array(item_ids),
        np.array(values),
        np.array(_seconds(times, places, name, unit, columns.time_format)) if times else None,
        remarks=(*user_remarks, *item_remarks),
    )


def _number(text: str, place: int, name: str, unit: str, decimal: str) -> float:
    try:
        value = float(text if decimal == "." else text.replace(".", "?").replace(decimal, "."))
    except ValueError:
        value = math.nan
    # float() accepts 1_000, which is Python's notation only.
    value = math.nan if "_" in text else value
    if not math.isfinite(value):
        hint = "a rating is a finite number"
        if decimal == "." and re.fullmatch(r"\s*[+-]?[0-9]+,[0-9]+\s*", text):
            hint = f"{hint}; decimal=',' reads {text.strip().replace(',', '.')}"
        elif re.search(r"[0-9][,.' ][0-9]{3}(\D|$)", text):
            hint = f"{hint}, without thousands separators"
        raise DataError(f"{unit} {place:,} has no rating: '{text[:60]}'", where=name, hint=hint)
    return value


def plain_id(text: str) -> str:
    """Return a whole number in its canonical form, and other names unchanged.

    >>> plain_id(" 1.0"), plain_id("+7"), plain_id("1.5"), plain_id(" x"), plain_id("007")
    ('1', '7', '1.5', ' x', '007')
    """
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped) and not _CODE.match(stripped):
        # Not int(), which refuses more than 4,300 digits.
        whole = stripped.partition(".")[0].removeprefix("+")
        return "0" if whole == "-0" else whole
    return text


def _ids(names: list[str], what: str) -> tuple[list[str], list[str]]:
    """Return the names, in canonical form if all are whole numbers, and warnings of near duplicates."""
    # Distinct names: millions of ratings have some thousands of users.
    different = dict.fromkeys(names)
    # Only if all are whole numbers: one code such as 007 means that 7 and 7.0 may be other names.
    if all(_WHOLE.fullmatch(name.strip()) and not _CODE.match(name.strip()) for name in different):
        plain = {name: plain_id(name) for name in different}
        return [plain[name] for name in names], []
    alike: dict[str, list[str]] = defaultdict(list)
    for name in different:
        alike[" ".join(plain_id(name).split()).casefold()].append(name)
    groups = [group for group in alike.values() if len(group) > 1]
    if not groups:
        return names, []
    count = sum(map(len, groups))
    shown = " and ".join(repr(name) for name in groups[0][:3])
    return names, [f"{count:,} {what} differ only in blanks, case or decimal places: {shown}"]


def _seconds(times: list[str], places: list[int], name: str, unit: str, form: str | None) -> list[float]:
    """Return times as numbers: as they are, or as seconds since 1970 if they are dates."""
    if form is None:
        try:
            values = [float(text) for text in times]
        except ValueError:
            values = []
        if values and not any("_" in text for text in times) and all(map(math.isfinite, values)):
            # Numbers are sorted as they are; only the order matters for split='last'.
            _refuse_mixed_units(values, name)
            return values
    moments = [_moment(text, place, name, unit, form) for text, place in zip(times, places, strict=True)]
    if len({moment.tzinfo is None for moment in moments}) > 1:
        raise DataError("some times have a time zone and others have none", where=name, hint="use one format")
    return [(each if each.tzinfo else each.replace(tzinfo=UTC)).timestamp() for each in moments]


def _refuse_mixed_units(values: list[float], name: str) -> None:
    """Raise if seconds, milliseconds and microseconds since 1970 are mixed: they would sort wrongly."""
    kinds = {"seconds": (1e8, 1e10), "milliseconds": (1e11, 1e13), "microseconds": (1e14, 1e16)}
    found = [kind for kind, (low, high) in kinds.items() if any(low <= value < high for value in values)]
    if len(found) > 1:
        raise DataError(f"times are {' and '.join(found)} since 1970, mixed", where=name, hint="use one unit")


def _moment(text: str, place: int, name: str, unit: str, form: str | None) -> datetime:
    try:
        if re.fullmatch(r"[+-]?[0-9._]+", text) and form is None:
            raise ValueError
        return datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
    except ValueError as error:
        raise DataError(
            f"{unit} {place:,} has no time: '{text[:60]}'", where=name, hint=_time_hint(text, form)
        ) from error


def _time_hint(text: str, form: str | None) -> str:
    if form is not None:
        return f"it does not match time_format='{form}'"
    if found := re.fullmatch(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4})(.*)", text):
        sign, rest = found[2], " …" if found[5] else ""
        day, month = f"time_format='%d{sign}%m{sign}%Y{rest}'", f"time_format='%m{sign}%d{sign}%Y{rest}'"
        return f"{day} if the day comes first, {month} if the month does"
    return "use a number, a date such as 2024-12-25 or 2024-12-25T18:00:00, or time_format='…'"
