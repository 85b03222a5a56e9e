"""Formats of columns: how numbers, dates and categories are written. Learned of the training rows and kept with them.

A column is read in the same way at every later time. Where a text could be read in two ways, or looks like a number or
a date and was not declared as one, that is an error with the parameters that decide it, not a guess.
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
    "ColumnFormat",
    "as_dates",
    "as_numbers",
    "category_format",
    "date_format_of",
    "infer_kind",
    "number_format",
    "read_column",
    "read_values",
]

SOFT_MISSING = frozenset({"-", "--", "---", ".", "..", "none", "n.a.", "n/a", "nil", "missing", "unknown", "undefined"})
"""Gaps where all other values of a column are numbers; categories elsewhere. In lower case."""

MAX_SAMPLED = 1000
"""Different values of a column that are looked at to guess what they are."""

ISO = "ISO8601"


@attrs.define(frozen=True)
class ColumnFormat:
    """Format of the values of a column.

    Attributes:
        kind: what they are.
        decimal, thousands: signs in numbers.
        written: whether numbers have currency signs, units, percent signs or parentheses.
        unit: the unit of such numbers, the same in all rows.
        gaps: further texts for a missing number, in lower case.
        form: of categories: ``text``, whole or other ``number`` (``1``, ``1.0`` and ``01`` are one) or ``truth``.
        missing: texts that stand for a gap, given by the user.
        date: strftime format, ``ISO8601``, or empty for a column that holds dates and not texts.
        zone: the time zone that dates are told in; empty for dates without one.
        several_zones: whether the training rows had more than one.
    """

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
    """The values as float64, as a categorical of texts, or as dates without a zone; gaps stay gaps but in dates.

    Raises:
        DataError: a value is not written so; its row is named.
    """
    import pandas as pd

    values = read_values(column, name, form)
    return pd.Series(values, index=column.index, name=column.name) if form.kind == "number" else values


def read_values(column: pd.Series, name: str, form: ColumnFormat) -> Any:
    """As ``read_column``, numbers as an array, which is made in a tenth of the time."""
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
    """Numbers and truth values in one form each, unless zeros in front show that they are codes, as in ``01234``."""
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
    """One way to write a category.

    >>> [_canonical(*each) for each in (("1.0", "number"), ("1.50", "number"), ("x", "number"), ("TRUE", "truth"))]
    ['1', '1.5', 'x', 'True']
    """
    if form == "truth":
        return {"true": "True", "false": "False", "1": "True", "0": "False", "1.0": "True", "0.0": "False"}.get(
            text.lower(), text
        )
    if form == "text":
        return text
    if re.fullmatch(r"[+-]?\d+(\.0*)?", text):  # not by float, which holds 15 digits
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
_STYLES = ((".", ","), (",", "."), (".", "'"), (".", " "), (",", " "))


@cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point, group = re.escape(decimal), _GROUP_SIGNS.get(thousands, re.escape(thousands))
    grouped = rf"\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{point}\d*)?|" if thousands else ""
    number = rf"(?:{grouped}\d+(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"
    return re.compile(rf"(?P<sign>[+-]?)\s*(?P<before>[^\d\s.,+()-]*\.?)\s*(?P<inner>[+-]?)(?P<number>{number})\s*"
                      rf"(?P<after>[^\d\s.,+()-][^\s()]*|)(?P<minus>-?)")  # fmt: skip


def _written_number(text: str, decimal: str, thousands: str) -> tuple[float, str] | None:
    """A number as people write it and its unit; None if it is none.

    >>> _written_number("$1,234.50", ".", ","), _written_number("(5)", ".", ","), _written_number("1.234,5 €", ",", ".")
    ((1234.5, '$'), (-5.0, ''), (1234.5, '€'))
    >>> _written_number("1,23", ".", ",") is _written_number("A12", ".", ",") is None
    True
    """
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
    """The format of a column of numbers.

    Args:
        column: of the training rows.
        name: its name.
        decimal, thousands: signs.
        written: whether numbers may have currency signs, units and so on; ``thousands`` is then the other sign by
            itself.

    Raises:
        DataError: such numbers have several units.
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
    if bad and bad <= SOFT_MISSING and len(bad) < len(texts):
        form = attrs.evolve(form, gaps=tuple(sorted(bad)))
    known = sorted({unit for unit, value in zip(units, values, strict=True) if not np.isnan(value)})
    if len(known) > 1:
        shown = " and ".join(f"'{unit}'" if unit else "no unit" for unit in known[:3])
        raise DataError(
            f"column '{name}' has numbers with {shown}", hint="write all of them with one unit, or as categorical"
        )
    return attrs.evolve(form, unit=known[0] if known else "")


