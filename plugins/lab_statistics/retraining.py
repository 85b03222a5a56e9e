"""The best trial of a search, trained again on new seeds before anything is said of it.

The best of many trials was chosen by the score that it is shown with, and looks better than it is: by about two
deviations for sixty trials of one seed. Seeds that no choice has seen show what is left of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lab.errors import StudyError

if TYPE_CHECKING:
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.study import Arm, Study

__all__ = ["FIRST_SEED", "next_arms", "retrain"]

RULE = "retrain"
FIRST_SEED = 2_000_000
"""First of the new seeds: far from those of studies, and from those of ``tune``."""

MAX_SEEDS = 1000


def retrain(study: Study, *, seeds: int = 5) -> Study:
    """Return the search whose best trial, and the base, are trained again on new seeds once it is finished.

    Only this comparison gets a verdict. Trials get none: they were chosen by the score that they are shown with.

    Args:
        study: a search, ``Study(...).search(...)``.
        seeds: how many new ones, at least 3.

    Raises:
        StudyError: the study is no search, or has rules of its own.
    """
    from lab.study.checks import number_problems
    from lab.study.compare import MIN_SEEDS

    problems = number_problems("seeds of retrain", seeds, smallest=MIN_SEEDS, largest=MAX_SEEDS)
    if study.searching is None:
        problems.append("retrain trains the best trial of a search again: call it after search")
    if study.rules:
        problems.append("retrain goes with a search alone: no rule of seeds, tune or across")
    used = [seed for seed in study.seed_list if seed >= FIRST_SEED]
    if used:
        problems.append(f"seeds from {FIRST_SEED:,} on are those of retrain: {used[0]}")
    if problems:
        raise StudyError(problems)
    return attrs.evolve(study, rules={RULE: {"seeds": seeds}})


def new_name(arm: str) -> str:
    """Return the name of an arm that was trained again."""
    return f"{arm}, new seeds"


def next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return the base and the best trial with new seeds, once the search proposes nothing further."""
    from lab.registry.registry import load_object
    from lab.study.study import Arm

    rule, search = study.rules.get(RULE), study.searching
    if rule is None or search is None:
        return []
    base = results.arms[0].name
    if any(arm.name == new_name(base) for arm in study.arms):
        return []
    trials = {arm.name: arm for arm in study.arms if arm.trial is not None}
    if len({arm.trial.number for arm in trials.values() if arm.trial is not None}) < search.trials:
        return []
    # trials may still go on to their next rung, which the search's own plugin knows
    others = {name: each for name, each in catalog.collect("lab_rounds").items() if name != RULE}
    functions = [load_object(each, name) if isinstance(each, str) else each for name, each in others.items()]
    if any(each(study, results, catalog) for each in functions):
        return []
    last = [arm for arm in trials.values() if arm.trial is not None and arm.trial.rung == len(search.rungs)]
    values = {arm.name: value for arm in last if (value := results.value_of(arm.name)) is not None}
    if not values:
        return []
    best = trials[min(values, key=lambda name: (values[name], name))]
    fresh = tuple(range(FIRST_SEED, FIRST_SEED + rule["seeds"]))
    here = new_name(base)
    return [
        Arm(here, {}, seeds=fresh, base=here),
        Arm(new_name(best.name), dict(best.changes), seeds=fresh, base=here),
    ]
