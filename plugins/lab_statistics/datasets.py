"""One question on several datasets: ``Study.across``, and what the datasets say together."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from lab.errors import LabError, StudyError
from lab.study.compare import single_level
from lab_statistics.pooled import (
    MEANINGFUL,
    average_ranks,
    critical_difference,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    random_effects,
    stratified_interval,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab import Section
    from lab.study.results import Results
    from lab.study.study import Study

__all__ = ["across", "describe", "plot_profiles", "sections"]

RULE = "across"
THRESHOLDS = np.linspace(0.8, 1.2, 81)


def across(study: Study, path: str, levels: Mapping[str, Any] | Sequence[Any]) -> Study:
    """Return the study asked on several datasets: every arm on each of them, compared with the base there.

    The first level replaces what the base has at the path. Arms on the others are called ``attention on NAME``.

    Args:
        study: the study, with all of its arms.
        path: ``dataset``, or a parameter of it such as ``dataset.corpus``.
        levels: name → component or value, or a list of them; at least two.

    Raises:
        StudyError: there are fewer than two levels, or arms that cannot be asked elsewhere.
    """
    from lab.study.checks import shown
    from lab.study.study import BASE, Arm, _checked_levels

    remedy = f"across({path!r}, {{name: ...}})"
    found = _checked_levels(f"across({shown(path)}, ...)", path, levels, what="levels", remedy=remedy)
    problems = []
    if len(found) < 2:
        problems.append("across needs at least two levels; for one, set it in the base")
    if any(arm.trial is not None for arm in study.arms) or study.searching is not None:
        problems.append(
            "across cannot ask a search or trials on several datasets: search on each in a study of its own"
        )
    if RULE in study.rules:
        problems.append("across was called twice: give all levels at once")
    # arms that these add later would be compared with the base of the first dataset
    problems += [
        f"{other} and across exclude each other: {other} on each dataset in a study of its own"
        for other in ("tune", "match")
        if other in study.rules
    ]
    changed = [arm.name for arm in study.arms if any(p == path or p.startswith(f"{path}.") for p in arm.changes)]
    if changed:
        problems.append(f"arms change {path} themselves: {', '.join(changed)}")
    if problems:
        raise StudyError(problems)
    own = [arm for arm in study.arms if arm.name != BASE]
    base = next((arm for arm in study.arms if arm.name == BASE), Arm(BASE))
    (first, value), *others = found
    arms = [attrs.evolve(base, changes={path: value, **base.changes}, factors={path: first})]
    arms += [attrs.evolve(arm, changes={path: value, **arm.changes}, factors={}) for arm in own]
    names = {arm.name: [first, arm.name] for arm in arms}
    for level, other in others:
        here = _on(BASE, level)
        arms.append(Arm(here, {path: other, **base.changes}, base=here))
        names[here] = [level, BASE]
        for arm in own:
            arms.append(Arm(_on(arm.name, level), {path: other, **arm.changes}, base=here))
            names[_on(arm.name, level)] = [level, arm.name]
    rule = {"path": path, "levels": [name for name, _ in found], "arms": names}
    return attrs.evolve(study, arms=tuple(arms), rules={**study.rules, RULE: rule})


def _on(arm: str, level: str) -> str:
    return f"{arm} on {level}"


def _scores(results: Results, rule: Mapping[str, Any]) -> dict[str, dict[str, dict[int, float]]]:
    """Return arm → dataset → seed → score, of the datasets on which every arm finished a run."""
    metric = results.study.compare
    found: dict[str, dict[str, dict[int, float]]] = {}
    for name, (level, arm) in rule["arms"].items():
        scores = {seed: value for seed, value in results.scores(name, metric).items() if math.isfinite(value)}
        if scores:
            found.setdefault(arm, {})[level] = scores
    return found


def describe(results: Results) -> list[str]:
    """Return what several datasets say together, as lines of text.

    Raises:
        LabError: the study was not asked on several datasets, or fewer than two of them have results of all arms.
    """
    rule = getattr(results.study, "rules", {}).get(RULE)
    if rule is None:
        raise LabError(
            f"'{results.study.name}' was asked on one dataset", hint="ask on several: study.across('dataset', {...})"
        )
    scores = _scores(results, rule)
    base, *arms = dict.fromkeys(arm for _, arm in rule["arms"].values())
    levels = [level for level in rule["levels"] if all(level in scores.get(arm, {}) for arm in (base, *arms))]
    if len(levels) < 2:
        raise LabError(
            f"'{results.study.name}' has results of all arms on {len(levels)} of {len(rule['levels'])} datasets",
            hint=_remedy(results, rule),
        )
    higher = results.is_higher_better(results.study.compare)
    lines = [
        f"{results.study.compare} on {len(levels)} datasets ({', '.join(levels)}); "
        "pooled intervals of all arms hold together"
    ]
    level = single_level(len(arms))
    for arm in arms:
        pairs = [(scores[base][each], scores[arm][each]) for each in levels]
        lines += _arm_lines(arm, pairs, level, higher=higher)
    means = np.array([[np.mean(list(scores[arm][level].values())) for arm in (base, *arms)] for level in levels])
    lines.append(_rank_line([base, *arms], means, higher))
    return lines


def _remedy(results: Results, rule: Mapping[str, Any]) -> str:
    """Return what gives results where there are none: lab run trains missing runs, and keeps those that failed."""
    runs = [run for run in results.runs if run.arm in rule["arms"]]
    if lost := sorted({run.arm for run in runs if run.outcome in ("failed", "diverged")}):
        return f"runs failed ({', '.join(lost)}): lab runs show KEY says why; lab runs has the keys"
    if any(run.status != "finished" for run in runs):
        return "lab run trains what is missing"
    return f"finished runs there have no finite {results.study.compare}"


def _arm_lines(
    arm: str, pairs: Sequence[tuple[Mapping[int, float], Mapping[int, float]]], level: float, *, higher: bool
) -> list[str]:
    lines = []
    differences = [[other[seed] - one[seed] for seed in one if seed in other] for one, other in pairs]
    effects = [(float(np.mean(d)), float(np.std(d, ddof=1) / math.sqrt(len(d)))) for d in differences if len(d) > 1]
    sound = [(effect, error) for effect, error in effects if error > 0]
    if len(sound) > 1:
        found = random_effects(*zip(*sound, strict=True), level)
        verdict = "no difference shown over such datasets"
        if found.low > 0 or found.high < 0:
            verdict = ("better" if (found.effect > 0) == higher else "worse") + " over such datasets"
        lines.append(
            f"  {arm}: pooled {found.effect:+.4g} [{found.low:+.4g}, {found.high:+.4g}], {verdict}; effects differ by "
            f"{found.between:.2g} between datasets ({found.i_squared:.0%} of their variance)"
        )
    of_base, runs = ([np.array(list(pair[i].values())) for pair in pairs] for i in (0, 1))
    chance, low, high = probability_of_improvement(of_base, runs, higher_is_better=higher)
    reading = "meaningful" if chance >= MEANINGFUL and low > 0.5 else "not meaningful (0.75 and an interval above 0.5)"
    lines.append(f"    probability of improvement {chance:.2f} [{low:.2f}, {high:.2f}]: {reading}")
    relative = _relative(runs, of_base)
    if relative is not None:
        low, high = stratified_interval(relative)
        lines.append(
            f"    interquartile mean of scores relative to the base's mean "
            f"{interquartile_mean(np.concatenate(relative)):.3f} [{low:.3f}, {high:.3f}]"
        )
    return lines


def _relative(runs: Sequence[np.ndarray], base: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """Return scores over the base's mean on each dataset; None where that mean is not above 0."""
    means = [float(values.mean()) for values in base]
    return [values / mean for values, mean in zip(runs, means, strict=True)] if min(means) > 0 else None


