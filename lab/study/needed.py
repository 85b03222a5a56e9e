"""Finished runs that components need: their keys are looked up before any data is read.

A component that takes something from other runs has a class method ``check_runs(params, store)``. It gets the
parameters that were chosen and the ``Store`` of the study, and raises a ``LabError`` if a run is not there or not
finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.errors import LabError, StoreError
from lab.registry.resolved import Component
from lab.study import variants
from lab.study.store import Store, finished_run

__all__ = ["check_run", "has_finished_run", "problems_of_runs"]


def check_run(params: Mapping[str, Any], store: Store) -> None:
    """Raise if there is no finished run with the key in ``run``, in the folder in ``runs`` or else in ``store``.

    Raises:
        LabError: no run or several match the key, or the run is not finished.
    """
    if key := params.get("run"):
        folder = params.get("runs")
        finished_run(Store(folder) if folder else store, key)


def problems_of_runs(components: Sequence[Component], store: Store) -> list[str]:
    """Return what is wrong with the runs that components need, one message each."""
    problems = []
    for component in components:
        check = getattr(component.factory, "check_runs", None)
        if callable(check):
            try:
                check(component.params, store)
            except LabError as error:
                problems.append(f"{component.label}: {error}")
    return problems


def has_finished_run(store: Store, study: str, arm: str) -> bool:
    """Return whether a study's record names a finished run of an arm, which needs no other run any more."""
    try:
        every = variants.all_variants(variants.read_content(store.root / study))
    except (OSError, StoreError):
        return False
    keys = {run["key"] for each in every for run in each["runs"] if run["arm"] == arm}
    return any(store.finished(key) is not None for key in keys)
