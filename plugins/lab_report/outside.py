"""Results for commands: a study of the store, or rows from elsewhere with the options that say what they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
from click.shell_completion import CompletionItem

from lab.cli.options import complete_study
from lab.errors import LabError

if TYPE_CHECKING:
    from lab.cli.main import Session
    from lab.study.outside import Rows
    from lab.study.record import StudyRecord
    from lab.study.results import Results

__all__ = ["Source", "based", "comparison_shown", "outside_options", "source_argument", "source_of"]


@attrs.frozen
class Source:
    """Results, and the record that they are of.

    Attributes:
        results: the runs.
        record: of a study of the store; None for results from elsewhere.
    """

    results: Results
    record: StudyRecord | None


def _complete_source(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    names = complete_study(ctx, param, incomplete)
    # The shell itself completes the names of files.
    return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


def _one_direction(ctx: click.Context, param: click.Parameter, given: tuple[bool, ...]) -> bool | None:
    """Return whether higher is better; None if nothing says so.

    Raises:
        UsageError: both were given.
    """
    if len(set(given)) > 1:
        raise click.UsageError("--higher-is-better and --lower-is-better exclude each other", ctx)
    return given[0] if given else None


source_argument = click.argument("study", metavar="STUDY|FILE", shell_complete=_complete_source)

OPTIONS = (
    click.option("--arm", default="arm", metavar="COLUMN", help="Of a file: the column that names the arm."),
    click.option("--seed", default="seed", metavar="COLUMN", help="Of a file: the column of the seeds."),
    click.option(
        "--higher-is-better/--lower-is-better",
        multiple=True,
        callback=_one_direction,
        help="Of a file: the direction of the metric; losses and metrics that lab has need none.",
    ),
    click.option("--base", default=None, metavar="ARM", help="Compare with this arm, not with the first."),
    click.option("--factors", default="", metavar="A,B", help="Of a file: columns with the levels of a grid."),
    click.option(
        "--wide",
        type=click.Choice(["arms", "seeds"]),
        default=None,
        help="Of a file: it has one column per arm and one row per seed, or one column per seed and one row per arm; "
        "otherwise one row per run.",
    ),
    click.option(
        "--where", "conditions", multiple=True, metavar="COLUMN=VALUE", help="Of a file: only these rows; repeatable."
    ),
    click.option(
        "--names",
        "pattern",
        default="",
        metavar="PATTERN",
        help="Of a tracker: how names of runs hold arm and seed, for example '{arm}-seed{seed}'.",
    ),
)


def outside_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what the columns of a file are."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def source_of(
    name: str, folder: Path, variant: str, metric: str, options: dict[str, Any], *, is_paired: bool = True
) -> Source:
    """Return the results called ``name``: those of a file or tracker, or of a study in the folder of runs.

    Args:
        name: a path or an address, or a study.
        folder: of runs.
        variant: which variant of the study.
        metric: the metric to compare; the study's own if it is empty.
        options: those of ``outside_options``.
        is_paired: whether the arms of a file need seeds in common.

    Raises:
        LabError: there is no such study, or rows cannot be compared.
    """
    from lab_report.trackers import SUFFIXES

    path = Path(name)
    # A study may be called v1.5, which looks like a file with a suffix.
    is_file = "://" in name or (
        name != ""
        and not _is_study(path, folder)
        and (path.suffix.casefold() in SUFFIXES or (os.path.exists(path) and path.suffix != ".py"))
    )
    if is_file:
        return _outside(name, metric, options, is_paired=is_paired)
    from lab.study.record import read_study
    from lab.study.store import Store

    store = Store(folder)
    record = read_study(store, name, variant)
    _refuse_options(name, options)
    return Source(based(record.results(store), options["base"]), record)


def comparison_shown(
    session: Session, source: Source, results: Results, metric: str, *, paired: bool = True, stepwise: bool = False
) -> list[str]:
    """Tell plugins that a comparison of a study is shown, and return what they say of it.

    Args:
        session: of the command.
        source: of the results; those from elsewhere have no ledger, and nothing is said.
        results: as they are shown: with their base and margin.
        metric: that arms are compared by; the study's own if it is empty.
        paired: whether arms are compared seed by seed.
        stepwise: whether each arm is compared with the one before.
    """
    record = source.record
    if record is None:
        return []
    base, own = results.arms[0].name, record.arms[0].row or record.arms[0].name
    how = [f"against {base}"] if base != own else []
    how += [] if paired else ["not paired"]
    how += ["each with the arm before"] if stepwise else []
    how += [f"margin {results.margin:g}"] if results.margin != (record.study.margin or 0.0) else []
    # an unknown metric is refused here, before a ledger has it
    told = {"results": results, "record": record, "metric": results.known_metric(metric), "how": how}
    return [line for _, lines in session.catalog().gather("lab_comparison_shown", str, **told) for line in lines]


def _is_study(path: Path, folder: Path) -> bool:
    # os.path refuses no name, however long; Path.is_file does.
    return os.path.isfile(folder / (path.stem if path.suffix == ".py" else path.name) / "study.json")


OF_FILES = {
    "arm": ("--arm", "arm"),
    "seed": ("--seed", "seed"),
    "higher_is_better": ("--higher-is-better", None),
    "factors": ("--factors", ""),
    "wide": ("--wide", None),
    "conditions": ("--where", ()),
    "pattern": ("--names", ""),
}
"""Parameter → its option, and its value unless it is given."""


def _refuse_options(name: str, options: dict[str, Any]) -> None:
    for parameter, (option, usual) in OF_FILES.items():
        if options[parameter] != usual:
            raise click.UsageError(f"{option} is for files; '{name}' is a study, which knows its own arms and metrics")


def _outside(name: str, metric: str, options: dict[str, Any], *, is_paired: bool) -> Source:
    from lab.study.outside import Roles, results_of
    from lab_report.readers import long_of, where
    from lab_report.trackers import read

    rows, path = read(name, options["pattern"]), Path(name)
    is_plain = all(options[parameter] == usual for parameter, (_, usual) in OF_FILES.items())
    if rows.is_own and is_plain and (beside := _study_beside(path, rows)) is not None:
        return Source(based(beside, options["base"]), None)
    rows = where(rows, options["conditions"])
    if not metric:
        if len(rows.directions) != 1 and options["wide"] is None:
            raise LabError("no metric is named", where=name, hint=f"--metric COLUMN: {', '.join(_numeric(rows))}")
        metric = next(iter(rows.directions), "value")
    if options["wide"] is not None:
        rows = long_of(rows, options["wide"], arm=options["arm"], seed=options["seed"], metric=metric)
    factors = [factor.strip() for factor in options["factors"].split(",") if factor.strip()]
    roles = Roles(
        metric, options["arm"], options["seed"], options["higher_is_better"], options["base"], factors, is_paired
    )
    return Source(results_of(rows, roles), None)


def _numeric(rows: Rows) -> list[str]:
    from lab.study.outside import number_of

    def is_numeric(column: str) -> bool:
        try:
            values = [number_of(row.get(column)) for row in rows.rows]
        except ValueError:
            return False
        return any(value is not None for value in values)

    return [column for column in rows.columns if column not in ("", "seed") and is_numeric(column)]


def based(results: Results, base: str | None) -> Results:
    """Return results whose arms are compared with ``base``; None leaves them as they are.

    Raises:
        UnknownNameError: there is no such arm; close matches are given.
    """
    from lab.errors import UnknownNameError
    from lab.study.results import Results

    if base is None:
        return results
    names = [arm.name for arm in results.arms]
    if base not in names:
        raise UnknownNameError.among("arm", base, names, hint=f"arms: {', '.join(names)}")
    arms = sorted(results.arms, key=lambda arm: arm.name != base)
    return Results(results.study, arms, results.runs, results.notes, paired=results.paired)


def _study_beside(path: Path, rows: Rows) -> Results | None:
    """Return the rows of a ``runs.csv`` with what its study, whose folder it lies in, knows besides numbers.

    The numbers are the file's. The study says which metric decides, what the factors of a grid are, and how epochs were
    chosen. None if the folder holds no record of these arms.
    """
    from lab.study.outside import OWN_COLUMNS, number_of
    from lab.study.record import read_study
    from lab.study.results import COSTS, Results
    from lab.study.store import Store

    store, variant = Store(path.resolve().parent.parent), path.stem.removeprefix("runs").removeprefix("-")
    try:
        record = read_study(store, path.resolve().parent.name, variant)
    except LabError:
        return None
    runs = []
    try:
        for row in rows.rows:
            stored = store.record(str(row["key"]), str(row["arm"]), int(row["seed"]))
            values = {name: number_of(row[name]) for name in rows.columns[len(OWN_COLUMNS) :]}
            known = {name: value for name, value in values.items() if value is not None}
            budget = {*COSTS, *stored.budget}
            result = {
                **stored.result,
                "metrics": {name: value for name, value in known.items() if name not in budget},
                "budget": {name: value for name, value in known.items() if name in budget},
            }
            status = str(row["status"])
            if status == "diverged":
                status, result["kind"] = "failed", "NonFiniteLossError"
            runs.append(attrs.evolve(stored, status=status, result=result))
    except (LabError, ValueError, TypeError):
        # Edited by hand: read as any other file, every problem is reported with its line.
        return None
    if {run.arm for run in runs} != {arm.name for arm in record.arms} or len(
        {(run.arm, run.seed) for run in runs}
    ) < len(runs):
        return None
    return Results(record.study, record.arms, runs)
