"""Formats of columns: numbers, dates and categories as strings. Inferred from the training rows and stored with them.

A column is parsed with the same format ever after. A string that is ambiguous, or that looks like a number or a date
but was not declared as one, is an error with the parameters that decide it, not a guess.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np
from attrs.validators import deep_iterable, in_, instance_of

from lab.errors import DataError
from lab_tabular.columns import MAX_FLOAT32, as_strings, plain_numbers, refuse_nested, row_label, without

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ISO",
    "SOFT_MISSING",
    "STYLES",
    "ColumnFormat",
    "as_dates",
    "as_numbers",
    "category_format",
    "date_format_of",
    "day_first",
    "infer_kind",
    "looks_like_dates",
    "number_format",
    "read_column",
    "read_values",
    "written_number",
]

SOFT_MISSING = frozenset({"-", "--", "---", ".", "..", "none", "n.a.", "n/a", "nil", "missing", "unknown", "undefined"})
"""Missing values, in lower case, if all other values of a column are numbers; categories otherwise."""

MAX_SAMPLED = 1000
"""Number of distinct values from which the kind of a column is inferred."""

ISO = "ISO8601"


@attrs.define(frozen=True)
class ColumnFormat:
    """Format of the values of a column.

    Attributes:
        kind: kind of values.
        decimal, thousands: decimal sign and thousands separator.
        written: numbers may have currency signs, units, percent signs or parentheses.
        unit: the unit of such numbers, the same in all rows.
        gaps: further strings for a missing number, in lower case.
        form: of categories: ``text``, ``number`` (``1``, ``1.0`` and ``01`` are one) or ``truth``.
        missing: strings that mean a missing value, given by the user.
        date: strftime format, ``ISO8601``, or "" if the column holds dates and not strings.
        zone: the time zone that dates are converted to; "" if they have none.
        several_zones: True if the training rows had more than one.
    """

    # The names and values of these fields stand in the preparation.json of finished runs.
    kind: Literal["number", "category", "date"] = attrs.field(validator=in_(("number", "category", "date")))
    decimal: str = attrs.field(default=".", validator=in_((".", ",")))
    thousands: str = attrs.field(default="", validator=in_(("", ".", ",", " ", "'")))
    written: bool = attrs.field(default=False, validator=instance_of(bool))
    unit: str = attrs.field(default="", validator=instance_of(str))
    gaps: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=deep_iterable(instance_of(str)))
    form: Literal["text", "number", "truth"] = attrs.field(default="text", validator=in_(("text", "number", "truth")))
    missing: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=deep_iterable(instance_of(str)))
    date: str = attrs.field(default="", validator=instance_of(str))
    zone: str = attrs.field(default="", validator=instance_of(str))
    several_zones: bool = attrs.field(default=False, validator=instance_of(bool))

    @property
    def is_plain(self) -> bool:
        """Return whether numbers are written as Python writes them."""
        return self.decimal == "." and not (self.thousands or self.written)


def read_column(column: pd.Series, name: str, form: ColumnFormat) -> pd.Series:
    """Parse values: float64, a categorical of strings, or dates without a zone. Dates must not be missing.

    Raises:
        DataError: a value does not have the format; its row is given.
    """
    import pandas as pd

    values = read_values(column, name, form)
    return pd.Series(values, index=column.index, name=column.name) if form.kind == "number" else values


def read_values(column: pd.Series, name: str, form: ColumnFormat) -> Any:
    """Parse values as ``read_column`` does, but numbers to an array, which takes a tenth of the time."""
    import pandas as pd

    refuse_nested(column, name)
    column = without(column, form.missing)
    if form.kind == "number":
        return _numbers(column, name, form)
    if form.kind == "date":
        return _dates(column, name, form)
    codes, texts = as_strings(column)
    written = [_canonical(text, form.form) for text in texts]
    names = list(dict.fromkeys(written))
    numbers = {text: number for number, text in enumerate(names)}
    table = np.array([*(numbers[text] for text in written), -1], np.int64)
    return pd.Series(pd.Categorical.from_codes(table[codes], names), index=column.index, name=column.name)


# --- categories -------------------------------------------------------------------------------------------------------


def category_format(column: pd.Series) -> ColumnFormat:
    """Return the format of categories: numbers and truth values have one spelling each.

    Numbers with leading zeros, such as ``01234``, are codes and stay as they are.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column):
        return ColumnFormat("category", form="truth")
    if pd.api.types.is_numeric_dtype(column):
        return ColumnFormat("category", form="number")
    _, texts = as_strings(column)
    if texts and all(text.lower() in ("true", "false") for text in texts):
        return ColumnFormat("category", form="truth")
    is_number = texts and not np.isnan(plain_numbers(texts)).any() and not any(re.match(r"[+-]?0\d", t) for t in texts)
    return ColumnFormat("category", form="number" if is_number else "text")


