"""Plots: grids of pictures, overlays, confusion matrices, filters."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["as_png", "plot_confusion", "plot_filters", "plot_sheet"]

MAX_NAMED = 40


def plot_sheet(pixels: Tensor, titles: Sequence[str], *, overlays: Tensor | None = None, columns: int = 6) -> Figure:
    """Plot a grid of pictures.

    Args:
        pixels: (N, C, H, W) between 0 and 1.
        titles: title of each.
        overlays: heat maps (N, H, W) between 0 and 1.
        columns: pictures per row.
    """
    from matplotlib.figure import Figure

    columns = max(1, min(columns, len(pixels)))
    rows = -(-len(pixels) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for number, (axis, picture, title) in enumerate(zip(axes, pixels, titles, strict=False)):
        axis.imshow(_shown(picture), cmap="gray", vmin=0, vmax=1)
        if overlays is not None:
            axis.imshow(overlays[number].numpy(), cmap="inferno", alpha=0.45, vmin=0, vmax=1)
        axis.set_title(title, fontsize=8)
    return figure


def _shown(picture: Tensor) -> np.ndarray:
    return picture[0].numpy() if len(picture) == 1 else picture.permute(1, 2, 0).numpy()


def plot_confusion(counts: Tensor, names: Sequence[str]) -> Figure:
    """Plot a confusion matrix, targets as rows and predictions as columns, with counts if there are few classes."""
    from matplotlib.figure import Figure

    size = max(4.0, min(12.0, 1.5 + 0.5 * len(names)))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    if len(names) <= MAX_NAMED:
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    if len(names) <= 20:
        for row in range(len(names)):
            for column in range(len(names)):
                if counts[row, column]:
                    color = "white" if shares[row, column] > 0.6 else "black"
                    axes.text(column, row, int(counts[row, column]), ha="center", va="center", fontsize=7, color=color)
    axes.set(xlabel="predicted", ylabel="target")
    return figure


def plot_filters(filters: Tensor, *, most: int = 64) -> Figure:
    """Plot the weights (F, C, h, w) of a convolution, each filter scaled to its own range."""
    filters = filters[:most]
    if filters.shape[1] not in (1, 3):
        filters = filters[:, :1]
    low, high = filters.amin((1, 2, 3), keepdim=True), filters.amax((1, 2, 3), keepdim=True)
    return plot_sheet((filters - low) / (high - low).clamp(min=1e-12), [""] * len(filters), columns=10)


def as_png(figure: Figure, **options: Any) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, **options)
    return buffer.getvalue()
