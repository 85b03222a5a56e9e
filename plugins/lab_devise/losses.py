"""Losses between vectors (B, D) and the vectors of classes (K, D), given the numbers (B,) of the true ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ShapeError

__all__ = ["cos_loss", "hinge_rank", "vector_l1", "vector_l2"]


def cos_loss(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    """1 − the mean cosine similarity of each output with the vector of its class: fast.ai 2018, lesson 11.

    Shapes:
        output (B, D), target (B,), class_vectors (K, D)
    """
    return 1 - functional.cosine_similarity(output, _wanted(output, target, class_vectors), dim=-1).mean()


def hinge_rank(
    output: Tensor, target: Tensor, class_vectors: Tensor, trained_count: int, *, margin: float = 0.1
) -> Tensor:
    """The hinge rank loss of Frome et al. 2013, equation 1: Σ_{j ≠ label} max(0, margin − t_label·v + t_j·v), mean
    over B.

    The paper draws one j at a time until one breaks the margin; here all trained classes count. Outputs are taken at
    length 1, as the paper's word vectors are.

    Args:
        output: (B, D).
        target: (B,).
        class_vectors: (K, D) unit vectors.
        trained_count: how many of the classes are trained.
        margin: how much nearer the true class must be.
    """
    _wanted(output, target, class_vectors)
    is_trained = bool((target < trained_count).all())
    rows = (class_vectors[:trained_count] if is_trained else class_vectors).to(output)
    near = functional.normalize(output, dim=-1) @ rows.T
    true = near.gather(1, target[:, None])
    broken = (margin - true + near).clamp(min=0)
    return broken.scatter(1, target[:, None], 0.0).sum(1).mean()


def vector_l1(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    """The mean absolute difference to the vector of the class, over all numbers."""
    return functional.l1_loss(output, _wanted(output, target, class_vectors))


def vector_l2(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    """The mean squared difference to the vector of the class, over all numbers."""
    return functional.mse_loss(output, _wanted(output, target, class_vectors))


def _wanted(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    if output.dim() != 2 or output.shape[1] != class_vectors.shape[1] or target.shape != output.shape[:1]:
        raise ShapeError(
            f"outputs {tuple(output.shape)}, classes {tuple(target.shape)}, vectors {tuple(class_vectors.shape)}",
            hint="outputs are (B, width of the vectors), targets (B,)",
        )
    return torch.index_select(class_vectors.to(output), 0, target)
