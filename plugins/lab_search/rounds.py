"""The rounds of a search: which trials come next.

A trial is an arm whose values a *searcher* chose, so it is checked, trained, found again and reported like any other.
What a round proposes follows from the seed and from what earlier rounds gave, and from nothing else: an interrupted
search continues where it stopped, and a finished one is only read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lab.errors import StudyError
from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver
from lab.study.results import Results
from lab.study.space import ObservedTrial, Options, Range, Search, Searcher
from lab.study.study import Arm, Study, Trial

__all__ = ["next_arms"]

SHARE = 3
"""One in this many trials is promoted to the next rung."""


def next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return the arms of the next round, or none if the search is finished.

    Args:
        study: with the arms of all rounds so far.
        results: of these arms.
        catalog: where the searcher is looked up.
    """
    search = study.searching
    if search is None:
        return []
    return _promoted(study, search, results) or _proposed(study, search, results, catalog)


def _promoted(study: Study, search: Search, results: Results) -> list[Arm]:
    """The trials that go on to their next rung, of every rung."""
    return [arm for rung in range(len(search.rungs)) for arm in _promoted_from(rung, study, search, results)]


def _promoted_from(rung: int, study: Study, search: Search, results: Results) -> list[Arm]:
    here = {arm.trial.number: arm for arm in study.arms if arm.trial is not None and arm.trial.rung == rung}
    gone_on = {arm.trial.number for arm in study.arms if arm.trial is not None and arm.trial.rung == rung + 1}
    values = {number: results.value_of(arm.name) for number, arm in here.items()}
    finished = {number: value for number, value in values.items() if value is not None}
    best = sorted(finished, key=lambda number: (finished[number], number))[: math.ceil(len(here) / SHARE)]
    return [_arm(search, number, here[number].trial.settings, rung + 1) for number in best if number not in gone_on]  # type: ignore[union-attr]


def _proposed(study: Study, search: Search, results: Results, catalog: Catalog) -> list[Arm]:
    """New trials, as many as a batch has and the search still wants."""
    seen = _seen(study, results)
    count = min(search.batch, search.trials - len(seen))
    if count <= 0:
        return []
    proposals = _searcher(search, catalog).propose(search.space, seen, count, search.seed)
    return [_arm(search, len(seen) + index, settings, 0) for index, settings in enumerate(proposals)]


def _seen(study: Study, results: Results) -> list[ObservedTrial]:
    """Every trial once, in order, with its value at the highest rung that it reached."""
    highest: dict[int, Arm] = {}
    for arm in study.arms:
        if arm.trial is not None:
            highest[arm.trial.number] = arm
    return [
        ObservedTrial(arm.trial.settings, results.value_of(arm.name))
        for _, arm in sorted(highest.items())
        if arm.trial is not None
    ]


def _arm(search: Search, number: int, settings: Mapping[str, Any], rung: int) -> Arm:
    """The arm of a trial on a rung."""
    changes = {path: _value(search.space[path], setting) for path, setting in settings.items()}
    name = f"trial {number}"
    if rung < len(search.rungs):
        changes["epochs"] = search.rungs[rung]
        name = f"{name} for {search.rungs[rung]} epochs"
    return Arm(name, changes, trial=Trial(number, rung, dict(settings)))


def _value(choice: Range | Options, setting: Any) -> Any:
    return choice.values[setting] if isinstance(choice, Options) else setting


def _searcher(search: Search, catalog: Catalog) -> Searcher:
    resolver = Resolver(catalog)
    component = resolver.resolve("searchers", search.searcher)
    if component is None:
        raise StudyError(resolver.problems)
    return component.build({})  # type: ignore[no-any-return]
