"""The stepper: what one step is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["Evaluation", "Stepper", "Supervised", "weight_of"]


class Evaluation(NamedTuple):
    """What one validation step gives.

    Attributes:
        loss: scalar tensor, the mean loss of the batch.
        output: what the metrics see as the prediction.
        target: what the metrics compare it with.
        weight: how much the batch counts in the epoch's mean loss: of how many things it is the mean, usually the
            number of elements of the target.
    """

    loss: Tensor
    output: Any
    target: Any
    weight: float | Tensor


class Stepper:
    """Base class of every stepper: a subclass says how a batch becomes a loss and a step of the optimizer.

    Override ``train_step`` and ``valid_step``. ``backward`` and ``optimizer_step`` fire the events of the same names.
    A stepper that draws random numbers takes them from ``self.learner.streams.generator("stepper")``, so that they
    are reproducible and survive a crash.
    """

    learner: Learner

    def attach(self, learner: Learner) -> None:
        """Called once by the learner that owns this stepper."""
        self.learner = learner

    def train_step(self, batch: Any) -> Tensor:
        """Learn from one batch; gives its loss, detached, without waiting for the device."""
        raise NotImplementedError

    def valid_step(self, batch: Any) -> Evaluation:
        """Judge one batch; the model is in evaluation mode and no gradient is kept."""
        raise NotImplementedError

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that the optimizer holds."""
        return (weight for group in self.learner.optimizer.param_groups for weight in group["params"])

    def backward(self, loss: Tensor, weight: float | Tensor | None = None) -> None:
        """Gradients of ``loss``, between ``before_backward`` and ``after_backward``.

        Args:
            loss: scalar.
            weight: of how many things it is the mean, as in ``Evaluation``. It matters where several processes share a
                batch, whose parts count by it; without one they count alike.
        """
        with self.learner.level("backward"):
            self.make_gradients(self.learner.replicas.prepare(loss, weight))

    def make_gradients(self, loss: Tensor) -> None:
        """The gradients themselves, for who makes them in another way."""
        loss.backward()  # type: ignore[no-untyped-call]

    def optimizer_step(self) -> None:
        """One step of the optimizer, between ``before_step`` and ``after_step``, then fresh gradients."""
        with self.learner.level("step"):
            self.learner.optimizer.step()
        self.learner.optimizer.zero_grad(set_to_none=True)

    def finish_epoch(self) -> None:
        """Called after the last training batch of an epoch, for what is still pending."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a crash: tensors and JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


class Supervised(Stepper):
    """The plain step: ``loss(model(*inputs), target)`` for a batch ``(*inputs, target)``."""

    def train_step(self, batch: Any) -> Tensor:
        *inputs, target = batch
        loss: Tensor = self.learner.loss(self.learner.model(*inputs), target)
        self.backward(loss, weight_of(target))
        self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: Any) -> Evaluation:
        *inputs, target = batch
        output = self.learner.model(*inputs)
        return Evaluation(self.learner.loss(output, target), output, target, weight_of(target))


def weight_of(target: Any) -> int:
    """How many elements a target has: a mean over a batch is a mean over these."""
    return target.numel() if isinstance(target, torch.Tensor) else 1
