"""Power in the report: which differences a study of more seeds would show."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.study.compare import MIN_SEEDS, single_level
from lab_statistics.power import detectable, pooled_spread, upper_spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab import Section
    from lab.study.results import Results

__all__ = ["SEEDS_SHOWN", "describe", "plot_detectable", "sections", "spreads_of"]

SEEDS_SHOWN = (3, 5, 10, 20, 40)
MAX_ARMS = 9
"""Lines that a reader tells apart."""


def spreads_of(results: Results) -> dict[str, list[float]]:
    """Return arm → paired differences from the base, of arms with a spread over three seeds or more."""
    found = {}
    for row in results.leading_rows(results.compare()):
        comparison = row.comparison
        if comparison is None or comparison.n < MIN_SEEDS or math.isnan(comparison.detectable):
            continue
        base, arm = (results.scores(name, results.study.compare) for name in (results.base_of(row.name), row.name))
        found[row.name] = [arm[seed] - base[seed] for seed in base if seed in arm]
    return {name: d for name, d in found.items() if len(d) >= MIN_SEEDS and np.ptp(d) > 0}


def describe(results: Results) -> list[str]:
    """Return the differences that more seeds would show, one line per arm and one for the spread of all; or nothing."""
    spreads = spreads_of(results)
    if not spreads:
        return []
    level = single_level(results.family)
    counts = ", ".join(map(str, SEEDS_SHOWN))
    lines = [
        f"difference in {results.study.compare} that {counts} seeds would show with 80 % probability, "
        f"at level {level:.2g}"
    ]
    samples: Mapping[str, Sequence[Sequence[float]]] = {name: [d] for name, d in spreads.items()}
    together = {"all arms": list(spreads.values())} if len(spreads) > 1 else {}
    for name, found in {**samples, **together}.items():
        spread, freedom = pooled_spread(found)
        shown = " / ".join(f"{detectable(spread, n, level):.3g}" for n in SEEDS_SHOWN)
        safe = " / ".join(f"{detectable(upper_spread(spread, freedom), n, level):.3g}" for n in SEEDS_SHOWN)
        lines.append(f"  {name}: spread {spread:.3g}; {shown}; to be safe {safe}")
    lines.append("to be safe: with the upper limit of the spread, which holds in 80 % of studies with as many seeds")
    return lines


def plot_detectable(results: Results) -> Figure:
    """Plot the difference that is shown with 80 % probability against the number of seeds, a line per arm."""
    from matplotlib.figure import Figure

    level = single_level(results.family)
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    seeds = np.arange(MIN_SEEDS, max(SEEDS_SHOWN) + 1)
    for name, d in list(spreads_of(results).items())[:MAX_ARMS]:
        spread, _ = pooled_spread([d])
        values = [detectable(spread, int(n), level) for n in seeds]
        axes.plot(seeds, values, label=name, markevery=[len(d) - MIN_SEEDS] if len(d) <= seeds[-1] else [], marker="o")
    if results.margin:
        axes.axhline(results.margin, color="gray", linestyle=":", label="margin")
    axes.set(xlabel="seeds (point: as many as there are)", ylabel=f"shown difference in {results.study.compare}")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    return figure


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the section on power, in the report alone; none where seeds are not fixed, or nothing was compared."""
    from lab import Section
    from lab.report.pieces import figure_html
    from lab.study.results import Results
    from lab.study.study import SEEDS

    rules = getattr(study, "rules", {})
    if study.searching is not None or rules.get(SEEDS) or rules.get("splits") or rules.get("folds"):
        return []
    results = Results(study, list(study.all_arms), runs)
    lines = describe(results) if results.runs and study.compare in results.metric_names else []
    if not lines:
        return []
    text = "\n".join(lines)
    plot = figure_html(plot_detectable(results), "difference that is shown, against the number of seeds")
    return [Section("Power", "", f"<pre>{html.escape(text)}</pre>{plot}", weight=45)]
