"""Plots of tabular models: maps of categories, and the animation of a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["film_of_line", "plot_distances", "plot_maps"]


def plot_distances(distances: Mapping[str, Any]) -> Figure:
    """Plot the distances of predictions of pairs of categories against those of their vectors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(distances["vectors"], distances["outputs"], s=4, alpha=0.3)
    axes.set(xlabel="distance of vectors", ylabel="difference of predictions")
    axes.set_title(f"{distances['column']}: correlation {distances['correlation']:.2f}", fontsize=10)
    return figure


def plot_maps(maps: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot each column's categories on a plane, next to their true positions if known."""
    from matplotlib.figure import Figure

    wide = any(each["truth"] for each in maps)
    figure = Figure(figsize=(11 if wide else 6, 5 * len(maps)), layout="constrained")
    axes = figure.subplots(len(maps), 2 if wide else 1, squeeze=False)
    for row, each in zip(axes, maps, strict=True):
        _scatter(row[0], each["places"], each["names"], f"{each['column']}: learned embeddings")
        if each["truth"]:
            _scatter(
                row[1],
                each["truth"],
                each["names"],
                f"true positions (correlation of distances {each['correlation']:.2f})",
            )
        elif wide:
            row[1].set_axis_off()
    return figure


def _scatter(axes: Any, places: Sequence[Sequence[float]], names: Sequence[str], title: str) -> None:
    axes.scatter([place[0] for place in places], [place[1] for place in places], s=14)
    for name, place in zip(names, places, strict=True):
        axes.annotate(name, place, fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.margins(0.12)
    axes.set_title(title, fontsize=10)


def film_of_line(content: Mapping[str, Any], frames: int) -> bytes:
    """Return a GIF with the points and the current line on the left and the loss so far on the right."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = content["steps"]
    count = min(frames, len(steps))
    shown = sorted({round(number * (len(steps) - 1) / max(count - 1, 1)) for number in range(count)})
    # A fixed layout: computing one per frame takes most of the time.
    figure = Figure(figsize=(8, 3.4))
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.15, top=0.9)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.scatter(content["x"], content["y"], s=8)
    low, high = min(content["x"]), max(content["x"])
    drawn = left.plot([low, high], [0, 0], color="tab:red")[0]
    right.plot(range(1, len(steps) + 1), [step[2] for step in steps], color="lightgrey")
    curve = right.plot([], [], color="tab:red")[0]
    right.set(xlabel="step", ylabel="loss", yscale="log")

    def draw(step: int) -> list[Any]:
        slope, intercept, loss = steps[step]
        drawn.set_ydata([slope * low + intercept, slope * high + intercept])
        curve.set_data(range(1, step + 2), [each[2] for each in steps[: step + 1]])
        left.set_title(f"y = {slope:.2f} x + {intercept:.2f}", fontsize=10)
        right.set_title(f"step {step + 1}: loss {loss:.3f}", fontsize=10)
        return [drawn, curve]

    animation = FuncAnimation(figure, draw, frames=shown)
    return _written(animation, PillowWriter(fps=12))


def _written(animation: Any, writer: Any) -> bytes:
    """Return an animation as bytes; matplotlib writes animations to files only."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.gif"
        animation.save(path, writer=writer, dpi=80)
        return path.read_bytes()
