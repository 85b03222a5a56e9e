"""Losses between vectors (B, D) and the vectors of classes (K, D), given the numbers (B,) of the true ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import ParameterError, ShapeError

__all__ = ["cos_loss", "cosine_softmax", "hinge_rank", "vector_l1", "vector_l2"]


def cos_loss(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    """1 − the mean cosine similarity of each output with the vector of its class: fast.ai 2018, lesson 11.

    Shapes:
        output (B, D), target (B,), class_vectors (K, D)
    """
    return 1 - functional.cosine_similarity(output, _wanted(output, target, class_vectors), dim=-1).mean()


def cosine_softmax(
    output: Tensor,
    target: Tensor,
    class_vectors: Tensor,
    trained_count: int,
    *,
    scale: float = 20.0,
    pull: float = 0.0,
) -> Tensor:
    """Cross-entropy of a softmax over the cosines of each output with the vectors of the trained classes.

    Zhai & Wu 2019, "Classification is a strong baseline for deep metric learning", arXiv:1811.12649. Differs from the
    paper: class vectors are fixed word vectors, as the search needs them, and not learned; ``pull`` is ours.
    ``cos_loss`` pulls an output towards its word and ignores the others. This loss separates classes whose words are
    similar, but an output may stay far from its word as long as the others are farther. ``pull`` adds ``cos_loss`` with
    this weight, which keeps outputs close to the words that are searched beyond the classes.

    Args:
        output: (B, D), of any length.
        target: (B,).
        class_vectors: (K, D) unit vectors.
        trained_count: number of trained classes; if a target is not among them, all K compete.
        scale: factor of the cosines, the reciprocal of the temperature. With small values even correct predictions stay
            uncertain; with large ones only the nearest wrong class matters.
        pull: weight of ``cos_loss``.

    Raises:
        ParameterError: ``scale`` is not positive, or ``pull`` is negative.
        ShapeError: shapes disagree.
    """
    if scale <= 0 or pull < 0:
        raise ParameterError(
            f"scale={scale}, pull={pull}", where="loss 'cosine_softmax'", hint="scale is above 0, pull at least 0"
        )
    # Word vectors are constants; only the output is normalized at every step.
    rows = _rivals(output, target, class_vectors, trained_count)
    near = functional.normalize(output, dim=-1) @ rows.T
    told_apart = functional.cross_entropy(scale * near, target)
    return told_apart + pull * (1 - near.gather(1, target[:, None]).mean()) if pull else told_apart


def hinge_rank(
    output: Tensor,
    target: Tensor,
    class_vectors: Tensor,
    trained_count: int,
    *,
    margin: float = 0.1,
    normalized: bool = True,
) -> Tensor:
    """Hinge rank loss of Frome et al. 2013, equation 1: Σ_{j ≠ label} max(0, margin − t_label·v + t_j·v), mean
    over B.

    Differs from the paper: all trained classes count, where the paper draws one j at a time until one violates the
    margin; outputs v are normalized, as in the search, unless ``normalized`` is false.

    Args:
        output: (B, D).
        target: (B,).
        class_vectors: (K, D) unit vectors.
        trained_count: number of trained classes; if a target is not among them, all K count.
        margin: required difference of similarities.
        normalized: normalize the outputs.
    """
    rows = _rivals(output, target, class_vectors, trained_count)
    near = (functional.normalize(output, dim=-1) if normalized else output) @ rows.T
    true = near.gather(1, target[:, None])
    broken = (margin - true + near).clamp(min=0)
    # The true class would add the margin itself.
    return broken.scatter(1, target[:, None], 0.0).sum(1).mean()


def vector_l1(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    """Mean absolute difference to the vector of the class, over all values."""
    return functional.l1_loss(output, _wanted(output, target, class_vectors))


def vector_l2(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    """Mean squared difference to the vector of the class, over all values."""
    return functional.mse_loss(output, _wanted(output, target, class_vectors))


def _rivals(output: Tensor, target: Tensor, class_vectors: Tensor, trained_count: int) -> Tensor:
    """Return the vectors the true one competes with: of trained classes, or all if a target is held out."""
    _check(output, target, class_vectors)
    # Validation on held-out classes lets all classes compete.
    is_trained = bool((target < trained_count).all())
    return (class_vectors[:trained_count] if is_trained else class_vectors).to(output)


def _wanted(output: Tensor, target: Tensor, class_vectors: Tensor) -> Tensor:
    _check(output, target, class_vectors)
    return torch.index_select(class_vectors.to(output), 0, target)


def _check(output: Tensor, target: Tensor, class_vectors: Tensor) -> None:
    if output.dim() != 2 or output.shape[1] != class_vectors.shape[1] or target.shape != output.shape[:1]:
        raise ShapeError(
            f"outputs {tuple(output.shape)}, classes {tuple(target.shape)}, vectors {tuple(class_vectors.shape)}",
            hint="outputs are (B, width of the vectors), targets (B,)",
        )