def _rank_line(arms: Sequence[str], means: np.ndarray, higher: bool) -> str:
    ranks, p = average_ranks(means, higher_is_better=higher)
    shown = ", ".join(f"{arm} {rank:.2f}" for rank, arm in sorted(zip(ranks.tolist(), arms, strict=True)))
    difference = critical_difference(len(arms), len(means))
    friedman = "" if math.isnan(p) else f"; Friedman p {p:.2g}"
    return f"  average ranks: {shown}; critical difference {difference:.2f} (Nemenyi, {len(means)} datasets){friedman}"


def plot_profiles(results: Results, rule: Mapping[str, Any]) -> Figure | None:
    """Plot the performance profiles: the share of runs above a score relative to the base's mean on their dataset."""
    from matplotlib.figure import Figure

    scores = _scores(results, rule)
    base, *_ = dict.fromkeys(arm for _, arm in rule["arms"].values())
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for arm, by_level in scores.items():
        levels = [level for level in by_level if level in scores[base]]
        runs, of_base = ([np.array(list(scores[name][level].values())) for level in levels] for name in (arm, base))
        relative = _relative(runs, of_base) if levels else None
        if relative is None:
            return None
        axes.step(THRESHOLDS, performance_profile(np.concatenate(relative), THRESHOLDS), where="post", label=arm)
    axes.set(xlabel=f"{results.study.compare} relative to the base's mean", ylabel="share of runs above")
    axes.legend(frameon=False)
    return figure


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the section on several datasets; none for studies on one."""
    from lab import Section
    from lab.report.pieces import figure_html
    from lab.study.results import Results

    rule = getattr(study, "rules", {}).get(RULE)
    if rule is None:
        return []
    results = Results(study, list(study.all_arms), runs)
    try:
        text = "\n".join(describe(results))
    except LabError as error:
        return [Section("Over datasets", str(error), weight=-12)]
    figure = plot_profiles(results, rule)
    plot = figure_html(figure, "performance profiles") if figure is not None else ""
    return [Section("Over datasets", text, f"<pre>{html.escape(text)}</pre>{plot}", weight=-12)]
