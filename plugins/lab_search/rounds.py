"""The rounds of a search: which trials come next.

A trial is an arm whose values a *searcher* chose, so it is checked, trained, found again and reported like any other.
What a round proposes follows from the seed and from what earlier rounds gave, and from nothing else: an interrupted
search continues where it stopped, and a finished one is only read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lab.errors import LabError, StudyError, describe_error
from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver
from lab.registry.resolved import Component
from lab.study.culprit import line_of
from lab.study.results import Results
from lab.study.space import ObservedTrial, Options, Range, Search
from lab.study.study import Arm, Study, Trial
from lab.training.structure import describe_structure

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
    searcher = _searcher(search, catalog)
    try:
        proposals = searcher.build({}).propose(search.space, seen, count, search.seed)
    except Exception as error:
        if isinstance(error, LabError):
            raise
        raise LabError(f"{searcher.label} fails: {describe_error(error)}", where=line_of(error, searcher)) from error
    problem = _problem(search, proposals, count)
    if problem:
        raise LabError(f"{searcher.label} {problem}", where=searcher.place)
    return [_arm(search, len(seen) + index, settings, 0) for index, settings in enumerate(proposals)]


def _problem(search: Search, proposals: Any, count: int) -> str:
    """Return why proposals cannot be tried, or nothing: a value outside of the space would be trained all the same."""
    if not isinstance(proposals, Sequence) or not all(isinstance(each, Mapping) for each in proposals):
        return f"proposes {describe_structure(proposals)}, not a list of settings"
    if not 0 < len(proposals) <= count:
        return f"proposes {len(proposals)} trials, where {count} were asked for"
    for settings in proposals:
        if settings.keys() != search.space.keys():
            return f"proposes values for {', '.join(settings)}; the space has {', '.join(search.space)}"
        for path, setting in settings.items():
            if not search.space[path].holds(setting):
                return f"proposes {path}={setting!r}, which is not in {search.space[path]}"
    return ""


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


def _searcher(search: Search, catalog: Catalog) -> Component:
    resolver = Resolver(catalog)
    component = resolver.resolve("searchers", search.searcher)
    if component is None:
        raise StudyError(resolver.problems)
    return component
