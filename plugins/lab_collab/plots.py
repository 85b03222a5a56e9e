"""Plot of the item map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_map"]


def plot_map(places: Sequence[Mapping[str, Any]]) -> Figure:
    """Scatter plot of items at their first two principal components, labeled with their titles."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([place["x"] for place in places], [place["y"] for place in places], s=12)
    for place in places:
        axes.annotate(place["title"], (place["x"], place["y"]), fontsize=7, xytext=(3, 3), textcoords="offset points")
    # Room for the titles of the last points.
    axes.margins(x=0.15)
    axes.set(xlabel="first component", ylabel="second component")
    return figure
