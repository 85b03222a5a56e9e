"""Plots of importances and effects of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lab.study.space import Options, Range, Space
from lab_search.importance import Effect, Importances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lab.study.space import ObservedTrial

__all__ = ["plot_effects", "plot_importances"]

COLUMNS = 3


def plot_importances(found: Importances) -> Figure:
    """Plot the permutation importance and explained variance of every setting, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.9 + 0.4 * len(found.settings)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    settings = list(reversed(found.settings))
    paths = [setting.path for setting in settings]
    _bars(left, paths, [s.permutation for s in settings], [s.permutation_interval for s in settings])
    left.set(xlabel="permutation importance\n(fraction of the variance)")
    _bars(right, paths, [s.variance for s in settings], [s.variance_interval for s in settings])
    right.set(xlabel="explained variance\n(fraction, functional ANOVA)", xlim=(0, 1))
    return figure


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], intervals: Sequence[tuple[float, float]]) -> None:
    low = [max(0.0, value - interval[0]) for value, interval in zip(values, intervals, strict=True)]
    high = [max(0.0, interval[1] - value) for value, interval in zip(values, intervals, strict=True)]
    axes.barh(names, values, xerr=[low, high], color="tab:blue", ecolor="0.3", capsize=3, height=0.6)
    axes.axvline(0, color="0.3", linewidth=0.8)


def plot_effects(found: Importances, space: Space, trials: Sequence[ObservedTrial]) -> Figure:
    """Plot the trials and the predicted effect of every setting, the most important first."""
    from matplotlib.figure import Figure

    rows = -(-len(found.settings) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(found.settings) :]:
        axes.set_visible(False)
    for axes, setting in zip(grid, found.settings, strict=False):
        path = setting.path
        seen = [(trial.settings[path], trial.value) for trial in trials if trial.value is not None]
        _draw_effect(axes, found.effects[path], space[path], seen)
        axes.set(title=path, ylabel=found.metric)
    return figure


def _draw_effect(axes: Axes, effect: Effect, choice: Range | Options, seen: Sequence[tuple[Any, float]]) -> None:
    if isinstance(choice, Options):
        places: Any = np.arange(len(effect.values))
        points = [list(effect.values).index(value) for value, _ in seen]
        errors = [np.subtract(effect.means, effect.low), np.subtract(effect.high, effect.means)]
        axes.errorbar(places, effect.means, yerr=np.abs(errors), fmt="o", color="tab:blue", capsize=4)
        axes.set_xticks(places, [str(value) for value in effect.values])
        axes.set_xlim(-0.5, len(effect.values) - 0.5)
    else:
        places, points = effect.values, [value for value, _ in seen]
        axes.plot(places, effect.means, color="tab:blue")
        axes.fill_between(places, effect.low, effect.high, color="tab:blue", alpha=0.2, linewidth=0)
        if choice.is_log:
            ticks = [choice.at(share) for share in (0.0, 0.5, 1.0)]
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{float(f'{tick:.2g}'):g}" for tick in ticks])
            axes.set_xticks([], minor=True)
    axes.plot(points, [value for _, value in seen], ".", color="0.6", markersize=4, zorder=0)
