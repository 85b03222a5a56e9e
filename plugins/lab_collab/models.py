"""Models of ratings: users (B,) and items (B,), long, to ratings (B,). Number 0 is the unknown user or item.

Whoever is unknown has factors and a bias of zero, which stay zero: the model then answers with what it knows of the
other side, and the hybrid with what is written of the newcomer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import ParameterError, ShapeError

__all__ = ["DotBias", "EmbeddingNet", "Hybrid", "SVDPlusPlus"]

Range = tuple[float, float] | None


class _RatingModel(nn.Module):
    """Base class: where ratings may lie."""

    def __init__(self, mean_rating: float, rating_range: tuple[float, float], y_range: Range) -> None:
        super().__init__()
        if y_range is not None:
            _check_range(rating_range, y_range)
        self.y_range = None if y_range is None else (float(y_range[0]), float(y_range[1]))
        self.offset = _inverse(mean_rating, self.y_range)

    def ranged(self, score: Tensor) -> Tensor:
        """Scores as ratings: the mean where the score is 0, by a scaled sigmoid where there is a range."""
        score = score + self.offset
        if self.y_range is None:
            return score
        low, high = self.y_range
        return low + (high - low) * torch.sigmoid(score)


class DotBias(_RatingModel):
    """The product of a user's and an item's factors, plus a bias of each: ``EmbeddingDotBias`` of fast.ai 2018.

    Koren, Bell & Volinsky 2009. Differs from the course: the model starts at the mean rating, and whoever does not
    stand in the training part has a bias and factors of zero.

    Args:
        user_count, item_count: how many numbers there are, the unknown included.
        mean_rating: where the model starts.
        rating_range: lowest and highest rating of the training part; they must lie in ``y_range``.
        n_factors: width of the factors.
        biases: whether users and items have biases.
        y_range: lowest and highest rating that can be said, by a scaled sigmoid; None leaves them free.
        std: standard deviation of the initial factors.
        dropout: share of a product's factors that are left out in training.
    """

    def __init__(
        self,
        user_count: int,
        item_count: int,
        mean_rating: float,
        rating_range: tuple[float, float],
        *,
        n_factors: int = 50,
        biases: bool = True,
        y_range: Range = (0.0, 5.5),
        std: float = 0.05,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(mean_rating, rating_range, y_range)
        with part("user"):
            self.user = _factors(user_count, n_factors, std)
        with part("item"):
            self.item = _factors(item_count, n_factors, std)
        self.user_bias = _factors(user_count, 1, 0.0) if biases else None
        self.item_bias = _factors(item_count, 1, 0.0) if biases else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        _check_numbers(users, items)
        score = self.dropout(self.taste(users) * self.item(items)).sum(-1)
        if self.user_bias is not None and self.item_bias is not None:
            score = score + self.user_bias(users).squeeze(-1) + self.item_bias(items).squeeze(-1)
        return self.ranged(score)

    def taste(self, users: Tensor) -> Tensor:
        """Factors (B, F) of users (B,)."""
        factors: Tensor = self.user(users)
        return factors


class SVDPlusPlus(DotBias):
    """Factors, biases, and for each user the mean of what they have rated, whatever the rating: SVD++.

    Koren 2008, "Factorization meets the neighborhood", equation 15. Differs from the paper: a scaled sigmoid may keep
    ratings in their range.

    Args:
        user_count, item_count, mean_rating, rating_range: as in ``DotBias``.
        rated_items, rated_starts: the items that each user has rated in training.
        n_factors, y_range, std, dropout: as in ``DotBias``.
    """

    def __init__(
        self,
        user_count: int,
        item_count: int,
        mean_rating: float,
        rating_range: tuple[float, float],
        rated_items: Tensor,
        rated_starts: Tensor,
        *,
        n_factors: int = 50,
        y_range: Range = (0.0, 5.5),
        std: float = 0.05,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            user_count,
            item_count,
            mean_rating,
            rating_range,
            n_factors=n_factors,
            y_range=y_range,
            std=std,
            dropout=dropout,
        )
        with part("implicit"):
            self.implicit = nn.EmbeddingBag(item_count, n_factors, mode="sum")
            nn.init.zeros_(self.implicit.weight)
        self.register_buffer("rated_items", rated_items, persistent=False)
        self.register_buffer("rated_starts", rated_starts, persistent=False)

    def taste(self, users: Tensor) -> Tensor:
        each, where = users.unique(return_inverse=True)
        return (self.user(each) + self._rated(each))[where]

    def _rated(self, users: Tensor) -> Tensor:
        """The sum of what is implied by each rated item, divided by the root of their number, (U, F)."""
        starts, counts = self.rated_starts[users], self.rated_starts[users + 1] - self.rated_starts[users]
        offsets = counts.cumsum(0) - counts
        places = torch.arange(int(counts.sum()), device=users.device) + (starts - offsets).repeat_interleave(counts)
        implied: Tensor = self.implicit(self.rated_items[places], offsets)
        return implied / counts.clamp(min=1).sqrt().unsqueeze(1)


class EmbeddingNet(_RatingModel):
    """A user's and an item's embedding side by side through a small network: ``EmbeddingNet`` of fast.ai 2018.

    Args:
        user_count, item_count, mean_rating, rating_range: as in ``DotBias``.
        n_factors: width of each embedding.
        layers: widths of the hidden layers.
        embedding_dropout, dropout: shares left out of the embeddings, and behind each hidden layer.
        y_range: as in ``DotBias``.
        std: standard deviation of the initial embeddings.
    """

    def __init__(
        self,
        user_count: int,
        item_count: int,
        mean_rating: float,
        rating_range: tuple[float, float],
        *,
        n_factors: int = 50,
        layers: Sequence[int] = (10,),
        embedding_dropout: float = 0.05,
        dropout: float = 0.5,
        y_range: Range = (0.0, 5.5),
        std: float = 0.05,
    ) -> None:
        super().__init__(mean_rating, rating_range, y_range)
        with part("user"):
            self.user = _factors(user_count, n_factors, std)
        with part("item"):
            self.item = _factors(item_count, n_factors, std)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        with part("net"):
            self.net = _network([2 * n_factors, *layers], dropout)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        _check_numbers(users, items)
        entered = self.embedding_dropout(torch.cat([self.user(users), self.item(items)], -1))
        return self.ranged(self.net(entered).squeeze(-1))


class Hybrid(_RatingModel):
    """Factors and biases, to which what is written of users and items (age, genres …) adds its own.

    A newcomer has only the latter, so the model answers for users and items without a rating. LightFM's idea,
    Kula 2015, arXiv:1507.08439, with ratings in their range.

    Args:
        user_count, item_count, mean_rating, rating_range: as in ``DotBias``.
        item_features, user_features: (count, F) 0 or 1, or None where nothing is written.
        n_factors, y_range, std, dropout: as in ``DotBias``.
        id_dropout: share of users and items that are taken for newcomers in training, so that what is written of them
            learns to stand alone.
    """

    def __init__(
        self,
        user_count: int,
        item_count: int,
        mean_rating: float,
        rating_range: tuple[float, float],
        item_features: Tensor | None,
        user_features: Tensor | None,
        *,
        n_factors: int = 50,
        y_range: Range = (0.0, 5.5),
        std: float = 0.05,
        dropout: float = 0.0,
        id_dropout: float = 0.1,
    ) -> None:
        super().__init__(mean_rating, rating_range, y_range)
        self.id_dropout = id_dropout
        with part("user"):
            self.user = _factors(user_count, n_factors + 1, std)
        with part("item"):
            self.item = _factors(item_count, n_factors + 1, std)
        self.register_buffer("item_features", item_features, persistent=False)
        self.register_buffer("user_features", user_features, persistent=False)
        with part("item_written"):
            self.item_written = None if item_features is None else _written(item_features, n_factors + 1, std)
        with part("user_written"):
            self.user_written = None if user_features is None else _written(user_features, n_factors + 1, std)
        self.dropout = nn.Dropout(dropout)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        _check_numbers(users, items)
        user = None if self.user_features is None else self.user_features[users]
        item = None if self.item_features is None else self.item_features[items]
        return self.rate(users, items, user, item)

    def items_with_features(self) -> Tensor:
        """What stands for every item, its own and what is written of it together: bias, then factors, (I, 1 + F)."""
        side: Tensor = self._side(self.item.weight, self.item_features, self.item_written)
        return side

    def rate(self, users: Tensor, items: Tensor, user: Tensor | None = None, item: Tensor | None = None) -> Tensor:
        """Ratings (B,), with what is written of each user (B, G) and item (B, F); number 0 for a newcomer."""
        who = self._side(self.user(self._forgotten(users)), user, self.user_written)
        what = self._side(self.item(self._forgotten(items)), item, self.item_written)
        product = self.dropout(who[:, 1:] * what[:, 1:]).sum(-1)
        return self.ranged(product + who[:, 0] + what[:, 0])

    def _side(self, own: Tensor, written: Tensor | None, weigh: nn.Linear | None) -> Tensor:
        if written is None or weigh is None:
            return own
        return own + weigh(functional.normalize(written, dim=-1))

    def _forgotten(self, numbers: Tensor) -> Tensor:
        if not self.training or not self.id_dropout:
            return numbers
        return numbers * (torch.rand(numbers.shape, device=numbers.device) >= self.id_dropout)


def _check_range(rating_range: tuple[float, float], y_range: tuple[float, float]) -> None:
    if not y_range[0] < y_range[1]:
        raise ParameterError(f"y_range must rise, got {tuple(y_range)}", where="architecture")
    if rating_range[0] < y_range[0] or rating_range[1] > y_range[1]:
        raise ParameterError(
            f"there are ratings from {rating_range[0]:g} to {rating_range[1]:g}, outside of y_range={tuple(y_range)}",
            where="architecture",
            hint="make y_range wider, a little beyond the ratings, or None",
        )


def _factors(count: int, width: int, std: float) -> nn.Embedding:
    """An embedding whose row 0 is zero and stays so."""
    embedding = nn.Embedding(count, width, padding_idx=0)
    with torch.no_grad():
        embedding.weight.normal_(0, std) if std else embedding.weight.zero_()
        embedding.weight[0] = 0
    return embedding


def _written(features: Tensor, width: int, std: float) -> nn.Linear:
    layer = nn.Linear(features.shape[1], width, bias=False)
    nn.init.normal_(layer.weight, std=std)
    return layer


def _network(widths: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, behind in pairwise(widths):
        layers += [nn.Linear(before, behind), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


def _inverse(mean: float, y_range: Range) -> float:
    """The score whose rating is the mean."""
    if y_range is None:
        return mean
    share = (mean - y_range[0]) / (y_range[1] - y_range[0])
    return float(torch.logit(torch.tensor(min(max(share, 0.01), 0.99))))


def _check_numbers(users: Tensor, items: Tensor) -> None:
    if users.dim() != 1 or users.shape != items.shape or users.is_floating_point():
        raise ShapeError(
            f"users and items must be whole numbers (B,), got {tuple(users.shape)} and {tuple(items.shape)}"
        )
