"""Steppers whose gradients are late or compressed, as among many machines."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Literal

import torch
from torch import Tensor

from lab.errors import ParameterError
from lab.training.weights import shard_like
from lab_basics.steppers import Supervised

__all__ = ["CompressedGradients", "Compression", "DelayedGradients", "compressed"]

Compression = Literal["top_k", "sign"]


class DelayedGradients(Supervised):
    """Supervised step whose gradients arrive late, as in asynchronous training with that many other workers.

    ``w[t + 1] = w[t] - η g(w[t - steps])``, the staleness of Recht et al. 2011 (Hogwild!, arXiv:1106.5730) with a
    constant delay. No gradient has arrived in the first ``steps`` steps, which change nothing, and those under way at
    the end are lost. The optimizer sees the late gradients: momentum and scales are those of what arrives.

    Args:
        steps: how many steps later a gradient arrives; 0 is ``supervised``.
        clip: maximum norm of all gradients together, before they are sent; None does not clip.

    Raises:
        ParameterError: ``steps`` is negative; or, at the first step and in the plan of a study, a fit has no more
            steps than that, so that no gradient would ever arrive.
    """

    def __init__(self, *, steps: int = 1, clip: float | None = None) -> None:
        super().__init__(clip=clip)
        if steps < 0:
            raise ParameterError(f"steps must be at least 0, got {steps}", where="stepper 'delayed_gradients'")
        self.steps = steps
        self._under_way: deque[dict[int, Tensor]] = deque()

    def train_step(self, batch: Any) -> Tensor:
        if self.learner.position.step == 0:
            self._check_length()
        return super().train_step(batch)

    def _check_length(self) -> None:
        """Raise if no gradient arrives before the end of the fit that begins."""
        position = self.learner.position
        updates = position.epochs * math.ceil(position.batches / self.accumulate)
        # a fit after another one gets the gradients that were under way; a step outside of a fit has no length
        if 0 < updates <= self.steps - len(self._under_way):
            raise ParameterError(
                f"gradients arrive {self.steps:,} steps late, and the training has {updates:,} "
                f"step{'s' if updates > 1 else ''}: no weight would change",
                where="stepper 'delayed_gradients'",
                hint=f"lower steps, at most {updates - 1:,}, or train for more epochs",
            )

    def _prepare_gradients(self) -> None:
        super()._prepare_gradients()
        # not a copy: the optimizer clears gradients to None, so the tensors stay
        self._under_way.append(
            {index: weight.grad for index, weight in self._with_gradient() if weight.grad is not None}
        )
        arrived = self._under_way.popleft() if len(self._under_way) > self.steps else {}
        for index, weight in enumerate(self.trainable_parameters()):
            weight.grad = arrived.get(index)

    def state_dict(self) -> dict[str, Any]:
        late = [{str(index): gradient for index, gradient in each.items()} for each in self._under_way]
        return {**super().state_dict(), "late": {str(number): each for number, each in enumerate(late)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        weights = list(self.trainable_parameters())
        late = state.get("late", {})
        self._under_way = deque(
            {int(index): shard_like(gradient, weights[int(index)]) for index, gradient in late[str(number)].items()}
            for number in range(len(late))
        )


class CompressedGradients(Supervised):
    """Supervised step with gradients compressed as they would be sent between machines, with feedback of the error.

    ``top_k`` sends the entries of greatest magnitude, with their places (Aji & Heafield 2017, arXiv:1704.05021);
    ``sign`` one bit per entry and the mean magnitude of each tensor (Seide et al. 2014; scaled as by Karimireddy et al.
    2019, arXiv:1901.09847). What was not sent is added to the next gradient (error feedback, Stich et al. 2018,
    arXiv:1809.07599). Each tensor is compressed by itself. The papers average over workers after compression; here
    there is one worker, and nothing is sent.

    Args:
        method: ``top_k`` or ``sign``.
        keep: fraction of the entries of each tensor that ``top_k`` sends, in (0, 1], at least one entry.
        feedback: add what was not sent to the next gradient; without it, it is lost.
        clip: maximum norm of all gradients together, before compression; None does not clip.

    Raises:
        ParameterError: ``keep`` is out of range.
    """

    def __init__(
        self, *, method: Compression = "top_k", keep: float = 0.01, feedback: bool = True, clip: float | None = None
    ) -> None:
        super().__init__(clip=clip)
        if not 0 < keep <= 1:
            raise ParameterError(f"keep is in (0, 1], got {keep}", where="stepper 'compressed_gradients'")
        self.method, self.keep, self.feedback = method, keep, feedback
        self._errors: dict[int, Tensor] = {}

    @torch.no_grad()
    def _prepare_gradients(self) -> None:
        super()._prepare_gradients()
        for index, weight in self._with_gradient():
            wanted = weight.grad
            assert wanted is not None
            if index in self._errors:
                wanted = wanted + self._errors[index]
            weight.grad = compressed(wanted, self.method, self.keep)
            if self.feedback:
                self._errors[index] = wanted - weight.grad

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "errors": {str(index): error for index, error in self._errors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        weights = list(self.trainable_parameters())
        self._errors = {
            int(index): shard_like(error, weights[int(index)]) for index, error in state.get("errors", {}).items()
        }


def compressed(gradient: Tensor, method: Compression, keep: float = 0.01) -> Tensor:
    """Return a gradient as it arrives after compression, in its own shape.

    >>> compressed(torch.tensor([3.0, -1.0, 0.5, 2.0]), "top_k", keep=0.5).tolist()
    [3.0, 0.0, 0.0, 2.0]
    >>> compressed(torch.tensor([3.0, -1.0, 0.0, 2.0]), "sign").tolist()
    [1.5, -1.5, 0.0, 1.5]
    """
    if method == "sign":
        return gradient.abs().mean() * gradient.sign()
    flat = gradient.flatten()
    count = max(1, math.ceil(keep * flat.numel()))
    places = flat.abs().topk(count).indices
    return torch.zeros_like(flat).index_copy(0, places, flat[places]).view_as(gradient)
