"""Denominator of a loss: the number of elements that a batch's loss is the mean over.

The loss of a validation split is the weighted mean of its batches' losses. It is the same for every
``valid_batch_size`` only if each batch counts by the denominator that its loss was divided by: the targets that are not
ignored, the sum of the class weights, the pixels of a mask. A loss states it with ``mean_over``; the losses of torch
and of ``lab`` are known. For any other loss the number of elements of the target is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Weight", "element_count", "loss_weight", "mean_over", "normalized_loss", "states_mean"]

Weight = float | Tensor
LossT = TypeVar("LossT", bound=Callable[..., Tensor])

ATTRIBUTE = "mean_over"
"""Attribute of a loss: called as ``mean_over(output, target)``, returns the denominator of its mean."""


def mean_over(count: Callable[..., Weight]) -> Callable[[LossT], LossT]:
    """State the denominator of a loss that is not a mean over the elements of its target.

    ::

        @mean_over(lambda output, target: (target != 0).sum())
        def masked(output, target):
            return functional.cross_entropy(output.transpose(1, 2), target, ignore_index=0)

    A loss that is a class defines a method ``mean_over(output, target)`` instead.

    Args:
        count: called as ``count(output, target)``, with those of the loss's further parameters that it names; returns a
            number or a scalar tensor. A batch with 0 is skipped in the mean.
    """

    def decorate(loss: LossT) -> LossT:
        setattr(loss, ATTRIBUTE, count)
        return loss

    return decorate


def loss_weight(loss: Callable[..., Any], output: Any, target: Any) -> Weight:
    """Return how many elements ``loss(output, target)`` is the mean over."""
    # a component with parameters is a partial of its loss
    function, given = _unwrapped(loss)
    stated = getattr(function, ATTRIBUTE, None)
    if callable(stated):
        return stated(output, target, **_accepted(stated, given))  # type: ignore[no-any-return]
    if isinstance(function, nn.Module):
        given = {
            name: getattr(function, name) for name in ("weight", "ignore_index", "reduction") if hasattr(function, name)
        }
    if function in _INDEXED or isinstance(function, _INDEXED_MODULES):
        return _indexed_weight(target, given.get("weight"), given.get("ignore_index", -100))
    return element_count(target)


def states_mean(loss: Callable[..., Any]) -> bool:
    """Return whether a loss states itself what it is a mean over."""
    return callable(getattr(_unwrapped(loss)[0], ATTRIBUTE, None))


def normalized_loss(loss: Callable[..., Any], output: Any, target: Any) -> tuple[Tensor, Weight]:
    """Return the mean loss of a batch and its weight; a loss with ``reduction="sum"`` is divided by the weight."""
    value, weight = loss(output, target), loss_weight(loss, output, target)
    if is_sum(loss):
        # a batch without a target that counts gives 0, not 0 / 0
        value = value / torch.as_tensor(weight, device=value.device).clamp(min=torch.finfo(torch.float32).tiny)
    return value, weight


def is_sum(loss: Callable[..., Any]) -> bool:
    """Return whether a loss of torch sums over the batch (``reduction="sum"``)."""
    function, given = _unwrapped(loss)
    reduction = given.get("reduction", getattr(function, "reduction", None))
    return isinstance(reduction, str) and reduction == "sum"


def element_count(target: Any) -> int:
    """Return the number of elements of the tensors in a target of any nesting; 1 for each other leaf.

    >>> element_count({"box": torch.zeros(3, 4), "label": torch.zeros(3)}), element_count(["a", "b"])
    (15, 2)
    """
    # not tree_leaves, for which a mapping that is no dict is a leaf
    if isinstance(target, Tensor):
        return target.numel()
    if isinstance(target, Mapping):
        return sum(map(element_count, target.values()))
    if isinstance(target, Sequence) and not isinstance(target, (str, bytes)):
        return sum(map(element_count, target))
    return 1


def _unwrapped(loss: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """Return the function in a partial, and the parameters that were given to it."""
    given: dict[str, Any] = {}
    while isinstance(loss, partial):
        given = {**loss.keywords, **given}
        loss = loss.func
    return loss, given


def _accepted(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(given)
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in given.items() if name in names}


# torch divides these by the sum of the class weights of the targets that are not ignored
_INDEXED: tuple[Any, ...] = (functional.cross_entropy, functional.nll_loss)
_INDEXED_MODULES = (nn.CrossEntropyLoss, nn.NLLLoss)


def _indexed_weight(target: Any, weight: Tensor | None, ignore: int) -> Weight:
    """Return the denominator of torch's cross-entropy (``torch.nn.CrossEntropyLoss``, *Shape*)."""
    if not isinstance(target, Tensor):
        return element_count(target)
    if target.is_floating_point():  # class probabilities (N, C, …): the mean is over all but C, ignoring nothing
        return target.numel() // target.shape[1 if target.dim() > 1 else 0]
    return class_weight(target, weight, ignore)


def class_weight(target: Tensor, weight: Tensor | None, ignore: int) -> Tensor:
    """Return the sum of the class weights of the targets that are not ``ignore``; all weigh 1 if ``weight`` is None."""
    counts = target != ignore
    if weight is None:
        return counts.sum()
    # ignored targets, such as -100, are no index into the weights
    return weight.to(target.device)[torch.where(counts, target, 0)].mul(counts).sum()
