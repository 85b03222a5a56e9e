"""Plots: pictures with boxes and masks, and precision-recall curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from lab_detection.metrics import RECALLS, Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "Shown", "as_png", "file_of_boxes", "plot_boxes", "plot_curves", "plot_masks"]

COLORS = ("#e41a1c", "#377eb8", "#4daf4a", "#ff7f00", "#984ea3", "#f781bf", "#a65628", "#17becf", "#bcbd22", "#666666")

MAX_LEGEND = 15
"""Largest number of classes in the legend of masks."""
FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".pdf": "pdf", ".svg": "svg"}
"""Suffixes of files that a picture with boxes is written to → their formats."""

MAX_LINES = 6
"""Number of lines that a label is moved at most so as not to cover another one."""

NAMES_PER_INCH = 3
"""Number of boxes whose class can be read, per inch of a picture's edge."""


class Shown(NamedTuple):
    """A picture with its objects.

    Attributes:
        pixels: (C, H, W) between 0 and 1.
        truths: (M, 5), rows (class number, left, top, right, bottom) in fractions of the picture.
        kinds, scores, boxes: detections (D,), (D,), (D, 4).
        title: a line above it.
        masks: (D, H, W) bool pixels of the detections, or None.
    """

    pixels: Tensor
    truths: np.ndarray
    kinds: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    title: str = ""
    masks: np.ndarray | None = None


def _picture(pixels: Tensor) -> np.ndarray:
    shown: np.ndarray = pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy()
    return shown