def _parsed(texts: Sequence[str], form: ColumnFormat) -> tuple[np.ndarray, list[str]]:
    """Different texts as numbers, NaN where they are none, and their units."""
    if form.is_plain:
        return plain_numbers(texts), [""] * len(texts)
    found = [_written_number(text, form.decimal, form.thousands) for text in texts]
    if not form.written:  # signs of separation alone
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
            hint=f"dates=['{name}'] takes dates apart; write durations as numbers",
        )
    else:
        codes, texts = as_strings(column)
        values, units = _parsed(texts, form)
        is_gap = np.array([text.lower() in form.gaps for text in texts], bool)
        wrong = np.array([unit != form.unit for unit in units], bool) & ~np.isnan(values)
        bad = np.append((np.isnan(values) | wrong) & ~is_gap, False)[codes]
        numbers = np.append(values, np.nan)[codes]
        if bad.any():
            row = int(bad.argmax())
            said = str(column.iloc[row])
            raise DataError(
                f"column '{name}', {row_label(column, row)}: '{said}' is no number"
                + (f" in {form.unit}" if form.unit else "")
                + f" ({int(bad.sum()):,} such rows)",
                hint=_numeric_hint([said.strip()], name, form) or "mend the column, or name it under categorical",
            )
    _refuse_large(numbers, column, name)
    return numbers


def as_numbers(column: pd.Series | np.ndarray, name: str) -> np.ndarray:
    """The values (N,) as float64, NaN where there is a gap; numbers as Python writes them. Arrays were read already.

    Raises:
        DataError: a value is no number, infinite, or beyond float32; its row is named.
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
                hint="mend the column, or leave such values empty",
            )


def _numeric_hint(texts: Sequence[str], name: str, form: ColumnFormat | None = None) -> str | None:
    """The parameters with which texts would be numbers; None if there are none."""
    styles = [style for style in _STYLES if all(_written_number(text, *style) for text in texts)]
    if form is not None and not form.is_plain:
        styles = [style for style in styles if style != (form.decimal, form.thousands)]
        if form.thousands and not styles:
            return None
    if not styles:
        return None
    units = {found[1] for text in texts if (found := _written_number(text, *styles[0]))}
    lines = []
    for decimal, thousands in styles:
        separators = "" if decimal == "." and (thousands == "," or units) else f", decimal='{decimal}'"
        separators += "" if (decimal, thousands) in ((".", ","), (",", ".")) else f", thousands='{thousands}'"
        values = _written_number(texts[0], decimal, thousands)
        line = f"numeric=['{name}']{separators}"
        lines.append(f"{line} reads '{texts[0]}' as {values[0]:.12g}" if values else line)
    return "\n".join([*_different(lines)[:3], f"or categorical=['{name}'] where it is no number"])


def _different(lines: Sequence[str]) -> list[str]:
    """Lines whose end (what is read) was not there before."""
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
    """The one format in which all dates of a column are written.

    Args:
        column: of the training rows.
        name: its name.
        given: a strftime format, which decides.
        dayfirst: whether ``05/12/2024`` is in December; None asks where no date of the column shows it.

    Raises:
        DataError: a value is no date, there is a gap, there are several formats, or one cannot tell day from month.
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
        fitting = [form for form in fitting if _day_first(form) in (None, dayfirst)]
        if not fitting:
            raise DataError(
                f"column '{name}': its dates are written {other}, and dayfirst={dayfirst}",
                hint=f"date_format={{'{name}': '{other}'}}",
            )
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
        why = "can be read in several ways" if len(forms) > 1 else "has a year of two digits"
        short = "\nor, for all columns: dayfirst=True or False" if len(forms) > 1 and not two_digits else ""
        raise DataError(f"column '{name}': '{example}' {why}", hint=readings + short)
    return forms[0]


def _day_first(form: str) -> bool | None:
    """Return whether the day stands before the month; None where they cannot be mistaken."""
    if form == ISO or form.startswith("%Y") or "%d" not in form or "%m" not in form:
        return None
    return form.index("%d") < form.index("%m")


def _candidates(texts: Sequence[str]) -> list[str]:
    """Formats in which one of the first texts is written."""
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
    except (ValueError, re.error) as error:  # of the format; values that do not fit become NaT
        raise DataError(f"date_format '{form}' cannot be used: {error}", hint="'%d/%m/%Y', for example") from error


