"""Line plots for a terminal and with matplotlib."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_lines", "plot_lines", "save_figure"]

Line = tuple[Sequence[float], Sequence[float]]

WIDTH, HEIGHT = 90, 20
_COLOR = re.compile("\x1b\\[[0-9;]*m")


def draw_lines(
    lines: Mapping[str, Line],
    *,
    title: str = "",
    x: str = "",
    log_x: bool = False,
    marks: Mapping[str, float] | None = None,
    y_range: tuple[float, float] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """Draw lines with characters, for a terminal without colors.

    Args:
        lines: name → (x values, y values).
        title: stands above.
        x: what the horizontal axis is.
        log_x: a logarithmic horizontal axis.
        marks: name → x value at which an upright line stands; the names are said in the last line.
        y_range: lowest and highest y value that are shown.
        width, height: size in characters.
    """
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(width, height)
    for index, (name, (xs, ys)) in enumerate(lines.items()):
        given = [math.log10(value) for value in xs] if log_x else list(xs)
        plotext.plot(given, list(ys), marker="braille" if len(lines) == 1 else "ox+*#@%&"[index % 8], label=name)
    places = {name: math.log10(value) if log_x else value for name, value in (marks or {}).items()}
    for value in places.values():
        plotext.vline(value)
    if log_x:
        _log_ticks(plotext, [math.log10(value) for xs, _ in lines.values() for value in xs])
    if y_range is not None:
        plotext.ylim(*y_range)
    if title:
        plotext.title(title)
    if x:
        plotext.xlabel(x)
    text = _COLOR.sub("", plotext.build())
    plotext.clear_figure()
    rows = [row.rstrip() for row in text.splitlines()]
    if marks:
        rows.append("│ " + ", ".join(f"{name} {value:.3g}" for name, value in marks.items()))
    return "\n".join(rows)


def _log_ticks(plotext: object, exponents: Sequence[float]) -> None:
    whole = list(range(math.ceil(min(exponents)), math.floor(max(exponents)) + 1))
    plotext.xticks(whole, [f"1e{exponent}" for exponent in whole])  # type: ignore[attr-defined]


def plot_lines(lines: Mapping[str, Line], *, title: str = "", x: str = "", y: str = "") -> Figure:
    """Plot the lines with matplotlib in one axes, with a legend if there are several."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, (xs, ys) in lines.items():
        axes.plot(xs, ys, label=name)
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend()
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture; its form follows the name: ``.png``, ``.svg``, ``.pdf``.

    Raises:
        LabError: there is no such form.
    """
    from lab.errors import LabError

    forms = figure.canvas.get_supported_filetypes()
    if path.suffix[1:] not in forms:
        raise LabError(
            f"no picture can be written as '{path.name}'", hint=f"end its name with one of: {', '.join(sorted(forms))}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
