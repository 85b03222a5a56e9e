"""Rules of a study in words: what its rounds will do, and when an arm is called better."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab.study.folds import FOLDS
from lab.study.study import SEEDS
from lab_statistics import datasets, matching, retraining, sequential, splits, tuning, variance

__all__ = ["decision_in_words", "rule_in_words", "rules_in_words"]


def rules_in_words(plan: Mapping[str, Any]) -> list[str]:
    """Return the rules of a preregistered plan, a sentence each: its search, its rounds, and the verdict.

    Args:
        plan: as ``plan_of`` returns it.
    """
    rules, metric = plan.get("rules", {}), str(plan["metric"])
    search = [f"search: {_search(plan['search'])}"] if plan.get("search") else []
    words = [f"{name}: {rule_in_words(name, rule, metric)}" for name, rule in rules.items()]
    return [*search, *words, f"verdict: {decision_in_words(plan)}"]


def decision_in_words(plan: Mapping[str, Any]) -> str:
    """Return when an arm is called better, worse or equivalent."""
    rules = plan.get("rules", {})
    seeds = rules.get(SEEDS, {})
    alpha = seeds["alpha"] if seeds.get("name") == sequential.RULE else 0.05
    looks = " at every look" if seeds.get("name") == sequential.RULE else ""
    text = (
        f"an arm is better or worse in {plan['metric']} if its paired Student interval leaves out zero; intervals of "
        f"all arms hold together with {1 - alpha:.0%}{looks} (Šidák)"
    )
    return text + (f"; it is equivalent if its interval lies within ± {plan['margin']:g}" if plan.get("margin") else "")


def rule_in_words(name: str, rule: Mapping[str, Any], metric: str) -> str:
    """Return one rule of a study in words; the plain values of a rule that another plugin made.

    Args:
        name: of the rule, as in ``Study.rules``.
        rule: its plain values.
        metric: that the study compares.
    """
    words = _WORDS.get(name)
    if words is None or (name == SEEDS and rule.get("name") != sequential.RULE):
        return json.dumps(dict(rule))
    return words(rule, metric)


def _until_decided(rule: Mapping[str, Any], metric: str) -> str:
    step = rule.get("step", 1)
    between = "after every seed" if step == 1 else f"after every {step} seeds"
    levels = (
        "the levels of the looks rise (O'Brien & Fleming)"
        if rule.get("boundary") == "obrien_fleming"
        else "every look has the same level (Pocock)"
    )
    return (
        f"results are looked at {between} from {rule['smallest']} to {rule['largest']}, and an arm that is better, "
        f"worse or equivalent gets no further seeds; all looks and arms together are wrong in at most "
        f"{rule['alpha']:.0%} of studies without a true difference, and {levels}"
    )


def _tune(rule: Mapping[str, Any], metric: str) -> str:
    from lab.report.cells import describe_choice

    space = tuning.space_of(rule)
    whose = "every arm is" if rule["per_arm"] else "the base is"
    given = "" if rule["per_arm"] else ", and its settings are given to every arm"
    searches = "in a search of its own for each seed" if rule["per_seed"] else "in one search for all seeds"
    ranges = ", ".join(f"{path} ({describe_choice(choice)})" for path, choice in space.items())
    return (
        f"{whose} also tuned over {ranges}, "
        f"with {rule['trials']} trials by {rule['searcher']} (seed {rule['seed']}) {searches}{given}; the best by "
        f"{tuning.metric_of(metric)}, on seeds from {tuning.FIRST_SEED:,} on, is trained with the seeds of the study, "
        "and tuned arms are compared with the tuned base"
    )


def _match(rule: Mapping[str, Any], metric: str) -> str:
    budget = rule["budget"]
    multiple = f" in multiples of {rule['multiple_of']}" if rule["multiple_of"] > 1 else ""
    how = f"by scaling {rule['width']}{multiple}" if budget == "parameters" else "by its number of epochs"
    return (
        f"every arm whose {budget} differ from the base's by more than {matching.CLOSE:.0%} is also trained with the "
        f"base's {budget}, {how}, and compared with the base"
    )


def _splits(rule: Mapping[str, Any], metric: str) -> str:
    return (
        f"every seed has a split of its own ({rule['path']} is the seed); intervals are widened for the examples that "
        f"splits share, {rule['overlap']:.3g} validation examples per training example (Nadeau & Bengio)"
    )


def _folds(rule: Mapping[str, Any], metric: str) -> str:
    return (
        f"arms are replicated by cross-validation with {rule['folds']} folds, and every run is a fold; intervals are "
        "corrected for the examples that training parts share (Nadeau & Bengio)"
    )


def _across(rule: Mapping[str, Any], metric: str) -> str:
    return (
        f"the question is asked with {len(rule['levels'])} levels of {rule['path']}: {', '.join(rule['levels'])}; arms "
        "are compared with the base at their level, and effects are pooled by random effects"
    )


def _sources(rule: Mapping[str, Any], metric: str) -> str:
    drawn = f", and {len(rule['splits'])} splits are drawn" if rule["splits"] else ""
    return (
        f"one source of randomness at a time varies between seeds, in arms of their own ({', '.join(rule['arms'])})"
        f"{drawn}, for its share of the variance"
    )


def _retrain(rule: Mapping[str, Any], metric: str) -> str:
    return (
        f"the best trial of the search and the base are trained again with {rule['seeds']} new seeds, from "
        f"{retraining.FIRST_SEED:,} on, and only this comparison gets a verdict"
    )


def _search(search: Mapping[str, Any]) -> str:
    def choice(found: Any) -> str:
        if isinstance(found, Sequence):
            return ", ".join(found)
        return f"{found['low']:g} to {found['high']:g}{', log' if found['is_log'] else ''}"

    space = ", ".join(f"{path} ({choice(found)})" for path, found in search["space"].items())
    rungs = f", given up early after {', '.join(map(str, search['rungs']))} epochs" if search["rungs"] else ""
    return f"{search['trials']} trials over {space} by {search['searcher']} (seed {search['seed']}){rungs}"


_WORDS: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    SEEDS: _until_decided,
    tuning.RULE: _tune,
    matching.RULE: _match,
    splits.RULE: _splits,
    FOLDS: _folds,
    datasets.RULE: _across,
    variance.RULE: _sources,
    retraining.RULE: _retrain,
}
