"""The multi-class hinge loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError

__all__ = ["margin"]


def margin(output: Tensor, target: Tensor, *, width: float = 1.0) -> Tensor:
    """The mean over examples of ``mean_c max(0, width - output[target] + output[c])``. Crammer & Singer 2001.

    Args:
        output: scores, classes last.
        target: class numbers.
        width: by how much the right class must score above every other.

    Shapes:
        output (B, C), target (B) long -> scalar

    Raises:
        ShapeError: the two do not fit; the message gives both shapes.
    """
    if output.dim() != 2 or output.shape[:1] != target.shape:
        raise ShapeError(f"margin: output {tuple(output.shape)} does not fit target {tuple(target.shape)}")
    return functional.multi_margin_loss(output, target, margin=width)