def plot_boxes(pictures: Sequence[Shown], names: Sequence[str], *, columns: int = 4, edge: float = 1.6) -> Figure:
    """Plot pictures with detected boxes (solid, with class and score) and the objects' own (dashed, white).

    Where a picture has many boxes, a few pictures are larger in fewer columns; where there is no room for names even
    then, boxes have their score alone, and a legend has the classes.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    most = max(len(each.kinds) for each in pictures)
    # More than two rows would become a long strip.
    if most > NAMES_PER_INCH * edge and columns > 2 and len(pictures) <= 2 * columns:
        columns, edge = columns // 2, 2 * edge
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].pixels.shape[1:]
    figure = Figure(figsize=(edge * columns, (edge * height / width + 0.25) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    crowded = most > NAMES_PER_INCH * edge
    # In points of a sheet that is shown at about its own size. Scores alone may be smaller, or they would cover boxes.
    size = 4.5 if crowded and edge < 5 else 7.5
    # Height of a label. Labels of boxes at the upper border need a line inside of the picture.
    line = 1.6 * size / 72 / (edge * height / width)
    for axis in axes:
        axis.set_axis_off()
    for axis, each in zip(axes, pictures, strict=False):
        axis.imshow(_picture(each.pixels), cmap="gray", vmin=0, vmax=1, extent=(0, 1, 1, 0), aspect=height / width)
        for kind, mask in zip(each.kinds.tolist(), () if each.masks is None else each.masks, strict=False):
            axis.imshow(_tinted(mask, COLORS[kind % len(COLORS)]), extent=(0, 1, 1, 0), aspect=height / width)
        for left, top, right, bottom in each.truths[each.truths[:, 0] >= 0, 1:].tolist():
            place, sides = (left, top), (right - left, bottom - top)
            axis.add_patch(Rectangle(place, *sides, fill=False, color="black", linewidth=2.2))
            axis.add_patch(Rectangle(place, *sides, fill=False, color="white", linewidth=1.2, linestyle="--"))
        labelled: list[tuple[float, float, float]] = []
        for kind, score, box in zip(each.kinds.tolist(), each.scores.tolist(), each.boxes.tolist(), strict=True):
            left, top, right, bottom = box
            color = COLORS[kind % len(COLORS)]
            axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color=color, linewidth=1.4))
            label = {"color": "white", "backgroundcolor": color, "fontsize": size, "va": "bottom", "clip_on": True}
            text = _label("" if crowded else names[kind], score)
            # Near the right border, a label that begins at the box's corner would leave the picture; a character of
            # this font is about six tenths of its size wide.
            length = (0.62 * len(text) + 0.3) * size / 72 / edge
            if text:
                place = _free_place(max(0.0, min(left, 1 - length)), max(top, line), length, line, labelled)
                labelled.append((*place, length))
                axis.text(*place, text, bbox={"pad": 0.1 * size, "color": color}, **label)
        axis.set_title(each.title, fontsize=8)
        axis.set_xlim(0, 1)
        axis.set_ylim(1, 0)
    if crowded:
        shown = sorted({kind for each in pictures for kind in each.kinds.tolist()})
        patches = [Patch(color=COLORS[kind % len(COLORS)], label=names[kind]) for kind in shown]
        figure.legend(handles=patches, loc="outside lower center", ncols=min(8, len(shown)), fontsize=8)
    return figure


def _free_place(
    left: float, bottom: float, length: float, line: float, others: Sequence[tuple[float, float, float]]
) -> tuple[float, float]:
    """Return where a label covers no other one: where asked, or some lines above or else below, inside the picture.

    Args:
        left, bottom: corner that is asked for, in fractions of the picture, from the upper left.
        length, line: width and height of a label.
        others: left, bottom and length of the labels so far.
    """

    def covered(place: float) -> list[float]:
        # nearly a line apart is enough: heights are rounded up
        return [
            other
            for start, other, size in others
            if abs(place - other) < 0.95 * line and left < start + size and start < left + length
        ]

    for choose, step in ((min, -line), (max, line)):
        place = bottom
        for _ in range(MAX_LINES):
            if not (taken := covered(place)):
                return left, place
            place = choose(taken) + step
            if not line - 1e-6 <= place <= 1:
                break
    return left, bottom


def _label(name: str, score: float) -> str:
    # An object that is no detection has no score.
    return name if np.isnan(score) else f"{name} {score:.2f}".strip()


def _tinted(mask: np.ndarray, color: str) -> np.ndarray:
    """Return a mask (H, W) as colors with opacity (H, W, 4)."""
    from matplotlib.colors import to_rgba

    found: np.ndarray = np.where(mask[..., None], to_rgba(color, 0.5), 0.0)
    return found


def plot_curves(curves: Sequence[Curve | None], names: Sequence[str]) -> Figure:
    """Plot precision against recall of every class that has objects."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for number, (curve, name) in enumerate(zip(curves, names, strict=False)):
        if curve is not None:
            # Beyond the largest recall that is reached, precision is 0 by definition, not measured.
            reached = curve.precision > 0
            label = f"{name} ({curve.average:.3f})"
            axes.plot(RECALLS[reached], curve.precision[reached], color=COLORS[number % len(COLORS)], label=label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    figure.legend(title="class (average precision)", fontsize=8, title_fontsize=8, loc="outside right upper")
    return figure


def plot_masks(
    pixels: Tensor, truths: Tensor, found: Tensor | None, names: Sequence[str], *, columns: int = 4
) -> Figure:
    """Plot pictures (N, C, H, W), their masks (N, H, W) and predicted ones below one another, with a legend of classes.

    More than ``columns`` pictures go on below. The legend has the classes in these masks, the first ``MAX_LEGEND``.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns, rows = max(1, min(columns, len(pixels))), 2 if found is None else 3
    blocks = -(-len(pixels) // columns)
    drawn = np.unique(np.concatenate([each.numpy().ravel() for each in (truths, found) if each is not None]))
    kinds = [int(number) for number in drawn if 0 < number < len(names)]
    labels = [names[number] if len(names[number]) <= 24 else f"{names[number][:23]}…" for number in kinds[:MAX_LEGEND]]
    if len(kinds) > MAX_LEGEND:
        labels.append(f"and {len(kinds) - MAX_LEGEND} more")
    # Inches of an entry at this font size; a legend wider or higher than its room would cover the pictures.
    entry = 0.6 + 0.08 * max(map(len, labels), default=0)
    across = max(1.5 * columns + 0.6, entry)
    ncols = max(1, min(5, int(across / entry)))
    below = 0.2 * max(0, -(-len(labels) // ncols) - 1)
    figure = Figure(figsize=(across, 1.6 * rows * blocks + 0.4 + below), layout="constrained")
    axes = figure.subplots(rows * blocks, columns, squeeze=False)
    # The last block may have fewer pictures.
    for axis in axes[-rows:].ravel():
        axis.set_axis_off()
    colors = ["#000000", *(COLORS[number % len(COLORS)] for number in range(len(names) - 1))]
    palette = {"cmap": ListedColormap(colors), "vmin": -0.5, "vmax": len(names) - 0.5, "interpolation": "nearest"}
    for number in range(len(pixels)):
        block, column = divmod(number, columns)
        picture = _picture(pixels[number])
        for row, mask in enumerate((None, truths[number], *([] if found is None else [found[number]]))):
            axis = axes[rows * block + row, column]
            axis.set_axis_on()
            axis.set_xticks([])
            axis.set_yticks([])
            if mask is None:
                axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
                continue
            # On gray, or the picture's own colors would mix with those of classes.
            axis.imshow(picture if picture.ndim == 2 else picture.mean(-1), cmap="gray", vmin=0, vmax=1)
            # Background, and pixels that count for nothing (255), stay uncolored.
            hidden = (mask.numpy() == 0) | (mask.numpy() >= len(names))
            axis.imshow(np.ma.masked_where(hidden, mask.numpy()), alpha=0.8, **palette)
    for row in range(rows * blocks):
        axes[row, 0].set_ylabel(("picture", "target", "predicted")[row % rows], fontsize=9)
    shades = [*(colors[number] for number in kinds[:MAX_LEGEND]), "none"]
    patches = [Patch(color=color, label=label) for color, label in zip(shades, labels, strict=False)]
    if patches:
        figure.legend(handles=patches, loc="outside lower center", ncols=ncols, fontsize=9)
    return figure


def file_of_boxes(picture: Shown, names: Sequence[str], layout: str) -> bytes:
    """Return one picture with its boxes as the bytes of a file of a format: ``png``, ``jpeg``, ``pdf`` or ``svg``."""
    return as_png(plot_boxes([picture], names, columns=1, edge=7.0), layout=layout)


def as_png(figure: Figure, *, layout: str = "png", **options: Any) -> bytes:
    """Return a figure as the bytes of a PNG file, or of another format."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=layout, dpi=150, **options)
    return buffer.getvalue()
