"""Preprocessing of rows: processors that are fitted on the training rows alone and stored as JSON.

Each processor transforms columns; what it learned from the training rows are its attributes. A ``Preparation`` is a
sequence of processors and the transformation of the target. The order is fixed: dates are expanded, those of
``table(processors=…)`` transform columns in their order, missing values are filled, categories coded, numbers scaled.
The registry ``processors`` holds those that a table can name; a plugin adds its own with the hook ``lab_processors``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import attrs
import numpy as np

from lab.errors import DataError, ParameterError
from lab_tabular.columns import (
    MAX_FLOAT32,
    Columns,
    as_strings,
    require_columns,
    row_label,
    with_columns,
    with_string_names,
)
from lab_tabular.formats import ColumnFormat, as_dates, as_numbers, read_column, read_values

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MISSING",
    "UNKNOWN",
    "Categorify",
    "Clip",
    "DateParts",
    "FillMissing",
    "LogScale",
    "Normalize",
    "Preparation",
    "Prepared",
    "Processor",
    "Roles",
    "TargetColumn",
]

UNKNOWN, MISSING = 0, 1
"""Codes of a category that is not in the training rows, and of a missing value."""

FIRST_CODE = 2


@attrs.define
class Roles:
    """Roles of the columns; processors change them.

    Attributes:
        categorical, continuous, dates: names of columns, in the order in which a model sees them.
    """

    categorical: list[str]
    continuous: list[str]
    dates: list[str] = attrs.field(factory=list)


class Processor:
    """Base class of the processors that ``table(processors=…)`` takes: an attrs class whose attributes are plain JSON.

    What ``fit`` learns becomes attributes, which are stored with every run, so that ``lab predict`` transforms other
    rows alike; for that, a plugin must register the class::

        @attrs.define
        class Logarithm(Processor):
            columns: list[str]

            def fit(self, frame, roles):
                pass

            def transform(self, frame):
                return with_columns(frame, {name: np.log(as_numbers(frame[name], name)) for name in self.columns})
    """

    def fit(self, frame: Columns, roles: Roles) -> None:
        """Learn from the training rows: column → values. ``roles`` are to be changed if columns come or go."""
        raise NotImplementedError

    def transform(self, frame: Columns) -> Any:
        """Return the columns of the training rows or of others, transformed; the given ones must not be changed."""
        raise NotImplementedError


@attrs.define
class DateParts:
    """Expansion of dates into categories that repeat, and the number of days that have passed.

    A column ``day`` becomes ``day_year, day_month, day_week, day_day, day_day_of_week, day_day_of_year,
    day_is_month_start, day_is_month_end, day_is_quarter_start, day_is_quarter_end, day_is_year_start,
    day_is_year_end`` as categories and ``day_elapsed`` (days since 1970) as a number; fast.ai's ``add_datepart``.

    Attributes:
        columns: names of the dates.
    """

    kind: ClassVar[str] = "date_parts"
    CATEGORIES: ClassVar[tuple[str, ...]] = (
        *("year", "month", "week", "day", "day_of_week", "day_of_year"),
        *(f"is_{period}_{edge}" for period in ("month", "quarter", "year") for edge in ("start", "end")),
    )

    columns: list[str]

    def fit(self, frame: Columns, roles: Roles) -> None:
        """Replace the dates by their parts in ``roles``; nothing is learned."""
        for name in self.columns:
            _refuse_clash([f"{name}_{part}" for part in (*self.CATEGORIES, "elapsed")], frame, f"the date '{name}'")
            roles.categorical += [f"{name}_{part}" for part in self.CATEGORIES]
            roles.continuous.append(f"{name}_elapsed")
        roles.dates.clear()

    def transform(self, frame: Columns) -> Any:
        """Return the frame with the parts of every date."""
        parts: dict[str, Any] = {}
        for name in self.columns:
            dates = as_dates(frame[name], name).dt
            for part in self.CATEGORIES:
                values = dates.isocalendar().week if part == "week" else getattr(dates, part)
                parts[f"{name}_{part}"] = values
            parts[f"{name}_elapsed"] = (dates.normalize() - _epoch()).dt.days.astype(float)
        return with_columns(frame, parts, drop=self.columns)


@attrs.define
class FillMissing:
    """Imputation of missing numbers, with an indicator category.

    A column with missing values in the training rows gets a category ``{column}_missing``. Values that are missing in
    later rows only are filled but not marked, since the model has never seen the mark.

    Attributes:
        how: ``median`` or ``mean`` of the training rows, or ``zero``.
        indicators: mark missing values.
        values: column → fill value.
        marked: columns with an indicator.
    """

    kind: ClassVar[str] = "fill_missing"

    how: Literal["median", "mean", "zero"] = "median"
    indicators: bool = True
    values: dict[str, float] = attrs.field(factory=dict)
    marked: list[str] = attrs.field(factory=list)

    def fit(self, frame: Columns, roles: Roles) -> None:
        """Learn the fill value of each column."""
        for name in roles.continuous:
            numbers = as_numbers(frame[name], name)
            known = numbers[~np.isnan(numbers)]
            if not len(known):
                raise DataError(f"column '{name}' has no value in the training rows", hint="drop the column")
            self.values[name] = 0.0 if self.how == "zero" else float(getattr(np, self.how)(known))
            if self.indicators and len(known) < len(numbers):
                self.marked.append(name)
        # Booleans, which Categorify codes like any other category.
        marks = [f"{name}_missing" for name in self.marked]
        _refuse_clash(marks, frame, "the missing_indicators")
        roles.categorical += marks

    def transform(self, frame: Columns) -> Any:
        """Return the frame with missing numbers filled."""
        filled: dict[str, Any] = {}
        for name, value in self.values.items():
            numbers = as_numbers(frame[name], name)
            is_missing = np.isnan(numbers)
            filled[name] = np.where(is_missing, value, numbers)
            if name in self.marked:
                filled[f"{name}_missing"] = is_missing
        return with_columns(frame, filled)


@attrs.define
class Categorify:
    """Coding of categories: 0 for unknown, 1 for missing, then the categories of the training rows.

    Attributes:
        min_count: categories with fewer training rows are unknown.
        categories: column → its categories, the first with code 2; numbers in numeric order, then strings.
    """

    kind: ClassVar[str] = "categorify"

    min_count: int = 1
    categories: dict[str, list[str]] = attrs.field(factory=dict)

    def fit(self, frame: Columns, roles: Roles) -> None:
        """Learn the categories."""
        for name in roles.categorical:
            codes, texts = as_strings(frame[name])
            counts = np.bincount(codes[codes >= 0], minlength=len(texts))
            self.categories[name] = sorted(
                (text for text, count in zip(texts, counts, strict=True) if count >= self.min_count), key=_in_order
            )

    def transform(self, frame: Columns) -> Any:
        """Return the frame with categories replaced by codes."""
        coded: dict[str, Any] = {}
        for name, categories in self.categories.items():
            codes, texts = as_strings(frame[name])
            numbers = {text: number for number, text in enumerate(categories, FIRST_CODE)}
            # Indexing with -1, the code of a missing value, picks the last entry.
            table = np.array([*(numbers.get(text, UNKNOWN) for text in texts), MISSING], np.int64)
            coded[name] = table[codes]
        return with_columns(frame, coded)

    @property
    def sizes(self) -> dict[str, int]:
        """Return the number of codes of each column."""
        return {name: len(categories) + FIRST_CODE for name, categories in self.categories.items()}


@attrs.define
class Normalize:
    """Scaling of numbers. A column that is constant in the training rows becomes 0.

    Attributes:
        how: ``standard`` (mean 0, standard deviation 1) or ``quantile`` (the normal score of the rank, as in Gorishniy
            et al. 2022, which is robust to outliers).
        values: column → mean and standard deviation, or quantiles at equal steps of rank.
    """

    kind: ClassVar[str] = "normalize"
    STEPS: ClassVar[int] = 1000
    # The normal score of rank 1e-7.
    FARTHEST: ClassVar[float] = 5.2

    how: Literal["standard", "quantile"] = "standard"
    values: dict[str, list[float]] = attrs.field(factory=dict)

    def fit(self, frame: Columns, roles: Roles) -> None:
        """Learn the scale of each column."""
        for name in roles.continuous:
            numbers = np.asarray(frame[name], float)
            if self.how == "standard":
                self.values[name] = [float(numbers.mean()), float(numbers.std())]
            else:
                self.values[name] = np.quantile(numbers, np.linspace(0, 1, self.STEPS + 1)).tolist()

    def transform(self, frame: Columns) -> Any:
        """Return the frame with scaled numbers."""
        scale = self._standard if self.how == "standard" else self._quantile
        scaled = {name: scale(np.asarray(frame[name], float), np.array(values)) for name, values in self.values.items()}
        return with_columns(frame, scaled)

    @staticmethod
    def _standard(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
        mean, deviation = values
        # Rounding leaves a tiny deviation in a constant column, and dividing by it would blow up later rows.
        is_constant = deviation <= 1e-9 * max(abs(mean), 1e-30)
        return np.zeros_like(numbers) if is_constant else (numbers - mean) / deviation

    def _quantile(self, numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the normal score of the rank; ranks from below and above are averaged, so that ties are centered."""
        from scipy.special import ndtri

        if values[0] == values[-1]:
            return np.zeros_like(numbers)
        ranks = np.linspace(0, 1, len(values))
        below, above = np.interp(numbers, values, ranks), np.interp(-numbers, -values[::-1], ranks)
        return np.clip(ndtri((below + 1 - above) / 2), -self.FARTHEST, self.FARTHEST)


