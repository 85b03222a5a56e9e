"""Summaries of all runs of a store, fast for thousands: no component, model or data is imported."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from lab.errors import StoreError, UnknownNameError
from lab.study.store import Store, outcome_of
from lab.study.variants import all_variants, labels, read_content, study_names

__all__ = [
    "RunSummary",
    "column_names",
    "files_below",
    "list_runs",
    "primary_metrics",
    "references",
    "remove_leftovers",
    "select_runs",
    "sort_runs",
    "users_of",
]


@attrs.frozen(eq=False)
class RunSummary:
    """Summary of one run.

    Attributes:
        key: its name in the store.
        status: ``finished``, ``failed``, ``interrupted`` or ``damaged``.
        study: the study it was first made for; empty if its record cannot be read.
        arm, seed: its arm and seed there.
        changed: when it ended, or was last touched; seconds since 1970.
        metrics: metrics and budget of a finished run.
        error: the first line of a failed run's error; of a damaged one, what is damaged.
        budget: those of the metrics that are costs.
        fold: of its dataset, in a cross-validation; else None.
    """

    key: str
    status: str
    study: str
    arm: str
    seed: int
    changed: float
    metrics: Mapping[str, float]
    error: str = ""
    budget: Mapping[str, float] = attrs.Factory(dict)
    fold: int | None = None

    def value(self, name: str) -> Any:
        """Return the value in a column: an attribute or a metric; None if the run has neither."""
        return self.changed if name == "when" else getattr(self, name, self.metrics.get(name))


def list_runs(root: Path) -> list[RunSummary]:
    """Return a summary of every run in ``root``, the latest last; damaged records as far as they can be read."""
    store = Store(root)
    folder = str(store.folder)
    found = [run for key in store.all_keys() if (run := _summary_of(folder, key)) is not None]
    return sorted(found, key=lambda run: (run.changed, run.key))


def _summary_of(folder: str, key: str) -> RunSummary | None:
    """Return the summary of a run; None if it was removed meanwhile."""
    path = f"{folder}/{key}"
    # not thorough: parsing the histories of 10,000 runs would take minutes
    outcome = outcome_of(path, thorough=False)
    try:
        # the time of the file that ended the run: a later metric or a report changes the folder's own
        changed = os.lstat(f"{path}/{outcome.name}" if outcome.name else path).st_mtime
    except OSError:
        return None
    made, result = outcome.made, outcome.result
    return RunSummary(
        key,
        outcome.status,
        made.get("study", ""),
        made.get("arm", ""),
        made.get("seed", -1),
        changed,
        {**result.get("metrics", {}), **result.get("budget", {})} if outcome.status == "finished" else {},
        result.get("error", "").partition("\n")[0],
        result.get("budget", {}) if outcome.status == "finished" else {},
        _fold_of(made.get("experiment", {})),
    )


def _fold_of(experiment: Mapping[str, Any]) -> int | None:
    """Return the fold of an experiment's dataset, or of a training function; None without cross-validation."""
    component = experiment.get("dataset") or experiment.get("task")
    params = component.get("params") if isinstance(component, Mapping) else None
    if not isinstance(params, Mapping) or not params.get("folds"):
        return None
    return params["fold"] if isinstance(params.get("fold"), int) else None


def references(root: Path) -> dict[str, list[str]]:
    """Return key → the studies that refer to it, in any of their variants.

    Raises:
        StoreError: a study's record is damaged, so no run may be called unused.
    """
    return {key: list(dict.fromkeys(study for study, _ in users)) for key, users in users_of(root).items()}


def users_of(
    root: Path, warn: Callable[[str], None] | None = None, *, last_only: bool = False
) -> dict[str, list[tuple[str, str]]]:
    """Return key → (study, label of its variant) of all that refer to it; a single variant has no label.

    Args:
        root: the folder of runs.
        warn: called for each damaged record, which is skipped; None raises instead.
        last_only: of each study only the variant that was run last.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for name, content in _studies(root, warn):
        every = all_variants(content)
        known = labels(every)
        for each in every[-1:] if last_only else every:
            label = f"{each['variant']} {known[each['variant']]}".strip() if len(every) > 1 else ""
            for run in each["runs"]:
                found.setdefault(run["key"], []).append((name, label))
    return found


def primary_metrics(root: Path) -> list[str]:
    """Return the primary metrics of the studies in ``root``."""
    return list(dict.fromkeys(content["compare"] for _, content in _studies(root, _ignore) if content["compare"]))


def _ignore(problem: str) -> None:
    """Ignore a damaged record: other commands report it."""


def _studies(root: Path, warn: Callable[[str], None] | None = None) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name in study_names(Store(root)):
        try:
            found.append((name, read_content(Path(root) / name)))
        except FileNotFoundError:
            continue
        except StoreError as error:
            if warn is None:
                raise
            warn(str(error))
    return found


def select_runs(
    runs: Iterable[RunSummary],
    *,
    study: str = "",
    arm: str = "",
    status: str = "",
    seed: int | None = None,
    referring: Mapping[str, Sequence[str]] | None = None,
) -> list[RunSummary]:
    """Return the runs that match every condition; names may contain ``*``.

    Args:
        runs: the runs to select from.
        study: a study that a run was made for, or that refers to it.
        arm, status, seed: required values.
        referring: key → studies, as returned by ``references``.
    """
    from fnmatch import fnmatchcase

    def matches(run: RunSummary) -> bool:
        studies = [run.study, *(referring or {}).get(run.key, ())]
        return (
            (not study or any(fnmatchcase(name, study) for name in studies))
            and (not arm or fnmatchcase(run.arm, arm))
            and (not status or run.status == status)
            and (seed is None or run.seed == seed)
        )

    return [run for run in runs if matches(run)]


def sort_runs(runs: Sequence[RunSummary], column: str, *, descending: bool = False) -> list[RunSummary]:
    """Return the runs sorted by a column; missing and non-finite values come last in both directions.

    Raises:
        UnknownNameError: no run has such a column; close matches are given.
    """
    known = column_names(runs)
    if runs and column not in known:
        raise UnknownNameError.among("column", column, known, hint=f"columns: {', '.join(known)}")
    # NaN compares false with everything and would leave the list in an arbitrary order
    with_value = [run for run in runs if _is_sortable(run.value(column))]
    without = [run for run in runs if not _is_sortable(run.value(column))]
    return [*sorted(with_value, key=lambda run: run.value(column), reverse=descending), *without]


def _is_sortable(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def column_names(runs: Sequence[RunSummary]) -> list[str]:
    """Return the columns that a list may show or be sorted by."""
    metrics = dict.fromkeys(name for run in runs for name in run.metrics)
    return ["key", "study", "arm", "seed", "status", "when", *metrics]


def remove_leftovers(root: Path) -> int:
    """Delete leftovers of interrupted removals and return the number of folders."""
    import shutil

    store = Path(root) / ".store"
    # `lab reproduce` works in such a folder, so only those older than a day are leftovers
    yesterday = time.time() - 24 * 3600
    reproduced = [path for path in store.glob(".reproduce-*") if path.lstat().st_mtime < yesterday]
    # `.removed-*`: a run is renamed before its files are deleted, and a kill may come between
    found = [*store.glob(".removed-*"), *reproduced]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return len(found)


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder of the store, in order of their names."""
    # a link may lead anywhere; its size, name and content are nothing to show or to send
    return sorted(path for path in folder.rglob("*") if not path.is_symlink() and path.is_file())
