"""Gradients that are computed once, after the last of many uses.

If a tensor is used at every step, autograd computes one gradient per step, each as large as the tensor, and adds them
up. Often the sum is a single product of what the steps saved. ``defer`` puts an anchor between such tensors and their
uses: each use takes the anchor as an input and, in its backward pass, saves what it knows and returns no gradient for
the anchor. Autograd still reaches the anchor when all uses are done, and there the gradients are computed.

A ``Stage`` is such a function with both passes written out. It can be called as a function that autograd follows, or
from within another hand-written pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Chain", "Deferred", "Stage", "defer", "product_type"]


class Deferred:
    """Values saved by the uses of some tensors; a subclass computes the gradients from them."""

    def gradients(self) -> tuple[Tensor, ...] | None:
        """Return one gradient for each tensor, of any dtype, and clear what was saved; None if nothing was saved."""
        raise NotImplementedError


def defer(uses: Deferred, *tensors: Tensor | None) -> Tensor:
    """Return an anchor, to be an input of every use of ``tensors``; ``uses`` computes their gradients at the end."""
    anchor: Tensor = _Anchor.apply(uses, *tensors)  # type: ignore[no-untyped-call]
    return anchor


def product_type(weight: Tensor) -> torch.dtype:
    """Return the dtype for products with ``weight``: autocast's if it is enabled, otherwise the weight's."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


class Stage:
    """A function of rows with a hand-written backward pass, for many uses in one forward pass.

    Attributes:
        anchors: of the tensors the stage was built with; every use takes them as inputs.
    """

    anchors: tuple[Tensor, ...]

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """Return the result and what ``backward`` needs (except the result itself); runs without a graph."""
        raise NotImplementedError

    def backward(self, gradient: Tensor, saved: Any, *, needed: bool = True) -> Tensor:
        """Return the gradient towards ``x`` (any value unless ``needed``) and save what the anchors need."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the stage as a function that autograd follows."""
        result: Tensor = _Use.apply(x, self, *self.anchors)  # type: ignore[no-untyped-call]
        return result


class Chain(Stage):
    """Composition of stages, first to last."""

    def __init__(self, *stages: Stage) -> None:
        self._stages = stages
        self.anchors = tuple(anchor for stage in stages for anchor in stage.anchors)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        saved = []
        for stage in self._stages:
            x, of_stage = stage.forward(x)
            saved.append(of_stage)
        return x, saved

    def backward(self, gradient: Tensor, saved: Any, *, needed: bool = True) -> Tensor:
        for stage, of_stage in zip(reversed(self._stages), reversed(saved), strict=True):
            gradient = stage.backward(gradient, of_stage)
        return gradient


class _Use(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stage: Stage, *anchors: Tensor) -> Tensor:
        # The result stays out of ctx.saved: a result that holds its own graph node is a cycle only gc can free.
        result, ctx.saved = stage.forward(x)
        ctx.stage = stage
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        towards_x = ctx.stage.backward(gradient, ctx.saved, needed=ctx.needs_input_grad[0])
        # None for the anchors: autograd still runs their backward, but has nothing to add up.
        return towards_x, None, *[None] * len(ctx.stage.anchors)


class _Anchor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uses: Deferred, *tensors: Tensor | None) -> Tensor:
        # Without this, autograd would turn the uses' None into zeros.
        ctx.set_materialize_grads(False)
        ctx.uses = uses
        ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in tensors]
        # A scalar of the same device and dtype: the anchor carries no values, only an edge of the graph.
        some = next(tensor for tensor in tensors if tensor is not None)
        return torch.zeros((), dtype=some.dtype, device=some.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None) -> tuple[Tensor | None, ...]:
        gradients = ctx.uses.gradients()
        # No use was reached: the tensors get no gradient, as in plain autograd.
        if gradients is None:
            return (None,) * (1 + len(ctx.dtypes))
        cast = (None if dtype is None else each.to(dtype) for each, dtype in zip(gradients, ctx.dtypes, strict=True))
        return None, *cast