def _refuse_clash(names: Sequence[str], frame: Columns, what: str) -> None:
    there = set(frame)
    clash = next((name for name in names if name in there), None)
    if clash is not None:
        raise DataError(
            f"column '{clash}' exists already, and {what} would add another",
            hint=f"rename the column, or drop=['{clash}']",
        )


@attrs.define
class Clip(Processor):
    """Numbers that are cut off at quantiles of the training rows: winsorizing, against outliers.

    Attributes:
        columns: names of continuous columns; empty for all.
        low, high: quantiles, 0 ≤ low < high ≤ 1.
        limits: column → lowest and highest value, learned from the training rows.
    """

    columns: list[str] = attrs.field(factory=list)
    low: float = 0.01
    high: float = 0.99
    limits: dict[str, list[float]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ParameterError(
                f"low={self.low}, high={self.high}", where="processor 'clip'", hint="0 ≤ low < high ≤ 1"
            )

    def fit(self, frame: Columns, roles: Roles) -> None:
        """Learn the limits."""
        for name in self.columns or roles.continuous:
            _require_continuous(name, roles, "clip")
            numbers = as_numbers(frame[name], name)
            known = numbers[~np.isnan(numbers)]
            if len(known):
                self.limits[name] = np.quantile(known, [self.low, self.high]).tolist()

    def transform(self, frame: Columns) -> Any:
        """Return the frame with numbers cut off; missing ones stay missing."""
        cut = {name: np.clip(as_numbers(frame[name], name), *limits) for name, limits in self.limits.items()}
        return with_columns(frame, cut)


@attrs.define
class LogScale(Processor):
    """Logarithm of 1 + x of numbers that are never negative, such as prices and counts.

    Attributes:
        columns: names of continuous columns.
    """

    columns: list[str]

    def fit(self, frame: Columns, roles: Roles) -> None:
        """Check that the columns are numbers."""
        for name in self.columns:
            _require_continuous(name, roles, "log_scale")

    def transform(self, frame: Columns) -> Any:
        """Return the frame with logarithms.

        Raises:
            DataError: a number is negative; its row is given, from 0.
        """
        found = {}
        for name in self.columns:
            numbers = as_numbers(frame[name], name)
            if (numbers < 0).any():
                row = int((numbers < 0).argmax())
                raise DataError(
                    f"column '{name}', row {row} of those given: {numbers[row]:g} has no logarithm",
                    hint="the processor 'clip' before this one, or another column",
                )
            found[name] = np.log1p(numbers)
        return with_columns(frame, found)


def _require_continuous(name: str, roles: Roles, processor: str) -> None:
    if name not in roles.continuous:
        raise DataError(
            f"processor '{processor}': column '{name}' is not continuous",
            hint=f"continuous columns: {', '.join(roles.continuous) or 'none'}",
        )


AnyProcessor = DateParts | FillMissing | Categorify | Normalize | Processor

_KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (DateParts, FillMissing, Categorify, Normalize)}


