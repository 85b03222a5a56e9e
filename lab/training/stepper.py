"""Stepper: one training or validation step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from lab.errors import ShapeError
from lab.training.means import Weight, loss_weight, normalized_loss
from lab.training.state import Training
from lab.training.structure import describe_structure

__all__ = ["Evaluation", "Stepper", "Supervised"]


class Evaluation(NamedTuple):
    """Result of one validation step.

    Attributes:
        loss: scalar tensor, the mean loss of the batch.
        output: the prediction that metrics are given.
        target: the target that metrics are given.
        weight: weight of the batch in the epoch's mean loss: the number of elements that ``loss`` is the mean over, as
            ``normalized_loss`` returns it. A batch with weight 0 is skipped.
    """

    loss: Tensor
    output: Any
    target: Any
    weight: Weight


class Stepper:
    """Base class of every stepper; a subclass turns a batch into a loss and an optimizer step.

    Override ``train_step`` and ``valid_step``. ``backward`` and ``optimizer_step`` fire the events of the same names.
    A stepper that draws random numbers takes them from ``self.learner.streams.generator("stepper")``, so that they
    are reproducible and survive a crash.
    """

    learner: Training

    def attach(self, learner: Training) -> None:
        """Remember the learner that owns this stepper; the learner calls it."""
        self.learner = learner

    def train_step(self, batch: Any) -> Tensor:
        """Train on one batch; returns its loss, detached, without waiting for the device."""
        raise NotImplementedError

    def valid_step(self, batch: Any) -> Evaluation:
        """Evaluate one batch; the model is in evaluation mode and no gradient is kept."""
        raise NotImplementedError

    def evaluation(self, output: Any, target: Any) -> Evaluation:
        """Return the result of ``valid_step``: the learner's loss and its number of elements."""
        loss, weight = normalized_loss(self.learner.loss, output, target)
        return Evaluation(loss, output, target, weight)

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """Return the parameters that the optimizer holds."""
        return (weight for group in self.learner.optimizer.param_groups for weight in group["params"])

    def backward(self, loss: Tensor, weight: Weight | None = None) -> None:
        """Compute the gradients of ``loss``, between ``before_backward`` and ``after_backward``.

        Args:
            loss: scalar.
            weight: the number of elements that it is the mean over, as in ``Evaluation``. Where several ranks share a
                batch, each rank's loss is weighted by it; without one they weigh the same.
        """
        # torch's own message would not name the loss
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise _no_loss(loss)
        with self.learner.level("backward"):
            self.make_gradients(self.learner.distributed.scale_loss(loss, weight))

    def make_gradients(self, loss: Tensor) -> None:
        """Compute gradients. Override to change how (for example loss scaling)."""
        loss.backward()  # type: ignore[no-untyped-call]

    def optimizer_step(self) -> None:
        """Step the optimizer, between ``before_step`` and ``after_step``, then clear the gradients."""
        with self.learner.level("step"):
            self.learner.optimizer.step()
        # outside of the level: after_step sees the gradients of the step
        self.learner.optimizer.zero_grad(set_to_none=True)

    def finish_epoch(self) -> None:
        """Finish what is pending after the last training batch of an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a crash: tensors and JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""


class Supervised(Stepper):
    """Plain supervised step: ``loss(model(*inputs), target)`` for a batch ``(*inputs, target)``."""

    def train_step(self, batch: Any) -> Tensor:
        *inputs, target = plain_batch(batch)
        output = self.learner.model(*inputs)
        loss: Tensor = self.learner.loss(output, target)
        # one process needs no weight: it has the whole batch
        shared = self.learner.distributed.world_size > 1
        self.backward(loss, loss_weight(self.learner.loss, output, target) if shared else None)
        self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: Any) -> Evaluation:
        *inputs, target = plain_batch(batch)
        return self.evaluation(self.learner.model(*inputs), target)


def plain_batch(batch: Any) -> Any:
    """Return a batch of the form ``(*inputs, target)``.

    Raises:
        ShapeError: it has another form, such as a dictionary.
    """
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        return batch
    raise ShapeError(
        f"the batch is {describe_structure(batch)}, not (*inputs, target)",
        where="stepper 'supervised'",
        hint="give the data a collate that returns (*inputs, target), or write a stepper (docs/training.md)",
    )


def _no_loss(loss: Any) -> ShapeError:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        return ShapeError(
            f"the loss is {describe_structure(loss)}, not a scalar tensor",
            hint="reduce it in the loss (sum of its parts, mean over the batch), or write a stepper (docs/training.md)",
        ).blaming("loss")
    return ShapeError(
        "the loss has no gradient: it does not depend on any weight that is trained",
        hint="compute it from the model's output with torch operations, without detach, item or no_grad, "
        "and leave some weights unfrozen",
    ).blaming("architecture", "loss")
