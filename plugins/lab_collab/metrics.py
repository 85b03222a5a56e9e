"""How well items are ranked, from ratings that were held out.

Both look at one user at a time: among the items that the user has rated in the validation part, do those that they
liked stand in front? A user without a liked item, or without one that was not, says nothing and is left out.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lab.errors import ParameterError

__all__ = ["NDCG", "HitRate"]


class _Ranking:
    """Base class: gathers an epoch, then judges every user's list."""

    higher_is_better = True
    undefined = ""

    def __init__(self, *, k: int = 10, liked: float = 4.0) -> None:
        if k < 1:
            raise ParameterError(f"k must be at least 1, got {k}", where="metric")
        self.k, self.liked = k, liked
        self.reset()

    def reset(self) -> None:
        """An epoch begins."""
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def update(self, output: Tensor, target: Tensor, *, batch: Any) -> None:
        """Take in one batch: predicted and given ratings (B,), and who gave them."""
        self._seen.append((batch[0].detach().cpu(), output.detach().cpu(), target.detach().cpu()))

    def compute(self) -> float:
        """Return the mean over users; NaN where none has both a liked item and another."""
        self.undefined = "no user with both a liked and another item"
        if not self._seen:
            return math.nan
        users, scores, ratings = (torch.cat(part) for part in zip(*self._seen, strict=True))
        order = users.argsort(stable=True)
        counts = users.unique(return_counts=True)[1].tolist()
        lists = zip(scores[order].split(counts), ratings[order].split(counts), strict=True)
        told = [value for each in lists if (value := self._judge(*each)) is not None]
        if not told:
            return math.nan
        self.undefined = ""
        return sum(told) / len(told)

    def _judge(self, scores: Tensor, ratings: Tensor) -> float | None:
        relevant = ratings >= self.liked
        if not bool(relevant.any()) or bool(relevant.all()):
            return None
        return self.judge(relevant[scores.argsort(descending=True, stable=True)].double())

    def judge(self, relevant: Tensor) -> float:
        """What a list says: 1 where an item was liked, in the order in which the model puts them, (N,)."""
        raise NotImplementedError


class HitRate(_Ranking):
    """Share of users with at least one liked item among the first ``k`` of theirs.

    Args:
        k: length of the list.
        liked: ratings from this on count as liked.
    """

    def __init__(self, *, k: int = 1, liked: float = 4.0) -> None:
        super().__init__(k=k, liked=liked)

    def judge(self, relevant: Tensor) -> float:
        return float(relevant[: self.k].any())


class NDCG(_Ranking):
    """Normalised discounted cumulative gain of the first ``k``, gains of 0 and 1 (Järvelin & Kekäläinen 2002).

    Args:
        k: length of the list.
        liked: ratings from this on count as liked.
    """

    def judge(self, relevant: Tensor) -> float:
        discounts = torch.log2(torch.arange(2, min(self.k, len(relevant)) + 2, dtype=torch.double))
        gain = float((relevant[: self.k] / discounts).sum())
        best = float((relevant.sort(descending=True).values[: self.k] / discounts).sum())
        return gain / best