@attrs.define
class TargetColumn:
    """Target of prediction, as learned from the training rows.

    Attributes:
        name: its column.
        classes: the classes by number, or None for regression.
        is_log: the model predicts the logarithm.
        mean, deviation: mean and standard deviation of what the model predicts; 0 and 1 for classes.
        low, high: its lowest and highest value.
    """

    name: str
    classes: list[str] | None = None
    is_log: bool = False
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def fitted(cls, column: pd.Series, *, is_class: bool, is_log: bool) -> TargetColumn:
        """Learn the target from the training rows.

        Raises:
            DataError: a target is missing, infinite, or not positive although its logarithm is needed, or there is only
                one class.
        """
        target = cls(str(column.name), is_log=is_log)
        if is_class:
            _, texts = as_strings(column)
            target.classes = sorted(texts, key=_in_order)
            if len(target.classes) < 2:
                raise DataError(f"target '{target.name}' has only one class", hint="at least two are needed")
            return target
        values = target.numbers(column)
        target.mean, target.deviation = float(values.mean()), float(values.std()) or 1.0
        target.low, target.high = float(values.min()), float(values.max())
        return target

    def numbers(self, column: pd.Series) -> np.ndarray:
        """Return the targets as the model sees them: class numbers (N,) int64, or values (N,) float64.

        Raises:
            DataError: a target cannot be used; its row is given.
        """
        if self.classes is not None:
            return self._class_numbers(column)
        values = as_numbers(column, self.name)
        _refuse(np.isnan(values), column, f"target '{self.name}' is missing", "remove these rows")
        if not self.is_log:
            return values
        _refuse(values <= 0, column, f"target '{self.name}' has no logarithm", "log_target=False, or remove these rows")
        return np.log(values)

    def _class_numbers(self, column: pd.Series) -> np.ndarray:
        codes, texts = as_strings(column)
        _refuse(codes < 0, column, f"target '{self.name}' is missing", "remove these rows")
        known = {text: number for number, text in enumerate(self.classes or ())}
        numbers = np.array([known.get(text, -1) for text in texts], np.int64)[codes]
        _refuse(numbers < 0, column, f"target '{self.name}' has a class that is not in the training rows", "")
        return numbers