def _canonical(text: str, form: str) -> str:
    """Return the canonical spelling of a category.

    >>> [_canonical(*each) for each in (("1.0", "number"), ("1.50", "number"), ("x", "number"), ("TRUE", "truth"))]
    ['1', '1.5', 'x', 'True']
    """
    if form == "truth":
        return {"true": "True", "false": "False", "1": "True", "0": "False", "1.0": "True", "0.0": "False"}.get(
            text.lower(), text
        )
    if form == "text":
        return text
    # Not float(), which holds 15 digits: longer ids would become one.
    if re.fullmatch(r"[+-]?\d+(\.0*)?", text):
        return str(int(text.partition(".")[0]))
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() else repr(value)


# --- numbers ----------------------------------------------------------------------------------------------------------

_CODES = frozenset(
    (
        *("USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "RUB", "BRL", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK"),
        *("PLN", "CZK", "HUF", "TRY", "ZAR", "MXN", "KRW", "SGD", "HKD", "US$", "R$", "A$", "C$"),
        *("Rs", "Rs.", "kr", "kr.", "Fr.", "Kč", "zł"),
    )
)
_UNITS = frozenset(
    (
        *("%", "‰", "kg", "g", "mg", "t", "lb", "lbs", "oz", "km", "m", "cm", "mm", "ft", "in", "mi", "l", "ml"),
        *("s", "sec", "min", "h", "hr", "hrs", "d", "day", "days", "yr", "yrs", "year", "years", "°", "°C", "°F"),
        *("k", "K", "M", "B", "bn", "mn", "mio", "kW", "kWh", "W", "mph", "km/h", "px", "GB", "MB", "KB", "pcs", "pc"),
        *("x", "m²", "m2", "sqm", "sqft", "hp", "bhp", "cc", "CC", "Nm", "kmpl"),
    )
)
_GROUP_SIGNS = {" ": "[ \u00a0\u2009\u202f]", "'": "['’]"}
STYLES = ((".", ","), (",", "."), (".", "'"), (".", " "), (",", " "))


@cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point, group = re.escape(decimal), _GROUP_SIGNS.get(thousands, re.escape(thousands))
    grouped = rf"\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{point}\d*)?|" if thousands else ""
    number = rf"(?:{grouped}\d+(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
    return re.compile(rf"(?P<sign>[+-]?)\s*(?P<before>[^\d\s.,+()-]*\.?)\s*(?P<inner>[+-]?)(?P<number>{number})\s*"
                      rf"(?P<after>[^\d\s.,+()-][^\s()]*|)(?P<minus>-?)")  # fmt: skip


