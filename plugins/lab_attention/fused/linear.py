"""Linear map used at many steps, with the gradient of its weight computed in one product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab_attention.fused.rows import Rows, aligned, times, weight_gradient
from lab_attention.fused.stages import Deferred, Stage, defer, product_type

__all__ = ["DeferredLinear", "Uses", "both_layouts"]

_LARGE = 512  # rows; more than any single step has


class DeferredLinear(Stage):
    """``x Wᵀ + b``, used many times in one forward pass: (n, I) -> (n, O).

    Args:
        weight: (O, I).
        bias: (O,), or None.
        rows: total rows of all uses, if known; memory is then allocated once.
        added: (O,), a second bias; its gradient is left to the caller.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, rows: int = 0, added: Tensor | None = None
    ) -> None:
        dtype = product_type(weight)
        # Cast once for all steps: under autocast, torch would cast the weight again at every step.
        self._weight, self._factor = both_layouts(weight, dtype)
        constants = [each.detach() for each in (bias, added) if each is not None]
        self._bias = sum(constants[1:], constants[0]).to(dtype) if constants else None
        self._uses = _LinearUses(self._weight, rows)
        self.anchors = (defer(self._uses, weight, bias),)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        # A large use is an efficient product by itself; copying it into the rows of the small ones would only cost.
        saved, rows = (x.to(self._weight.dtype),) * 2 if x.size(0) >= _LARGE else self._uses.begin(x)
        return times(rows, self._factor, self._bias)[: x.size(0)], saved

    def backward(self, gradient: Tensor, saved: Tensor | int, *, needed: bool = True) -> Tensor:
        # Under autocast a later float32 operation returns a float32 gradient.
        rows = gradient = gradient.to(self._weight.dtype)
        if isinstance(saved, int):
            rows = self._uses.save(saved, gradient)
        else:
            self._uses.add(saved, gradient)
        # An input without gradient (embeddings that are frozen) saves a product.
        return times(rows, self._weight)[: gradient.size(0)] if needed else gradient[:0]


def both_layouts(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ``W`` (O, I) and ``Wᵀ``, both aligned."""
    weight = weight.detach().to(dtype)
    return aligned(weight), aligned(weight.t())


class _LinearUses(Deferred):
    """Inputs and gradients of all uses of a weight."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        self._inputs = Rows(weight, rows)
        self._gradients: Rows | None = None
        self._uses = Uses()
        self._total: tuple[Tensor, Tensor] | None = None

    def begin(self, x: Tensor) -> tuple[int, Tensor]:
        """Save the inputs (n, I) of a use; return its first row and the inputs in padded rows."""
        start = self._inputs.add(x)
        self._uses.begin(start, x.size(0))
        return start, self._inputs.read(start, x.size(0))

    def save(self, start: int, gradient: Tensor) -> Tensor:
        """Save the gradient (n, O) of a use; return it in padded rows."""
        self._gradients = self._gradients or Rows(self._inputs.like(gradient.shape[1]), self._inputs.count)
        self._gradients.write(start, gradient)
        self._uses.reached(start)
        return self._gradients.read(start, gradient.size(0))

    def add(self, x: Tensor, gradient: Tensor) -> None:
        """Add the product of the inputs and the gradient of one large use."""
        of_weight, of_bias = weight_gradient(gradient, x), gradient.sum(0)
        if self._total is not None:
            of_weight, of_bias = of_weight + self._total[0], of_bias + self._total[1]
        self._total = of_weight, of_bias

    def gradients(self) -> tuple[Tensor, ...] | None:
        if self._gradients is not None:
            # Rows of unused steps are uninitialized memory, possibly NaN.
            self._uses.zero_unreached(self._gradients)
            count = self._inputs.count
            self.add(self._inputs.all(count), self._gradients.all(count))
        # Cleared, so that a second backward pass over a retained graph does not add to the first.
        total, self._total, self._gradients = self._total, None, None
        return total


class Uses:
    """Rows of each use, and which uses the backward pass has reached."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._reached: set[int] = set()

    def begin(self, start: int, size: int) -> None:
        """Add a use of ``size`` rows."""
        self._sizes[start] = size

    def reached(self, start: int) -> None:
        """Mark the use at this row as having a gradient."""
        self._reached.add(start)

    def zero_unreached(self, gradients: Rows) -> None:
        """Zero the gradients of uses whose result did not enter the loss, whose rows are uninitialized; then reset."""
        for start in self._sizes.keys() - self._reached:
            gradients.part(start, self._sizes[start]).zero_()
        self._reached.clear()
