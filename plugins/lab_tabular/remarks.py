"""Notes and warnings on a table that was read: roles and formats of columns, and anything that looks odd."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lab_tabular.columns import as_strings
from lab_tabular.formats import ISO
from lab_tabular.processors import Preparation, Roles

__all__ = ["describe_roles", "describe_unknown", "remarks_on", "remarks_on_codes"]

MAX_SHOWN = 20
MANY_CATEGORIES = 50
"""Number of categories from which on a column is reported if most of them occur once."""

_ID = re.compile(r"(.*[_ ])?(id|index|row|nr|no|uuid|key)|.*[a-z](Id|ID)", re.IGNORECASE)


def describe_roles(train: Iterable[str], roles: Roles, preparation: Preparation) -> list[str]:
    """Return one sentence for the target and one for each role, with the number of categories of each column."""
    target, categories = preparation.target, preparation.categories
    if target.classes:
        shown = ", ".join(target.classes[:5]) + (" …" if len(target.classes) > 5 else "")
        notes = [f"target '{target.name}': {len(target.classes)} classes, {shown}"]
    else:
        low, high = np.exp([target.low, target.high]) if target.is_log else (target.low, target.high)
        scale = ", predicted as its logarithm" if target.is_log else ""
        notes = [f"target '{target.name}': a number from {low:.6g} to {high:.6g}{scale}"]
    if roles.categorical:
        notes.append("categorical: " + _listed(f"{name} ({len(categories[name]):,})" for name in roles.categorical))
    if roles.continuous:
        notes.append("continuous: " + _listed(f"{name}{_writing(preparation, name)}" for name in roles.continuous))
    if roles.dates:
        notes.append("dates: " + _listed(f"{name}{_writing(preparation, name)}" for name in roles.dates))
    gaps = {name: preparation.formats[name].gaps for name in roles.continuous}
    if read := [f"{' and '.join(map(repr, each))} in '{name}'" for name, each in gaps.items() if each]:
        notes.append(f"read as missing: {_listed(read)}")
    odd = {name: {"None", "none", "-", "--"} & set(categories[name]) for name in roles.categorical}
    if like_gaps := [f"'{min(each)}' in '{name}'" for name, each in odd.items() if each]:
        notes.append(f"categories that may mean a missing value: {_listed(like_gaps)}; if so: missing=['None', '-']")
    used = {*preparation.columns, target.name}
    left = [name for name in train if name not in used]
    if left:
        notes.append("not used: " + _listed(left))
    return notes


def _writing(preparation: Preparation, name: str) -> str:
    form = preparation.formats[name]
    if form.kind == "date":
        written = "year-month-day" if form.date == ISO else form.date
        said = ", ".join(each for each in (written, form.zone) if each)
    else:
        said = form.unit
    return f" ({said})" if said else ""


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MAX_SHOWN:,} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more


def describe_unknown(name: str, count: int, among: int) -> str:
    """Return a sentence on the rows with unknown categories."""
    return f"column '{name}': {count:,} of {among:,} rows ({count / among:.0%}) have a category unknown in training"


def remarks_on(read: Mapping[str, Any], count: int, roles: Roles, preparation: Preparation) -> Iterator[str]:
    """Yield warnings on the training rows as they were read."""
    constant, many = [], []
    for name in roles.categorical:
        known = preparation.categories[name]
        if len(known) == 1 and not read[name].isna().any():
            constant.append(name)
        if len(known) > max(MANY_CATEGORIES, count // 2):
            many.append(f"{name} ({len(known):,} in {count:,} rows)")
    for name in roles.continuous:
        numbers, form = read[name], preparation.formats[name]
        if np.nanmin(numbers) == np.nanmax(numbers) and not np.isnan(numbers).any():
            constant.append(name)
        elif _ID.fullmatch(name) and len(np.unique(numbers)) == count > 2:
            yield f"column '{name}' has another number in every row; if it is an id: drop=['{name}']"
        if form.gaps:
            yield f"column '{name}': {', '.join(map(repr, form.gaps))} read as missing numbers"
    if constant:
        yield f"the same value in every training row: {_listed(constant)}"
    if many:
        yield f"most categories occur once: {_listed(many)}; drop removes columns, min_count merges rare categories"
    classes = preparation.target.classes
    if classes and len(classes) > max(MANY_CATEGORIES, count // 2):
        yield f"target '{preparation.target.name}' has {len(classes):,} classes in {count:,} rows"
    if several := [name for name in roles.dates if preparation.formats[name].several_zones]:
        yield f"dates with several time zones, converted to UTC: {_listed(several)}"


def remarks_on_codes(columns: Mapping[str, Any]) -> Iterator[str]:
    """Yield warnings on numeric columns that look like codes or dates; they stay numbers."""
    codes, dates = [], []
    for name, column in columns.items():
        if column.dtype.kind in "fbc":
            continue
        texts = as_strings(column.iloc[:1000])[1]
        if padded := next((text for text in texts if re.fullmatch(r"0\d+", text)), None):
            codes.append(f"{name} ('{padded}')")
        if texts and all(re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", text) for text in texts):
            dates.append(f"{name} ('{texts[0]}')")
    if codes:
        yield f"numbers with leading zeros: {_listed(codes)}; if they are codes, list them under categorical"
    if dates:
        yield f"numbers that look like dates: {_listed(dates)}; if so, list them under dates"
