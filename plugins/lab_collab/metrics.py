"""Ranking metrics on held-out ratings.

Both rank, for each user, the items that the user has rated in the validation part, and reward liked items at the top.
Users without both a liked and another item are skipped.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lab.errors import ParameterError

__all__ = ["NDCG", "HitRate"]


class _Ranking:
    """Base class: collects an epoch, then averages a score over the users' ranked lists."""

    higher_is_better = True
    undefined = ""

    def __init__(self, *, k: int = 10, liked: float = 4.0) -> None:
        if k < 1:
            raise ParameterError(f"k must be at least 1, got {k}", where="metric")
        self.k, self.liked = k, liked
        self.reset()

    def reset(self) -> None:
        """Forget everything that was collected."""
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def update(self, output: Tensor, target: Tensor, *, batch: Any) -> None:
        """Collect one batch: predicted ratings (B,), ratings (B,), and the users in ``batch[0]``."""
        self._seen.append((batch[0].detach().cpu(), output.detach().cpu(), target.detach().cpu()))

    def compute(self) -> float:
        """Return the mean over users, NaN if no user has both a liked and another item."""
        self.undefined = "no user with both a liked and another item"
        if not self._seen:
            return math.nan
        users, scores, ratings = (torch.cat(part) for part in zip(*self._seen, strict=True))
        # Sorted by user and split, instead of a dictionary of lists in Python.
        order = users.argsort(stable=True)
        counts = users.unique(return_counts=True)[1].tolist()
        lists = zip(scores[order].split(counts), ratings[order].split(counts), strict=True)
        values = [value for each in lists if (value := self._user_score(*each)) is not None]
        if not values:
            return math.nan
        self.undefined = ""
        return sum(values) / len(values)

    def _user_score(self, scores: Tensor, ratings: Tensor) -> float | None:
        relevant = ratings >= self.liked
        if not bool(relevant.any()) or bool(relevant.all()):
            return None
        # Double precision and a stable order: ties must not depend on the device.
        return self.score(relevant[scores.argsort(descending=True, stable=True)].double())

    def score(self, relevant: Tensor) -> float:
        """Score a ranked list (N,) of ones for liked and zeros for other items."""
        raise NotImplementedError


class HitRate(_Ranking):
    """Fraction of users with a liked item among the first ``k`` of their ranked list.

    Args:
        k: cut-off of the list.
        liked: lowest rating that counts as liked.
    """

    def __init__(self, *, k: int = 1, liked: float = 4.0) -> None:
        super().__init__(k=k, liked=liked)

    def score(self, relevant: Tensor) -> float:
        return float(relevant[: self.k].any())


class NDCG(_Ranking):
    """Normalized discounted cumulative gain at ``k``, with binary gains (Järvelin & Kekäläinen 2002).

    Args:
        k: cut-off of the list.
        liked: lowest rating that counts as liked.
    """

    def score(self, relevant: Tensor) -> float:
        discounts = torch.log2(torch.arange(2, min(self.k, len(relevant)) + 2, dtype=torch.double))
        gain = float((relevant[: self.k] / discounts).sum())
        best = float((relevant.sort(descending=True).values[: self.k] / discounts).sum())
        return gain / best
