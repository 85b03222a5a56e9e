"""Tables: rows of categories and numbers, prepared once, cut into batches as slices of tensors."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs
import numpy as np
import torch
from lab_basics.notes import log_notes
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab_tabular.columns import as_strings, plain_numbers, require_columns, row_label, with_string_names, without
from lab_tabular.formats import (
    ColumnFormat,
    as_numbers,
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
    Roles,
    TargetColumn,
)
from lab_tabular.reading import read_table
from lab_tabular.remarks import describe_roles, describe_unknown, remarks_on, remarks_on_codes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rows", "TableBatch", "TableData", "kept_data", "table", "table_of_frame", "table_of_parts"]

Task = Literal["classification", "regression"]
Fill = Literal["median", "mean", "zero"]
Scale = Literal["standard", "quantile"]

MAX_INFERRED_CLASSES = 10
CHUNK = 1024


class TableBatch(NamedTuple):
    """Some rows.

    Attributes:
        categorical: (B, C) long, codes; 0 is an unseen category and 1 a gap.
        continuous: (B, D) float, scaled.
        target: (B,) class numbers or values.
    """

    categorical: Tensor
    continuous: Tensor
    target: Tensor


class Rows:
    """A split: three tensors of one length; a batch is one look-up in each."""

    def __init__(self, categorical: Tensor, continuous: Tensor, target: Tensor) -> None:
        self.categorical, self.continuous, self.target = categorical, continuous, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> TableBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> TableBatch:
        chosen = torch.as_tensor(indices)
        return TableBatch(*(part.index_select(0, chosen) for part in (self.categorical, self.continuous, self.target)))


@attrs.define(eq=False, kw_only=True)
class TableData(Data):
    """Rows of a table, and how they were prepared.

    Attributes:
        category_sizes: codes of each categorical column, the unseen and the gap included.
        continuous_count: columns with numbers.
        output_size: numbers that a model gives per row: one per class, or 1 for a value.
        target_mean, target_deviation: of the training rows' target as the model sees it; 0 and 1 for classes.
        target_range: lowest and highest, likewise.
        target_is_log: whether the model predicts a logarithm.
        class_names: of the classes, in the order of their numbers; empty for a value.
        category_names, continuous_names: the prepared columns.
        preparation: from a frame to codes and numbers.
        category_places: column → category → where it lies on a map, where that is known.
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

    def predict(self, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Tensors are taken as they are; for a pandas frame see ``predict_frame``."""
        from pandas import DataFrame

        if len(inputs) == 1 and isinstance(inputs[0], DataFrame):
            return self.predict_frame(apply, inputs[0])
        return super().predict(apply, *inputs)

    def predict_frame(self, apply: Callable[..., Tensor], frame: pd.DataFrame) -> pd.DataFrame:
        """What a model says of each row: ``prediction`` and, for classes, the probability of each.

        Rows are judged in blocks of one size, the last filled up, so that a row's answer does not depend on the rows
        beside it.

        Args:
            apply: codes (1024, C) and numbers (1024, D) to outputs.
            frame: with the columns of training; the target is not needed.

        Returns:
            A frame with the same index; values are on the scale of the target's column.
        """
        import pandas as pd

        prepared = self.preparation(frame)
        if len(frame):
            _check_unknown_to_predict(self.preparation, prepared[0])
        codes, numbers = map(torch.from_numpy, prepared)
        outputs = [_block(apply, *block) for block in zip(codes.split(CHUNK), numbers.split(CHUNK), strict=True)]
        if not outputs or not len(frame):
            raise DataError("there are no rows to predict", hint="give the frame some")
        output = torch.cat(outputs).float().cpu()
        name = "prediction"
        if not self.class_names:
            values = output.double().exp() if self.target_is_log else output.double()
            return pd.DataFrame({name: values.numpy()}, index=frame.index)
        shares = output.softmax(-1).numpy()
        columns = {f"p({each})": shares[:, number] for number, each in enumerate(self.class_names)}
        chosen = np.array(self.class_names, object)[shares.argmax(1)]
        return pd.DataFrame({name: chosen, **columns}, index=frame.index)

    def to_json(self) -> dict[str, Any]:
        """What a run keeps of its data, enough to predict without it."""
        return {"preparation": self.preparation.to_json(), "fingerprint": self.fingerprint}


def _block(apply: Callable[..., Tensor], codes: Tensor, numbers: Tensor) -> Tensor:
    """The outputs of at most ``CHUNK`` rows, judged among exactly so many."""
    count = len(codes)
    places = torch.arange(CHUNK).clamp(max=count - 1)
    return apply(codes[places], numbers[places])[:count]


MIN_ROWS_FOR_ERROR = 10
"""From so many rows to predict on, a column of which every category is unseen is an error; fewer may be new indeed."""


def _check_unknown_to_predict(preparation: Preparation, codes: np.ndarray) -> None:
    unseen = preparation.unknown_categories(codes)
    lines = [describe_unknown(name, *counts) for name, counts in unseen.items()]
    all_of_them = [name for name, (count, among) in unseen.items() if count == among >= MIN_ROWS_FOR_ERROR]
    if all_of_them and preparation.min_count <= 1:
        raise DataError(
            f"column '{all_of_them[0]}': the training rows have none of its categories",
            where="the rows to predict",
            hint=_known_categories(preparation, all_of_them[0]) + "\nleave it empty if it is not known",
        )
    log_notes("the rows to predict", [], lines)


def _known_categories(preparation: Preparation, name: str) -> str:
    known = preparation.categories[name]
    return f"known are: {', '.join(known[:5])}{' …' if len(known) > 5 else ''}"


def kept_data(content: dict[str, Any]) -> TableData:
    """The data of a run as it was kept: no rows, but every fact.

    Raises:
        DataError: it is none.
    """
    if not (isinstance(content, dict) and isinstance(content.get("fingerprint"), str)):
        raise DataError("this is no preparation of a table")
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
) -> TableData:
    """A table from a file, prepared and split.

    Everything that is learned of the data (what fills a gap, the categories, the scale of numbers) is learned of the
    training rows alone. A column that is constant there becomes 0; a category that is not there gets code 0. How
    numbers, dates and categories are written is learned there too, and validation rows and later ones are read in the
    same way. A column that looks like numbers or dates and was not declared is an error that names the parameters to
    declare it. Roles and numbers of values of all columns stand in ``data.notes`` and in the log.

    Args:
        path: a ``.csv`` (with a header; ``.gz`` too) or ``.parquet`` file.
        target: the column that is predicted.
        task: None takes classification where the target is text or at most ten different whole numbers, and is not
            among ``numeric``.
        categorical, continuous: columns; of those that neither names, None takes texts and numbers respectively.
        dates: columns that are taken apart into year, month, week and so on.
        drop: columns that are left out.
        log_target: predict the logarithm of the target.
        fill: what fills gaps in numbers.
        missing_indicators: whether a category tells which numbers were gaps.
        normalize: how numbers are scaled: ``standard``, ``quantile``, or None for not at all.
        min_count: categories with fewer training rows count as unseen.
        valid_share: share of the rows that validate, at random, in (0, 1); this and the next five exclude each other.
        valid_rows: the rows from the first to before the second validate, counted from 0.
        valid_last: a column; the rows with its highest values validate, ``valid_share`` of them.
        valid_column: a column that is neither empty, 0 nor "false" in the rows that validate.
        valid_path, test_path: files with the rows that validate and that test.
        folds, fold: cross-validation: so many parts at random, of which number ``fold``, from 0, validates.
        split_seed: of random splits.
        max_rows: only so many rows are read, for a quick look.
        numeric: columns (the target may be one) of numbers as people write them: ``$1,200``, ``12 %``, ``(5)``,
            ``3 kg``, with one unit in all rows.
        decimal, thousands: signs in the numbers of all columns, for example ``,`` and ``.``.
        dayfirst: whether ``05/12/2024`` is in December; None asks where no date of a column shows it.
        date_format: of all ``dates``, or of each column, for example ``%d/%m/%y``.
        missing: further values that stand for a gap, for example ``-`` or ``-999``.
        separator: of the columns: ``,``, ``;``, ``|``, or ``tab``.
        encoding: of the file, for example ``cp1252`` or ``utf-16``.

    Raises:
        DataError: the file or a column cannot be used; column and line are named.
        ParameterError: values that contradict each other.
    """
    if max_rows is not None and max_rows < 1:
        raise ParameterError(f"max_rows must be at least 1, got {max_rows}", where=_WHERE)
    reading = {"separator": separator, "encoding": encoding}
    frame = read_table(Path(path), **reading)
    frame = frame if max_rows is None else frame.iloc[:max_rows]
    validating = read_table(Path(valid_path), **reading) if valid_path else None
    testing = read_table(Path(test_path), **reading) if test_path else None
    return table_of_frame(
        frame,
        target,
        valid=validating,
        test=testing,
        task=task,
        categorical=categorical,
        continuous=continuous,
        dates=dates,
        drop=drop,
        log_target=log_target,
        fill=fill,
        missing_indicators=missing_indicators,
        normalize=normalize,
        min_count=min_count,
        valid_share=valid_share,
        split_seed=split_seed,
        valid_rows=valid_rows,
        valid_last=valid_last,
        valid_column=valid_column,
        folds=folds,
        fold=fold,
        numeric=numeric,
        decimal=decimal,
        thousands=thousands,
        dayfirst=dayfirst,
        date_format=date_format,
        missing=missing,
        reading=reading,
        name=path,
    )


def table_of_frame(
    frame: pd.DataFrame,
    target: str,
    *,
    valid: pd.DataFrame | None = None,
    test: pd.DataFrame | None = None,
    valid_share: float = 0.2,
    split_seed: int = 42,
    valid_rows: tuple[int, int] | None = None,
    valid_last: str | None = None,
    valid_column: str | None = None,
    folds: int | None = None,
    fold: int = 0,
    drop: Sequence[str] = (),
    name: str = "the frame",
    **options: Any,
) -> TableData:
    """A table from a pandas frame; parameters are those of ``table``, ``valid`` and ``test`` frames of their own."""
    ways = {
        "valid_path": valid,
        "valid_rows": valid_rows,
        "valid_last": valid_last,
        "valid_column": valid_column,
        "folds": folds,
    }
    chosen = [way for way, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise ParameterError(f"{' and '.join(chosen)} exclude each other", where=_WHERE, hint="give one of them")
    if split_seed < 0:
        raise ParameterError(f"split_seed must be at least 0, got {split_seed}", where=_WHERE)
    frame = with_string_names(frame, name)
    require_columns([target], frame, name)
    if not len(frame):
        raise DataError("the table has no rows", where=name)
    drop = list(drop)
    if valid is None:
        try:
            validating = _validating(
                frame, valid_share, split_seed, valid_rows, valid_last, valid_column, folds, fold, name, options
            )
        except DataError as error:
            raise DataError(error.what, where=error.where or name, hint=error.hint) from error
        frame, valid = frame.loc[~validating], frame.loc[validating]
        drop += [valid_column] if valid_column and valid_column not in drop else []
    return table_of_parts(frame, valid, test, target, drop=drop, name=name, **options)


_WHERE = "dataset 'table'"


def table_of_parts(
    train: pd.DataFrame,
    valid: pd.DataFrame,
    test: pd.DataFrame | None,
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
    numeric: Sequence[str] = (),
    decimal: str = ".",
    thousands: str | None = None,
    dayfirst: bool | None = None,
    date_format: str | Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
    reading: Mapping[str, str] | None = None,
    name: str = "the frame",
) -> TableData:
    """A table from frames of its own for each split; parameters are those of ``table``."""
    writing = Writing(tuple(numeric), decimal, thousands, dayfirst, date_format, tuple(missing))
    writing.check(dates)
    if min_count < 1:
        raise ParameterError(f"min_count must be at least 1, got {min_count}", where=_WHERE)
    train, valid = with_string_names(train, name), with_string_names(valid, name)
    test = None if test is None else with_string_names(test, name)
    for part in (train, valid, *([] if test is None else [test])):
        require_columns([target, *(categorical or ()), *(continuous or ()), *dates, *numeric], part, name)
    require_columns(drop, train, name)
    for label, part in (("train", train), ("valid", valid), ("test", test)):
        if part is not None and not len(part):
            raise DataError(f"there are no rows for the split '{label}'", where=name)
    try:
        columns = dict(train.items())
        roles = _roles(columns, target, categorical, continuous, dates, drop, writing)
        is_class = _is_class(columns[target], target, task, log_target, writing)
        formats = _formats(columns, roles, target, is_class, writing)
        aim = read_column(columns[target], target, formats[target])
        told = TargetColumn.fitted(aim, is_class=is_class, is_log=log_target)
        processors = [
            *([DateParts(list(dates))] if dates else []),
            FillMissing(fill, missing_indicators),
            Categorify(min_count),
            *([Normalize(normalize)] if normalize else []),
        ]
        raw = Roles(list(roles.categorical), list(roles.continuous), list(roles.dates))
        preparation, prepared = Preparation.fitted(columns, roles, processors, told, formats, reading)
        splits = [_tensors(preparation, prepared.codes, prepared.numbers, told.numbers(aim))]
        splits += [_rows(part, preparation) for part in (valid, test) if part is not None]
        notes = describe_roles(columns, raw, preparation)
        remarks = [
            *remarks_on(prepared.read, len(train), raw, preparation),
            *remarks_on_codes({name: columns[name] for name in raw.continuous}),
        ]
        _check_unknown(preparation, splits[1:], notes, remarks)
    except DataError as error:
        raise DataError(error.what, where=error.where or name, hint=error.hint) from error
    log_notes(name, notes, remarks)
    return attrs.evolve(_data(preparation, splits, _fingerprint(preparation, splits)), notes=(*notes, *remarks))


@attrs.frozen
class Writing:
    """Formats of values given by the user; parameters of ``table``."""

    numeric: tuple[str, ...]
    decimal: str
    thousands: str | None
    dayfirst: bool | None
    date_format: str | Mapping[str, str] | None
    missing: tuple[str, ...]

    def check(self, dates: Sequence[str]) -> None:
        """Raise a ParameterError for values that cannot be."""
        if self.decimal not in (".", ","):
            raise ParameterError(f"decimal='{self.decimal}'", where=_WHERE, hint="'.' or ','")
        if self.thousands not in (None, "", ".", ",", " ", "'") or self.thousands == self.decimal:
            raise ParameterError(
                f"thousands='{self.thousands}' with decimal='{self.decimal}'",
                where=_WHERE,
                hint="one of . , ' and a blank, another than decimal",
            )
        if isinstance(self.date_format, Mapping):
            unknown = [name for name in self.date_format if name not in dates]
            if unknown:
                raise ParameterError(
                    f"date_format names '{unknown[0]}', which is not among dates",
                    where=_WHERE,
                    hint=f"dates=['{unknown[0]}']",
                )

    def format_of_date(self, name: str) -> str | None:
        """The format that was given for a column."""
        return self.date_format.get(name) if isinstance(self.date_format, Mapping) else self.date_format

    def kind(self, column: pd.Series, name: str, *, is_target: bool = False) -> str:
        """``number`` or ``category``; see ``infer_kind``."""
        if name in self.numeric:
            return "number"
        column = without(column, self.missing)
        return infer_kind(column, name, decimal=self.decimal, thousands=self.thousands, is_target=is_target)

    def of_numbers(self, column: pd.Series, name: str) -> ColumnFormat:
        """The format of a column of numbers."""
        form = number_format(
            without(column, self.missing),
            name,
            decimal=self.decimal,
            thousands=self.thousands,
            written=name in self.numeric,
        )
        return attrs.evolve(form, missing=self.missing)

    def of_categories(self, column: pd.Series) -> ColumnFormat:
        """The format of a column of categories."""
        return attrs.evolve(category_format(without(column, self.missing)), missing=self.missing)

    def of_dates(self, column: pd.Series, name: str) -> ColumnFormat:
        """The format of a column of dates."""
        form = date_format_of(
            without(column, self.missing), name, given=self.format_of_date(name), dayfirst=self.dayfirst
        )
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
"""A smaller share of unseen categories stands in the notes and is no warning."""


def _check_unknown(preparation: Preparation, splits: Sequence[Rows], notes: list[str], remarks: list[str]) -> None:
    """Add sentences on categories that only later splits have; an error where a column has no other."""
    for label, rows in zip(("valid", "test"), splits, strict=False):
        for name, (count, among) in preparation.unknown_categories(rows.categorical.numpy()).items():
            if count == among and preparation.min_count <= 1:
                raise DataError(
                    f"column '{name}': the training rows have none of the categories of the split '{label}'",
                    hint=f"{_known_categories(preparation, name)}\ndrop=['{name}'] if they differ on purpose",
                )
            place_of_it = notes if count < MIN_UNKNOWN_TO_WARN * among else remarks
            place_of_it.append(f"{label}: {describe_unknown(name, count, among)}")


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


def _roles(
    columns: Mapping[str, pd.Series],
    target: str,
    categorical: Sequence[str] | None,
    continuous: Sequence[str] | None,
    dates: Sequence[str],
    drop: Sequence[str],
    writing: Writing,
) -> Roles:
    """Which column is what; those that nobody named are looked at."""
    written = [name for name in writing.numeric if name != target and name not in (continuous or ())]
    named = [*(categorical or ()), *(continuous or ()), *written, *dates]
    if target in named:
        raise DataError(f"the target '{target}' cannot be an input as well")
    if target in drop:
        raise DataError(f"the target '{target}' cannot be left out")
    twice = [name for name, count in Counter(named).items() if count > 1]
    if twice:
        raise ParameterError(f"column '{twice[0]}' is named twice", where=_WHERE, hint="one kind each")
    known = {*named, *drop, target}
    rest = [name for name in columns if name not in known]
    if categorical is not None and continuous is not None:
        rest = []
    unnamed = [name for name in rest if name.startswith("Unnamed: ")]
    if unnamed:
        raise DataError(
            f"column {int(unnamed[0].removeprefix('Unnamed: ')) + 1} has no name"
            if unnamed[0].removeprefix("Unnamed: ").isdigit()
            else "a column has no name",
            hint=f"drop=['{unnamed[0]}'] if it holds the numbers of the rows, or give it a name in the header",
        )
    is_number = {name: writing.kind(columns[name], name) == "number" for name in rest}
    empty = [name for name in (*rest, *named) if _is_empty(without(columns[name], writing.missing))]
    if empty:
        raise DataError(f"column '{empty[0]}' has no value in the training rows", hint=f"drop=['{empty[0]}']")
    texts = [name for name in rest if not is_number[name]] if categorical is None else []
    numbers = [name for name in rest if is_number[name]] if continuous is None else []
    roles = Roles([*(categorical or ()), *texts], [*(continuous or ()), *written, *numbers], list(dates))
    if not (roles.categorical or roles.continuous or roles.dates):
        raise DataError("there is no column beside the target", hint="a model needs something to look at")
    return roles


def _is_empty(column: pd.Series) -> bool:
    import pandas as pd

    if column.isna().all():
        return True
    return not pd.api.types.is_numeric_dtype(column) and not as_strings(column)[1]


def _is_class(column: pd.Series, target: str, task: Task | None, log_target: bool, writing: Writing) -> bool:
    if task is not None or log_target:
        if log_target and task == "classification":
            raise ParameterError("classes have no logarithm", where=_WHERE, hint="log_target=False")
        return task == "classification"
    if target in writing.numeric:
        return False
    if writing.kind(column, target, is_target=True) == "category":
        return True
    values = np.unique(read_column(column, target, writing.of_numbers(column, target)).dropna())
    return len(values) <= MAX_INFERRED_CLASSES and bool((values % 1 == 0).all())


def _validating(
    frame: pd.DataFrame,
    share: float,
    seed: int,
    rows: tuple[int, int] | None,
    last: str | None,
    column: str | None,
    folds: int | None,
    fold: int,
    name: str,
    options: Mapping[str, Any],
) -> np.ndarray:
    """Which rows validate, (N,) bool."""
    count = len(frame)
    chosen = np.zeros(count, bool)
    if not 0 < share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {share}", where=_WHERE)
    if rows is not None:
        if not 0 <= rows[0] < rows[1] <= count:
            raise ParameterError(f"there are no rows {rows[0]} to {rows[1]}", where=_WHERE, hint=f"{count:,} rows")
        chosen[slice(*rows)] = True
    elif column is not None:
        require_columns([column], frame, name)
        chosen = _marked(frame[column], column)
    elif last is not None:
        require_columns([last], frame, name)
        order = np.argsort(_times(frame[last], last, options), kind="stable")
        chosen[order[count - round(count * share) :]] = True
    elif folds is not None:
        if not (folds > 1 and 0 <= fold < folds):
            raise ParameterError(f"of {folds} folds there is no number {fold}", where=_WHERE, hint="folds from 2 on")
        order = np.random.default_rng(seed).permutation(count)
        chosen[order[round(count * fold / folds) : round(count * (fold + 1) / folds)]] = True
    else:
        chosen[np.random.default_rng(seed).permutation(count)[: round(count * share)]] = True
    if not 0 < chosen.sum() < count:
        raise DataError(
            f"of {count:,} rows {int(chosen.sum()):,} would validate",
            where=name,
            hint="both parts need rows: give more of them, or split otherwise",
        )
    return chosen


_YES = frozenset({"true", "yes", "y", "t", "x", "valid", "val", "validation", "dev"})
_NO = frozenset({"false", "no", "n", "f", "train", "training"})


def _marked(column: pd.Series, name: str) -> np.ndarray:
    """Rows that a column marks (N,) bool: with a number but 0, ``true``, ``yes``, ``valid`` …

    Raises:
        DataError: a value could mean either.
    """
    codes, texts = as_strings(column)
    numbers = plain_numbers(texts)
    marks = [text.lower() in _YES or bool(abs(number) > 0) for text, number in zip(texts, numbers, strict=True)]
    for text, mark, number in zip(texts, marks, numbers, strict=True):
        if not mark and number != 0 and text.lower() not in _NO:
            raise DataError(
                f"valid_column '{name}' says '{text}', which is neither yes nor no",
                hint="write 1 in the rows that validate, and 0 or nothing in the others",
            )
    return np.append(np.array(marks, bool), False)[codes]


def _times(column: pd.Series, name: str, options: Mapping[str, Any]) -> np.ndarray:
    """Numbers or dates (N,) by which rows are sorted."""
    import pandas as pd

    given = options.get("date_format")
    given = given.get(name) if isinstance(given, Mapping) else given
    is_date = name in options.get("dates", ()) or given or pd.api.types.is_datetime64_any_dtype(column)
    if not is_date:
        _, texts = as_strings(column)
        is_date = bool(len(texts)) and bool(np.isnan(plain_numbers(texts)).all())
    if is_date:
        form = date_format_of(column, name, given=given, dayfirst=options.get("dayfirst"))
        return read_column(column, name, form).to_numpy()
    numbers = as_numbers(column, name)
    gaps = np.isnan(numbers)
    if gaps.any():
        raise DataError(
            f"valid_last '{name}' is missing in {row_label(column, int(gaps.argmax()))} "
            f"({int(gaps.sum()):,} such rows)",
            hint="leave such rows out",
        )
    return numbers


def _fingerprint(preparation: Preparation, splits: Sequence[Rows]) -> str:
    """A hash of everything that a model or a callback can see."""
    content = preparation.to_json()
    for of_the_file in ("formats", "reading"):  # the same values written in another way are the same data
        del content[of_the_file]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for split in splits:
        for tensor in (split.categorical, split.continuous, split.target):
            digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()


def _as_it_is(batch: Any) -> Any:
    return batch
