"""States of other trainers in the checkpoint of a run: tensors and JSON in one file, and no pickle."""

from __future__ import annotations

from typing import Any

from lab import TaskRun
from lab.study.task import forget_checkpoint
from lab.training.weights import join_tensors, split_tensors

__all__ = ["load_state", "remove_state", "save_state"]


def save_state(run: TaskRun, state: Any) -> None:
    """Replace the checkpoint of a run by a tree of tensors, numbers, strings, lists, tuples and dictionaries.

    Raises:
        LabError: the state holds another type; the message names its place.
        KeyboardInterrupt: the run was asked to stop; the state is saved.
    """
    plain, tensors = split_tensors(state)
    run.checkpoint.save(tensors, tree=plain)


def load_state(run: TaskRun) -> Any | None:
    """Return the state that was saved last; None in a run that begins anew."""
    kept = run.checkpoint.load()
    return None if kept is None else join_tensors(kept[1]["tree"], kept[0])


def remove_state(run: TaskRun) -> None:
    """Remove the checkpoint of a run whose training has ended."""
    forget_checkpoint(run.folder)
