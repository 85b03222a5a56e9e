"""General losses, each the mean over all predictions of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError
from lab.training.means import class_weight, mean_over

__all__ = ["aligned", "bce", "cross_entropy", "l1", "mse", "nll", "per_class"]


def _counted(output: Tensor, target: Tensor, *, ignore: int = -100, weight: Sequence[float] | None = None) -> Tensor:
    weights = None if weight is None else output.new_tensor(list(weight), dtype=torch.float64)
    return class_weight(target, weights, ignore)


@mean_over(_counted)
def cross_entropy(
    output: Tensor,
    target: Tensor,
    *,
    label_smoothing: float = 0.0,
    ignore: int = -100,
    weight: Sequence[float] | None = None,
) -> Tensor:
    """Cross-entropy between logits and class numbers, in nats.

    Args:
        output: logits, classes last.
        target: class numbers.
        label_smoothing: probability mass spread evenly over all classes, in [0, 1).
        ignore: class number of ignored targets, such as padding.
        weight: weights of the C classes; the loss is a weighted mean, as torch's is. None weights all classes equally.

    Shapes:
        output (..., C), target (...) long -> scalar. Leading dimensions are free: (N, C) or (T, B, V).

    Raises:
        ShapeError: there are more or fewer weights than classes.
    """
    logits, classes = per_class(output, target, "cross_entropy")
    if weight is not None and len(weight) != logits.shape[1]:
        raise ShapeError(f"cross_entropy: {len(weight)} weights for {logits.shape[1]} classes", hint="one per class")
    weights = None if weight is None else logits.new_tensor(list(weight))
    return functional.cross_entropy(
        logits, classes, weight=weights, label_smoothing=label_smoothing, ignore_index=ignore
    )


@mean_over(_counted)
def nll(output: Tensor, target: Tensor, *, ignore: int = -100) -> Tensor:
    """Negative log-likelihood, in nats, of class numbers under log-probabilities (the output of ``log_softmax``).

    Args:
        output: log-probabilities, classes last.
        target: class numbers.
        ignore: class number of ignored targets, such as padding.

    Shapes:
        output (..., C), target (...) long -> scalar
    """
    log_probabilities, classes = per_class(output, target, "nll")
    return functional.nll_loss(log_probabilities, classes, ignore_index=ignore)


def bce(output: Tensor, target: Tensor, *, positive_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy between logits and targets in [0, 1], in nats.

    Args:
        output: logits.
        target: probabilities, or 0 and 1 of any type.
        positive_weight: weight of positive targets relative to negative ones.

    Shapes:
        output, target (...) -> scalar; (N, 1) matches (N).
    """
    # Without a weight the fused kernel is used.
    weight = output.new_tensor(positive_weight) if positive_weight != 1 else None
    logits, target = aligned(output, target, "bce")
    return functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), pos_weight=weight)


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error.

    Shapes:
        output, target (...) -> scalar; (N, 1) matches (N).
    """
    return functional.mse_loss(*aligned(output, target, "mse"))


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error.

    Shapes:
        output, target (...) -> scalar; (N, 1) matches (N).
    """
    return functional.l1_loss(*aligned(output, target, "l1"))


def aligned(output: Tensor, target: Tensor, who: str) -> tuple[Tensor, Tensor]:
    """Return output and target with equal shapes; dimensions of size 1 may differ, nothing is broadcast.

    Raises:
        ShapeError: the shapes do not match.
    """
    # Broadcasting (N, 1) against (N) would compare every output with every target, and train without an error.
    if output.shape == target.shape:
        return output, target
    if output.squeeze().shape != target.squeeze().shape:
        raise _disagree(who, output, target, "they must have one shape")
    return output.reshape(target.shape), target


def per_class(output: Tensor, target: Tensor, who: str) -> tuple[Tensor, Tensor]:
    """Flatten output (..., C) and target (...) to (N, C) and (N).

    Raises:
        ShapeError: the leading dimensions disagree.
    """
    if output.shape[:-1] != target.shape:
        raise _disagree(who, output, target, "output must have the target's shape, and classes last")
    return output.reshape(-1, output.shape[-1]), target.reshape(-1)


def _disagree(who: str, output: Tensor, target: Tensor, rule: str) -> ShapeError:
    shapes = f"output {tuple(output.shape)} does not fit target {tuple(target.shape)}"
    return ShapeError(f"{who}: {shapes}", hint=rule)