def _refuse(bad: np.ndarray, column: pd.Series, what: str, hint: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        said = column.iloc[row]
        raise DataError(f"{what} in {row_label(column, row)}: '{said}' ({int(bad.sum()):,} such rows)", hint=hint)


class Prepared(NamedTuple):
    """Preprocessed training rows.

    Attributes:
        read: column → parsed values, before any processor.
        codes: (N, C) int64.
        numbers: (N, D) float32.
    """

    read: dict[str, Any]
    codes: np.ndarray
    numbers: np.ndarray


@attrs.define
class Preparation:
    """Fitted preprocessing, from rows to codes and numbers.

    Attributes:
        columns: the columns that a row must have, without the target.
        roles: roles of the preprocessed columns.
        processors: the processors in order.
        target: the target.
        formats: column, the target included → its format in the training rows, which later rows must have too.
        reading: separator and encoding of the training file.
    """

    columns: list[str]
    roles: Roles
    processors: list[AnyProcessor]
    target: TargetColumn
    formats: dict[str, ColumnFormat] = attrs.field(factory=dict)
    reading: dict[str, str] = attrs.field(factory=dict)

    @classmethod
    def fitted(
        cls,
        frame: Columns,
        roles: Roles,
        processors: Sequence[AnyProcessor],
        target: TargetColumn,
        formats: Mapping[str, ColumnFormat] | None = None,
        reading: Mapping[str, str] | None = None,
    ) -> tuple[Preparation, Prepared]:
        """Fit processors on the training rows; return the preparation and these rows, preprocessed."""
        columns = [*roles.categorical, *roles.continuous, *roles.dates]
        rows = read = _read(frame, columns, formats or {})
        for processor in processors:
            processor.fit(rows, roles)
            rows = processor.transform(rows)
        fitted = cls(columns, roles, list(processors), target, dict(formats or {}), dict(reading or {}))
        return fitted, Prepared(read, *fitted._matrices(rows, frame[columns[0]]))

    def __call__(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return codes (N, C) int64 and numbers (N, D) float32 of rows.

        Raises:
            DataError: a column is missing, or a value is invalid; column and row are given.
        """
        # Rows to predict may come from a frame whose columns are numbers.
        frame = with_string_names(frame)
        require_columns(self.columns, frame)
        columns = dict(frame[self.columns].items())
        # Only the columns of training: additional ones may hold anything.
        rows = _read(columns, self.columns, self.formats)
        for processor in self.processors:
            rows = processor.transform(rows)
        return self._matrices(rows, columns[self.columns[0]])

    def _matrices(self, rows: Columns, column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and numbers; ``column`` names the rows in messages."""
        codes = _matrix(rows, self.roles.categorical, np.int64, len(column))
        # Overflow becomes infinite and is reported below with column and row.
        with np.errstate(over="ignore"):
            numbers = _matrix(rows, self.roles.continuous, np.float32, len(column))
        bad = ~np.isfinite(numbers)
        if bad.any():
            row, number = np.argwhere(bad)[0].tolist()
            raise DataError(
                f"column '{self.roles.continuous[number]}', {row_label(column, row)}: scaled, it is beyond the "
                f"largest float32, {MAX_FLOAT32:.2g}",
                hint="normalize='quantile', or fix the column",
            )
        return codes, numbers

    def targets(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the targets of rows; see ``TargetColumn.numbers``."""
        name = self.target.name
        column = frame[name]
        return self.target.numbers(read_column(column, name, self.formats[name]) if name in self.formats else column)

    def unknown_categories(self, codes: np.ndarray) -> dict[str, tuple[int, int]]:
        """Count unknown categories: column → rows with one, and rows with any category; columns without are left out.

        Args:
            codes: (N, C) codes of rows.
        """
        found = {}
        for number, name in enumerate(self.roles.categorical):
            unseen = int((codes[:, number] == UNKNOWN).sum())
            if unseen and name in self.columns:
                found[name] = (unseen, int((codes[:, number] != MISSING).sum()))
        return found

    @property
    def min_count(self) -> int:
        """Return the number of training rows below which a category is unknown."""
        return next((each.min_count for each in self.processors if isinstance(each, Categorify)), 1)

    @property
    def categories(self) -> dict[str, list[str]]:
        """Return the categories of each column, the first with code 2."""
        for processor in self.processors:
            if isinstance(processor, Categorify):
                return processor.categories
        return {}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, from which ``from_json`` builds the same preparation."""
        return {
            "columns": self.columns,
            "roles": attrs.asdict(self.roles),
            "processors": [{"kind": _kind_of(each), **attrs.asdict(each)} for each in self.processors],
            "target": attrs.asdict(self.target),
            "formats": {name: attrs.asdict(each) for name, each in self.formats.items()},
            "reading": self.reading,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preparation:
        """Build the preparation that ``to_json`` wrote.

        Raises:
            DataError: the content is damaged.
        """
        try:
            processors = [
                _class_of(each["kind"])(**{name: value for name, value in each.items() if name != "kind"})
                for each in content["processors"]
            ]
            found = cls(
                list(content["columns"]),
                Roles(**content["roles"]),
                processors,
                TargetColumn(**content["target"]),
                {name: ColumnFormat(**each) for name, each in content.get("formats", {}).items()},
                dict(content.get("reading", {})),
            )
            _check_types(found)
            return found
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError("this is not the preparation of a table", where=str(error)) from error


def _kind_of(processor: AnyProcessor) -> str:
    """Return the name by which a stored processor is found again: for those of the registry, module and class."""
    if isinstance(processor, Processor):
        return f"{type(processor).__module__}:{type(processor).__qualname__}"
    return processor.kind


def _class_of(kind: str) -> type[Any]:
    """Return the class of a stored processor: one that every table has, or one of the registry.

    Raises:
        KeyError: no plugin has it.
    """
    if kind in _KINDS:
        return _KINDS[kind]
    from lab.registry.plugins import load_catalog

    # Only what a plugin registers is built: the file may be from elsewhere.
    for entry in load_catalog(warn=lambda message: None).registries["processors"].entries():
        found = entry.load()
        if isinstance(found, type) and f"{found.__module__}:{found.__qualname__}" == kind:
            return found
    raise KeyError(f"no plugin has the processor '{kind}'")


def _check_types(preparation: Preparation) -> None:
    """Raise a TypeError unless every value has its type: the file may be damaged, or from elsewhere."""
    roles, target, reading = preparation.roles, preparation.target, preparation.reading
    for values in (preparation.columns, roles.categorical, roles.continuous, roles.dates, [target.name]):
        _check_all(values, str)
    _check_all(target.classes or [], str)
    _check_all([target.mean, target.deviation, target.low, target.high], (int, float))
    _check_all(list(reading.values()), str)
    there = set(preparation.columns)
    for each in preparation.processors:
        there = _check_processor(each, there)
    asked = {*roles.categorical, *roles.continuous}
    if not there or not asked <= there or not reading.keys() <= {"separator", "encoding"}:
        raise TypeError("columns are missing, or options of the file are unknown")
    filled = {name for each in preparation.processors if isinstance(each, FillMissing) for name in each.values}
    if not (set(roles.categorical) <= set(preparation.categories) and set(roles.continuous) <= filled):
        raise TypeError("the categories or the fill value of a column are missing")


def _check_processor(each: AnyProcessor, there: set[str]) -> set[str]:
    """Return the columns after a processor, given those before it."""
    if isinstance(each, DateParts):
        _check_all(each.columns, str)
        used = set(each.columns)
        new = {f"{name}_{part}" for name in each.columns for part in (*each.CATEGORIES, "elapsed")}
    elif isinstance(each, FillMissing):
        _check_all(list(each.values.values()), (int, float))
        _check_all(each.marked, str)
        used, new = {*each.values, *each.marked}, {f"{name}_missing" for name in each.marked}
    elif isinstance(each, Categorify):
        _check_all([each.min_count], int)
        for known in each.categories.values():
            _check_all(known, str)
        used, new = set(each.categories), set()
    elif isinstance(each, Processor):
        return there
    else:
        for numbers in each.values.values():
            _check_all(numbers, (int, float))
            if len(numbers) < 2 or (each.how == "standard") != (len(numbers) == 2):
                raise TypeError("a scale has too few or too many numbers")
        used, new = set(each.values), set()
    if not used <= there:
        raise TypeError(f"there is no column {min(used - there)!r}")
    return (there - used if isinstance(each, DateParts) else there) | new


def _check_all(values: Any, kind: Any) -> None:
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise TypeError(f"{values!r:.80} is not a list of {'strings' if kind is str else 'numbers'}")


def _read(frame: Columns, columns: Sequence[str], formats: Mapping[str, ColumnFormat]) -> dict[str, Any]:
    """Return columns with parsed values; numbers as arrays."""
    return {name: read_values(frame[name], name, formats[name]) if name in formats else frame[name] for name in columns}


def _matrix(rows: Columns, columns: Sequence[str], kind: Any, count: int) -> np.ndarray:
    """Return columns as a matrix (N, C) in its own memory, which torch may share."""
    matrix = np.empty((count, len(columns)), kind)
    for number, name in enumerate(columns):
        matrix[:, number] = np.asarray(rows[name])
    return matrix


def _in_order(text: str) -> tuple[int, float, str]:
    """Sort key: numbers in numeric order, then strings.

    >>> sorted(["10", "b", "9", "a"], key=_in_order)
    ['9', '10', 'a', 'b']
    """
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def _epoch() -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp("1970-01-01")
