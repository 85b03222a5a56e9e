"""Formatting of scores, shared by the terminal, ``report.html`` and tables for papers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lab.registry.component import as_use
from lab.study.compare import MIN_SEEDS, SEED, WELCH, ArmComparison, Effect, Summary
from lab.study.experiment import describe_value
from lab.study.packages import DECIDING_PACKAGES
from lab.study.results import ArmRow, Results
from lab.study.space import Options, Range, Search

__all__ = [
    "BUDGET",
    "EFFECTS_NOTE",
    "NO_INTERVALS",
    "NO_TESTS",
    "against",
    "arm_color",
    "arm_mark",
    "budget_cells",
    "budget_names",
    "describe_choice",
    "describe_search",
    "difference_cells",
    "effect_cells",
    "environment_rows",
    "flat",
    "has_intervals",
    "has_sign_flip",
    "is_judged",
    "note_of_tests",
    "number",
    "pairing",
    "percent",
    "recipe",
    "score_cell",
    "search_note",
    "size",
    "without_hash",
]

COLORS = 9
"""Colors of arms that the style sheet has; the first is the base's."""
MARKS = 4
"""Marks that it has for arms of one color: a circle, a square, a triangle, a diamond."""

BUDGET = {
    "parameters": "{:,.0f}",
    "steps": "{:,.0f}",
    "examples_per_second": "{:,.0f}",
    "seconds": "{:.1f}",
    "peak_memory_mb": "{:,.0f}",
}
EFFECTS_NOTE = (
    "Every level is compared with the first of its factor, averaged over the other factors. "
    "×: what two levels do together beyond the sum of what each does alone, zero where they add up."
)
NOTHING = "–"
NO_TESTS = "nothing was tested"


def is_judged(metric: str) -> bool:
    """Return whether a metric belongs in a table of results: it was measured on the validation or test split."""
    return metric.startswith(("valid_", "test_"))


def score_cell(row: ArmRow, name: str) -> str:
    """Return a metric over the seeds of an arm: ``0.7333 ± 0.063``, with ``(2 of 3)`` if some are undefined."""
    summary = row.scores.get(name)
    return NOTHING if summary is None else _summary(summary)


def _summary(summary: Summary) -> str:
    if not summary.n:
        return "undefined" if summary.undefined else NOTHING
    spread = "" if math.isnan(summary.spread) else f" ± {summary.spread:.2g}"
    return f"{summary.mean:.4g}{spread}" + (
        f" ({summary.n} of {summary.n + summary.undefined})" if summary.undefined else ""
    )


def difference_cells(comparison: ArmComparison | None) -> tuple[str, str, str]:
    """Return difference with interval, corrected p and verdict; empty for the base."""
    if comparison is None:
        return "", "", "(what the others are compared with)"
    if comparison.n < 2 or math.isnan(comparison.low):
        return _signed(comparison.difference), _p(comparison), comparison.verdict
    return _interval(comparison.difference, comparison.low, comparison.high), _p(comparison), comparison.verdict


def short_verdict(found: ArmComparison | Effect) -> str:
    """Return a verdict in the few words that fit a narrow table; ``verdict`` is the whole sentence."""
    said, _, why = found.verdict.partition(";")[0].partition(": ")
    if why == "no verdict":
        return why
    # "better by 0.31 ± 0.02 (3 of 3 seeds)": the difference stands in the column before
    return said.partition(" by ")[0]


