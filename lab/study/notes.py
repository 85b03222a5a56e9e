"""Notes of a plan on its data and its arms, kept in the record of the study for the readers of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from lab.study.preflight import Plan
    from lab.training.data import Data

__all__ = ["Notes", "notes_of_plan", "split_sizes", "with_earlier_notes"]

MAX_NAMES = 4
"""Arms that are named before a note at most."""


@attrs.frozen
class Notes:
    """Notes on the data and the arms of a study.

    Attributes:
        sizes: number of examples of each split, ``train 17,970 · valid 2,030`` → the arms with such data.
        data: note on the data → the arms whose data it is on.
        warnings: those notes on the data that the dataset logged as a warning.
        arms: arm → notes of its rehearsal.
        count: number of arms.
    """

    sizes: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    data: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    warnings: Sequence[str] = ()
    arms: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    count: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the notes for the record of the study."""
        return {"sizes": self.sizes, "data": self.data, "warnings": list(self.warnings), "arms": self.arms}

    def size_lines(self) -> list[str]:
        """Return the sizes of the splits, with the arms that they are of unless all have the same."""
        return list(self._lines(self.sizes))

    def data_lines(self) -> list[str]:
        """Return the notes on the data, with their arms unless they are on the data of all."""
        return list(self._lines(self.data))

    def warning_lines(self) -> list[str]:
        """Return the lines of ``data_lines`` that are warnings."""
        return list(self._lines({note: arms for note, arms in self.data.items() if note in self.warnings}))

    def caveats(self) -> list[str]:
        """Return the warnings as notes below a comparison."""
        return [f"data: {line}" for line in self.warning_lines()]

    def arm_lines(self) -> list[str]:
        """Return the notes of the rehearsals, each once, with its arms unless all have it."""
        found: dict[str, list[str]] = {}
        for arm, notes in self.arms.items():
            for note in notes:
                found.setdefault(note, []).append(arm)
        return list(self._lines(found))

    def _lines(self, notes: Mapping[str, Sequence[str]]) -> Iterator[str]:
        for note, arms in notes.items():
            more = f" and {len(arms) - MAX_NAMES:,} more arms" if len(arms) > MAX_NAMES else ""
            yield note if len(arms) == self.count else f"{', '.join(arms[:MAX_NAMES])}{more}: {note}"


def notes_of_plan(plan: Plan) -> Notes:
    """Return the notes of a plan."""
    # they import torch, which the commands that only read a record do without
    from lab.study.build import warnings_of
    from lab.study.task import task_notes

    sizes: dict[str, dict[str, None]] = {}
    noted: dict[str, dict[str, None]] = {}
    warnings: dict[str, None] = {}
    for run in plan.runs:
        if run.experiment.task is None:
            sizes.setdefault(split_sizes(run.data), {})[run.arm] = None
        # of folds, which differ in little, the notes of one
        if plan.study.folds is not None and run.seed != plan.runs[0].seed:
            continue
        warned = warnings_of(run.data)
        for note in dict.fromkeys((*run.data.notes, *warned)):
            noted.setdefault(note, {})[run.arm] = None
        warnings |= dict.fromkeys(warned)
    arms: dict[str, list[str]] = {name: list(check.notes) for name, check in plan.checks.items()}
    for arm in plan.arms:
        if arm.experiment.task is not None:
            arms[arm.name] = task_notes(arm.experiment.task)
    return Notes(
        {text: list(names) for text, names in sizes.items()},
        {text: list(names) for text, names in noted.items()},
        list(warnings),
        arms,
        len(plan.arms),
    )


def split_sizes(data: Data) -> str:
    """Return how many examples each split has: ``train 17,970 · valid 2,030``."""
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    # a stream has no length
    known = {name: len(split) for name, split in splits.items() if isinstance(split, Sized)}
    return " · ".join(f"{name} {count:,}" for name, count in known.items())


def with_earlier_notes(content: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the record of a study with the earlier notes of those arms that were not rehearsed again.

    Args:
        content: the record of a plan.
        before: earlier records of the same question, the newest last.
    """
    if "notes" not in content:
        return dict(content)
    earlier: dict[str, Any] = {}
    for each in before:
        earlier |= each.get("notes", {}).get("arms", {})
    # a finished run is not rehearsed: nothing about it has changed, or it would have another key
    arms = {name: found for name in content["arms"] if (found := {**earlier, **content["notes"]["arms"]}.get(name))}
    return {**content, "notes": {**content["notes"], "arms": arms}}
