"""Rating models: users (B,) and items (B,), long, to ratings (B,). Id 0 is the unknown user or item.

Factors and bias of the unknown id are zero and are not trained. For it, the prediction depends on the other side only;
the hybrid also uses the features of the new user or item.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import ParameterError, ShapeError

__all__ = ["DotBias", "EmbeddingNet", "Hybrid", "SVDPlusPlus", "TimeBiases"]

Range = tuple[float, float] | None


class _RatingModel(nn.Module):
    """Base class of models whose ratings may be limited to a range."""

    def __init__(self, mean_rating: float, rating_range: tuple[float, float], y_range: Range) -> None:
        super().__init__()
        if y_range is not None:
            _check_range(rating_range, y_range)
        self.y_range = None if y_range is None else (float(y_range[0]), float(y_range[1]))
        self.offset = _inverse(mean_rating, self.y_range)

    def ranged(self, score: Tensor) -> Tensor:
        """Map scores to ratings: 0 becomes the mean rating; a scaled sigmoid keeps ratings in ``y_range``."""
        score = score + self.offset
        if self.y_range is None:
            return score
        low, high = self.y_range
        return low + (high - low) * torch.sigmoid(score)


class DotBias(_RatingModel):
    """Matrix factorization with biases: ``EmbeddingDotBias`` of fast.ai 2018.

    Koren, Bell & Volinsky 2009. Differs from the course: predictions start at the mean rating, and users and items that
    are not in the training part have zero bias and factors.

    Args:
        user_count, item_count: number of ids, the unknown included.
        mean_rating: prediction before training.
        rating_range: lowest and highest rating in the data; must lie in ``y_range``.
        n_factors: number of latent factors.
        biases: whether users and items have biases.
        y_range: range of predictions, by a scaled sigmoid; None leaves them unbounded.
        std: standard deviation of the initial factors.
        dropout: dropout probability of the products of factors.
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
        return self.ranged(self.score(users, items))

    def score(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of biases and products of factors (B,), before it is brought into the range of ratings."""
        _check_numbers(users, items)
        score = self.dropout(self.user_factors(users) * self.item(items)).sum(-1)
        if self.user_bias is not None and self.item_bias is not None:
            score = score + self.user_bias(users).squeeze(-1) + self.item_bias(items).squeeze(-1)
        return score

    def user_factors(self, users: Tensor) -> Tensor:
        """Return the factors (B, F) of users (B,)."""
        factors: Tensor = self.user(users)
        return factors


class TimeBiases(DotBias):
    """Matrix factorization with biases that change over time: of items by period, of users by a drift.

    Koren 2009, "Collaborative filtering with temporal dynamics", equations 6 to 10: the bias of an item has a term for
    each of ``bins`` equal periods, that of a user a term α · sign(t - t_u) |t - t_u|^0.4 around the mean time t_u of
    their ratings. Differs from the paper: |t - t_u|^0.4 is divided by that of the whole time span; factors and biases
    of single days are left out. Times outside of the training part fall into the first or last period.

    Args:
        user_count, item_count, mean_rating, rating_range, n_factors, y_range, std, dropout: as in ``DotBias``.
        time_span, user_mean_times: facts of ratings with ``times=True``.
        bins: number of periods, 30 in the paper for 2,243 days; 0 for biases of items that stay.
        drift: whether users' biases drift.
    """

    POWER = 0.4

    def __init__(
        self,
        user_count: int,
        item_count: int,
        mean_rating: float,
        rating_range: tuple[float, float],
        time_span: float,
        user_mean_times: Tensor,
        *,
        n_factors: int = 50,
        y_range: Range = (0.0, 5.5),
        std: float = 0.05,
        dropout: float = 0.0,
        bins: int = 30,
        drift: bool = True,
    ) -> None:
        super().__init__(
            user_count, item_count, mean_rating, rating_range,
            n_factors=n_factors, y_range=y_range, std=std, dropout=dropout,
        )  # fmt: skip
        if time_span <= 0:
            raise ParameterError(
                "time_biases needs ratings with times", where="architecture 'time_biases'", hint="times=True"
            )
        if bins < 0:
            raise ParameterError(f"bins must be at least 0, got {bins}", where="architecture 'time_biases'")
        self.bins, self.time_span = bins, time_span
        self.register_buffer("user_mean_times", user_mean_times, persistent=False)
        # One row per item and period; row 0 is that of the unknown item in every period.
        self.item_periods = _factors((item_count - 1) * bins + 1, 1, 0.0) if bins else None
        self.user_drift = _factors(user_count, 1, 0.0) if drift else None

    def forward(self, users: Tensor, items: Tensor, times: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Return ratings (B,) of items by users at times (B,) in days; None stands for the end of the training part."""
        times = torch.full(users.shape, self.time_span, device=users.device) if times is None else times
        score = self.score(users, items)
        if self.item_periods is not None:
            period = (times / self.time_span * self.bins).long().clamp(0, self.bins - 1)
            rows = torch.where(items == 0, 0, (items - 1) * self.bins + period + 1)
            score = score + self.item_periods(rows).squeeze(-1)
        if self.user_drift is not None:
            score = score + self.user_drift(users).squeeze(-1) * self.deviation(users, times)
        return self.ranged(score)

    def deviation(self, users: Tensor, times: Tensor) -> Tensor:
        """Return sign(t - t_u) |t - t_u|^0.4 over the power of the time span, (B,)."""
        off = times - self.user_mean_times[users]
        return off.sign() * (off.abs() / self.time_span) ** self.POWER


class SVDPlusPlus(DotBias):
    """SVD++: matrix factorization with implicit feedback, the set of items that a user has rated at all.

    Koren 2008, "Factorization meets the neighborhood", equation 15. Differs from the paper: a scaled sigmoid may keep
    ratings in their range.

    Args:
        user_count, item_count, mean_rating, rating_range: as in ``DotBias``.
        rated_items, rated_starts: the items that each user has rated in training; see ``RatingsData``.
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

    def user_factors(self, users: Tensor) -> Tensor:
        # A batch repeats users, and summing over all items that a user has rated is the costly part: once per user.
        each, where = users.unique(return_inverse=True)
        return (self.user(each) + self._implicit_factors(each))[where]

    def _implicit_factors(self, users: Tensor) -> Tensor:
        """Return the summed implicit factors (U, F) of each user's rated items, over the root of their number."""
        starts, counts = self.rated_starts[users], self.rated_starts[users + 1] - self.rated_starts[users]
        offsets = counts.cumsum(0) - counts
        rows = torch.arange(int(counts.sum()), device=users.device) + (starts - offsets).repeat_interleave(counts)
        implicit: Tensor = self.implicit(self.rated_items[rows], offsets)
        return implicit / counts.clamp(min=1).sqrt().unsqueeze(1)


class EmbeddingNet(_RatingModel):
    """Multilayer perceptron on the concatenated user and item embeddings: ``EmbeddingNet`` of fast.ai 2018.

    Args:
        user_count, item_count, mean_rating, rating_range: as in ``DotBias``.
        n_factors: width of each embedding.
        layers: widths of the hidden layers.
        embedding_dropout, dropout: dropout probability of the embeddings, and after each hidden layer.
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
    """Hybrid matrix factorization: user and item features (age, genres …) have factors and biases too.

    A new user or item has features only, so the model predicts for those without a rating as well (cold start). After
    LightFM, Kula 2015, arXiv:1507.08439, with ratings kept in their range.

    Args:
        user_count, item_count, mean_rating, rating_range: as in ``DotBias``.
        item_features, user_features: (count, F) 0 or 1, or None if there are none.
        n_factors, y_range, std, dropout: as in ``DotBias``.
        id_dropout: fraction of users and items that are treated as new in training, so that features also learn to
            predict alone.
    """

    former_weights = (("item_written.", "item_feature_weights."), ("user_written.", "user_feature_weights."))

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
        # These two names seed the initialization: another name would give other initial weights for the same seed.
        with part("item_written"):
            self.item_feature_weights = _feature_weights(item_features, n_factors + 1, std)
        with part("user_written"):
            self.user_feature_weights = _feature_weights(user_features, n_factors + 1, std)
        self.dropout = nn.Dropout(dropout)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        _check_numbers(users, items)
        user = None if self.user_features is None else self.user_features[users]
        item = None if self.item_features is None else self.item_features[items]
        return self.rate(users, items, user, item)

    def items_with_features(self) -> Tensor:
        """Return bias and factors (I, 1 + F) of every item, those of its features included."""
        return self._vector(self.item.weight, self.item_features, self.item_feature_weights)

    def rate(self, users: Tensor, items: Tensor, user: Tensor | None = None, item: Tensor | None = None) -> Tensor:
        """Return ratings (B,) of users and items with features (B, G) and (B, F); id 0 stands for a new one."""
        user_vector = self._vector(self.user(self._drop_ids(users)), user, self.user_feature_weights)
        item_vector = self._vector(self.item(self._drop_ids(items)), item, self.item_feature_weights)
        product = self.dropout(user_vector[:, 1:] * item_vector[:, 1:]).sum(-1)
        return self.ranged(product + user_vector[:, 0] + item_vector[:, 0])

    def _vector(self, of_ids: Tensor, features: Tensor | None, weights: nn.Linear | None) -> Tensor:
        if features is None or weights is None:
            return of_ids
        # Normalized, so that a film of six genres does not weigh more than a film of one.
        of_features: Tensor = weights(functional.normalize(features, dim=-1))
        return of_ids + of_features

    def _drop_ids(self, ids: Tensor) -> Tensor:
        if not self.training or not self.id_dropout:
            return ids
        return ids * (torch.rand(ids.shape, device=ids.device) >= self.id_dropout)


def _check_range(rating_range: tuple[float, float], y_range: tuple[float, float]) -> None:
    if not y_range[0] < y_range[1]:
        raise ParameterError(f"y_range must be increasing, got {tuple(y_range)}", where="architecture")
    if rating_range[0] < y_range[0] or rating_range[1] > y_range[1]:
        raise ParameterError(
            f"ratings range from {rating_range[0]:g} to {rating_range[1]:g}, outside y_range={tuple(y_range)}",
            where="architecture",
            hint="make y_range slightly wider than the ratings, or None",
        )


def _factors(count: int, width: int, std: float) -> nn.Embedding:
    """Return an embedding whose row 0 is zero and stays zero."""
    embedding = nn.Embedding(count, width, padding_idx=0)
    with torch.no_grad():
        embedding.weight.normal_(0, std) if std else embedding.weight.zero_()
        embedding.weight[0] = 0
    return embedding


def _feature_weights(features: Tensor | None, width: int, std: float) -> nn.Linear | None:
    if features is None:
        return None
    layer = nn.Linear(features.shape[1], width, bias=False)
    nn.init.normal_(layer.weight, std=std)
    return layer


def _network(widths: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, next_width in pairwise(widths):
        layers += [nn.Linear(width, next_width), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


def _inverse(mean: float, y_range: Range) -> float:
    """Return the score whose rating is the mean."""
    if y_range is None:
        return mean
    # Clamped: at the ends of y_range the logit is infinite and the sigmoid has no gradient.
    share = (mean - y_range[0]) / (y_range[1] - y_range[0])
    return float(torch.logit(torch.tensor(min(max(share, 0.01), 0.99))))


def _check_numbers(users: Tensor, items: Tensor) -> None:
    if users.dim() != 1 or users.shape != items.shape or users.is_floating_point():
        raise ShapeError(f"users and items must be integers (B,), got {tuple(users.shape)} and {tuple(items.shape)}")
