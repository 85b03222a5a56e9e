"""Results from elsewhere: rows of any program, compared as the runs of a study are.

A row is one run. One column names its arm, one its seed, the others hold metrics. There is no experiment behind the
rows, so nothing can be trained again; tables, verdicts, effects and reports come from the same ``Results``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from lab.errors import DataError, UnknownNameError
from lab.study.checks import MAX_RUNS, name_problem, shown
from lab.study.results import COSTS, SPLITS, WITHOUT_VALUE, Results
from lab.study.store import RunRecord
from lab.study.study import BASE, Arm

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OWN_COLUMNS", "OutsideRun", "OutsideStudy", "Roles", "Rows", "compare", "number_of", "results_of"]

FINISHED = frozenset({"finished", "complete", "completed", "success", "succeeded", "done", "ok"})
UNFINISHED = {
    **dict.fromkeys(("failed", "fail", "crashed", "error", "killed", "pruned"), "failed"),
    **dict.fromkeys(("running", "interrupted", "preempted", "preempting"), "interrupted"),
    **dict.fromkeys(("absent", "scheduled", "waiting", "pending", "queued"), "absent"),
    "diverged": "diverged",
    "damaged": "damaged",
}
STATUS_COLUMNS = ("status", "state")
OWN_COLUMNS = ("arm", "seed", "key", "status")
WITHOUT_ROW = "without a row"
MAX_SHOWN = 5
"""Rows that a message names at most."""


@attrs.frozen
class OutsideStudy:
    """The part of a study that a comparison needs.

    Attributes:
        name: of the results, usually the file's.
        compare: the primary metric.
        seed_list: every seed of any arm.
        question: heading of the report.
        searching: None, since no settings are searched.
        margin: the smallest difference that matters; None: no difference is too small.
    """

    name: str
    compare: str
    seed_list: Sequence[int]
    question: str = ""
    searching: None = None
    margin: float | None = None


@attrs.frozen
class OutsideRun(RunRecord):
    """A run of another program: a row without files. A run that lacks the metric has the status ``without a value``."""

    @property
    def outcome(self) -> str:
        """The status; of a run that no row is about, nobody knows whether it was made."""
        return WITHOUT_ROW if self.status == "absent" and not self.result else super().outcome

    def history(self) -> list[dict[str, float]]:
        """Return no epochs."""
        return []

    def environment(self, *, strict: bool = True) -> dict[str, Any]:
        """Return nothing: it is not known."""
        return {}


@attrs.frozen
class Rows:
    """Rows of a file, a frame or a tracker, one per run.

    Attributes:
        name: of the results, in tables.
        rows: column → value; ``None`` and empty text are missing values.
        places: where each row stands: ``line 4``.
        directions: metric → whether higher is better, as far as the source says so.
        source: its path or address, for messages.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    places: Sequence[str]
    directions: Mapping[str, bool] = attrs.field(factory=dict)
    source: str = ""

    @property
    def where(self) -> str:
        """The origin of the rows, for messages."""
        return self.source or self.name

    @cached_property
    def columns(self) -> list[str]:
        """The names of all columns, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def is_own(self) -> bool:
        """Return whether these are the rows of a ``runs.csv`` of ``lab``."""
        return self.columns[: len(OWN_COLUMNS)] == list(OWN_COLUMNS)

    def values(self, column: str) -> list[Any]:
        """Return the values of a column, ``None`` where a row lacks it."""
        return [row.get(column) for row in self.rows]

    def column(self, name: str, remedy: str = "") -> str:
        """Return the column called ``name``, in full or without what trackers write before it (``metrics.``).

        Args:
            name: as the user gives it.
            remedy: what to do if there is none.

        Raises:
            UnknownNameError: there is none, or several; close matches are given.
        """
        if name in self.columns:
            return name
        hint = "\n".join(filter(None, [remedy, f"columns: {', '.join(filter(None, self.columns))}"]))
        endings = [each for each in self.columns if each.rpartition(".")[2].casefold() == name.casefold()]
        if len(endings) > 1:
            raise UnknownNameError(f"column '{name}' may be {' or '.join(endings)}", where=self.where, hint=hint)
        if not endings:
            raise UnknownNameError.among("column", name, filter(None, self.columns), where=self.where, hint=hint)
        return endings[0]


@attrs.frozen
class Roles:
    """Columns of rows, and what they mean.

    Attributes:
        metric: the column to compare.
        arm: the column of the arms; empty where the factors name them.
        seed: the column of the seeds.
        higher_is_better: direction of the metric; None if its name or its source says it.
        base: the arm that the others are compared with; the first unless given.
        factors: the columns whose levels make up the arms of a grid.
        is_paired: whether arms are compared seed by seed, for which they need seeds in common.
    """

    metric: str
    arm: str = "arm"
    seed: str = "seed"
    higher_is_better: bool | None = None
    base: str | None = None
    factors: Sequence[str] = ()
    is_paired: bool = True


def compare(
    frame: pd.DataFrame | Iterable[Mapping[str, Any]],
    *,
    metric: str,
    arm: str = "arm",
    seed: str = "seed",
    higher_is_better: bool | None = None,
    base: str | None = None,
    factors: Sequence[str] | None = None,
    name: str = "results",
) -> Results:
    """Compare arms by the rows of a pandas frame, or by dictionaries, one per run.

    Args:
        frame: the rows.
        metric: the column to compare.
        arm: the column that names the arm; empty to name arms by their factors.
        seed: the column of the seeds.
        higher_is_better: direction of the metric; may be left out for losses and for metrics that ``lab`` has.
        base: the arm that the others are compared with; the first unless given.
        factors: columns with the levels of a grid, for main effects and interactions.
        name: of the results.

    Raises:
        DataError: rows cannot be compared; every problem with its rows.
        UnknownNameError: there is no such column or arm.
    """
    factors = [factors] if isinstance(factors, str) else list(factors or ())
    # names of columns and arms may be numbers in a frame
    roles = Roles(str(metric), str(arm), str(seed), higher_is_better, None if base is None else str(base), factors)
    return results_of(_rows_of_frame(frame, name), roles)


def _rows_of_frame(frame: Any, name: str) -> Rows:
    if not hasattr(frame, "itertuples"):
        # A frame of polars gives dictionaries itself.
        rows_of = frame.to_dicts if hasattr(frame, "to_dicts") else None
        listed = rows_of() if rows_of else list(frame) if isinstance(frame, Iterable) else [frame]
        if not all(isinstance(row, Mapping) for row in listed):
            hint = "a pandas frame, or one dictionary per run; lab compare FILE reads files"
            raise DataError(f"these are no rows: {shown(frame)}", hint=hint)
        return Rows(name, listed, [f"row {number}" for number in range(1, len(listed) + 1)])
    # Arms and seeds often stand in the index, after a groupby or a pivot.
    if named := [level for level in frame.index.names if level is not None and level not in frame.columns]:
        frame = frame.reset_index(level=named)
    columns = [str(column) for column in frame.columns]
    if twice := [column for column in dict.fromkeys(columns) if columns.count(column) > 1]:
        raise DataError(f"two columns are called '{twice[0]}'", where=name)
    # NaN stays, since a metric may be NaN; NA and NaT are missing values.
    rows = [
        {
            column: None if type(value).__name__ in ("NAType", "NaTType") else value
            for column, value in zip(columns, row, strict=True)
        }
        for row in frame.itertuples(index=False, name=None)
    ]
    return Rows(name, rows, [f"row {index}" for index in frame.index])


# --- rows to results --------------------------------------------------------------------------------------------------


def results_of(rows: Rows, roles: Roles) -> Results:
    """Return rows as results.

    Raises:
        DataError: rows cannot be compared; every problem with its rows.
        UnknownNameError: there is no such column or arm.
    """
    if not rows.rows:
        raise DataError("there are no rows", where=rows.where)
    factors, arm_column, seed_column, metric_column = _columns_of(rows, roles)
    is_named_by_factors = not arm_column
    cells = _labels([[_text(row.get(name)) for name in factors] for row in rows.rows], roles.factors)
    names = _names_of_cells(cells) if is_named_by_factors else [_text(value) for value in rows.values(arm_column)]
    seeds = [_seed(value) for value in rows.values(seed_column)]
    values, bad = _numbers(rows, metric_column)

    without_seed = [i for i, seed in enumerate(seeds) if seed is None]
    problems = [
        *_placed(f"column '{arm_column}' names no arm", [i for i, name in enumerate(names) if not name], rows),
        *(problem for name in dict.fromkeys(names) if name for problem in name_problem("an arm", name)),
        *_placed(f"no level of {' or '.join(factors)}", [i for i, cell in enumerate(cells) if "" in cell], rows),
        *_placed(f"column '{seed_column}' holds no whole number", without_seed, rows, seed_column),
        *_placed(f"column '{metric_column}' holds no number", bad, rows, metric_column),
    ]
    if not problems:
        problems += _duplicates(rows, names, seeds, {arm_column, seed_column, metric_column})
        problems += _factor_problems(rows, names, cells, factors)
    _refuse(problems, rows)
    arms = _arms(names, cells, factors, roles.base, rows.where)
    # In the order of the file, since the last digit of a mean depends on the order of its values.
    every = list(dict.fromkeys(seed for seed in seeds if seed is not None))
    _refuse(_pair_problems(arms, names, seeds, len(every), roles.is_paired), rows)

    others = _other_metrics(rows, {arm_column, seed_column, metric_column, *factors})
    order = [roles.metric if column == metric_column else column for column in rows.columns]
    direction, statuses, path = _direction(rows, roles, metric_column), _statuses(rows), Path(rows.where)
    runs: dict[tuple[str, int], OutsideRun] = {}
    for i, (name, seed) in enumerate(zip(names, seeds, strict=True)):
        scores = {**{column: found[i] for column, found in others.items()}, roles.metric: values[i]}
        known = {column: scores[column] for column in order if scores.get(column) is not None}
        result: dict[str, Any] = {
            "metrics": {column: value for column, value in known.items() if column not in COSTS},
            "budget": {column: value for column, value in known.items() if column in COSTS},
            "higher_is_better": {roles.metric: direction},
        }
        status = statuses[i] if statuses[i] != "finished" or values[i] is not None else WITHOUT_VALUE
        if status == "diverged":
            status, result["kind"] = "failed", "NonFiniteLossError"
        key = _text(rows.rows[i].get("key")) if rows.is_own else ""
        assert seed is not None, "rows without a seed are refused above"
        runs[name, seed] = OutsideRun(key, path, status, result, name, seed)
    of_arm: dict[str, list[int]] = {}
    for name, seed in runs:
        of_arm.setdefault(name, []).append(seed)
    asked = _seeds_asked(of_arm, arms[0].name, every, roles.is_paired)
    planned = [
        runs.get((arm.name, seed)) or OutsideRun("", path, "absent", {}, arm.name, seed)
        for arm in arms
        for seed in asked[arm.name]
    ]
    notes = [*_grid_notes(arms, factors), *_notes(rows, planned, values, statuses, roles.metric)]
    title = f"{roles.metric} of {len(arms)} arms, from {path.name}"
    return Results(OutsideStudy(rows.name, roles.metric, every, title), arms, planned, notes)


def _seeds_asked(
    of_arm: Mapping[str, Sequence[int]], base: str, every: Sequence[int], is_paired: bool
) -> dict[str, list[int]]:
    """Return arm → the seeds that it is taken to have been asked for.

    Arms that share a seed with the base form pairs with it, so a seed that one of them has and another lacks is a gap,
    which every table shows. An arm without a common seed has seeds of its own, and nobody asked it for others.
    """
    of_base = set(of_arm[base])
    pairs = [seeds for seeds in of_arm.values() if is_paired and not of_base.isdisjoint(seeds)]
    paired = {seed for seeds in pairs for seed in seeds}
    return {
        name: [seed for seed in every if seed in (paired if seeds in pairs else seeds)]
        for name, seeds in of_arm.items()
    }


def _columns_of(rows: Rows, roles: Roles) -> tuple[list[str], str, str, str]:
    """Return the columns of the factors, arms (empty where factors name them), seeds and the metric.

    Raises:
        UnknownNameError: one is not there.
        DataError: several are not there; each with its remedy.
    """
    errors: list[UnknownNameError] = []

    def find(name: str, remedy: str = "") -> str:
        try:
            return rows.column(name, remedy)
        except UnknownNameError as error:
            errors.append(error)
            return ""

    factors = [find(name) for name in roles.factors]
    is_named_by_factors = bool(roles.factors) and (not roles.arm or (roles.arm == "arm" and "arm" not in rows.columns))
    arm = (
        "" if is_named_by_factors else find(roles.arm, "name the column of the arms: --arm COLUMN, or arm=… in Python")
    )
    seed = find(roles.seed, "name the column of the seeds: --seed COLUMN, or seed=… in Python")
    metric = find(roles.metric)
    if len(errors) == 1:
        raise errors[0]
    listed = f"columns: {', '.join(filter(None, rows.columns))}"
    # The columns are named once, below all problems.
    problems = [
        "\n  ".join([error.what, *(error.hint or "").replace(listed, "").split("\n")]).rstrip() for error in errors
    ]
    if problems:
        _refuse([*problems, listed], rows, count=len(problems))
    return factors, arm, seed, metric


def _refuse(problems: Sequence[str], rows: Rows, count: int = 0) -> None:
    """Raise if there are problems; ``count`` of them, where not every text is one."""
    if problems:
        what = problems[0] if len(problems) == 1 else f"{count or len(problems)} problems in these rows"
        raise DataError(what, where=rows.where, hint="\n".join(problems if len(problems) > 1 else ()))


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    # A column with a gap is one of floats in pandas: 3.0 is the arm, level or seed 3.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _seed(value: Any) -> int | None:
    text = _text(value)
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return int(number) if (number := float(text)).is_integer() else None
    return None


def number_of(value: Any) -> float | None:
    """Return a value of a row as a number; None if it is missing.

    Raises:
        ValueError: it is text.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, (bool, complex)):
        raise ValueError(f"not a number: {value}")
    # Python reads 1_000 as a number; in a file of results it is a slip.
    if isinstance(value, str) and "_" in value:
        raise ValueError(f"not a number: {value}")
    try:
        number = float(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    # Counts stay whole, as long as a float holds them exactly.
    is_whole = isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdecimal())
    return int(number) if is_whole and abs(number) < 2**53 else number


