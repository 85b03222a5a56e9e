"""Interpretation of a trained rating model: items by bias, similar items, and a map of the item factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import LabError
from lab_collab.data import RatingsData, find_item
from lab_collab.models import Hybrid

if TYPE_CHECKING:
    from lab import Learner

__all__ = [
    "ItemPlace",
    "has_biases",
    "item_factors",
    "item_map",
    "items_by_bias",
    "items_by_component",
    "most_rated",
    "similar_items",
]


class ItemPlace(NamedTuple):
    """Position of an item on the map: its id and its first two principal components."""

    item: int
    x: float
    y: float


def items_by_bias(
    learner: Learner, count: int = 10, *, lowest: bool = False, among: int | None = None
) -> list[tuple[str, float]]:
    """Return (title, bias) of the items with the highest bias, or the lowest.

    The bias is an item's quality once the preferences of its raters are accounted for: lesson 5 of fast.ai 2018.

    Args:
        learner: a learner trained on ratings.
        count: number of items.
        lowest: return the items with the lowest bias.
        among: rank only the items with the most ratings, 3,000 in the course, so that items with two ratings do not
            lead; None ranks all.

    Raises:
        LabError: the model has no item biases.
    """
    data, biases = _data(learner), _biases(learner)
    return _ranked(data, biases, most_rated(data, len(biases) if among is None else among), count, lowest=lowest)


def items_by_component(
    learner: Learner, component: int = 0, count: int = 10, *, lowest: bool = False, among: int = 3_000
) -> list[tuple[str, float]]:
    """Return (title, score) of the items at one end of a principal component of the item factors.

    Lesson 5 of fast.ai 2018 reads both ends of three components aloud, over the factors of the 3,000 most rated films.
    The sign of a component is arbitrary. Scores are those of scikit-learn's PCA; the lesson's have unit length.

    Args:
        learner: a learner trained on ratings.
        component: number of the component, from 0.
        count: number of items.
        lowest: return the other end.
        among: use only so many items, those with the most ratings.

    Raises:
        LabError: the model has no item factors, or not so many.
    """
    from sklearn.decomposition import PCA

    data, factors = _data(learner), item_factors(learner).double()
    chosen = most_rated(data, among)
    if not 0 <= component < min(factors.shape[1], len(chosen)):
        raise LabError(
            f"component {component} of {min(factors.shape[1], len(chosen))}", where=type(learner.model).__name__
        )
    rows = factors[torch.tensor(chosen) - 1].numpy()
    scores = torch.zeros(len(factors), dtype=torch.double)
    scores[torch.tensor(chosen) - 1] = torch.from_numpy(
        PCA(component + 1, svd_solver="full").fit_transform(rows)[:, component].copy()
    )
    return _ranked(data, scores, chosen, count, lowest=lowest)


def _ranked(
    data: RatingsData, scores: Tensor, items: list[int], count: int, *, lowest: bool
) -> list[tuple[str, float]]:
    """Return the titles and scores of the items (ids from 1) with the highest scores (I,), or the lowest."""
    order = sorted(items, key=lambda item: (float(scores[item - 1]) * (1 if lowest else -1), item))[:count]
    return [(data.title(item), float(scores[item - 1])) for item in order]


def similar_items(learner: Learner, item: str, count: int = 10) -> list[tuple[str, float]]:
    """Return (title, cosine similarity) of the items whose factors are most similar to this item's.

    Args:
        learner: a learner trained on ratings.
        item: a title, or a part that only one title has.
        count: number of items.

    Raises:
        LabError: no item, or several, match.
    """
    data, factors = _data(learner), functional.normalize(item_factors(learner), dim=1)
    number = find_item(data, item)
    similarity = factors @ factors[number - 1]
    similarity[number - 1] = -torch.inf
    order = similarity.argsort(descending=True)[:count]
    return [(data.title(int(each) + 1), float(similarity[each])) for each in order]


def item_map(learner: Learner, count: int = 50) -> list[ItemPlace]:
    """Return the most rated items, placed by the first two principal components of all items' factors."""
    # scikit-learn takes a second to import, so it is not imported with the plugin.
    from sklearn.decomposition import PCA

    factors = item_factors(learner).double().numpy()
    places = (
        PCA(2, svd_solver="full").fit_transform(factors) if factors.shape[1] > 1 else np.pad(factors, ((0, 0), (0, 1)))
    )
    return [ItemPlace(item, *map(float, places[item - 1])) for item in most_rated(_data(learner), count)]


def most_rated(data: RatingsData, count: int) -> list[int]:
    """Return the ids of the items with the most ratings in training, without the unknown item."""
    ratings = torch.bincount(data.rated_items, minlength=data.item_count)[1:]
    return [int(each) + 1 for each in ratings.argsort(descending=True, stable=True)[:count]]


def item_factors(learner: Learner) -> Tensor:
    """Return the factors (I, F) of every known item, without biases; in a hybrid, those of its features included.

    Raises:
        LabError: the model has no item factors.
    """
    _data(learner)
    if isinstance(learner.model, Hybrid):
        return learner.model.items_with_features().detach().cpu()[1:, 1:]
    factors = getattr(learner.model, "item", None)
    if not isinstance(factors, torch.nn.Embedding):
        raise LabError("this model has no item factors", where=type(learner.model).__name__)
    return factors.weight.detach().cpu()[1:]


def has_biases(model: torch.nn.Module) -> bool:
    """Return True if a model has item biases."""
    return isinstance(model, Hybrid) or getattr(model, "item_bias", None) is not None


def _biases(learner: Learner) -> Tensor:
    if not has_biases(learner.model):
        raise LabError("this model has no item biases", where=type(learner.model).__name__, hint="dot_bias has them")
    if isinstance(learner.model, Hybrid):
        return learner.model.items_with_features().detach().cpu()[1:, 0]
    biases: Tensor = learner.model.item_bias.weight.detach().cpu()[1:, 0]  # type: ignore[union-attr, index, operator]
    return biases


def _data(learner: Learner) -> RatingsData:
    if not isinstance(learner.data, RatingsData):
        raise LabError("this learner was not trained on ratings", where=type(learner.data).__name__)
    return learner.data