def written_number(text: str, decimal: str, thousands: str) -> tuple[float, str] | None:
    """Parse a formatted number and return its value and unit, or None.

    >>> written_number("$1,234.50", ".", ","), written_number("(5)", ".", ","), written_number("1.234,5 €", ",", ".")
    ((1234.5, '$'), (-5.0, ''), (1234.5, '€'))
    >>> written_number("1,23", ".", ",") is written_number("A12", ".", ",") is None
    True
    """
    # The typographic minus, as spreadsheets and Wikipedia write it.
    text = text.replace("\u2212", "-").strip()
    inside = re.fullmatch(r"\((.*)\)", text)
    found = _pattern(decimal, thousands).fullmatch(inside[1].strip() if inside else text)
    if found is None:
        return None
    before, after = found["before"], found["after"]
    if before and not _is_currency(before):
        return None
    if after and not (after in _UNITS or _is_currency(after)):
        return None
    # Accounting notation has parentheses for negative numbers; two signs at once mean something else.
    signs = [found["sign"] == "-", found["inner"] == "-", found["minus"] == "-", inside is not None]
    if sum(signs) > 1:
        return None
    digits = found["number"]
    if thousands:
        digits = re.sub(_GROUP_SIGNS.get(thousands, re.escape(thousands)), "", digits)
    value = float(digits.replace(decimal, "."))
    return (-value if any(signs) else value), before or after


def _is_currency(text: str) -> bool:
    return text in _CODES or all(unicodedata.category(sign) == "Sc" for sign in text)


