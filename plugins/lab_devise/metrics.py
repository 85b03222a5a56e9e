"""Metrics of images with word vectors as targets."""

from __future__ import annotations

import torch
from lab_basics.metrics import Mean
from torch import Tensor
from torch.nn import functional

from lab.errors import DataError, ParameterError

__all__ = ["HierarchicalPrecision", "Hit"]


class Hit(Mean):
    """Flat hit@k (Frome et al. 2013): share of examples whose true class is among the ``k`` nearest by cosine.

    Trained classes compete with trained ones, held-out ones with held-out ones (zero-shot); with ``among_all`` all
    classes compete.

    Args:
        class_vectors, trained_count: of the data.
        k: number of nearest classes.
        among_all: let held-out and trained classes compete.
    """

    def __init__(self, class_vectors: Tensor, trained_count: int, *, k: int = 1, among_all: bool = False) -> None:
        super().__init__()
        if k < 1:
            raise ParameterError(f"k must be at least 1, got {k}", where="metric 'hit'")
        self.vectors, self.trained, self.k, self.among_all = class_vectors, trained_count, k, among_all

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        order = _nearest(output, target, self.vectors, self.trained, self.among_all)
        return (order[:, : self.k] == target[:, None]).any(1).sum(), len(target)


class HierarchicalPrecision(Mean):
    """Hierarchical precision@k (Frome et al. 2013, section 4): share of the ``k`` nearest classes that are
    close to the true one in WordNet.

    The radius around the true class grows until at least k classes lie within it; these are the correct ones.

    Args:
        class_vectors, trained_count, class_distances: of the data; the last needs ``searched="wordnet"``.
        k: number of nearest classes.
    """

    def __init__(
        self, class_vectors: Tensor, trained_count: int, class_distances: Tensor | None, *, k: int = 2
    ) -> None:
        super().__init__()
        if class_distances is None:
            raise DataError(
                "the data has no WordNet distances between classes",
                where="metric 'hierarchical_precision'",
                hint="dataset=use('devise', searched='wordnet', …), with WordNet in the data directory",
            )
        if not 1 <= k <= len(class_vectors):
            raise ParameterError(f"k={k} of {len(class_vectors)} classes", where="metric 'hierarchical_precision'")
        self.vectors, self.trained, self.k = class_vectors, trained_count, k
        # Ties at the radius are all right: the paper's set grows to whole levels of the hierarchy.
        radius = class_distances.sort(1).values[:, k - 1 : k]
        self.right = class_distances <= radius

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        order = _nearest(output, target, self.vectors, self.trained, True)[:, : self.k]
        right = self.right.to(target.device)[target].gather(1, order)
        return right.double().mean(1).sum(), len(target)


def _nearest(output: Tensor, target: Tensor, vectors: Tensor, trained: int, among_all: bool) -> Tensor:
    """Return class ids (B, K) by falling similarity; those that do not compete come last."""
    near = functional.normalize(output.float(), dim=-1) @ functional.normalize(vectors.to(output.device), dim=-1).T
    if not among_all:
        is_trained = torch.arange(len(vectors), device=near.device) < trained
        # -2 is below every cosine, so these come last.
        near = near.masked_fill(is_trained[None] != (target < trained)[:, None], -2.0)
    # Stable: equal similarities give the same hit on every device.
    return near.argsort(dim=1, descending=True, stable=True)