def _day(when: Any) -> str:
    return f"{when.day} {when:%B} {when.year}"


def _refuse_dates(good: np.ndarray, column: pd.Series, name: str, form: str | None = None) -> None:
    """Raise a DataError for the first gap, or the first text that is not ``good``."""
    codes, _ = as_strings(column)
    bad = ~np.append(good, False)[codes]
    if not bad.any():
        return
    row = int(bad.argmax())
    is_gap = codes[row] < 0
    raise DataError(
        f"column '{name}', {row_label(column, row)}: "
        + ("the date is missing" if is_gap else f"'{column.iloc[row]}' is no date")
        + (f" as the others, which are written {form}" if form and not is_gap else "")
        + f" ({int(bad.sum()):,} such rows)",
        hint="leave such rows out" if is_gap else "write dates as 2015-07-31, or give date_format, as in '%d/%m/%Y'",
    )


_OFFSET = re.compile(r"(Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)


def _zones(texts: Sequence[str], name: str, form: ColumnFormat) -> set[str]:
    """The offsets of dates; empty where they have none."""
    if form.date == ISO:
        found = [match[1] if (match := _ISO_DATE.fullmatch(text)) else None for text in texts]
    elif "%z" in form.date:
        found = [match[1] if (match := _OFFSET.search(text)) else None for text in texts]
    else:
        return set()
    zones = {_offset(each) if each else "" for each in found}
    if len(zones) > 1 and "" in zones:
        raise DataError(
            f"column '{name}' has dates with a time zone and dates without one", hint="write all of them in one way"
        )
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
        if written == ISO:  # pandas takes years and months alone for dates as well
            good &= np.array([bool(_ISO_DATE.fullmatch(text)) for text in texts], bool)
        _refuse_dates(good, column, name, None if written == ISO else written)
        dates = values.iloc[codes].set_axis(column.index)
    if getattr(dates.dt, "tz", None) is not None:
        if not form.zone:
            raise DataError(
                f"column '{name}' has dates with a time zone, and those of the training rows have none",
                hint="write all of them in one way",
            )
        try:
            dates = dates.dt.tz_convert(_zone_of(form.zone)).dt.tz_localize(None)
        except (KeyError, ValueError, OSError) as error:  # zones of other systems, and of damaged runs
            raise DataError(f"column '{name}': there is no time zone '{form.zone}' here") from error
    return dates.rename(column.name)


def as_dates(column: pd.Series, name: str) -> pd.Series:
    """The values as dates without a zone; errors as in ``date_format_of``."""
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
    """Return whether a column that nobody declared holds numbers or categories.

    Args:
        column: of the training rows.
        name: its name.
        decimal, thousands: signs in numbers.
        is_target: a target cannot be declared as a date, and is called a class and not a category.

    Raises:
        DataError: its texts look like numbers or dates, some are numbers and some are not, or its values are neither
            numbers nor texts; the parameters that decide are named.
    """
    import pandas as pd

    refuse_nested(column, name)
    if pd.api.types.is_datetime64_any_dtype(column):
        raise DataError(
            f"column '{name}' holds dates",
            hint=_TARGET_OF_DATES
            if is_target
            else f"dates=['{name}'] takes them apart; drop=['{name}'] leaves them out",
        )
    if pd.api.types.is_timedelta64_dtype(column):
        raise DataError(f"column '{name}' holds durations", hint=f"write them as numbers, or drop=['{name}']")
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
            f"column '{name}' mixes numbers and texts: {row_label(column, row)} says '{column.iloc[row]}', "
            f"{count:,} other rows have numbers",
            hint="mend the column, or " + ("task='classification'" if is_target else "name it under categorical"),
        )
    return "category"


_TARGET_OF_DATES = "write the target as a number of days; or, if each date is a class: task='classification'"


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
            else f"dates=['{name}'] takes them apart; drop=['{name}'] or categorical=['{name}'] does not",
        )
    numbers = [text for text in looked if any(_written_number(text, *style) for style in _STYLES)]
    if 2 * len(numbers) >= len(looked):
        hint = (
            _numeric_hint(numbers, name) or f"numeric=['{name}'] with decimal and thousands, or categorical=['{name}']"
        )
        raise DataError(
            f"column '{name}' looks like numbers and would be {len(texts):,} {kind}: {shown}",
            hint=hint.replace(f"categorical=['{name}']", "task='classification'") if is_target else hint,
        )
