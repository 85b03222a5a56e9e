"""Arms with the budget of the base: the same number of parameters, the same steps, or the same time.

An arm that is better and larger may be better because it is larger. Here every arm that costs more or less than the
base is also trained with the base's budget: with a width scaled until it has as many parameters, or with as many epochs
as the base's steps or seconds allow. The table has the arms as they are, and the matched ones below. Arms without
weights, and arms that no other width or number of epochs brings closer, stay as they are.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from lab.errors import LabError, StudyError

if TYPE_CHECKING:
    from lab import Section
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.study import Arm, Study

__all__ = ["BUDGETS", "closest_width", "describe", "match", "next_arms", "scaled", "sections"]

RULE = "match"
ARM = "(arm)"
"""Key among the settings of a matched arm that says whose it is; no path has parentheses."""

BUDGETS = ("parameters", "steps", "seconds")
EPOCHS = "epochs"
CLOSE = 0.01
"""Relative difference in a budget up to which an arm counts as matched by itself."""

MAX_WIDTH = 1_000_000


def match(study: Study, budget: str = "parameters", *, width: str = "", multiple_of: int = 1) -> Study:
    """Return the study in which every arm is also trained with the budget of the base.

    Args:
        study: the study, with all of its arms.
        budget: ``parameters`` scales ``width`` until an arm has as many parameters as the base; ``steps`` and
            ``seconds`` give it as many epochs as the base's steps, or its seconds of training, allow. Seconds are
            those that were measured, so they depend on the machine and its load.
        width: path of the number, or list of numbers, that is scaled, such as ``architecture.hidden_size``.
        multiple_of: of which widths are multiples, such as the number of heads.

    Raises:
        StudyError: everything that is wrong with the arguments, or a study that adds arms or seeds by itself.
    """
    from lab.study.checks import number_problems, shown, text_problem
    from lab.study.experiment import Experiment

    problems = number_problems("multiple_of of match", multiple_of, smallest=1, largest=MAX_WIDTH)
    if budget not in BUDGETS:
        problems.append(f"match: the budget is one of {', '.join(BUDGETS)}, not {shown(budget)}")
    elif budget == "parameters":
        problems += text_problem("match('parameters', width=...): the path of a width", width, may_be_empty=False)
    elif width:
        problems.append(f"match: {budget} are matched by epochs, not by a width")
    if not isinstance(study.base, Experiment):
        problems.append("match: lab does not know the width or the epochs of a training function or a command")
    if study.searching is not None or study.rules:
        problems.append("match goes with arms of swap, remove and grid alone: no search, tune, across or until_decided")
    if not [arm for arm in study.all_arms if arm.name != study.all_arms[0].name]:
        problems.append("match needs arms: call it after swap, remove or grid")
    if problems:
        raise StudyError(problems)
    # the kernel checks every arm for the numbers of a rule before anything is trained
    rule = {"budget": budget, "width": width, "multiple_of": multiple_of, "numbers": [width] if width else []}
    return attrs.evolve(study, rules={**study.rules, RULE: rule})


def matched_name(arm: str, budget: str) -> str:
    """Return the name of a matched arm in tables."""
    return f"{arm}, same {budget}"


def next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return the matched form of every arm whose budget is not the base's; nothing once they are there."""
    from lab.study.study import Arm, Trial

    rule = study.rules.get(RULE)
    if rule is None or any(arm.trial is not None for arm in study.arms):
        return []
    base, *others = results.arms
    budget = rule["budget"]
    target = _budget(results, base.name, budget)
    resolved = {arm.name: arm for arm in study.resolve(catalog)}
    count = _counter(study, catalog)
    found = []
    for arm in others:
        own = _budget(results, arm.name, budget)
        # an arm of which nothing finished has no budget to match
        if not math.isfinite(own * target) or abs(own / target - 1) <= CLOSE or _without_weights(results, arm.name):
            continue
        path, value = _matched_value(rule, resolved[arm.name], own, target, count)
        # the arm as it is, which would be listed twice
        if resolved[arm.name].experiment.value_at(path) == value:
            continue
        found.append(
            Arm(
                matched_name(arm.name, budget),
                {**arm.changes, path: value},
                # a trial of a later rung: it is compared, and the study stays the same variant
                trial=Trial(0, 1, {path: value, ARM: arm.name}),
            )
        )
    return found


def _budget(results: Results, arm: str, budget: str) -> float:
    """Return the median of a budget over an arm's runs; the first run of a process pays for imports."""
    import statistics

    values = list(results.scores(arm, budget).values())
    return statistics.median(values) if values else math.nan


def _without_weights(results: Results, arm: str) -> bool:
    """Return whether an arm has nothing to train, such as counted n-grams, so that no budget would change it."""
    return set(results.scores(arm, "parameters").values()) == {0}


def _matched_value(
    rule: Any, arm: Arm, own: float, target: float, count: Callable[[Arm, str, Any], float]
) -> tuple[str, Any]:
    """Return the path that is changed, and the value there with which the arm has the base's budget."""
    if rule["budget"] != "parameters":
        return EPOCHS, max(1, round(arm.experiment.values[EPOCHS] * target / own))
    path, multiple = rule["width"], rule["multiple_of"]
    value = arm.experiment.value_at(path)
    return path, closest_width(value, target, lambda width: count(arm, path, width), multiple)


