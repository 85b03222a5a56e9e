"""What to recommend: to a user that is known, or to somebody who likes certain items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import LabError, ParameterError, UnknownNameError
from lab_collab.data import RatingsData
from lab_collab.interpret import item_factors
from lab_collab.models import Hybrid

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["Recommendation", "find_item", "recommend"]


class Recommendation(NamedTuple):
    """An item, its title, and the rating that the model expects, or how near it is to what is liked."""

    item: str
    title: str
    score: float


def recommend(
    learner: Learner,
    user: object = None,
    *,
    like: str | Sequence[str] = (),
    about: str | Sequence[str] = (),
    count: int = 10,
) -> list[Recommendation]:
    """Items for a user, for somebody who likes some, or for a newcomer of whom something is known.

    For a user: the items that they have not rated, by expected rating; of an unknown user a hybrid says what it expects
    of anybody. For what is liked: the items whose factors are nearest to the mean of the liked ones', by cosine. For a
    newcomer: what a hybrid expects of people like that.

    Args:
        learner: trained on ratings.
        user: a user's name.
        like: titles, or parts of titles, of items.
        about: what is known of a newcomer, by the names of user features: ``("age from 20", "F")``.
        count: how many.

    Raises:
        UnknownNameError: nobody, or no item, is called so.
        LabError: neither a user nor items are given, or both.
    """
    if not isinstance(learner.data, RatingsData):
        raise LabError("this learner was not trained on ratings", where=type(learner.data).__name__)
    if count < 1:
        raise ParameterError(f"count must be at least 1, got {count}", where="recommend")
    liked = [like] if isinstance(like, str) else list(like)
    if not all(liked) and user is None:
        raise ParameterError("the title of what is liked is empty", where="recommend", hint="--like Casablanca")
    known = [about] if isinstance(about, str) else list(about)
    if (user is not None) + bool(liked) + bool(known) != 1:
        raise LabError(
            "give either a user, what is liked, or what is known of a newcomer",
            hint="--user 14, or --like Casablanca, or --about 'age from 20'",
        )
    if known:
        scores = _for_newcomer(learner, learner.data, known)
    elif liked:
        scores = _for_taste(learner, learner.data, liked)
    else:
        scores = _for_user(learner, learner.data, user)
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
            hint="for a newcomer, say what they like: --like TITLE",
        )
    items = torch.arange(1, data.item_count)
    scores: Tensor = learner.predict(torch.full_like(items, number), items).float().cpu()
    first, last = data.rated_starts[number], data.rated_starts[number + 1]
    scores[data.rated_items[first:last] - 1] = -torch.inf
    return scores


def _for_newcomer(learner: Learner, data: RatingsData, about: Sequence[str]) -> Tensor:
    model = learner.model
    if not isinstance(model, Hybrid) or data.user_features is None:
        raise LabError(
            "this run knows nothing of users but their ratings",
            hint="train the architecture 'hybrid' on ratings with user features, such as ml-100k; or say --like TITLE",
        )
    names = data.feature_names[-data.user_features.shape[1] :]
    features = torch.zeros(len(names))
    for name in about:
        if name not in names:
            raise UnknownNameError.among("user feature", name, names, hint=f"known: {', '.join(names)}")
        features[names.index(name)] = 1.0
    items = torch.arange(1, data.item_count, device=learner.device)
    person = features.to(learner.device).expand(len(items), -1)
    written = None if model.item_features is None else model.item_features[items]
    with learner.evaluating():
        return model.rate(torch.zeros_like(items), items, person, written).float().cpu()


def _for_taste(learner: Learner, data: RatingsData, liked: Sequence[str]) -> Tensor:
    numbers = [find_item(data, title) for title in liked]
    factors = functional.normalize(item_factors(learner), dim=1)
    chosen = torch.tensor(numbers) - 1
    scores = factors @ functional.normalize(factors[chosen].mean(0), dim=0)
    scores[chosen] = -torch.inf
    return scores


def find_item(data: RatingsData, text: str) -> int:
    """The number of the item with this name or title; a part of a title will do where only one item has it.

    Raises:
        UnknownNameError: no item is called so, or several are; the candidates are given.
    """
    number = data.item_number(text)
    if number:
        return number
    titles = {data.title(each): each for each in range(1, data.item_count)}
    wanted = text.casefold()
    exact = [each for title, each in titles.items() if _plain(title) == wanted or title.casefold() == wanted]
    found = exact or [each for title, each in titles.items() if wanted in title.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        names = "\n".join(data.title(each) for each in found[:8])
        raise UnknownNameError(f"{len(found)} items are called like '{text}'", hint=f"{names}\ngive the whole title")
    raise UnknownNameError.among("item", text, list(titles), hint=f"{data.item_count - 1:,} items are known")


def _plain(title: str) -> str:
    """A title without its year.

    >>> _plain("Casablanca (1942)")
    'casablanca'
    """
    head, bracket, year = title.rpartition(" (")
    return (head if bracket and year.rstrip(")").isdigit() else title).casefold()