def number_format(
    column: pd.Series, name: str, *, decimal: str = ".", thousands: str | None = None, written: bool = False
) -> ColumnFormat:
    """Infer the format of a numeric column.

    Args:
        column: the column in the training rows.
        name: its name.
        decimal, thousands: decimal sign and thousands separator.
        written: allow currency signs, units and so on; ``thousands`` then defaults to the other sign.

    Raises:
        DataError: the numbers have several units.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return ColumnFormat("number", decimal, thousands or "", written)
    if written and thousands is None:
        thousands = "," if decimal == "." else "."
    form = ColumnFormat("number", decimal, thousands or "", written)
    _, texts = as_strings(column)
    values, units = _parsed(texts, form)
    bad = {text.lower() for text, value in zip(texts, values, strict=True) if np.isnan(value)}
    # Only if everything else is a number: in a column of categories, "none" is a category.
    if bad and bad <= SOFT_MISSING and len(bad) < len(texts):
        form = attrs.evolve(form, gaps=tuple(sorted(bad)))
    # Mixed units would be silently added up, 5 kg and 7 g as 12.
    known = sorted({unit for unit, value in zip(units, values, strict=True) if not np.isnan(value)})
    if len(known) > 1:
        shown = " and ".join(f"'{unit}'" if unit else "no unit" for unit in known[:3])
        raise DataError(f"column '{name}' has numbers with {shown}", hint="use one unit, or list it under categorical")
    return attrs.evolve(form, unit=known[0] if known else "")


def _parsed(texts: Sequence[str], form: ColumnFormat) -> tuple[np.ndarray, list[str]]:
    """Return strings as numbers, NaN if they are not, and their units."""
    if form.is_plain:
        return plain_numbers(texts), [""] * len(texts)
    found = [written_number(text, form.decimal, form.thousands) for text in texts]
    # Only separators were declared, so that a unit is an error.
    if not form.written:
        found = [None if each is None or each[1] else each for each in found]
    return np.array([np.nan if each is None else each[0] for each in found]), [
        each[1] if each else "" for each in found
    ]


def _numbers(column: pd.Series, name: str, form: ColumnFormat) -> np.ndarray:
    import pandas as pd

    if pd.api.types.is_complex_dtype(column):
        raise DataError(f"column '{name}' holds complex numbers", hint="split it into two columns")
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(float, na_value=np.nan, copy=True)
    elif pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise DataError(
            f"column '{name}' holds {'dates' if pd.api.types.is_datetime64_any_dtype(column) else 'durations'}, "
            "not numbers",
            hint=f"dates=['{name}'] expands dates; convert durations to numbers",
        )
    else:
        codes, texts = as_strings(column)
        values, units = _parsed(texts, form)
        is_missing = np.array([text.lower() in form.gaps for text in texts], bool)
        wrong = np.array([unit != form.unit for unit in units], bool) & ~np.isnan(values)
        bad = np.append((np.isnan(values) | wrong) & ~is_missing, False)[codes]
        numbers = np.append(values, np.nan)[codes]
        if bad.any():
            row = int(bad.argmax())
            said = str(column.iloc[row])
            raise DataError(
                f"column '{name}', {row_label(column, row)}: '{said}' is not a number"
                + (f" in {form.unit}" if form.unit else "")
                + f" ({int(bad.sum()):,} such rows)",
                hint=_numeric_hint([said.strip()], name, form) or "fix the column, or list it under categorical",
            )
    _refuse_large(numbers, column, name)
    return numbers


def as_numbers(column: pd.Series | np.ndarray, name: str) -> np.ndarray:
    """Return values (N,) as float64, NaN if missing, from Python's notation; arrays are parsed already.

    Raises:
        DataError: a value is not a number, infinite, or beyond float32; its row is given.
    """
    return column if isinstance(column, np.ndarray) else _numbers(column, name, ColumnFormat("number"))


def _refuse_large(numbers: np.ndarray, column: pd.Series, name: str) -> None:
    if not len(numbers) or np.nanmax(np.abs(numbers), initial=0) <= MAX_FLOAT32:
        return
    infinite = np.isinf(numbers)
    with np.errstate(invalid="ignore"):
        large = np.abs(numbers) > MAX_FLOAT32
    for bad, said in ((infinite, "is not finite"), (large, f"is beyond the largest float32, {MAX_FLOAT32:.2g}")):
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"column '{name}', {row_label(column, row)}: {numbers[row]} {said} ({int(bad.sum()):,} such rows)",
                hint="fix the column, or leave such values empty",
            )


def _numeric_hint(texts: Sequence[str], name: str, form: ColumnFormat | None = None) -> str | None:
    """Return the parameters with which strings would be numbers, or None."""
    styles = [style for style in STYLES if all(written_number(text, *style) for text in texts)]
    if form is not None and not form.is_plain:
        styles = [style for style in styles if style != (form.decimal, form.thousands)]
        if form.thousands and not styles:
            return None
    if not styles:
        return None
    units = {found[1] for text in texts if (found := written_number(text, *styles[0]))}
    lines = []
    for decimal, thousands in styles:
        separators = "" if decimal == "." and (thousands == "," or units) else f", decimal='{decimal}'"
        separators += "" if (decimal, thousands) in ((".", ","), (",", ".")) else f", thousands='{thousands}'"
        values = written_number(texts[0], decimal, thousands)
        line = f"numeric=['{name}']{separators}"
        lines.append(f"{line} reads '{texts[0]}' as {values[0]:.12g}" if values else line)
    return "\n".join([*_different(lines)[:3], f"or categorical=['{name}'] if it is not a number"])


def _different(lines: Sequence[str]) -> list[str]:
    """Return the lines with distinct readings."""
    seen: dict[str, str] = {}
    for line in lines:
        seen.setdefault(line.rpartition(" as ")[2], line)
    return list(seen.values())


# --- dates ------------------------------------------------------------------------------------------------------------

_DAYS = (
    *(f"%Y{sign}%m{sign}%d" for sign in "-/."),
    *(f"%{one}{sign}%{other}{sign}%{year}" for sign in "/.-" for year in "Yy" for one, other in ("dm", "md")),
    *(f"%y{sign}%m{sign}%d" for sign in "/.-"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%d. %B %Y", "%B %d, %Y", "%B %d %Y"),
    *("%a, %d %b %Y", "%A, %d %B %Y", "%A, %B %d, %Y", "%d-%b-%y", "%d %b %y", "%Y-%m", "%b %Y", "%B %Y"),
    *("%m/%Y", "%m-%Y", "%m.%Y"),
)
_TIMES = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S.%f"),
    *(" %I:%M %p", " %I:%M:%S %p", " %I:%M%p"),
)
_FORMATS = (*(day + time for day in _DAYS for time in _TIMES), "%a %b %d %H:%M:%S %Y")
_ISO_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(Z|[+-]\d{2}(?::?\d{2})?)?)?", re.IGNORECASE
)
_MAYBE_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?|\d{4}-\d{2}|\d{1,2}[-/]\d{4}"
    r"|[^\W\d_]{3} [^\W\d_]{3} +\d{1,2} \d{2}:\d{2}:\d{2} \d{4}"
    r"|(?:[^\W\d_]{3,9},? )?\d{1,2}\.?[- ][^\W\d_]{3,9}[- ,]+\d{2,4}(?: \d.*)?"
    r"|(?:[^\W\d_]{3,9}, )?[^\W\d_]{3,9} (?:\d{1,2},? )?\d{4}(?: \d.*)?"
)


def date_format_of(
    column: pd.Series, name: str, *, given: str | None = None, dayfirst: bool | None = None
) -> ColumnFormat:
    """Infer the one format of all dates of a column.

    Args:
        column: the column in the training rows.
        name: its name.
        given: a strftime format, which decides.
        dayfirst: True reads ``05/12/2024`` as a day in December; None raises if the column is ambiguous.

    Raises:
        DataError: a value is missing or not a date, the formats are mixed, or day and month are ambiguous.
    """
    import pandas as pd

    refuse_nested(column, name)
    if pd.api.types.is_datetime64_any_dtype(column):
        zone = getattr(column.dt, "tz", None)
        return ColumnFormat("date", zone=str(zone) if zone else "")
    _, texts = as_strings(column)
    if given is not None:
        form = ColumnFormat("date", date=given)
    elif texts and all(_ISO_DATE.fullmatch(text) for text in texts):
        form = ColumnFormat("date", date=ISO)
    else:
        form = ColumnFormat("date", date=_only_format(texts, column, name, dayfirst))
    zones = _zones(texts, name, form)
    return attrs.evolve(form, zone=_joint(zones), several_zones=len(zones) > 1)


def _only_format(texts: list[str], column: pd.Series, name: str, dayfirst: bool | None) -> str:
    counts = {form: int((~_parse(texts, form).isna()).sum()) for form in _candidates(texts)}
    best = max(counts.values(), default=0)
    fitting = [form for form, count in counts.items() if count == len(texts)]
    if not fitting:
        form = max(counts, key=lambda each: counts[each]) if best else None
        good = ~_parse(texts, form).isna().to_numpy() if form else np.zeros(len(texts), bool)
        _refuse_dates(good, column, name, form)
    if dayfirst is not None:
        other = fitting[0]
        fitting = [form for form in fitting if day_first(form) in (None, dayfirst)]
        if not fitting:
            raise DataError(
                f"column '{name}': the dates have the format {other}, but dayfirst={dayfirst}",
                hint=f"date_format={{'{name}': '{other}'}}",
            )
    # Formats that read every date alike, such as %y and %Y of nothing but four digits, are one.
    different: dict[tuple[Any, ...], str] = {}
    for form in fitting:
        different.setdefault(tuple(_parse(texts, form)), form)
    forms = list(different.values())
    two_digits = [form for form in forms if "%y" in form]
    if len(forms) > 1 or two_digits:
        example = next(
            (text for number, text in enumerate(texts) if len({when[number] for when in different}) > 1), texts[0]
        )
        readings = "\n".join(
            f"date_format={{'{name}': '{form}'}} reads it as {_day(_parse([example], form)[0])}" for form in forms[:4]
        )
        why = "is ambiguous" if len(forms) > 1 else "has a two-digit year"
        short = "\nor, for all columns: dayfirst=True or False" if len(forms) > 1 and not two_digits else ""
        raise DataError(f"column '{name}': '{example}' {why}", hint=readings + short)
    return forms[0]


def day_first(form: str) -> bool | None:
    """Return True if the day is before the month, None if they cannot be confused."""
    if form == ISO or form.startswith("%Y") or "%d" not in form or "%m" not in form:
        return None
    return form.index("%d") < form.index("%m")


def _candidates(texts: Sequence[str]) -> list[str]:
    """Return the formats that fit one of the first strings."""
    looked = texts[:MAX_SAMPLED]
    found: list[str] = []
    if looked and all(re.fullmatch(r"(19|20)\d{6}", text) for text in looked):
        return ["%Y%m%d"]
    for text in (looked[0], looked[len(looked) // 2], looked[-1]) if looked else ():
        found += [form for form in _formats_for(text) if form not in found]
    return found


@lru_cache(1000)
def _formats_for(text: str) -> tuple[str, ...]:
    from datetime import datetime

    found = []
    if _ISO_DATE.fullmatch(text):
        found.append(ISO)
    for form in _FORMATS:
        try:
            datetime.strptime(text, form)
        except ValueError:
            continue
        found.append(form)
    return tuple(found)


def _parse(texts: Sequence[str], form: str, *, utc: bool = False) -> pd.Series:
    import pandas as pd

    try:
        return pd.to_datetime(pd.Series(list(texts), dtype=object), format=form, utc=utc, errors="coerce")
    except (ValueError, re.error) as error:
        # Of the format; values that do not fit become NaT.
        raise DataError(f"date_format '{form}' cannot be used: {error}", hint="'%d/%m/%Y', for example") from error


def _day(when: Any) -> str:
    return f"{when.day} {when:%B} {when.year}"


def _refuse_dates(good: np.ndarray, column: pd.Series, name: str, form: str | None = None) -> None:
    """Raise a DataError for the first missing value, or the first string that is not ``good``."""
    codes, _ = as_strings(column)
    bad = ~np.append(good, False)[codes]
    if not bad.any():
        return
    row = int(bad.argmax())
    is_missing = codes[row] < 0
    raise DataError(
        f"column '{name}', {row_label(column, row)}: "
        + ("the date is missing" if is_missing else f"'{column.iloc[row]}' is not a date")
        + (f" in the format {form} of the others" if form and not is_missing else "")
        + f" ({int(bad.sum()):,} such rows)",
        hint="remove these rows" if is_missing else "write dates as 2015-07-31, or set date_format='%d/%m/%Y'",
    )


_OFFSET = re.compile(r"(Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)


def _zones(texts: Sequence[str], name: str, form: ColumnFormat) -> set[str]:
    """Return the UTC offsets of dates; empty if they have none."""
    if form.date == ISO:
        found = [match[1] if (match := _ISO_DATE.fullmatch(text)) else None for text in texts]
    elif "%z" in form.date:
        found = [match[1] if (match := _OFFSET.search(text)) else None for text in texts]
    else:
        return set()
    zones = {_offset(each) if each else "" for each in found}
    if len(zones) > 1 and "" in zones:
        raise DataError(f"column '{name}' mixes dates with and without a time zone", hint="use one format")
    return zones - {""}


def _joint(zones: set[str]) -> str:
    return "UTC" if len(zones) > 1 else "".join(zones)


def _offset(zone: str) -> str:
    digits = re.sub(r"\D", "", zone).ljust(4, "0")
    return "UTC" if digits == "0000" else f"{zone[0]}{digits[:2]}:{digits[2:]}"


def _dates(column: pd.Series, name: str, form: ColumnFormat) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        dates = column
        if column.isna().any():
            _refuse_dates(np.ones(len(as_strings(column)[1]), bool), column, name)
    else:
        codes, texts = as_strings(column)
        written = form.date or date_format_of(column, name).date
        zones = _zones(texts, name, ColumnFormat("date", date=written))
        values = _parse(texts, written, utc=bool(zones))
        good = ~values.isna().to_numpy()
        # Pandas also accepts a year, or year and month, as ISO 8601.
        if written == ISO:
            good &= np.array([bool(_ISO_DATE.fullmatch(text)) for text in texts], bool)
        _refuse_dates(good, column, name, None if written == ISO else written)
        dates = values.iloc[codes].set_axis(column.index)
    if getattr(dates.dt, "tz", None) is not None:
        if not form.zone:
            raise DataError(
                f"column '{name}' has dates with a time zone, but the training rows have none",
                hint="use one format",
            )
        try:
            dates = dates.dt.tz_convert(_zone_of(form.zone)).dt.tz_localize(None)
        except (KeyError, ValueError, OSError) as error:
            # The run may be from another system, or damaged.
            raise DataError(f"column '{name}': unknown time zone '{form.zone}'") from error
    return dates.rename(column.name)


def as_dates(column: pd.Series, name: str) -> pd.Series:
    """Parse values as dates without a zone; errors as in ``date_format_of``."""
    return _dates(column, name, date_format_of(column, name))


def _zone_of(name: str) -> Any:
    from datetime import timedelta, timezone

    if found := re.fullmatch(r"(?:UTC)?([+-])(\d{2}):(\d{2})", name):
        minutes = 60 * int(found[2]) + int(found[3])
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))
    return name


# --- what a column is -------------------------------------------------------------------------------------------------


def infer_kind(
    column: pd.Series, name: str, *, decimal: str = ".", thousands: str | None = None, is_target: bool = False
) -> Literal["number", "category"]:
    """Infer whether a column that was not declared holds numbers or categories.

    Args:
        column: the column in the training rows.
        name: its name.
        decimal, thousands: decimal sign and thousands separator.
        is_target: word messages for a target, which has classes and cannot be a date.

    Raises:
        DataError: strings look like numbers or dates, numbers and strings are mixed, or values are neither; the
            parameters that decide are given.
    """
    import pandas as pd

    refuse_nested(column, name)
    if pd.api.types.is_datetime64_any_dtype(column):
        raise DataError(
            f"column '{name}' holds dates",
            hint=_TARGET_OF_DATES if is_target else f"dates=['{name}'] expands them; drop=['{name}'] drops them",
        )
    if pd.api.types.is_timedelta64_dtype(column):
        raise DataError(f"column '{name}' holds durations", hint=f"convert them to numbers, or drop=['{name}']")
    if pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_numeric_dtype(column):
        return "number"
    _, texts = as_strings(column)
    values, _ = _parsed(texts, ColumnFormat("number", decimal, thousands or ""))
    bad = [text for text, value in zip(texts, values, strict=True) if np.isnan(value)]
    if not bad:
        return "number" if texts else "category"
    if len(bad) < len(texts) and {text.lower() for text in bad} <= SOFT_MISSING:
        return "number"
    _refuse_lookalikes(texts, bad, name, is_target)
    if len(bad) < len(texts):
        codes = as_strings(column)[0]
        is_bad = np.append(np.isnan(values), False)[codes]
        row, count = int(is_bad.argmax()), int((~is_bad & (codes >= 0)).sum())
        raise DataError(
            f"column '{name}' mixes numbers and strings: {row_label(column, row)} has '{column.iloc[row]}', "
            f"{count:,} other rows have numbers",
            hint="fix it, or " + ("task='classification'" if is_target else "list it under categorical"),
        )
    return "category"


def looks_like_dates(texts: Sequence[str]) -> bool:
    """Return whether strings may all be dates in one format."""
    looked = texts[:MAX_SAMPLED]
    return bool(looked) and all(_MAYBE_DATE.fullmatch(text) for text in looked) and all(map(_formats_for, looked[:10]))


_TARGET_OF_DATES = "convert the target to a number of days; or, if each date is a class: task='classification'"


def _refuse_lookalikes(texts: Sequence[str], bad: Sequence[str], name: str, is_target: bool) -> None:
    kind = "classes" if is_target else "categories"
    looked = bad[:MAX_SAMPLED]
    shown = ", ".join(f"'{text}'" for text in looked[:3])
    dates = [text for text in looked if _MAYBE_DATE.fullmatch(text)]
    if 2 * len(dates) >= len(looked) and all(_formats_for(text) for text in dates[:10]):
        raise DataError(
            f"column '{name}' looks like dates and would be {len(texts):,} {kind}: {shown}",
            hint=_TARGET_OF_DATES
            if is_target
            else f"dates=['{name}'] expands them; otherwise drop=['{name}'] or categorical=['{name}']",
        )
    numbers = [text for text in looked if any(written_number(text, *style) for style in STYLES)]
    if 2 * len(numbers) >= len(looked):
        hint = (
            _numeric_hint(numbers, name) or f"numeric=['{name}'] with decimal and thousands, or categorical=['{name}']"
        )
        raise DataError(
            f"column '{name}' looks like numbers and would be {len(texts):,} {kind}: {shown}",
            hint=hint.replace(f"categorical=['{name}']", "task='classification'") if is_target else hint,
        )