def _numbers(rows: Rows, column: str) -> tuple[list[float | None], list[int]]:
    """Return the numbers of a column, and the rows that hold something else."""
    found: list[float | None] = []
    bad: list[int] = []
    for i, value in enumerate(rows.values(column)):
        try:
            found.append(number_of(value))
        except ValueError:
            found.append(None)
            bad.append(i)
    return found, bad


def _other_metrics(rows: Rows, used: set[str]) -> dict[str, list[float | None]]:
    """Return the further columns that hold numbers alone."""
    found = {}
    for column in rows.columns:
        # The index of pandas has no name, and is no metric.
        if not column or column in used or column in STATUS_COLUMNS or (rows.is_own and column in OWN_COLUMNS):
            continue
        values, bad = _numbers(rows, column)
        if not bad and any(value is not None for value in values):
            found[column] = values
    return found


def _statuses(rows: Rows) -> list[str]:
    """Return the outcome of every row: what a column ``status`` or ``state`` says in words of trackers."""
    for column in rows.columns:
        if column.rpartition(".")[2].casefold() not in STATUS_COLUMNS:
            continue
        words = [_text(value).casefold().rpartition(".")[2] for value in rows.values(column)]
        if all(word in FINISHED or word in UNFINISHED for word in words):
            return [UNFINISHED.get(word, "finished") for word in words]
    return ["finished"] * len(rows.rows)


