"""Negative log-likelihood of the next token, in nats."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError
from lab.training.means import mean_over

__all__ = ["last_only", "matching", "sequence_nll"]


@mean_over(lambda output, target: target[-len(output) :].numel())
def sequence_nll(output: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-likelihood per predicted token, in nats.

    Args:
        output: logits (T', B, V); T' < T if the model predicts only the last positions.
        target: (T, B) long, T at least T'.
    """
    output, target = matching(output, target)
    return functional.cross_entropy(output.flatten(0, 1), target.flatten())


@mean_over(lambda output, target: target.shape[1])
def last_only(output: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-likelihood of the last position only: logits (T', B, V), target (T, B)."""
    output, target = matching(output, target)
    return functional.cross_entropy(output[-1], target[-1])


def matching(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output and the last positions of the target that it predicts.

    Raises:
        ShapeError: the shapes do not match.
    """
    if output.dim() != 3 or target.dim() != 2 or output.shape[1] != target.shape[1] or len(output) > len(target):
        raise ShapeError(
            f"logits must be (T, B, V) and the target (T, B), got {tuple(output.shape)} and {tuple(target.shape)}"
        )
    return output, target[-len(output) :]
