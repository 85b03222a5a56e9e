"""Multi-class hinge loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError

__all__ = ["margin"]


def margin(output: Tensor, target: Tensor, *, width: float = 1.0) -> Tensor:
    """Multi-class hinge loss, the mean over examples of ``mean_c max(0, width - output[target] + output[c])``.

    Crammer & Singer 2001.

    Args:
        output: logits.
        target: class numbers.
        width: margin between the logit of the target and the others.

    Shapes:
        output (B, C), target (B) long -> scalar

    Raises:
        ShapeError: the shapes do not match.
    """
    if output.dim() != 2 or output.shape[:1] != target.shape:
        raise ShapeError(f"margin: output {tuple(output.shape)} does not fit target {tuple(target.shape)}")
    return functional.multi_margin_loss(output, target, margin=width)
