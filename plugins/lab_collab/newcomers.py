"""New users: which items to ask them about, and their factors from a few ratings (cold start)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from lab.errors import LabError, ParameterError
from lab_collab.data import RatingsData, find_item
from lab_collab.models import DotBias

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["NewUser", "fold_in", "fold_in_items", "items_to_ask"]

Ask = Literal["popularity", "entropy"]


class NewUser:
    """Bias and factors of a user that a model was not trained on.

    Attributes:
        bias: the bias, without the mean rating.
        factors: (F,).
    """

    def __init__(self, model: DotBias, bias: Tensor, factors: Tensor) -> None:
        self.bias, self.factors, self._model = bias, factors, model

    def predict(self, items: Tensor) -> Tensor:
        """Return ratings (B,) of items (B,)."""
        return _ratings(self._model, self.bias, self.factors, items.to(self.factors.device)).detach().cpu()


def fold_in(learner: Learner, rated: Mapping[str, float], *, penalty: float = 0.2, steps: int = 20) -> NewUser:
    """Fit the bias and the factors of a new user to their ratings; everything else of the model stays.

    The squared errors plus ``penalty`` times the squares of bias and factors, relative to their spread among the known
    users, have their minimum where L-BFGS ends: a step of alternating least squares, for ratings in a range.

    Args:
        learner: a learner trained on ratings, with the architecture ``dot_bias``.
        rated: title, or a part that only one title has → rating.
        penalty: at least 0; the larger, the closer the newcomer stays to the mean user.
        steps: maximum number of steps.

    Raises:
        LabError: the model has no biases, or knows users by more than factors and biases.
        UnknownNameError: no item, or several, match a title.
    """
    data, model = learner.data, learner.model
    if not isinstance(data, RatingsData) or type(model) is not DotBias or model.user_bias is None:
        raise LabError(
            "new users need the architecture 'dot_bias' with biases, trained on ratings",
            where=type(model).__name__,
        )
    if penalty < 0:
        raise ParameterError(f"penalty must be at least 0, got {penalty}", where="fold_in")
    items = torch.tensor([find_item(data, title) for title in rated], dtype=torch.long)
    return fold_in_items(model, items, torch.tensor(list(rated.values())), penalty=penalty, steps=steps)


def fold_in_items(model: DotBias, items: Tensor, ratings: Tensor, *, penalty: float, steps: int = 20) -> NewUser:
    """Fit a new user to ratings (B,) of items (B,) by id; see ``fold_in``."""
    assert model.user_bias is not None
    users, biases = model.user.weight.detach()[1:], model.user_bias.weight.detach()[1:, 0]
    # Without any rating, the newcomer is the mean of the known users.
    start = torch.cat([biases.mean()[None], users.mean(0)])
    found = start.clone().requires_grad_()
    scale = torch.cat([biases.std()[None], users.std(0)]).clamp(min=1e-6)
    items, ratings = items.to(start.device), ratings.to(start.device, start.dtype)
    optimizer = torch.optim.LBFGS([found], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        errors = _ratings(model, found[0], found[1:], items) - ratings
        loss: Tensor = errors.square().sum() + penalty * ((found - start) / scale).square().sum()
        loss.backward()
        return loss

    if len(items):
        with torch.enable_grad():
            optimizer.step(closure)
    return NewUser(model, found[0].detach(), found[1:].detach())


def _ratings(model: DotBias, bias: Tensor, factors: Tensor, items: Tensor) -> Tensor:
    assert model.item_bias is not None
    # Detached: the items stay as they are, and get no gradients either.
    of_items, biases = model.item.weight.detach()[items], model.item_bias.weight.detach()[items, 0]
    return model.ranged(of_items @ factors + bias + biases)


def items_to_ask(data: RatingsData, count: int = 20, *, by: Ask = "popularity") -> list[int]:
    """Return the ids of items that a new user is asked to rate.

    Rashid et al. 2002, "Getting to know you". ``popularity`` takes the items with the most ratings, which newcomers
    know most likely; ``entropy`` the highest logarithm of that number times the entropy of the ratings, which also
    prefers items that people disagree about.

    Args:
        data: ratings.
        count: number of items.
        by: the order.
    """
    if by not in ("popularity", "entropy"):
        raise ParameterError(f"by must be 'popularity' or 'entropy', got {by!r}", where="items_to_ask")
    train: Any = data.train
    counts = torch.bincount(train.items, minlength=data.item_count)[1:].double()
    if by == "popularity":
        scores = counts
    else:
        _, levels = train.target.unique(return_inverse=True)
        width = int(levels.max()) + 1
        table = torch.bincount(train.items * width + levels, minlength=data.item_count * width).double()
        shares = table.view(-1, width)[1:] / counts.clamp(min=1)[:, None]
        scores = torch.special.entr(shares).sum(1) * counts.clamp(min=1).log()
    return [int(each) + 1 for each in scores.argsort(descending=True, stable=True)[:count]]
