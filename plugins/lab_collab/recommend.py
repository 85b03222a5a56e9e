"""Recommendations: for a known user, for liked items, or for a new user with known features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import LabError, ParameterError, UnknownNameError
from lab_collab.data import RatingsData, find_item
from lab_collab.interpret import item_factors
from lab_collab.models import Hybrid

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["Recommendation", "recommend"]


class Recommendation(NamedTuple):
    """An item, its title, and its predicted rating or similarity to the liked items."""

    item: str
    title: str
    score: float


def recommend(
    learner: Learner,
    user: object = None,
    *,
    like: str | Sequence[str] = (),
    about: str | Sequence[str] = (),
    rated: Mapping[str, float] | None = None,
    count: int = 10,
) -> list[Recommendation]:
    """Recommend items for one of: a user, liked items, or the features or ratings of a new user.

    For a user: the items they have not rated, by predicted rating; a hybrid also answers for an unknown user. For liked
    items: the items whose factors have the highest cosine similarity to the mean of the liked items' factors. For a new
    user: the predictions of a hybrid from their features, or those of ``dot_bias`` with factors that are fitted to a
    few ratings (``fold_in``).

    Args:
        learner: a learner trained on ratings.
        user: a user's name.
        like: titles, or parts of titles, of items.
        about: names of the new user's features: ``("age from 20", "F")``.
        rated: ratings of a new user: ``{"Casablanca": 5, "Vertigo": 3.5}``.
        count: number of recommendations.

    Raises:
        UnknownNameError: there is no such user, item or feature.
        LabError: not exactly one of user, like and about is given, or the model has no features.
    """
    if not isinstance(learner.data, RatingsData):
        raise LabError("this learner was not trained on ratings", where=type(learner.data).__name__)
    if count < 1:
        raise ParameterError(f"count must be at least 1, got {count}", where="recommend")
    liked = [like] if isinstance(like, str) else list(like)
    if not all(liked) and user is None:
        raise ParameterError("the title of a liked item is empty", where="recommend", hint="--like Casablanca")
    known = [about] if isinstance(about, str) else list(about)
    if (user is not None) + bool(liked) + bool(known) + bool(rated) != 1:
        raise LabError(
            "give exactly one of: a user, liked items, features of a new user, ratings of a new user",
            hint="--user 14, or --like Casablanca, or --about 'age from 20', or --rated Casablanca=5",
        )
    if rated:
        scores = _for_rated(learner, learner.data, rated)
    elif known:
        scores = _for_features(learner, learner.data, known)
    elif liked:
        scores = _for_liked(learner, learner.data, liked)
    else:
        scores = _for_user(learner, learner.data, user)
    # Stable, so that ties come in the order of the data on every device.
    order = scores.argsort(descending=True, stable=True)[:count]
    return [
        Recommendation(learner.data.item_ids[item], learner.data.title(int(item) + 1), float(scores[item]))
        for item in order
        if torch.isfinite(scores[item])
    ]


def _for_user(learner: Learner, data: RatingsData, user: object) -> Tensor:
    number = data.user_number(user)
    if not number and not isinstance(learner.model, Hybrid):
        raise UnknownNameError.among(
            "user",
            str(user),
            data.user_ids,
            where=f"{len(data.user_ids):,} users in the training split",
            hint="for a new user, name items they like: --like TITLE",
        )
    items = torch.arange(1, data.item_count)
    # All items in one batch of predictions: a catalog fits in memory.
    scores: Tensor = learner.predict(torch.full_like(items, number), items).float().cpu()
    first, last = data.rated_starts[number], data.rated_starts[number + 1]
    scores[data.rated_items[first:last] - 1] = -torch.inf  # rated already
    return scores


def _for_features(learner: Learner, data: RatingsData, about: Sequence[str]) -> Tensor:
    model = learner.model
    if not isinstance(model, Hybrid) or data.user_features is None:
        raise LabError(
            "this run has no user features",
            hint="train the architecture 'hybrid' on ratings with user features, such as ml-100k, or use --like TITLE",
        )
    names = data.feature_names[-data.user_features.shape[1] :]
    features = torch.zeros(len(names))
    for name in about:
        if name not in names:
            raise UnknownNameError.among("user feature", name, names, hint=f"features: {', '.join(names)}")
        features[names.index(name)] = 1.0
    items = torch.arange(1, data.item_count, device=learner.device)
    user = features.to(learner.device).expand(len(items), -1)
    item = None if model.item_features is None else model.item_features[items]
    with learner.evaluating():
        return model.rate(torch.zeros_like(items), items, user, item).float().cpu()


def _for_rated(learner: Learner, data: RatingsData, rated: Mapping[str, float]) -> Tensor:
    from lab_collab.newcomers import fold_in

    scores = fold_in(learner, rated).predict(torch.arange(1, data.item_count)).float()
    scores[torch.tensor([find_item(data, title) for title in rated]) - 1] = -torch.inf  # rated already
    return scores


def _for_liked(learner: Learner, data: RatingsData, liked: Sequence[str]) -> Tensor:
    numbers = [find_item(data, title) for title in liked]
    factors = functional.normalize(item_factors(learner), dim=1)
    chosen = torch.tensor(numbers) - 1
    scores = factors @ functional.normalize(factors[chosen].mean(0), dim=0)
    scores[chosen] = -torch.inf
    return scores
