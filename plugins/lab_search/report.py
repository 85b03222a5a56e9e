"""Report sections of a search: the best settings, and the importance of settings."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lab import Section
from lab.errors import LabError
from lab.report.pieces import figure_html
from lab.study.results import Results
from lab.study.space import ObservedTrial, Options, Search
from lab_search.importance import Importances, importances

if TYPE_CHECKING:
    pass

__all__ = ["BEST", "describe", "sections", "trials_of"]

BEST = 10
INTERACTIONS = 5


def trials_of(results: Results) -> list[tuple[str, ObservedTrial]]:
    """Return name and value of every trial that was trained for as long as the base, in order.

    Trials that were stopped early are skipped: their values after fewer epochs cannot be compared.
    """
    assert results.study.searching is not None
    # Searchers minimize, so a metric to maximize was negated.
    last, sign = len(results.study.searching.rungs), -1 if results.is_higher_better(results.study.compare) else 1
    found = []
    for arm in results.arms:
        if arm.trial is not None and arm.trial.rung == last:
            value = results.value_of(arm.name)
            found.append((arm.name, ObservedTrial(arm.trial.settings, None if value is None else sign * value)))
    return found


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the sections on the best settings and on the importance of settings."""
    arms = {arm.name: arm for arm in study.all_arms}
    results = Results(study, list(arms.values()), runs)
    named = trials_of(results)
    if not any(trial.value is not None for _, trial in named):
        return []
    best = Section("Best settings", *_best(results, study.searching, named), weight=-20)
    try:
        found = importances(study.searching.space, [trial for _, trial in named], metric=study.compare)
    except LabError as error:
        return [best, Section("Which settings mattered", str(error), weight=-19)]
    body = "".join(
        [
            f"<p>{html.escape(found.verdict())}.</p>",
            figure_html(_plots().plot_importances(found), "importance of every setting, with intervals"),
            figure_html(
                _plots().plot_effects(found, study.searching.space, [trial for _, trial in named]),
                "the effect of every setting",
            ),
            f"<pre>{html.escape(describe(found))}</pre>",
        ]
    )
    return [best, Section("Which settings mattered", describe(found), body, weight=-19)]


def _plots() -> Any:
    from lab_search import plots

    return plots


def _best(results: Results, search: Search, named: Sequence[tuple[str, ObservedTrial]]) -> tuple[str, str]:
    """Return the best trials with their settings, as text and as a table."""
    sign = -1 if results.is_higher_better(results.study.compare) else 1
    ranked = sorted(
        ((name, trial) for name, trial in named if trial.value is not None), key=lambda item: sign * item[1].value
    )[:BEST]  # type: ignore[operator]
    header = ["trial", results.study.compare, *search.space]
    rows = [
        [name.removeprefix("trial "), f"{trial.value:.4g}", *(_setting(trial, path, search) for path in search.space)]
        for name, trial in ranked
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    text = "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]
    )
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    return text, f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def _setting(trial: ObservedTrial, path: str, search: Search) -> str:
    value = trial.settings[path]
    return str(value) if isinstance(search.space[path], Options) else f"{value:.4g}"


def describe(found: Importances) -> str:
    """Return importances as text, the forest's own error first."""
    lost = f"; {found.failed} failed, not used" if found.failed else ""
    lost += f"; {found.outlying} outliers, clipped" if found.outlying else ""
    lines = [f"{found.verdict()} ({found.trials} trials{lost}).", ""]
    width = max(len(setting.path) for setting in found.settings)
    lines.append(f"{'setting':<{width}}  {'permutation importance':>22}  {'explained variance':>22}")
    for setting in found.settings:
        shuffled = _with_interval(setting.permutation, setting.permutation_interval)
        alone = _with_interval(setting.variance, setting.variance_interval)
        lines.append(f"{setting.path:<{width}}  {shuffled:>22}  {alone:>22}")
    together = [i for i in found.interactions[:INTERACTIONS] if i.variance >= 0.01]
    if together:
        lines += ["", "interactions, variance explained beyond what each setting explains alone:"]
        lines += [
            f"  {' × '.join(each.paths)}  {_with_interval(each.variance, each.variance_interval)}" for each in together
        ]
    lines += ["", "permutation importance: increase of the error on unseen trials, as a fraction of their variance;"]
    lines += ["explained variance: fraction of the forest's variance (functional ANOVA), middle 95 % of its trees."]
    return "\n".join(lines)


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
