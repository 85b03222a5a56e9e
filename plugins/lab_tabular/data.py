"""Tabular data: rows of categories and numbers as tensors that are built once and indexed by batch."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs
import numpy as np
import torch
from lab_basics.notes import log_notes
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab_tabular.columns import as_strings, require_columns, with_string_names, without
from lab_tabular.detection import detect_formats, detect_reading, shown
from lab_tabular.formats import (
    ColumnFormat,
    category_format,
    date_format_of,
    infer_kind,
    number_format,
    read_column,
)
from lab_tabular.processors import (
    Categorify,
    DateParts,
    FillMissing,
    Normalize,
    Preparation,
    Processor,
    Roles,
    TargetColumn,
)
from lab_tabular.reading import read_table
from lab_tabular.remarks import describe_roles, describe_unknown, remarks_on, remarks_on_codes
from lab_tabular.splits import check_split, validation_mask

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rows", "TableBatch", "TableData", "kept_data", "table", "table_of_frame", "table_of_parts"]

Task = Literal["classification", "regression"]
Fill = Literal["median", "mean", "zero"]
Scale = Literal["standard", "quantile"]

MAX_INFERRED_CLASSES = 10
CHUNK = 1024


class TableBatch(NamedTuple):
    """A batch of rows.

    Attributes:
        categorical: (B, C) long codes; 0 is an unknown category and 1 a missing value.
        continuous: (B, D) float, scaled.
        target: (B,) class numbers or values.
    """

    categorical: Tensor
    continuous: Tensor
    target: Tensor


class Rows:
    """Dataset of three tensors of one length; a batch indexes each once."""

    def __init__(self, categorical: Tensor, continuous: Tensor, target: Tensor) -> None:
        self.categorical, self.continuous, self.target = categorical, continuous, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> TableBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> TableBatch:
        chosen = torch.as_tensor(indices)
        return TableBatch(*(part.index_select(0, chosen) for part in (self.categorical, self.continuous, self.target)))

    def __add__(self, other: Rows) -> Rows:
        """Return the rows of both."""
        names = ("categorical", "continuous", "target")
        return Rows(*(torch.cat([getattr(self, name), getattr(other, name)]) for name in names))


@attrs.define(eq=False, kw_only=True)
class TableData(Data):
    """Table with its fitted preprocessing.

    Attributes:
        category_sizes: number of codes of each categorical column, unknown and missing included.
        continuous_count: number of continuous columns.
        output_size: number of classes, or 1 for regression.
        target_mean, target_deviation: mean and standard deviation of the training target as the model sees it; 0 and 1
            for classes.
        target_range: lowest and highest training target, likewise.
        target_is_log: the model predicts the logarithm of the target.
        class_names: names of the classes by number; empty for regression.
        category_names, continuous_names: the columns after preprocessing.
        preparation: the preprocessing, from a frame to codes and numbers.
        category_places: column → category → its position on a map, if known.
    """

    category_sizes: tuple[int, ...]
    continuous_count: int
    output_size: int
    target_mean: float
    target_deviation: float
    target_range: tuple[float, float]
    target_is_log: bool
    class_names: tuple[str, ...]
    category_names: tuple[str, ...]
    continuous_names: tuple[str, ...]
    preparation: Preparation
    category_places: dict[str, dict[str, tuple[float, float]]] = attrs.field(factory=dict)

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return ``targets``, the class number of each row, unless the target is a number."""
        return {"targets": split.target} if self.class_names else {}

    def batch_table(self, batch: TableBatch, count: int) -> list[list[str]]:
        """Return the first rows of a batch after preprocessing, for ``lab sheet`` and ``learner.show_batch()``."""
        known = [["(unknown)", "(missing)", *self.preparation.categories[name]] for name in self.category_names]
        rows = []
        for codes, numbers, target in zip(*(part[:count].tolist() for part in batch), strict=True):
            categories = [names[code] for names, code in zip(known, codes, strict=True)]
            predicted = self.class_names[int(target)] if self.class_names else f"{target:.4g}"
            rows.append([*categories, *(f"{number:.3f}" for number in numbers), predicted])
        return [[*self.category_names, *self.continuous_names, self.preparation.target.name], *rows]

    def predict(self, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Predict the rows of a pandas frame, see ``predict_frame``, or of tensors as they are."""
        from pandas import DataFrame

        if len(inputs) == 1 and isinstance(inputs[0], DataFrame):
            return self.predict_frame(apply, inputs[0])
        return super().predict(apply, *inputs)

    def predict_frame(self, apply: Callable[..., Tensor], frame: pd.DataFrame) -> pd.DataFrame:
        """Return the column ``prediction`` and, for classification, the probability of each class.

        Args:
            apply: codes (1024, C) and numbers (1024, D) to outputs.
            frame: rows with the columns of training; the target is not needed.

        Returns:
            A frame with the same index; values are on the scale of the target column.
        """
        import pandas as pd

        prepared = self.preparation(frame)
        if len(frame):
            _report_unknown(self.preparation, prepared[0])
        codes, numbers = map(torch.from_numpy, prepared)
        outputs = [_block(apply, *block) for block in zip(codes.split(CHUNK), numbers.split(CHUNK), strict=True)]
        if not outputs or not len(frame):
            raise DataError("there are no rows to predict", hint="the frame is empty")
        output = torch.cat(outputs).float().cpu()
        name = "prediction"
        if not self.class_names:
            values = output.double().exp() if self.target_is_log else output.double()
            return pd.DataFrame({name: values.numpy()}, index=frame.index)
        probabilities = output.softmax(-1).numpy()
        columns = {f"p({each})": probabilities[:, number] for number, each in enumerate(self.class_names)}
        chosen = np.array(self.class_names, object)[probabilities.argmax(1)]
        return pd.DataFrame({name: chosen, **columns}, index=frame.index)

    def to_json(self) -> dict[str, Any]:
        """Return the preprocessing as JSON, enough to predict without the data."""
        return {"preparation": self.preparation.to_json(), "fingerprint": self.fingerprint}


def _block(apply: Callable[..., Tensor], codes: Tensor, numbers: Tensor) -> Tensor:
    """Return the outputs of at most ``CHUNK`` rows, computed in a batch of exactly ``CHUNK``."""
    # The kernels of matrix products depend on the batch size and differ in the last bits: padded to one size, the
    # prediction of a row does not depend on the rows beside it.
    count = len(codes)
    rows = torch.arange(CHUNK).clamp(max=count - 1)
    return apply(codes[rows], numbers[rows])[:count]


MIN_ROWS_FOR_ERROR = 10
"""Number of rows from which on a column with only unknown categories is an error; few rows may really be new."""


def _report_unknown(preparation: Preparation, codes: np.ndarray) -> None:
    unknown = preparation.unknown_categories(codes)
    lines = [describe_unknown(name, *counts) for name, counts in unknown.items()]
    only_unknown = [name for name, (count, among) in unknown.items() if count == among >= MIN_ROWS_FOR_ERROR]
    if only_unknown and preparation.min_count <= 1:
        raise DataError(
            f"column '{only_unknown[0]}': none of its categories occurs in the training rows",
            where="the rows to predict",
            hint=_known_categories(preparation, only_unknown[0]) + "\nleave values empty that are not known",
        )
    log_notes("the rows to predict", [], lines)


def _known_categories(preparation: Preparation, name: str) -> str:
    known = preparation.categories[name]
    return f"known: {', '.join(known[:5])}{' …' if len(known) > 5 else ''}"


def kept_data(content: dict[str, Any]) -> TableData:
    """Return the data of a run from its JSON: no rows, but every fact.

    Raises:
        DataError: the content is damaged.
    """
    if not (isinstance(content, dict) and isinstance(content.get("fingerprint"), str)):
        raise DataError("this is not the preparation of a table")
    return _data(Preparation.from_json(content.get("preparation", {})), [], content["fingerprint"])


# --- the dataset ------------------------------------------------------------------------------------------------------


def table(
    path: str,
    target: str,
    *,
    task: Task | None = None,
    categorical: Sequence[str] | None = None,
    continuous: Sequence[str] | None = None,
    dates: Sequence[str] = (),
    drop: Sequence[str] = (),
    log_target: bool = False,
    fill: Fill = "median",
    missing_indicators: bool = True,
    normalize: Scale | None = "standard",
    min_count: int = 1,
    valid_share: float = 0.2,
    split_seed: int = 42,
    valid_rows: tuple[int, int] | None = None,
    valid_last: str | None = None,
    valid_column: str | None = None,
    valid_path: str | None = None,
    test_path: str | None = None,
    folds: int | None = None,
    fold: int = 0,
    max_rows: int | None = None,
    numeric: Sequence[str] = (),
    decimal: str = ".",
    thousands: str | None = None,
    dayfirst: bool | None = None,
    date_format: str | Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
    separator: str = ",",
    encoding: str = "utf-8",
    formats: Literal["declared", "detected"] = "declared",
    processors: Sequence[Processor] = (),
) -> TableData:
    """Read a table from a file, split and preprocess it.

    Everything that is learned from the data (fill values, categories, scales, formats) is learned from the training
    rows alone. A column that is constant there becomes 0; a category that is not there gets code 0. Validation rows and
    later ones are parsed with the formats of the training rows. A column that looks like numbers or dates but was not
    declared is an error that names the parameters to declare it. ``data.notes`` and the log list the role and the
    number of values of every column.

    Args:
        path: a ``.csv`` (with a header; ``.gz`` too), ``.parquet`` or ``.xlsx`` file (its first sheet).
        target: the column to predict.
        task: None chooses classification if the target is a string or has at most ten different integers, and is not
            in ``numeric``.
        categorical, continuous: names of columns; None takes the remaining columns of strings, and of numbers.
        dates: columns that are expanded into year, month, week and so on.
        drop: columns that are not used.
        log_target: predict the logarithm of the target.
        fill: fill value of missing numbers.
        missing_indicators: add a category that marks which numbers were missing.
        normalize: scaling of numbers: ``standard``, ``quantile``, or None.
        min_count: categories with fewer training rows are unknown.
        valid_share: fraction of the rows that is held out at random for validation, in (0, 1); this and the next five
            exclude each other.
        valid_rows: range of the validation rows, from 0, end excluded.
        valid_last: a column; the rows with its highest values validate, about ``valid_share`` of them. Rows with the
            same value stay together.
        valid_column: a column that is neither empty, 0 nor "false" in the validation rows.
        valid_path, test_path: files with the validation and the test rows.
        folds, fold: random folds for cross-validation, and which of them validates, from 0.
        split_seed: seed of random splits.
        max_rows: read only the first N rows.
        numeric: columns (the target may be one) of formatted numbers: ``$1,200``, ``12 %``, ``(5)``, ``3 kg``, with one
            unit per column.
        decimal, thousands: decimal sign and thousands separator of all columns, for example ``,`` and ``.``.
        dayfirst: True reads ``05/12/2024`` as a day in December; None raises an error if the column is ambiguous.
        date_format: format of all ``dates``, or of each column, for example ``%d/%m/%y``.
        missing: further values that mean a missing value, for example ``-`` or ``-999``.
        separator: column separator of a CSV file: ``,``, ``;``, ``|``, or ``tab``.
        encoding: encoding of a CSV file, for example ``cp1252`` or ``utf-16``.
        formats: ``detected`` finds ``separator``, ``encoding``, ``decimal``, ``thousands``, ``numeric``, ``dates`` and
            ``dayfirst`` as far as they are not given, and says in a note which it found. What remains ambiguous is an
            error, as it is with ``declared``.
        processors: transformations of columns, in this order, after dates are expanded and before missing values are
            filled: ``clip``, ``log_scale``, or those of a plugin.

    Raises:
        DataError: the file or a column cannot be used; column and line are given.
        ParameterError: parameters are out of range or contradict each other.
    """
    # The first statement, so that these are the parameters and nothing else.
    options = dict(locals())
    if max_rows is not None and max_rows < 1:
        raise ParameterError(f"max_rows must be at least 1, got {max_rows}", where=_WHERE)
    reading = {"separator": separator, "encoding": encoding}
    detected: dict[str, str] = {}
    if formats == "detected":
        defaults = {"separator": ",", "encoding": "utf-8"}
        found = detect_reading(Path(path))
        detected = {name: value for name, value in found.items() if reading[name] == defaults[name] != value}
        reading |= detected
    for name in ("path", "target", "valid_path", "test_path", "max_rows", *reading):
        del options[name]
    notes = (shown(detected),) if detected else ()
    frame = read_table(Path(path), **reading)
    frame = frame if max_rows is None else frame.iloc[:max_rows]
    valid, test = (read_table(Path(each), **reading) if each else None for each in (valid_path, test_path))
    return table_of_frame(frame, target, valid=valid, test=test, reading=reading, name=path, notes=notes, **options)


def table_of_frame(
    frame: pd.DataFrame,
    target: str,
    *,
    valid: pd.DataFrame | None = None,
    test: pd.DataFrame | None = None,
    reading: Mapping[str, str] | None = None,
    name: str = "the frame",
    notes: Sequence[str] = (),
    **options: Any,
) -> TableData:
    """Split and preprocess a pandas frame.

    Args:
        frame: all rows, or the training rows if ``valid`` is given.
        target: the column to predict.
        valid, test: frames with the validation and the test rows.
        reading: how the file was read: separator and encoding.
        name: the table's name in messages.
        notes: remarks on how it was read.
        options: parameters of ``table``.
    """
    chosen = _with_defaults(options)
    check_split(chosen, has_valid=valid is not None)
    frame = with_string_names(frame, name)
    require_columns([target], frame, name)
    if not len(frame):
        raise DataError("the table has no rows", where=name)
    if valid is None:
        try:
            mask, note = validation_mask(frame, chosen, name)
        except DataError as error:
            raise DataError(error.what, where=error.where or name, hint=error.hint) from error
        frame, valid, notes = frame.loc[~mask], frame.loc[mask], (*notes, *([note] if note else []))
        # It marks the split, so a model must not see it.
        if chosen.valid_column:
            options["drop"] = list(dict.fromkeys([*chosen.drop, chosen.valid_column]))
    return table_of_parts(frame, valid, test, target, reading=reading, name=name, notes=notes, **options)


def table_of_parts(
    train: pd.DataFrame,
    valid: pd.DataFrame,
    test: pd.DataFrame | None,
    target: str,
    *,
    reading: Mapping[str, str] | None = None,
    name: str = "the frame",
    notes: Sequence[str] = (),
    **options: Any,
) -> TableData:
    """Preprocess a table that is split already; ``options`` are parameters of ``table``."""
    chosen = _with_defaults(options)
    train = with_string_names(train, name)
    if chosen.formats == "detected":
        found = detect_formats(dict(train.items()), target, chosen, (reading or {}).get("separator", ""))
        chosen = SimpleNamespace(**{**vars(chosen), **found})
        notes = [*notes, *([shown(found)] if found else [])]
    writing = Writing(
        tuple(chosen.numeric),
        chosen.decimal,
        chosen.thousands,
        chosen.dayfirst,
        chosen.date_format,
        tuple(chosen.missing),
    )
    writing.check(chosen.dates)
    if chosen.min_count < 1:
        raise ParameterError(f"min_count must be at least 1, got {chosen.min_count}", where=_WHERE)
    valid = with_string_names(valid, name)
    test = None if test is None else with_string_names(test, name)
    wanted = [target, *(chosen.categorical or ()), *(chosen.continuous or ()), *chosen.dates, *chosen.numeric]
    for part in (train, valid, *([] if test is None else [test])):
        require_columns(wanted, part, name)
    require_columns(chosen.drop, train, name)
    for label, part in (("train", train), ("valid", valid), ("test", test)):
        if part is not None and not len(part):
            raise DataError(f"the split '{label}' has no rows", where=name)
    try:
        columns = dict(train.items())
        roles = _roles(columns, target, chosen, writing)
        is_class = _is_class(columns[target], target, chosen, writing)
        formats = _formats(columns, roles, target, is_class, writing)
        values = read_column(columns[target], target, formats[target])
        fitted_target = TargetColumn.fitted(values, is_class=is_class, is_log=chosen.log_target)
        processors = [
            *([DateParts(list(chosen.dates))] if chosen.dates else []),
            # Copies, so that a processor that is given twice is not fitted twice.
            *(copy.deepcopy(each) for each in chosen.processors),
            FillMissing(chosen.fill, chosen.missing_indicators),
            Categorify(chosen.min_count),
            *([Normalize(chosen.normalize)] if chosen.normalize else []),
        ]
        raw = Roles(list(roles.categorical), list(roles.continuous), list(roles.dates))
        preparation, prepared = Preparation.fitted(columns, roles, processors, fitted_target, formats, reading)
        splits = [_tensors(preparation, prepared.codes, prepared.numbers, fitted_target.numbers(values))]
        splits += [_rows(part, preparation) for part in (valid, test) if part is not None]
        notes = [*notes, *describe_roles(columns, raw, preparation)]
        remarks = [
            *remarks_on(prepared.read, len(train), raw, preparation),
            *remarks_on_codes({name: columns[name] for name in raw.continuous}),
        ]
        _check_unknown(preparation, splits[1:], notes, remarks)
    except DataError as error:
        raise DataError(error.what, where=error.where or name, hint=error.hint) from error
    log_notes(name, notes, remarks)
    return attrs.evolve(_data(preparation, splits, _fingerprint(preparation, splits)), notes=(*notes, *remarks))


def _with_defaults(options: Mapping[str, Any]) -> SimpleNamespace:
    """Return options with the defaults of ``table``, whose signature is the only list of them."""
    parameters = inspect.signature(table).parameters
    unknown = [name for name in options if name not in parameters]
    if unknown:
        raise TypeError(f"table has no parameter '{unknown[0]}'")
    defaults = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
    return SimpleNamespace(**{**defaults, **options})


_WHERE = "dataset 'table'"


@attrs.frozen
class Writing:
    """Formats of values that the user declared; parameters of ``table``."""

    numeric: tuple[str, ...]
    decimal: str
    thousands: str | None
    dayfirst: bool | None
    date_format: str | Mapping[str, str] | None
    missing: tuple[str, ...]

    def check(self, dates: Sequence[str]) -> None:
        """Raise a ParameterError for values out of range."""
        if self.decimal not in (".", ","):
            raise ParameterError(f"decimal='{self.decimal}'", where=_WHERE, hint="'.' or ','")
        if self.thousands not in (None, "", ".", ",", " ", "'") or self.thousands == self.decimal:
            raise ParameterError(
                f"thousands='{self.thousands}' with decimal='{self.decimal}'",
                where=_WHERE,
                hint="one of . , ' and a space, other than decimal",
            )
        if isinstance(self.date_format, Mapping):
            unknown = [name for name in self.date_format if name not in dates]
            if unknown:
                raise ParameterError(
                    f"date_format names '{unknown[0]}', which is not in dates",
                    where=_WHERE,
                    hint=f"dates=['{unknown[0]}']",
                )

    def date_format_of(self, name: str) -> str | None:
        """Return the format that was declared for a column."""
        return self.date_format.get(name) if isinstance(self.date_format, Mapping) else self.date_format

    def kind(self, column: pd.Series, name: str, *, is_target: bool = False) -> str:
        """Return ``number`` or ``category``; see ``infer_kind``."""
        if name in self.numeric:
            return "number"
        column = without(column, self.missing)
        return infer_kind(column, name, decimal=self.decimal, thousands=self.thousands, is_target=is_target)

    def of_numbers(self, column: pd.Series, name: str) -> ColumnFormat:
        """Return the format of a numeric column."""
        form = number_format(
            without(column, self.missing),
            name,
            decimal=self.decimal,
            thousands=self.thousands,
            written=name in self.numeric,
        )
        return attrs.evolve(form, missing=self.missing)

    def of_categories(self, column: pd.Series) -> ColumnFormat:
        """Return the format of a categorical column."""
        return attrs.evolve(category_format(without(column, self.missing)), missing=self.missing)

    def of_dates(self, column: pd.Series, name: str) -> ColumnFormat:
        """Return the format of a column of dates."""
        given = self.date_format_of(name)
        form = date_format_of(without(column, self.missing), name, given=given, dayfirst=self.dayfirst)
        return attrs.evolve(form, missing=self.missing)


def _formats(
    train: Mapping[str, pd.Series], roles: Roles, target: str, is_class: bool, writing: Writing
) -> dict[str, ColumnFormat]:
    formats = {name: writing.of_categories(train[name]) for name in roles.categorical}
    formats |= {name: writing.of_numbers(train[name], name) for name in roles.continuous}
    formats |= {name: writing.of_dates(train[name], name) for name in roles.dates}
    as_class = writing.of_categories(train[target]) if is_class else writing.of_numbers(train[target], target)
    return {**formats, target: as_class}


MIN_UNKNOWN_TO_WARN = 0.05
"""Fraction of unknown categories from which on a note becomes a warning."""


def _check_unknown(preparation: Preparation, splits: Sequence[Rows], notes: list[str], remarks: list[str]) -> None:
    """Report categories that only later splits have; raise if a column of a split has no other."""
    for label, rows in zip(("valid", "test"), splits, strict=False):
        for name, (count, among) in preparation.unknown_categories(rows.categorical.numpy()).items():
            if count == among and preparation.min_count <= 1:
                raise DataError(
                    f"column '{name}': no category of the split '{label}' occurs in the training rows",
                    hint=f"{_known_categories(preparation, name)}\ndrop=['{name}'] if they differ on purpose",
                )
            lines = notes if count < MIN_UNKNOWN_TO_WARN * among else remarks
            lines.append(f"{label}: {describe_unknown(name, count, among)}")


def _data(preparation: Preparation, splits: Sequence[Rows], fingerprint: str) -> TableData:
    target = preparation.target
    sizes = {name: len(each) + 2 for name, each in preparation.categories.items()}
    train, valid, test = [*splits, None, None, None][:3]
    return TableData(
        train=train,
        valid=valid,
        test=test,
        collate=_as_it_is,
        fingerprint=fingerprint,
        category_sizes=tuple(sizes[name] for name in preparation.roles.categorical),
        continuous_count=len(preparation.roles.continuous),
        output_size=len(target.classes) if target.classes else 1,
        target_mean=target.mean,
        target_deviation=target.deviation,
        target_range=(target.low, target.high),
        target_is_log=target.is_log,
        class_names=tuple(target.classes or ()),
        category_names=tuple(preparation.roles.categorical),
        continuous_names=tuple(preparation.roles.continuous),
        preparation=preparation,
    )


def _rows(frame: pd.DataFrame, preparation: Preparation) -> Rows:
    return _tensors(preparation, *preparation(frame), preparation.targets(frame))


def _tensors(preparation: Preparation, codes: np.ndarray, numbers: np.ndarray, target: np.ndarray) -> Rows:
    values = target if preparation.target.classes else target.astype(np.float32, copy=True)
    return Rows(*map(torch.from_numpy, (codes, numbers, values)))


def _roles(columns: Mapping[str, pd.Series], target: str, options: SimpleNamespace, writing: Writing) -> Roles:
    """Return the role of every column, inferred for those that the user did not name."""
    categorical, continuous, dates = options.categorical, options.continuous, options.dates
    declared = [name for name in writing.numeric if name != target and name not in (continuous or ())]
    named = [*(categorical or ()), *(continuous or ()), *declared, *dates]
    if target in named:
        raise DataError(f"the target '{target}' cannot be an input as well")
    if target in options.drop:
        raise DataError(f"the target '{target}' cannot be dropped")
    twice = [name for name, count in Counter(named).items() if count > 1]
    if twice:
        raise ParameterError(f"column '{twice[0]}' has two roles", where=_WHERE, hint="one role per column")
    known = {*named, *options.drop, target}
    rest = [name for name in columns if name not in known]
    if categorical is not None and continuous is not None:
        rest = []
    unnamed = [name for name in rest if name.startswith("Unnamed: ")]
    if unnamed:
        number = unnamed[0].removeprefix("Unnamed: ")
        raise DataError(
            f"column {int(number) + 1} has no name" if number.isdigit() else "a column has no name",
            hint=f"drop=['{unnamed[0]}'] if it holds row numbers, or name it in the header",
        )
    is_number = {name: writing.kind(columns[name], name) == "number" for name in rest}
    empty = [name for name in (*rest, *named) if _is_empty(without(columns[name], writing.missing))]
    if empty:
        raise DataError(f"column '{empty[0]}' has no value in the training rows", hint=f"drop=['{empty[0]}']")
    strings = [name for name in rest if not is_number[name]] if categorical is None else []
    numbers = [name for name in rest if is_number[name]] if continuous is None else []
    roles = Roles([*(categorical or ()), *strings], [*(continuous or ()), *declared, *numbers], list(dates))
    if not (roles.categorical or roles.continuous or roles.dates):
        raise DataError("there is no column besides the target", hint="a model needs at least one input")
    return roles


def _is_empty(column: pd.Series) -> bool:
    import pandas as pd

    if column.isna().all():
        return True
    return not pd.api.types.is_numeric_dtype(column) and not as_strings(column)[1]


def _is_class(column: pd.Series, target: str, options: SimpleNamespace, writing: Writing) -> bool:
    if options.task is not None or options.log_target:
        if options.log_target and options.task == "classification":
            raise ParameterError("classes have no logarithm", where=_WHERE, hint="log_target=False")
        return bool(options.task == "classification")
    if target in writing.numeric:
        return False
    if writing.kind(column, target, is_target=True) == "category":
        return True
    values = np.unique(read_column(column, target, writing.of_numbers(column, target)).dropna())
    return len(values) <= MAX_INFERRED_CLASSES and bool((values % 1 == 0).all())


def _fingerprint(preparation: Preparation, splits: Sequence[Rows]) -> str:
    """Return a hash of everything that a model or a callback can see."""
    content = preparation.to_json()
    # The same values in another format are the same data.
    for of_the_file in ("formats", "reading"):
        del content[of_the_file]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for split in splits:
        for tensor in (split.categorical, split.continuous, split.target):
            digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()


def _as_it_is(batch: Any) -> Any:
    return batch
