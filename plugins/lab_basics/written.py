"""Optimizers written out, for reading: one update rule each, equal to torch's.

*Dive into Deep Learning*, chapter 12 (11 in the second Chinese edition), derives these rules. Torch's optimizers are
faster, since they update many parameters with one call. ``eps`` is added where torch adds it, so that values are equal;
the book adds it inside the root.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lab.errors import ParameterError

__all__ = ["WrittenAdaGrad", "WrittenAdadelta", "WrittenAdam", "WrittenRMSProp", "WrittenSGD"]

ParamGroups = Iterable[Any]


class _Written(Optimizer):
    """Base class: apply ``update`` to every parameter that has a gradient."""

    zeros: tuple[str, ...] = ()
    """Names of the averages, which start at zero."""

    def __init__(self, params: ParamGroups, **defaults: Any) -> None:
        for name in ("momentum", "rho", "beta1", "beta2"):
            if name in defaults and not 0 <= defaults[name] < 1:
                raise ParameterError(f"{name} must lie in [0, 1), got {defaults[name]}", where=type(self).__name__)
        super().__init__(list(params), defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["step"] = torch.zeros(())
                    state.update({name: torch.zeros_like(weight) for name in self.zeros})
                state["step"] += 1
                self.update(weight, weight.grad, state, group)
        return loss

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change ``weight`` and ``state`` in place."""
        raise NotImplementedError


class WrittenSGD(_Written):
    """Stochastic gradient descent with momentum: ``v = momentum · v + g``, ``w -= lr · v``. As ``torch.optim.SGD``.

    Args:
        momentum: momentum factor, in [0, 1).
    """

    zeros = ("velocity",)

    def __init__(self, params: ParamGroups, lr: float, *, momentum: float = 0.0) -> None:
        super().__init__(params, lr=lr, momentum=momentum)

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        state["velocity"].mul_(group["momentum"]).add_(gradient)
        weight.sub_(group["lr"] * state["velocity"])


class WrittenAdaGrad(_Written):
    """AdaGrad: ``s += g²``, ``w -= lr · g / (√s + eps)``. Duchi et al. 2011; as ``torch.optim.Adagrad``.

    Args:
        eps: added to the denominator.
    """

    zeros = ("squares",)

    def __init__(self, params: ParamGroups, lr: float, *, eps: float = 1e-10) -> None:
        super().__init__(params, lr=lr, eps=eps)

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        state["squares"].add_(gradient**2)
        weight.sub_(group["lr"] * gradient / (state["squares"].sqrt() + group["eps"]))


class WrittenRMSProp(_Written):
    """RMSProp: ``s = rho · s + (1 - rho) g²``, ``w -= lr · g / (√s + eps)``. Tieleman & Hinton 2012.

    As ``torch.optim.RMSprop``, which calls ``rho`` alpha; the book calls it gamma.

    Args:
        rho: smoothing constant of the average, in [0, 1).
        eps: added to the denominator.
    """

    zeros = ("squares",)

    def __init__(self, params: ParamGroups, lr: float, *, rho: float = 0.9, eps: float = 1e-8) -> None:
        super().__init__(params, lr=lr, rho=rho, eps=eps)

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        rho = group["rho"]
        state["squares"].mul_(rho).add_((1 - rho) * gradient**2)
        weight.sub_(group["lr"] * gradient / (state["squares"].sqrt() + group["eps"]))


class WrittenAdadelta(_Written):
    """Adadelta: steps of the size of earlier steps. Zeiler 2012, arXiv:1212.5701; as ``torch.optim.Adadelta``.

    ``s = rho · s + (1 - rho) g²``, ``d = g √(u + eps) / √(s + eps)``, ``u = rho · u + (1 - rho) d²``, ``w -= lr · d``;
    the paper has no ``lr``, which is 1.

    Args:
        rho: smoothing constant of both averages, in [0, 1).
        eps: added inside both roots.
    """

    zeros = ("squares", "steps")

    def __init__(self, params: ParamGroups, lr: float = 1.0, *, rho: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__(params, lr=lr, rho=rho, eps=eps)

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        rho, eps = group["rho"], group["eps"]
        state["squares"].mul_(rho).add_((1 - rho) * gradient**2)
        change = gradient * (state["steps"] + eps).sqrt() / (state["squares"] + eps).sqrt()
        state["steps"].mul_(rho).add_((1 - rho) * change**2)
        weight.sub_(group["lr"] * change)


class WrittenAdam(_Written):
    """Adam: averages of the gradient and its square, with bias correction. Kingma & Ba 2015; as ``torch.optim.Adam``.

    ``m = beta1 · m + (1 - beta1) g``, ``s = beta2 · s + (1 - beta2) g²``,
    ``w -= lr · m / (1 - beta1^t) / (√(s / (1 - beta2^t)) + eps)``.

    Args:
        beta1, beta2: smoothing constants of the averages, in [0, 1).
        eps: added to the denominator.
    """

    zeros = ("mean", "squares")

    def __init__(
        self, params: ParamGroups, lr: float, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr=lr, beta1=beta1, beta2=beta2, eps=eps)

    def update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        beta1, beta2, step = group["beta1"], group["beta2"], int(state["step"])
        state["mean"].mul_(beta1).add_((1 - beta1) * gradient)
        state["squares"].mul_(beta2).add_((1 - beta2) * gradient**2)
        spread = state["squares"].sqrt() / math.sqrt(1 - beta2**step)
        weight.sub_(group["lr"] / (1 - beta1**step) * state["mean"] / (spread + group["eps"]))
