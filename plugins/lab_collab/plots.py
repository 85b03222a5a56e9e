"""A map of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_map"]

LONGEST_TITLE = 32


def plot_map(places: Sequence[Mapping[str, Any]]) -> Figure:
    """Items at their first two principal components, each with its title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([place["x"] for place in places], [place["y"] for place in places], s=12)
    for place in places:
        axes.annotate(place["title"], (place["x"], place["y"]), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.margins(x=0.15)  # room for the titles of the last points
    axes.set(xlabel="first component", ylabel="second component")
    return figure


def _short(title: str) -> str:
    """A title that leaves room for the others.

    >>> _short("Raiders of the Lost Ark (Indiana Jones and the Raiders of the Lost Ark) (1981)")
    'Raiders of the Lost Ark (Indian…'
    """
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"