def _direction(rows: Rows, roles: Roles, column: str) -> bool:
    if roles.higher_is_better is not None:
        return roles.higher_is_better
    split, _, plain = roles.metric.rpartition(".")[2].partition("_")
    plain = plain if split in SPLITS else roles.metric.rpartition(".")[2]
    known = {**COSTS, "loss": False, **rows.directions}
    found = next((known[name] for name in (roles.metric, column, plain) if name in known), None)
    found = _declared(plain) if found is None else found
    if found is None:
        raise DataError(
            f"nothing says whether higher or lower {roles.metric} is better",
            where=rows.where,
            hint="--higher-is-better or --lower-is-better; in Python higher_is_better=True or False",
        )
    return found


def _declared(metric: str) -> bool | None:
    """Return the direction that a registered metric of this name declares; it imports plugins, and with them torch."""
    from lab.registry.plugins import load_catalog

    registry = load_catalog(warn=lambda _: None).registry("metrics")
    if metric not in registry:
        return None
    found = getattr(registry[metric].load(), "higher_is_better", None)
    return found if isinstance(found, bool) else None


# --- arms -------------------------------------------------------------------------------------------------------------


def _labels(cells: Sequence[Sequence[str]], factors: Sequence[str]) -> list[list[str]]:
    """Return levels by names that tell factors apart: ``width=2`` where a level is a number or that of two factors."""
    levels = [{cell[i] for cell in cells} for i in range(len(factors))]
    is_plain = [
        not any(level in other for other in levels[:i] + levels[i + 1 :] for level in own) and not _has_number(own)
        for i, own in enumerate(levels)
    ]
    return [
        [
            level if plain or not level else f"{factor}={level}"
            for factor, plain, level in zip(factors, is_plain, cell, strict=True)
        ]
        for cell in cells
    ]


