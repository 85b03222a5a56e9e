"""Pictures of sequence models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["attention_map"]


def attention_map(
    source: Sequence[str], target: Sequence[str], weights: Sequence[Sequence[float]], *, title: str = ""
) -> Figure:
    """Return attention as an image: a row per target token, a column per source token, darker for more.

    Args:
        source: S tokens, along the top.
        target: T tokens, from top to bottom in the order in which they were written.
        weights: T rows of S numbers in [0, 1].
        title: above the picture.

    >>> attention_map(["où", "?"], ["where", "?"], [[0.9, 0.1], [0.2, 0.8]]).axes[0].get_ylabel()
    'written'
    """
    from matplotlib.figure import Figure

    size = (1.6 + 0.42 * len(source), 1.4 + 0.34 * len(target))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), labels=source, rotation=45, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(target)), labels=target)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlabel("read")
    axes.set_ylabel("written")
    if title:
        figure.suptitle(title)
    figure.colorbar(image, ax=axes, label="attention", fraction=0.05)
    return figure