def _counter(study: Study, catalog: Catalog) -> Callable[[Arm, str, Any], float]:
    """Return a function that counts the parameters of an arm with another width; NaN if the model refuses it."""
    from lab.study.build import DataCache, build_learner, data_of

    data = DataCache()

    def count(arm: Arm, path: str, width: Any) -> float:
        changed = attrs.evolve(arm, name="matched", changes={**arm.changes, path: width}, swapped=None)
        try:
            experiment = attrs.evolve(study, arms=(changed,)).resolve(catalog)[-1].experiment
            learner = build_learner(experiment, data_of(experiment, data), seed=0, catalog=catalog)
        except (LabError, ValueError, RuntimeError, AssertionError):
            return math.nan
        return float(sum(weight.numel() for weight in learner.model.parameters()))

    return count


def scaled(value: Any, first: int, multiple: int) -> Any:
    """Return a width, or a list of widths, scaled so that the first one is ``first``.

    >>> scaled(64, 48, 1), scaled([64, 128], 48, 1), scaled([64, 100], 48, 8)
    (48, [48, 96], [48, 72])
    """
    if not isinstance(value, (list, tuple)):
        return first
    return [first, *(max(1, round(each * first / value[0] / multiple)) * multiple for each in value[1:])]


def closest_width(value: Any, target: float, count: Callable[[Any], float], multiple: int = 1) -> Any:
    """Return the width with which ``count`` is closest to ``target``.

    Widths are halved and doubled until the target lies between two of them, then bisected: ``count`` must not fall with
    the width.

    Args:
        value: the width to begin with; a list is scaled as a whole.
        target: number of parameters.
        count: of a width; NaN for one that the model refuses.
        multiple: of which widths are multiples.

    Raises:
        LabError: no width that the model takes comes near.

    >>> closest_width(64, 5_000, lambda width: width * width + 10)
    71
    """
    seen: dict[int, float] = {}

    def at(number: int) -> float:
        if number not in seen:
            seen[number] = count(scaled(value, number * multiple, multiple))
        return seen[number]

    first = value[0] if isinstance(value, (list, tuple)) else value
    low = high = max(1, round(first / multiple))
    while low > 1 and not at(low) <= target:
        low //= 2
    while high * multiple < MAX_WIDTH and not at(high) >= target:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle) <= target else (low, middle)
    at(low)
    sound = {number: found for number, found in seen.items() if math.isfinite(found)}
    if not sound:
        raise LabError(f"no width near {first} gives a model", hint="multiple_of= keeps widths that a model takes")
    best = min(sound, key=lambda number: (abs(sound[number] - target), number))
    return scaled(value, best * multiple, multiple)


# --- what was matched -------------------------------------------------------------------------------------------------


def describe(study: Any, results: Results) -> list[str]:
    """Return what was matched as lines of text; none for a study without a rule, or before anything finished."""
    rule = getattr(study, "rules", {}).get(RULE)
    if rule is None:
        return []
    budget = rule["budget"]
    base = results.arms[0].name
    target = _budget(results, base, budget)
    if not math.isfinite(target):
        return []
    matched = {arm.trial.settings[ARM]: arm for arm in results.arms if arm.trial is not None}
    by = f", by {rule['width']}" if rule["width"] else ""
    lines = [f"arms with the {budget} of {base} ({target:,.{1 if budget == 'seconds' else 0}f}){by}:"]
    for arm in results.arms[1:]:
        if arm.trial is not None:
            continue
        own = _budget(results, arm.name, budget) / target - 1
        if arm.name not in matched:
            lines.append(f"  {arm.name}: {_excess(own)} {_why_not(results, arm.name, own, budget)}")
            continue
        other = matched[arm.name]
        assert other.trial is not None
        (path, value), *_ = other.trial.settings.items()
        left = _budget(results, other.name, budget) / target - 1
        lines.append(f"  {arm.name}: {_excess(own)} as it is; with {path} = {value} {_excess(left)}")
    return lines


def _why_not(results: Results, arm: str, excess: float, budget: str) -> str:
    """Return why an arm has no matched form."""
    if abs(excess) <= CLOSE or not math.isfinite(excess):
        return "by itself"
    if _without_weights(results, arm):
        return "as it is; it has no weights to train"
    return "as it is; " + ("no other width" if budget == "parameters" else "no other number of epochs") + " is closer"


def _excess(share: float) -> str:
    return f"{share:+.1%}" if math.isfinite(share) else "nothing finished"


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the section on matched arms; none for studies without a rule."""
    from lab import Section
    from lab.study.results import Results

    if RULE not in getattr(study, "rules", {}):
        return []
    lines = describe(study, Results(study, list(study.all_arms), runs))
    text = "\n".join(lines)
    return [Section("Matched arms", text, f"<pre>{html.escape(text)}</pre>", weight=-14)] if lines else []