def _has_number(levels: Iterable[str]) -> bool:
    """Return whether a level says nothing without the name of its factor."""
    return any(
        level.casefold() in ("true", "false", "yes", "no", "none") or level.lstrip("+-.")[:1].isdigit()
        for level in levels
    )


def _names_of_cells(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return names as a grid gives them: the levels that differ from the first row's, joined."""
    first = cells[0]
    changed = [[level for level, usual in zip(cell, first, strict=True) if level != usual] for cell in cells]
    return [" + ".join(levels) or BASE for levels in changed]


def _arms(
    names: Sequence[str], cells: Sequence[Sequence[str]], factors: Sequence[str], base: str | None, where: str
) -> list[Arm]:
    known = dict(zip(names, cells, strict=True))
    if base is not None and base not in known:
        raise UnknownNameError.among("arm", base, known, where=where, hint=f"arms: {', '.join(known)}")
    if len(known) == 1:
        raise DataError(
            f"there is one arm, '{names[0]}', and nothing to compare it with",
            where=where,
            hint="another column may name the arms: --arm COLUMN",
        )
    ordered = sorted(known, key=lambda name: name != base) if base is not None else list(known)
    levels = {name: dict(zip(factors, known[name], strict=True)) for name in ordered}
    usual = levels[ordered[0]]
    return [
        Arm(
            name,
            factors=own,
            difference={
                factor: (usual[factor].removeprefix(f"{factor}="), level.removeprefix(f"{factor}="))
                for factor, level in own.items()
                if level != usual[factor]
            },
        )
        for name, own in levels.items()
    ]


def _factor_problems(
    rows: Rows, names: Sequence[str], cells: Sequence[Sequence[str]], factors: Sequence[str]
) -> list[str]:
    first: dict[str, int] = {}
    problems = []
    for i, (name, cell) in enumerate(zip(names, cells, strict=True)):
        begun = first.setdefault(name, i)
        for factor, level, other in zip(factors, cell, cells[begun], strict=True):
            if level != other:
                problems.append(
                    f"arm '{name}' has two levels of {factor}: {other} in {rows.places[begun]}, {level} in "
                    f"{rows.places[i]}"
                )
    return problems[:MAX_SHOWN]


def _pair_problems(
    arms: Sequence[Arm], names: Sequence[str], seeds: Sequence[int | None], count: int, is_paired: bool
) -> list[str]:
    """Return why arms cannot be paired: none shares a seed with the base, or there are too many seeds."""
    base = arms[0].name
    # Without this check, every arm of a table would say that it shares no seed: the columns are wrong, not the arms.
    of_base = {seed for name, seed in zip(names, seeds, strict=True) if name == base}
    if is_paired and not any(seed in of_base for name, seed in zip(names, seeds, strict=True) if name != base):
        return [f"no arm has a seed of '{base}', the base: arms are compared seed by seed, or with --unpaired"]
    if len(arms) * count > MAX_RUNS:
        return [f"{len(arms):,} arms with {count:,} seeds: {MAX_RUNS:,} runs at most can be compared"]
    return []


def _duplicates(rows: Rows, names: Sequence[str], seeds: Sequence[int | None], used: set[str]) -> list[str]:
    """Return the pairs of arm and seed that several rows have, with the columns by which these rows differ."""
    places: dict[tuple[str, int | None], list[int]] = {}
    for i, pair in enumerate(zip(names, seeds, strict=True)):
        places.setdefault(pair, []).append(i)
    twice = {pair: found for pair, found in places.items() if len(found) > 1}
    problems = [
        f"arm '{arm}', seed {seed} stands in {_listed([rows.places[i] for i in found])}"
        for (arm, seed), found in list(twice.items())[:MAX_SHOWN]
    ]
    if len(twice) > MAX_SHOWN:
        problems.append(f"… and {len(twice) - MAX_SHOWN} more pairs of arm and seed stand in several rows")
    differing = [
        column
        for column in rows.columns
        if column
        and column not in used
        and all(len({_text(rows.rows[i].get(column)) for i in found}) == len(found) for found in twice.values())
    ]
    if problems and differing:
        column = differing[0]
        problems[-1] += f"\n  they differ in {', '.join(differing[:MAX_SHOWN])}: --where {column}=… chooses one of them"
    return problems


# --- what a reader is told --------------------------------------------------------------------------------------------


def _placed(what: str, bad: Sequence[int], rows: Rows, column: str = "") -> list[str]:
    """Return a problem with its rows, and what stands there in a column; nothing if no row is bad."""
    texts = [rows.places[i] + (f" ({shown(rows.rows[i].get(column))})" if column else "") for i in bad]
    return [f"{what}: {_listed(texts)}"] if bad else []


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - MAX_SHOWN
    return ", ".join(texts[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _grid_notes(arms: Sequence[Arm], factors: Sequence[str]) -> list[str]:
    """Return why there are no effects, if factors are named and their levels make no grid."""
    if not factors:
        return []
    levels = [list(dict.fromkeys(arm.factors[factor] for arm in arms)) for factor in factors]
    cells = [tuple(arm.factors.values()) for arm in arms]
    missing = [" + ".join(cell) for cell in itertools.product(*levels) if cell not in cells]
    if missing:
        return [f"no main effects and interactions: the grid lacks {_listed(missing)}"]
    if len(set(cells)) < len(cells):
        return ["no main effects and interactions: two arms have the same levels of all factors"]
    return []


def _notes(
    rows: Rows, runs: Sequence[RunRecord], values: Sequence[float | None], statuses: Sequence[str], metric: str
) -> list[str]:
    """Return what the numbers do not show, one sentence each, with the rows."""
    notes = []
    absent: dict[str, list[str]] = {}
    for run in runs:
        if run.status == "absent" and not run.result:
            absent.setdefault(run.arm, []).append(str(run.seed))
    if absent:
        notes.append("no row: " + "; ".join(f"{arm}, seed {_listed(seeds)}" for arm, seeds in absent.items()))
    finished = [i for i, status in enumerate(statuses) if status == "finished"]
    if empty := [rows.places[i] for i in finished if values[i] is None]:
        notes.append(f"no {metric}: {_listed(empty)}")
    strange = [i for i in finished if values[i] is not None and not math.isfinite(values[i] or 0.0)]
    if strange:
        notes.append(f"{metric} is not finite: {_listed([f'{rows.places[i]} ({values[i]})' for i in strange])}")
    if not rows.is_own:
        notes.append(
            "pairs of runs share the number of their seed; these rows do not say whether they share the order of "
            "batches and initial weights"
        )
    return notes
