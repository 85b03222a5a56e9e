"""Checks of steppers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from lab.testing.conformance import Conformance, on_every_example
from lab.testing.crash import differences, train_with_power_cut
from lab.testing.example import Example
from lab.testing.finding import Finding
from lab.testing.probe import no_global_randomness, same
from lab.training.callback import Callback
from lab.training.learner import Learner
from lab.training.rng import global_generator
from lab.training.state import Training
from lab.training.stepper import Evaluation, Stepper

__all__ = ["StepperConformance", "small_learner"]

STEPS = 40


class StepperConformance(Conformance):
    """The checks of steppers: a subclass of ``lab.Stepper``."""

    kind = "steppers"

    def learner(self, example: Example, callbacks: Sequence[Callback] = (), folder: Path | None = None) -> Learner:
        """Return a learner with this stepper, about to train."""
        stepper = self.resolved.build(example.facts)
        if not isinstance(stepper, Stepper):
            raise Finding(f"{self.label} must be a lab.Stepper, not a {type(stepper).__name__}")
        return small_learner(example, stepper=stepper, callbacks=callbacks, folder=folder)

    def try_on(self, example: Example) -> None:
        learner = self.learner(example)
        learner.set_training_mode()
        learner.stepper.train_step(example.batch())
        with learner.evaluating():
            learner.stepper.valid_step(example.batch("valid"))

    @on_every_example
    def test_train_step_gives_a_detached_scalar(self, example: Example) -> None:
        """The loss of the batch, without its graph."""
        learner = self.learner(example)
        learner.set_training_mode()
        loss = learner.stepper.train_step(example.batch())
        if not isinstance(loss, Tensor) or loss.dim() != 0:
            raise Finding(f"{self.label}: train_step must give a scalar tensor, not {type(loss).__name__}")
        # A loss that keeps its graph keeps all activations of the batch in memory.
        if loss.requires_grad:
            raise Finding(f"{self.label}: train_step gives its loss with the graph", hint="return loss.detach()")

    @on_every_example
    def test_learns(self, example: Example) -> None:
        """Many steps on one batch make its loss smaller."""
        learner = self.learner(example)
        # Schedules and teacher forcing ask how far training has come.
        learner.position.epochs = learner.position.batches = STEPS
        learner.set_training_mode()
        batch = example.batch()
        losses = [float(learner.stepper.train_step(batch)) for _ in range(STEPS)]
        # Three steps at each end: a single loss may rise by dropout.
        if not sum(losses[-3:]) < sum(losses[:3]):
            raise Finding(
                f"{self.label}: over {STEPS} steps on one batch the loss went from {losses[0]:.4g} to {losses[-1]:.4g}",
                hint="call self.backward(loss) and self.optimizer_step()",
            )

    @on_every_example
    def test_fires_the_events_of_a_step(self, example: Example) -> None:
        """``backward`` and ``step`` happen between their events, so that callbacks see them."""
        witness = _Witness()
        self.learner(example, [witness]).fit(1)
        for event in ("backward", "step"):
            if not witness.seen[event]:
                raise Finding(
                    f"{self.label} never fires before_{event} and after_{event}",
                    hint="use self.backward(loss) and self.optimizer_step() of the base class",
                )

    @on_every_example
    def test_valid_step_changes_nothing(self, example: Example) -> None:
        """A scalar loss, a weight above 0, and a model that is as it was."""
        learner = self.learner(example)
        # Batch norm in training mode would change its buffers.
        before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
        with learner.evaluating():
            result = learner.stepper.valid_step(example.batch("valid"))
        if not isinstance(result, Evaluation):
            raise Finding(f"{self.label}: valid_step must give a lab.Evaluation, not {type(result).__name__}")
        if result.loss.dim() != 0 or not bool(torch.isfinite(result.loss)):
            raise Finding(f"{self.label}: valid_step must give a finite scalar loss")
        if not float(result.weight) > 0:
            raise Finding(f"{self.label}: valid_step gives the weight {float(result.weight)}", hint="count examples")
        if not same(before, learner.model.state_dict()):
            raise Finding(f"{self.label}: valid_step changes the model")

    @on_every_example
    def test_uses_no_global_random_state(self, example: Example) -> None:
        """A step draws from the stream ``stepper`` alone; the global state is the model's dropout."""
        learner = self.learner(example)
        learner.set_training_mode()
        hint = 'draw from self.learner.streams.generator("stepper")'
        with no_global_randomness(f"{self.label}, in train_step,", hint=hint):
            learner.stepper.train_step(example.batch())

    @on_every_example
    def test_resumes_with_the_same_numbers(self, example: Example) -> None:
        """A run that is resumed after a power cut in the middle of an epoch ends like an uninterrupted one."""
        with TemporaryDirectory() as folder:
            straight, resumed = train_with_power_cut(
                lambda place, callbacks: self.learner(example, callbacks, place), Path(folder)
            )
        found = differences(straight, resumed)
        if found:
            raise Finding(
                f"{self.label}: a resumed run differs: {found[0]}",
                hint="what a step depends on belongs in state_dict() and load_state_dict()",
            )


class _Witness(Callback):
    """Counts events."""

    name = "conformance_witness"

    def __init__(self) -> None:
        self.seen = {"backward": 0, "step": 0}

    def after_backward(self, learner: Training) -> None:
        self.seen["backward"] += 1

    def after_step(self, learner: Training) -> None:
        self.seen["step"] += 1


def small_learner(example: Example, **options: Any) -> Learner:
    """Return a silent learner on example data, with its model, loss and stepper unless others are given."""
    with global_generator(0):
        model: nn.Module = example.model()
    settings: dict[str, Any] = {"stepper": example.stepper(), "lr": 0.02, "batch_size": 4, "progress": False}
    return Learner(model, example.data, example.loss, **{**settings, **options})
