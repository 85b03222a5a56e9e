"""Gradients that are made once, behind the last of many uses.

Autograd gives a tensor that is used at every step a gradient from every step, each as large as the tensor, and adds
them up. Often the sum can be had in one go instead, of what the steps have noted. ``defer`` puts a gate between such
tensors and their uses: each use takes the gate as an input and, in its backward, notes what it knows and gives the gate
no gradient; autograd comes to the gate all the same when all of them are done, and there the gradients are made.

A ``Stage`` is a map made that way, with its two passes written out: it can be used as a function, which autograd
follows, or from within another handwritten pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Chain", "Deferred", "Stage", "defer", "product_type"]


class Deferred:
    """What the uses of some tensors have noted; a subclass says which gradients follow."""

    def gradients(self) -> tuple[Tensor, ...] | None:
        """One gradient for each of the tensors, of any type; None where nothing was noted. Forgets the notes."""
        raise NotImplementedError


def defer(uses: Deferred, *tensors: Tensor | None) -> Tensor:
    """A gate, to be an input of every use of ``tensors``, whose gradients ``uses`` makes when all of them are done."""
    gate: Tensor = _Gate.apply(uses, *tensors)  # type: ignore[no-untyped-call]
    return gate


def product_type(weight: Tensor) -> torch.dtype:
    """The type in which products with ``weight`` are to be made: autocast's where that is on, else its own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


class Stage:
    """A map of rows, differentiated by hand, to be used many times in one forward pass.

    Attributes:
        gates: of the tensors that the map is made with; inputs of whatever uses it.
    """

    gates: tuple[Tensor, ...]

    def ahead(self, x: Tensor) -> tuple[Tensor, Any]:
        """What the map makes of ``x``, and what ``back`` needs to know (not the result itself); without a graph."""
        raise NotImplementedError

    def back(self, gradient: Tensor, kept: Any, *, needed: bool = True) -> Tensor:
        """The gradient towards ``x`` (of any value where that is not ``needed``); notes what the gates need."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        """The map, followed by autograd."""
        result: Tensor = _Use.apply(x, self, *self.gates)  # type: ignore[no-untyped-call]
        return result


class Chain(Stage):
    """One stage after the other."""

    def __init__(self, *stages: Stage) -> None:
        self._stages = stages
        self.gates = tuple(gate for stage in stages for gate in stage.gates)

    def ahead(self, x: Tensor) -> tuple[Tensor, Any]:
        kept = []
        for stage in self._stages:
            x, known = stage.ahead(x)
            kept.append(known)
        return x, kept

    def back(self, gradient: Tensor, kept: Any, *, needed: bool = True) -> Tensor:
        for stage, known in zip(reversed(self._stages), reversed(kept), strict=True):
            gradient = stage.back(gradient, known)
        return gradient


class _Use(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stage: Stage, *gates: Tensor) -> Tensor:
        result, ctx.kept = stage.ahead(x)
        ctx.stage = stage
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        towards_x = ctx.stage.back(gradient, ctx.kept, needed=ctx.needs_input_grad[0])
        return towards_x, None, *[None] * len(ctx.stage.gates)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, uses: Deferred, *tensors: Tensor | None) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.uses = uses
        ctx.types = [None if tensor is None else tensor.dtype for tensor in tensors]
        some = next(tensor for tensor in tensors if tensor is not None)
        return torch.zeros((), dtype=some.dtype, device=some.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None) -> tuple[Tensor | None, ...]:
        made = ctx.uses.gradients()
        if made is None:
            return (None,) * (1 + len(ctx.types))
        typed = (None if kind is None else each.to(kind) for each, kind in zip(made, ctx.types, strict=True))
        return None, *typed
