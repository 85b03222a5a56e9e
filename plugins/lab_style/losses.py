"""Loss and metrics of style transfer."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from lab.errors import ParameterError, ShapeError
from lab.training.means import mean_over

__all__ = ["ContentDistance", "Roughness", "StyleDistance", "style_loss"]


def _check(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape or output.dim() != 2 or output.shape[1] != 3:
        raise ShapeError(
            f"the output has the shape {tuple(output.shape)} and the target {tuple(target.shape)}",
            hint="both (B, 3): distances of content and of style, and roughness",
        )


def _pictures(output: Tensor, target: Tensor) -> int:
    return len(target)


@mean_over(_pictures)
def style_loss(
    output: Tensor,
    target: Tensor,
    *,
    content_weight: float = 1.0,
    style_weight: float = 1.0,
    smooth_weight: float = 1.0,
) -> Tensor:
    """Weighted sum of the distances of content and of style, and of roughness, less those in the target.

    Args:
        output: distances, from ``style_picture``.
        target: distances that are wanted: zeros.
        content_weight, style_weight: weights of the content and of the style.
        smooth_weight: weight of the total variation, which keeps neighboring pixels alike.

    Shapes:
        output, target (B, 3) -> scalar
    """
    _check(output, target)
    if min(content_weight, style_weight, smooth_weight) < 0:
        raise ParameterError("weights must be at least 0", where="loss 'style_loss'")
    weights = output.new_tensor([content_weight, style_weight, smooth_weight])
    return ((output - target) * weights).sum(-1).mean()


class _Column:
    """Base class: the mean of one column of the output."""

    higher_is_better = False
    undefined: str = ""
    column = 0

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._sum, self._count = 0.0, 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch of distances (B, 3)."""
        _check(output, target)
        self._sum += float(output[:, self.column].double().sum())
        self._count += len(output)

    @property
    def metric_state(self) -> dict[str, Any]:
        """Return the accumulated state, for ``merge_state`` on another rank."""
        return {"sum": self._sum, "count": self._count}

    def merge_state(self, incoming: Any) -> None:
        """Merge the state of another rank."""
        self._sum += float(incoming["sum"])
        self._count += int(incoming["count"])

    def compute(self) -> float:
        """Return the mean, NaN if nothing was added."""
        self.undefined = "" if self._count else "there is no picture"
        return self._sum / self._count if self._count else math.nan


class ContentDistance(_Column):
    """Mean squared difference of features from those of the content picture, divided by their mean square."""


class StyleDistance(_Column):
    """Mean squared difference of Gram matrices from the style picture's, divided by their mean square; over layers."""

    column = 1


class Roughness(_Column):
    """Total variation of the picture: half the mean differences of neighboring pixels, in standard deviations."""

    column = 2