def shortened(names: Sequence[str], width: int) -> list[str]:
    """Return names of at most ``width`` characters, cut in the middle; of more where two would look the same.

    >>> shortened(["dropout in the encoder", "dropout in the decoder"], 18)
    ['dropout i… encoder', 'dropout i… decoder']
    >>> shortened(["a very long one", "a very old one"], 5)
    ['a …g one', 'a …d one']
    """
    for count in range(max(width, 3), max(map(len, names), default=0)):
        # names that begin alike may differ near their end
        for start in (count // 2, count // 3):
            end = count - start - 1
            cut = [name if len(name) <= count else f"{name[:start]}…{name[len(name) - end :]}" for name in names]
            if len(set(cut)) == len(set(names)):
                return cut
    return list(names)


def effect_cells(effect: Effect) -> tuple[str, str, str]:
    """Return an effect with its interval, corrected p and verdict."""
    if effect.n < 2 or math.isnan(effect.low):
        return _signed(effect.effect), _p(effect), effect.verdict
    return _interval(effect.effect, effect.low, effect.high), _p(effect), effect.verdict


def _interval(mean: float, low: float, high: float) -> str:
    # scores in single precision leave a difference of 1e-8 where there is none
    seen = 0.0 if abs(mean) < max(abs(low), abs(high)) / 10_000 else mean
    return f"{_signed(seen)} [{_signed(low)}, {_signed(high)}]"


def _signed(value: float) -> str:
    if not value:
        # a sign would say that there is a difference
        return "0"
    return f"{value:+.3g}" if math.isfinite(value) else NOTHING


def _p(found: ArmComparison | Effect) -> str:
    return NOTHING if math.isnan(found.p_corrected) else f"{found.p_corrected:.2g}"


def note_of_tests(found: Iterable[ArmComparison | Effect | None]) -> str:
    """Return the tests that p-values are from: the commonest, then others with the names of their rows.

    ``paired t-test; Welch's t-test for wide``; ``nothing was tested`` where no row has a p-value.
    """
    names: dict[str, list[str]] = {}
    for each in found:
        if each is not None and each.test and not math.isnan(each.p):
            names.setdefault(each.test, []).append(each.arm if isinstance(each, ArmComparison) else each.name)
    first, *others = sorted(names, key=lambda test: -len(names[test])) or [NO_TESTS]
    return "; ".join([first, *(f"{test} for {', '.join(names[test])}" for test in others)])


def against(rows: Sequence[ArmRow], one: str = "") -> str:
    """Return what the differences of a table are from; every base with its rows where rows have several.

    ``'base' in the row 'sgd' and 'base, tuned' in the row 'sgd, tuned'``.

    Args:
        rows: of the table.
        one: what to call the base if there is one; its name by default.
    """
    of_base: dict[str, list[str]] = {}
    for row in rows:
        if row.base:
            of_base.setdefault(row.base, []).append(f"'{row.name}'")
    if len(of_base) < 2:
        return one or next(iter(of_base), rows[0].name if rows else "")
    parts = [f"'{base}' in the row{'s' * (len(names) > 1)} {', '.join(names)}" for base, names in of_base.items()]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def pairing(found: Iterable[ArmComparison | None]) -> str:
    """Return what the pairs of runs share that the differences of a table are from: ``paired by seed``."""
    compared = [each for each in found if each is not None]
    apart = [each.arm for each in compared if each.test == WELCH]
    # all rows of a table are of one study; without rows there is nothing to tell folds by
    paired = f"paired by {compared[0].paired_by if compared else SEED}"
    if not apart:
        return paired
    return "not paired" if len(apart) == len(compared) else f"{paired}, but for {', '.join(apart)}"


def has_intervals(found: Iterable[ArmComparison | Effect | None]) -> bool:
    """Return whether any row of a table has an interval."""
    return any(each is not None and not math.isnan(each.low) for each in found)


def has_sign_flip(found: ArmComparison) -> bool:
    """Return whether the sign-flip test says anything; with two pairs its p-value is at least 0.5."""
    return found.n >= MIN_SEEDS and not math.isnan(found.p_sign_flip)


NO_INTERVALS = "no row has an interval; its verdict says why"


def percent(share: float) -> str:
    """Return a share in percent, never rounded to all or nothing.

    >>> percent(1.0), percent(0.997), percent(0.001), percent(0.5), percent(float("nan"))
    ('100%', '>99%', '<1%', '50%', '–')
    """
    if math.isnan(share):
        return NOTHING
    # "100%" would claim that no seed was worse
    if 0.99 < share < 1:
        return ">99%"
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


def budget_names(rows: Sequence[ArmRow]) -> list[str]:
    """Return the kinds of cost that any arm has, in the order of ``BUDGET``; all of them before a run is finished."""
    found = [name for name in BUDGET if any(name in row.scores and row.scores[name].n for row in rows)]
    return found or list(BUDGET)


def budget_cells(row: ArmRow, names: Sequence[str]) -> list[str]:
    """Return the mean costs of an arm's runs."""
    return [
        BUDGET[name].format(row.scores[name].mean) if name in row.scores and row.scores[name].n else NOTHING
        for name in names
    ]


def number(value: object) -> str:
    """Return any value of a row as text.

    >>> number(0.123456), number(1234567), number("adam"), number(None)
    ('0.1235', '1,234,567', 'adam', '–')
    """
    if value is None:
        return NOTHING
    if isinstance(value, float):
        # four digits of 12345.6 would be 1.235e+04, which is hard to read in a table
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def size(count: float) -> str:
    """Return a number of bytes in a readable unit.

    >>> size(980), size(2_500_000)
    ('980 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        # powers of 1000, as file managers and disks count, not of 1024
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def without_hash(name: str) -> str:
    """Return a name without the hash of a user-defined class.

    >>> without_hash("toy.py:MLP#baeedaea9bf3")
    'toy.py:MLP'
    """
    return re.sub(r"#[0-9a-f]{12}\b", "", name)


def recipe(experiment: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return a resolved experiment's plain JSON as rows (path, value, plugin), one per slot and parameter."""
    return [row for name, value in experiment.items() for row in _recipe_rows(name, value)]


def _recipe_rows(path: str, value: Any) -> Iterable[tuple[str, str, str]]:
    if isinstance(value, dict) and "component" in value:
        yield path, str(value["component"]), str(value.get("plugin", ""))
        for name, item in value.get("params", {}).items():
            yield from _recipe_rows(f"{path}.{name}", item)
    elif isinstance(value, list) and any(isinstance(item, dict) and "component" in item for item in value):
        for item in value:
            yield from _recipe_rows(f"{path}.{item['component']}", item)
    else:
        yield path, describe_value(value), ""


def flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Return nested dictionaries as rows: ``{"packages": {"torch": "2.13"}}`` is ``("packages torch", "2.13")``."""
    if not isinstance(value, dict):
        return [(path, value)]
    return [row for name, item in value.items() for row in flat(item, f"{path} {name}".strip())]


def environment_rows(environment: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the environment of a run as rows; of its packages, those that compute numbers and a count of the rest."""
    packages = environment.get("packages") or {}
    deciding = {name: packages[name] for name in DECIDING_PACKAGES if name in packages}
    more = len(packages) - len(deciding)
    shown = {**environment, "packages": {**deciding, **({"besides": f"{more} in environment.json"} if more else {})}}
    return list(flat(shown))


def describe_search(search: Search) -> str:
    """Return a search in one sentence."""
    space = ", ".join(f"{path} ({describe_choice(choice)})" for path, choice in search.space.items())
    rungs = f", given up early after {', '.join(map(str, search.rungs))} epochs" if search.rungs else ""
    name = as_use(search.searcher).name
    return f"searches {space}: {search.trials} trials by {name}, {search.batch} at a time{rungs}"


def describe_choice(choice: Range | Options) -> str:
    """Return a range or options of a search: ``0.001 to 1, log``."""
    if isinstance(choice, Options):
        return ", ".join(choice.values)
    return f"{choice.low:g} to {choice.high:g}{', log' if choice.is_log else ''}"


def search_note(results: Results) -> str:
    """Return the note below the tables of a search."""
    trials = [arm for arm in results.arms if arm.trial is not None and arm.trial.rung == 0]
    failed = {run.arm for run in results.failed}
    lost = f", {len(failed)} failed" if failed else ""
    plain = sum(arm.trial is None for arm in results.arms)
    shown = len(results.leading_arms()) - plain
    best = f"the best {shown} of {len(trials)} trials are shown{lost}"
    if "retrain" in getattr(results.study, "rules", {}):
        return f"{best}; trials were chosen by the metric that they are shown with, so only new seeds give a verdict"
    return (
        f"{best}; a best trial was chosen by the metric that it is shown with, so it looks better than it is: "
        "Study.search(...).retrain() trains it again with new seeds"
    )


def arm_color(index: int) -> int:
    """Return the number of an arm's color; the base keeps its own.

    >>> [arm_color(index) for index in (0, 1, 8, 9)]
    [0, 1, 8, 1]
    """
    # colors repeat beyond eight arms, with another mark: more colors would be hard to distinguish
    return 0 if index == 0 else (index - 1) % (COLORS - 1) + 1


def arm_mark(index: int) -> int:
    """Return the number of an arm's mark, of which there are four; arms of one color have different ones.

    >>> [arm_mark(index) for index in (0, 1, 8, 9, 17, 33)]
    [0, 0, 0, 1, 2, 0]
    """
    return 0 if index == 0 else (index - 1) // (COLORS - 1) % MARKS
