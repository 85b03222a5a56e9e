"""The runs of a store in one pass, for lists of thousands: no component, model or data is imported."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from pydantic_core import from_json

from lab.errors import StoreError, UnknownNameError
from lab.registry.registry import close_matches

__all__ = [
    "Listed",
    "column_names",
    "deciding_figures",
    "list_runs",
    "references",
    "remove_leftovers",
    "select_runs",
    "sort_runs",
]

STATES = (("finished", "result.json"), ("failed", "failure.json"))


@attrs.frozen(eq=False)
class Listed:
    """One run in a list.

    Attributes:
        key: what it is found by.
        status: ``finished``, ``failed`` or ``interrupted``.
        made_for: the study it was first made for; empty if its record cannot be read.
        arm, seed: which one it was there.
        changed: when it ended, or was last touched; seconds since 1970.
        figures: metrics and budget of a finished run.
        error: the first line of a failed run's error.
    """

    key: str
    status: str
    made_for: str
    arm: str
    seed: int
    changed: float
    figures: Mapping[str, float]
    error: str = ""

    def value(self, name: str) -> Any:
        """A column's value: one of its attributes, or a figure; None where it has none."""
        plain = {"study": self.made_for, "when": self.changed}
        return plain.get(name) if name in plain else getattr(self, name, self.figures.get(name))


def list_runs(root: Path) -> list[Listed]:
    """Every run of the store in ``root``, the latest last; damaged records are listed as far as they can be read."""
    folder = os.path.join(root, ".store")
    try:
        with os.scandir(folder) as entries:
            keys = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except FileNotFoundError:
        return []
    found = [run for key in keys if (run := _listed(folder, key)) is not None]
    return sorted(found, key=lambda run: (run.changed, run.key))


def _listed(folder: str, key: str) -> Listed | None:
    """One run; None where it was removed meanwhile."""
    path = f"{folder}/{key}"
    status, name, result = _outcome(path)
    made = _read(f"{path}/experiment.json") or {}
    try:
        changed = os.stat(f"{path}/{name}").st_mtime
    except FileNotFoundError:
        return None
    return Listed(
        key,
        status,
        str(made.get("study", "")),
        str(made.get("arm", "")),
        int(made.get("seed", -1)),
        changed,
        {**result.get("metrics", {}), **result.get("budget", {})},
        str(result.get("error", "")).partition("\n")[0],
    )


def _outcome(path: str) -> tuple[str, str, dict[str, Any]]:
    """A run's state, the file that says so, and what that file holds."""
    for status, name in STATES:
        result = _read(f"{path}/{name}")
        if result is not None:
            return status, name, result
    return "interrupted", "", {}


def _read(path: str) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file, empty where it is damaged."""
    try:
        with open(path, "rb") as file:
            content = from_json(file.read(), allow_inf_nan=True)
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def references(root: Path) -> dict[str, list[str]]:
    """Key → the studies that refer to it."""
    found: dict[str, list[str]] = {}
    for name, content in _studies(root):
        for run in content.get("runs", []):
            found.setdefault(run["key"], []).append(name)
    return found


def deciding_figures(root: Path) -> list[str]:
    """The figures that decide the studies in ``root``."""
    return list(dict.fromkeys(content["compare"] for _, content in _studies(root) if content.get("compare")))


def _studies(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every study's record.

    Raises:
        StoreError: one is damaged; nothing may be called unused then.
    """
    found = []
    for path in sorted(Path(root).glob("*/study.json")):
        try:
            found.append((path.parent.name, json.loads(path.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise StoreError(
                f"the record of the study '{path.parent.name}' is damaged",
                where=f"{path}: {error}",
                hint="lab run writes it again, or remove its folder",
            ) from error
    return found


def select_runs(
    runs: Iterable[Listed],
    *,
    study: str = "",
    arm: str = "",
    status: str = "",
    seed: int | None = None,
    referring: Mapping[str, Sequence[str]] | None = None,
) -> list[Listed]:
    """The runs that fit every condition; names may hold ``*``.

    Args:
        runs: what to choose from.
        study: a study that a run was made for, or that refers to it.
        arm, status, seed: what it must be.
        referring: key → studies, as ``references`` gives it.
    """
    from fnmatch import fnmatchcase

    def fits(run: Listed) -> bool:
        studies = [run.made_for, *(referring or {}).get(run.key, ())]
        return (
            (not study or any(fnmatchcase(name, study) for name in studies))
            and (not arm or fnmatchcase(run.arm, arm))
            and (not status or run.status == status)
            and (seed is None or run.seed == seed)
        )

    return [run for run in runs if fits(run)]


def sort_runs(runs: Sequence[Listed], column: str, *, descending: bool = False) -> list[Listed]:
    """The runs by a column; those without a value come last.

    Raises:
        UnknownNameError: no run has such a column; close matches are given.
    """
    known = column_names(runs)
    if runs and column not in known:
        close = close_matches(column, known)
        hint = f"did you mean: {' or '.join(close)}?\n" if close else ""
        raise UnknownNameError(f"unknown column '{column}'", hint=f"{hint}columns: {', '.join(known)}")
    with_value = [run for run in runs if run.value(column) is not None]
    without = [run for run in runs if run.value(column) is None]
    return [*sorted(with_value, key=lambda run: run.value(column), reverse=descending), *without]


def column_names(runs: Sequence[Listed]) -> list[str]:
    """Everything a list may be sorted by or show."""
    figures = dict.fromkeys(name for run in runs for name in run.figures)
    return ["key", "study", "arm", "seed", "status", "when", *figures]


def remove_leftovers(root: Path) -> int:
    """Delete what an interrupted removal left behind; gives how many folders."""
    import shutil

    found = list((Path(root) / ".store").glob(".removed-*"))
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return len(found)
