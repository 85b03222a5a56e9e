"""The runs of a store in one pass, for lists of thousands: no component, model or data is imported."""

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
    """One run in a list.

    Attributes:
        key: what it is found by.
        status: ``finished``, ``failed``, ``interrupted`` or ``damaged``.
        study: the study it was first made for; empty if its record cannot be read.
        arm, seed: which one it was there.
        changed: when it ended, or was last touched; seconds since 1970.
        metrics: metrics and budget of a finished run.
        error: the first line of a failed run's error; of a damaged one, what is damaged.
    """

    key: str
    status: str
    study: str
    arm: str
    seed: int
    changed: float
    metrics: Mapping[str, float]
    error: str = ""

    def value(self, name: str) -> Any:
        """Return the value in a column: an attribute or a metric; None if the run has neither."""
        return self.changed if name == "when" else getattr(self, name, self.metrics.get(name))


def list_runs(root: Path) -> list[RunSummary]:
    """Every run of the store in ``root``, the latest last; damaged records are listed as far as they can be read."""
    store = Store(root)
    folder = str(store.folder)
    found = [run for key in store.all_keys() if (run := _summary_of(folder, key)) is not None]
    return sorted(found, key=lambda run: (run.changed, run.key))


def _summary_of(folder: str, key: str) -> RunSummary | None:
    """One run; None where it was removed meanwhile."""
    path = f"{folder}/{key}"
    outcome = outcome_of(path, thorough=False)
    try:
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
    )


def references(root: Path) -> dict[str, list[str]]:
    """Key → the studies that refer to it, in any of their variants.

    Raises:
        StoreError: a study's record is damaged; nothing may be called unused then.
    """
    return {key: list(dict.fromkeys(study for study, _ in users)) for key, users in users_of(root).items()}


def users_of(
    root: Path, warn: Callable[[str], None] | None = None, *, last_only: bool = False
) -> dict[str, list[tuple[str, str]]]:
    """Key → (study, label of its variant) of all that refer to it; the label of a study with one variant is empty.

    Args:
        root: the folder of runs.
        warn: hears of damaged records, which are left out; without it they are an error.
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
    """The metrics by which the studies in ``root`` are compared."""
    return list(dict.fromkeys(content["compare"] for _, content in _studies(root, _ignore) if content["compare"]))


def _ignore(problem: str) -> None:
    """A record that is damaged says nothing here."""


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
    """The runs that fit every condition; names may hold ``*``.

    Args:
        runs: what to choose from.
        study: a study that a run was made for, or that refers to it.
        arm, status, seed: what it must be.
        referring: key → studies, as ``references`` gives it.
    """
    from fnmatch import fnmatchcase

    def fits(run: RunSummary) -> bool:
        studies = [run.study, *(referring or {}).get(run.key, ())]
        return (
            (not study or any(fnmatchcase(name, study) for name in studies))
            and (not arm or fnmatchcase(run.arm, arm))
            and (not status or run.status == status)
            and (seed is None or run.seed == seed)
        )

    return [run for run in runs if fits(run)]


def sort_runs(runs: Sequence[RunSummary], column: str, *, descending: bool = False) -> list[RunSummary]:
    """The runs by a column; those without a value, and values that are not finite, come last both ways.

    Raises:
        UnknownNameError: no run has such a column; close matches are given.
    """
    known = column_names(runs)
    if runs and column not in known:
        raise UnknownNameError.among("column", column, known, hint=f"columns: {', '.join(known)}")
    with_value = [run for run in runs if _is_sortable(run.value(column))]
    without = [run for run in runs if not _is_sortable(run.value(column))]
    return [*sorted(with_value, key=lambda run: run.value(column), reverse=descending), *without]


def _is_sortable(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def column_names(runs: Sequence[RunSummary]) -> list[str]:
    """Everything a list may be sorted by or show."""
    metrics = dict.fromkeys(name for run in runs for name in run.metrics)
    return ["key", "study", "arm", "seed", "status", "when", *metrics]


def remove_leftovers(root: Path) -> int:
    """Delete what an interrupted removal left behind; gives how many folders."""
    import shutil

    store = Path(root) / ".store"
    # a run that is reproduced right now has such a folder too
    yesterday = time.time() - 24 * 3600
    reproduced = [path for path in store.glob(".reproduce-*") if path.lstat().st_mtime < yesterday]
    found = [*store.glob(".removed-*"), *reproduced]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return len(found)
