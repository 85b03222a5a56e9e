"""The conformance kit finds planted faults: each by the right check, with a clear message, and only there."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
import torch
from lab_basics.points import MLP
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from lab import Callback, Data, Evaluation, Learner, Stepper, use
from lab.study.execute import InProcess
from lab.testing import (
    ArchitectureConformance,
    CallbackConformance,
    Conformance,
    DatasetConformance,
    ExecutorConformance,
    LossConformance,
    MetricConformance,
    NotApplicable,
    OptimizerConformance,
    SamplerConformance,
    StepperConformance,
)


def findings(base: type[Conformance], component: Any, *examples: str, **settings: Any) -> dict[str, str]:
    """Check → what it found, for every check that found something."""
    kind = type("TestFaulty", (base,), {"component": component, "examples": examples, **settings})
    found: dict[str, str] = {}
    for name in kind.checks():
        try:
            getattr(kind(), name)()
        except NotApplicable:
            continue
        except Exception as error:
            found[name.removeprefix("test_")] = str(error)
    return found


# --- architectures ----------------------------------------------------------------------------------------------------


class Correct(nn.Module):
    """A plain network.

    Args:
        width: of the hidden layer.
    """

    def __init__(self, input_size: int, output_size: int, *, width: int = 8) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_size, width)
        self.output = nn.Linear(width, output_size)
        self.finish()

    def finish(self) -> None:
        """For subclasses."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(inputs)))


class ForgetsAParameter(Correct):
    """Learns a tensor that is no parameter."""

    def finish(self) -> None:
        self.scale = torch.ones(1, requires_grad=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * super().forward(inputs)


class KeepsLayersInAList(Correct):
    """Keeps a layer in a Python list."""

    def finish(self) -> None:
        self.layers = [nn.Linear(8, 8)]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(self.layers[0](self.hidden(inputs)))


class HasADeadLayer(Correct):
    """Has a layer that it does not use."""

    def finish(self) -> None:
        self.unused = nn.Linear(2, 2)


class DrawsFromNumPy(Correct):
    """Draws initial weights from NumPy's global state."""

    def finish(self) -> None:
        with torch.no_grad():
            self.output.bias.copy_(torch.from_numpy(np.random.rand(len(self.output.bias))))


class LosesABuffer(Correct):
    """Keeps a random projection that is not in its state."""

    def finish(self) -> None:
        self.projection = torch.randn(8, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(self.hidden(inputs) @ self.projection)


class DropsOutInEvaluation(Correct):
    """Does not ask whether it is training."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(functional.dropout(self.hidden(inputs), 0.5))


class DiffersInTraining(Correct):
    """Scales its output in training."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * (2 if self.training else 1)


class GivesOneTooFew(Correct):
    """Forgets the last class."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)[:, :-1]


class ForcesSinglePrecision(Correct):
    """Computes in single precision whatever it is given."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).float()


class TakesAnyShape(Correct):
    """Cuts its input to the width it wants."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs[:, : self.hidden.in_features])


class Explodes(Correct):
    """Its first output is infinite."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) / 0.0


class Undocumented(Correct):
    def __init__(self, input_size: int, output_size: int, *, depth=3) -> None:  # type: ignore[no-untyped-def]
        super().__init__(input_size, output_size)


class AveragesOverPadding(nn.Module):
    """Takes the mean of the source, padding and all."""

    def __init__(self, source_vocab_size: int, target_vocab_size: int) -> None:
        super().__init__()
        self.source = nn.Embedding(source_vocab_size, 4)
        self.target = nn.Embedding(target_vocab_size, 4)
        self.output = nn.Linear(4, target_vocab_size)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.output(torch.tanh(self.source(source).mean(0) + self.target(target)))


ARCHITECTURES = [
    (
        ForgetsAParameter,
        "gradients_reach_every_trainable_parameter",
        "learns 'scale', which is not in its parameters()",
    ),
    (KeepsLayersInAList, "gradients_reach_every_trainable_parameter", "learns 'layers', which is not in its"),
    (HasADeadLayer, "gradients_reach_every_trainable_parameter", "no gradient reaches unused.weight, unused.bias"),
    (DrawsFromNumPy, "same_seed_gives_the_same_output", "two models of the same seed differ"),
    (DrawsFromNumPy, "uses_no_global_random_state", "while it is built, draws from the global random state of numpy"),
    (LosesABuffer, "weights_survive_safetensors", "something that decides its output is not in its state_dict()"),
    (LosesABuffer, "moves_to_another_device", "the tensor 'projection' stays behind when the model moves"),
    (KeepsLayersInAList, "moves_to_another_device", "what is in 'layers' stays behind"),
    (DropsOutInEvaluation, "evaluation_is_deterministic", "the same batch gives two outputs in evaluation mode"),
    (DropsOutInEvaluation, "uses_no_global_random_state", "in evaluation, draws from the global random state of torch"),
    (DiffersInTraining, "training_and_evaluation_differ_only_by_dropout", "differ by more than dropout"),
    (GivesOneTooFew, "output_has_the_shape_of_the_target", "gives the shape (4, 5), not (4, 6)"),
    (ForcesSinglePrecision, "moves_to_double_precision", "in double precision its output is float32"),
    (TakesAnyShape, "wrong_shape_gives_a_clear_error", "a batch of a wrong shape is accepted in silence"),
    (Explodes, "loss_is_finite", "the first loss is nan"),
    (Undocumented, "signature_is_documented", "has no docstring"),
]


@pytest.mark.parametrize(("component", "check", "message"), ARCHITECTURES)
def test_faulty_architecture_is_caught(component: type[nn.Module], check: str, message: str) -> None:
    assert message in findings(ArchitectureConformance, component, "classes")[check]


def test_padding_that_leaks_is_caught() -> None:
    found = findings(ArchitectureConformance, AveragesOverPadding, "translation")
    assert "padding leaks: with more of it, real positions change by up to" in found["padding_does_not_leak"]


def test_correct_architecture_has_no_finding() -> None:
    assert findings(ArchitectureConformance, Correct) == {}


def test_fault_is_caught_where_it_is_and_nowhere_else() -> None:
    assert [*findings(ArchitectureConformance, HasADeadLayer, "classes")] == [
        "gradients_reach_every_trainable_parameter"
    ]
    assert [*findings(ArchitectureConformance, DiffersInTraining, "classes")] == [
        "training_and_evaluation_differ_only_by_dropout"
    ]


def test_need_that_no_example_offers_is_named() -> None:
    class NeedsColours(Correct):
        """Asks for what nobody has."""

        def __init__(self, colours: int) -> None:
            super().__init__(1, colours)

    found = findings(ArchitectureConformance, NeedsColours)
    assert found["loss_is_finite"].startswith("no example data offers what architecture")
    assert "needs: colours\n  example data: classes, yes_no" in found["loss_is_finite"]


def test_component_that_works_nowhere_is_told_why_everywhere() -> None:
    class Broken(Correct):
        """Cannot run."""

        def forward(self, inputs: Tensor) -> Tensor:
            raise RuntimeError("out of order")

    found = findings(ArchitectureConformance, Broken)["loss_is_finite"]
    assert "does not work on its example data\n  classes: RuntimeError: out of order\n  yes_no: " in found


def test_parameter_that_does_not_exist_is_caught() -> None:
    found = findings(ArchitectureConformance, use(MLP, hiden_size=3))["name_and_parameters_resolve"]
    assert "unexpected parameter 'hiden_size'\n  did you mean: hidden_size or input" in found


# --- losses -----------------------------------------------------------------------------------------------------------


def sums(output: Tensor, target: Tensor) -> Tensor:
    """The sum over the batch."""
    return functional.cross_entropy(output, target, reduction="sum")


def per_example(output: Tensor, target: Tensor) -> Tensor:
    """One loss per example."""
    return functional.cross_entropy(output, target, reduction="none")


def detached(output: Tensor, target: Tensor) -> Tensor:
    """Has no gradient."""
    return functional.cross_entropy(output.detach(), target)


def rewarded(output: Tensor, target: Tensor) -> Tensor:
    """Has the wrong sign."""
    return -functional.cross_entropy(output, target)


def noisy(output: Tensor, target: Tensor) -> Tensor:
    """Adds noise to the targets' logits."""
    return functional.cross_entropy(output + torch.rand_like(output), target)


def broadcast(output: Tensor, target: Tensor) -> Tensor:
    """Compares all with all."""
    return (output - target.reshape(-1)).square().mean()


def in_place(output: Tensor, target: Tensor) -> Tensor:
    """Changes its output."""
    with torch.no_grad():
        output.clamp_(-1, 1)
    return functional.cross_entropy(output, target)


LOSSES: list[tuple[Callable[..., Tensor], str, str, str]] = [
    (
        sums,
        "classes",
        "is_a_mean_over_the_batch",
        "when the batch holds it twice\n  take the mean over the batch, not the sum",
    ),
    (per_example, "classes", "gives_a_finite_scalar", "must give a scalar tensor, not a tensor of shape (4,)"),
    (detached, "classes", "is_differentiable", "gives a loss without gradient"),
    (rewarded, "classes", "is_lower_for_a_perfect_output", "a perfect output costs -"),
    (noisy, "classes", "uses_no_global_random_state", "draws from the global random state of torch"),
    (noisy, "classes", "same_input_gives_the_same_loss", "the same output and target give two losses"),
    (
        broadcast,
        "values",
        "wrong_shape_gives_a_clear_error",
        "fewer examples than there are targets is accepted in silence",
    ),
    (in_place, "classes", "same_input_gives_the_same_loss", "changes its arguments"),
]


@pytest.mark.parametrize(("component", "example", "check", "message"), LOSSES)
def test_faulty_loss_is_caught(component: Callable[..., Tensor], example: str, check: str, message: str) -> None:
    assert message in findings(LossConformance, component, example)[check]


# --- samplers ---------------------------------------------------------------------------------------------------------


class Shuffled:
    """A correct sampler, to be spoilt.

    Args:
        repeats: spoil it.
    """

    def __init__(self, size: int, batch_size: int, generator: torch.Generator) -> None:
        self.size, self.batch_size, self.generator = size, batch_size, generator

    def order(self) -> list[int]:
        """One pass."""
        return torch.randperm(self.size, generator=self.generator).tolist()

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = self.order()
        return iter([order[start : start + self.batch_size] for start in range(0, self.size, self.batch_size)])


class RepeatsAnIndex(Shuffled):
    """Puts the first index twice."""

    def order(self) -> list[int]:
        order = super().order()
        return [*order[:-1], order[0]]


class ForgetsTheRest(Shuffled):
    """Leaves out what does not fill a batch, and says so by no length."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter([batch for batch in super().__iter__() if len(batch) == self.batch_size])


class DrawsGlobally(Shuffled):
    """Draws from torch's global state."""

    def order(self) -> list[int]:
        return torch.randperm(self.size).tolist()


class DrawsFromPython(Shuffled):
    """Draws from Python's global state."""

    def order(self) -> list[int]:
        return random.sample(range(self.size), self.size)


class RemembersEpochs(Shuffled):
    """Turns its order a little further in every pass."""

    def __init__(self, size: int, batch_size: int, generator: torch.Generator) -> None:
        super().__init__(size, batch_size, generator)
        self.passes = itertools.count()

    def order(self) -> list[int]:
        turn = next(self.passes)
        return [(index + turn) % self.size for index in super().order()]


class CountsFromOne(Shuffled):
    """Gives indices from 1 to size."""

    def order(self) -> list[int]:
        return [index + 1 for index in super().order()]


class SortsInPlace(Shuffled):
    """Sorts the lengths it was given."""

    def __init__(self, size: int, lengths: np.ndarray, batch_size: int, generator: torch.Generator) -> None:
        super().__init__(size, batch_size, generator)
        lengths.sort()


class GoesItsOwnWay(Shuffled):
    """Every process draws otherwise: from how many samplers there were."""

    made = itertools.count()

    def __init__(self, size: int, batch_size: int, generator: torch.Generator) -> None:
        super().__init__(size, batch_size, generator)
        self.turn = next(GoesItsOwnWay.made)

    def order(self) -> list[int]:
        return [(index + self.turn) % self.size for index in super().order()]


SAMPLERS = [
    (GoesItsOwnWay, "several_processes_share_an_epoch", "two processes do not share its batches"),
    (RepeatsAnIndex, "every_index_occurs_once_per_epoch", "an epoch of 23 examples misses ["),
    (ForgetsTheRest, "every_index_occurs_once_per_epoch", "an epoch of 23 examples misses ["),
    (ForgetsTheRest, "length_is_the_number_of_batches", "says 6 batches, gives 5, and says 6 afterwards"),
    (DrawsGlobally, "draws_from_its_own_generator", "draws from the global random state of torch"),
    (DrawsGlobally, "epoch_depends_on_seed_and_epoch_alone", "epoch 1 differs when the epochs before it were run"),
    (DrawsFromPython, "draws_from_its_own_generator", "draws from the global random state of python"),
    (DrawsFromPython, "resumes_in_the_middle_of_an_epoch", "resumed behind two batches, it gives others"),
    (RemembersEpochs, "epoch_depends_on_seed_and_epoch_alone", "epoch 2 differs when the epochs before it were run"),
    (CountsFromOne, "batches_hold_indices_of_the_split", "gives 23 as an index of 23 examples"),
    (SortsInPlace, "does_not_change_the_lengths", "changes `lengths`"),
]


@pytest.mark.parametrize(("component", "check", "message"), SAMPLERS)
def test_faulty_sampler_is_caught(component: type[Shuffled], check: str, message: str) -> None:
    assert message in findings(SamplerConformance, component)[check]


def test_correct_sampler_has_no_finding() -> None:
    assert findings(SamplerConformance, Shuffled) == {}


# --- steppers ---------------------------------------------------------------------------------------------------------


class Plain(Stepper):
    """A correct stepper, to be spoilt."""

    def train_step(self, batch: Any) -> Tensor:
        loss = self.loss_of(batch)
        self.backward(loss)
        self.optimizer_step()
        return loss.detach()

    def loss_of(self, batch: Any) -> Tensor:
        """The loss of a batch."""
        *inputs, target = batch
        return self.learner.loss(self.learner.model(*inputs), target)

    def valid_step(self, batch: Any) -> Evaluation:
        *inputs, target = batch
        output = self.learner.model(*inputs)
        return Evaluation(self.learner.loss(output, target), output, target, len(target))


class KeepsTheGraph(Plain):
    """Gives its loss with the graph."""

    def train_step(self, batch: Any) -> Tensor:
        loss = self.loss_of(batch)
        self.backward(loss)
        self.optimizer_step()
        return loss


class NeverSteps(Plain):
    """Forgets the optimizer."""

    def train_step(self, batch: Any) -> Tensor:
        loss = self.loss_of(batch)
        self.backward(loss)
        return loss.detach()


class HidesItsSteps(Plain):
    """Calls backward and the optimizer by itself."""

    def train_step(self, batch: Any) -> Tensor:
        loss = self.loss_of(batch)
        loss.backward()
        self.learner.optimizer.step()
        self.learner.optimizer.zero_grad()
        return loss.detach()


class FlipsGlobalCoins(Plain):
    """Leaves out steps by a coin of torch's global state."""

    def loss_of(self, batch: Any) -> Tensor:
        return super().loss_of(batch) * (1 + torch.rand(()))


class ForgetsItsCount(Plain):
    """Steps less and less, by a count that a crash loses."""

    count = 0

    def loss_of(self, batch: Any) -> Tensor:
        self.count += 1
        return super().loss_of(batch) / self.count


class TrainsInValidation(Plain):
    """Learns from what it is judged by."""

    def valid_step(self, batch: Any) -> Evaluation:
        with torch.no_grad():
            next(self.learner.model.parameters()).add_(0.01)
        return super().valid_step(batch)


STEPPERS = [
    (KeepsTheGraph, "train_step_gives_a_detached_scalar", "train_step gives its loss with the graph"),
    (NeverSteps, "learns", "over 40 steps on one batch the loss went from"),
    (NeverSteps, "fires_the_events_of_a_step", "never fires before_step and after_step"),
    (HidesItsSteps, "fires_the_events_of_a_step", "never fires before_backward and after_backward"),
    (FlipsGlobalCoins, "uses_no_global_random_state", "in train_step, draws from the global random state of torch"),
    (ForgetsItsCount, "resumes_with_the_same_numbers", "a resumed run differs: train_loss of epoch 2 is"),
    (TrainsInValidation, "valid_step_changes_nothing", "valid_step changes the model"),
]


@pytest.mark.parametrize(("component", "check", "message"), STEPPERS)
def test_faulty_stepper_is_caught(component: type[Stepper], check: str, message: str) -> None:
    assert message in findings(StepperConformance, component, "classes")[check]


def test_correct_stepper_has_no_finding() -> None:
    assert findings(StepperConformance, Plain, "classes") == {}


# --- callbacks --------------------------------------------------------------------------------------------------------


class Counts(Callback):
    """A correct callback: counts steps, over a crash."""

    def __init__(self) -> None:
        self.steps = 0

    def after_step(self, learner: Learner) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


class LosesItsCount(Counts):
    """Forgets its state."""

    def state_dict(self) -> dict[str, Any]:
        return {}


class CoolsDownUnsaved(Callback):
    """Halves the rate every other step, by a count that a crash loses."""

    def __init__(self) -> None:
        self.left = [1.0] * 20

    def before_step(self, learner: Learner) -> None:
        self.left.pop()
        for group in learner.optimizer.param_groups:
            group["lr"] = 0.05 * len(self.left)


class MisspellsAnEvent(Callback):
    """Listens to nothing."""

    def after_epochs(self, learner: Learner) -> None:
        """Never called."""


class SavesAnObject(Counts):
    """Puts an object into its state."""

    def state_dict(self) -> dict[str, Any]:
        return {"steps": object()}


class ComesBeforeAText(Callback):
    """Gives a text for a tuple."""

    before: ClassVar[Any] = "checkpoint"


class DrawsBetweenBatches(Callback):
    """Disturbs dropout."""

    def before_batch(self, learner: Learner) -> None:
        torch.rand(3)


class DecaysAndSaysItObserves(Callback):
    """Makes weights smaller, and says that it only looks on."""

    observer = True

    def after_step(self, learner: Learner) -> None:
        with torch.no_grad():
            for weight in learner.model.parameters():
                weight.mul_(0.99)


class StopsAtOnce(Callback):
    """Ends training before it began."""

    def before_epoch(self, learner: Learner) -> None:
        from lab import CancelFit

        raise CancelFit


CALLBACKS = [
    (
        LosesItsCount,
        "state_survives_a_crash",
        "self.steps is 18 after a run that went straight on, 10 after a resumed one",
    ),
    (CoolsDownUnsaved, "state_survives_a_crash", "a resumed run differs: train_loss of epoch 2 is"),
    (MisspellsAnEvent, "listens_only_to_known_events", "method 'after_epochs'\n  did you mean: after_epoch"),
    (SavesAnObject, "state_can_be_saved", "a object cannot be saved in a checkpoint"),
    (ComesBeforeAText, "order_is_given_by_names", "`before` must be a tuple of names, not 'checkpoint'"),
    (DrawsBetweenBatches, "leaves_global_random_state_alone", "in before_batch, draws from the global random state of"),
    (DecaysAndSaysItObserves, "an_observer_changes_no_number", "gives other weights ("),
    (StopsAtOnce, "training_ends_with_it", "no epoch was finished"),
]


@pytest.mark.parametrize(("component", "check", "message"), CALLBACKS)
def test_faulty_callback_is_caught(component: type[Callback], check: str, message: str) -> None:
    assert message in findings(CallbackConformance, component)[check]


def test_correct_callback_has_no_finding() -> None:
    assert findings(CallbackConformance, Counts) == {}


# --- optimizers -------------------------------------------------------------------------------------------------------


class Descent(torch.optim.Optimizer):
    """A correct optimizer with momentum, to be spoilt."""

    def __init__(self, param_groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(param_groups, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self.move(weight, group)

    def move(self, weight: Tensor, group: dict[str, Any]) -> None:
        """One step of one weight."""
        velocity = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
        velocity.mul_(0.5).add_(weight.grad)
        weight.sub_(group["lr"] * velocity)


class Climbs(Descent):
    """Goes up."""

    def move(self, weight: Tensor, group: dict[str, Any]) -> None:
        weight.add_(group["lr"] * weight.grad)


class KeepsItsOwnRate(Descent):
    """Does not look at the groups' rates."""

    def move(self, weight: Tensor, group: dict[str, Any]) -> None:
        weight.sub_(0.01 * weight.grad)


class KeepsStateAside(Descent):
    """Keeps its velocities where no checkpoint finds them."""

    def __init__(self, param_groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(param_groups, lr)
        self.velocities: dict[Tensor, Tensor] = {}

    def move(self, weight: Tensor, group: dict[str, Any]) -> None:
        velocity = self.velocities.setdefault(weight, torch.zeros_like(weight))
        velocity.mul_(0.5).add_(weight.grad)
        weight.sub_(group["lr"] * velocity)


class ShakesWeights(Descent):
    """Adds noise of the global state."""

    def move(self, weight: Tensor, group: dict[str, Any]) -> None:
        weight.sub_(group["lr"] * (weight.grad + 0.01 * torch.randn_like(weight)))


def one_group(param_groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """Throws the groups together."""
    return Descent([{"params": [w for group in param_groups for w in group["params"]]}], lr)


OPTIMIZERS = [
    (Climbs, "descends", "after 30 steps a bowl of height"),
    (KeepsItsOwnRate, "follows_the_learning_rate_of_its_groups", "moves weights at lr=0"),
    (KeepsStateAside, "state_survives_a_checkpoint", "after a checkpoint it goes on with other numbers"),
    (ShakesWeights, "uses_no_global_random_state", "draws from the global random state of torch"),
    (one_group, "keeps_the_groups_of_the_learner", "does not keep the parameter groups it is given"),
]


@pytest.mark.parametrize(("component", "check", "message"), OPTIMIZERS)
def test_faulty_optimizer_is_caught(component: Any, check: str, message: str) -> None:
    assert message in findings(OptimizerConformance, component)[check]


def test_correct_optimizer_has_no_finding() -> None:
    assert findings(OptimizerConformance, Descent) == {}


# --- metrics ----------------------------------------------------------------------------------------------------------


class Share:
    """Share of right predictions: a correct metric, to be spoilt."""

    higher_is_better: ClassVar[Any] = True

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self.right = self.count = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Take in a batch."""
        self.right += int((output.argmax(1) == target).sum())
        self.count += len(target)

    def compute(self) -> Any:
        """The share."""
        return self.right / self.count


class WrongDirection(Share):
    """Says that less is better."""

    higher_is_better = False


class MeanOfMeans(Share):
    """Takes the mean of the batches' shares."""

    def update(self, output: Tensor, target: Tensor) -> None:
        self.right += float((output.argmax(1) == target).float().mean())  # type: ignore[assignment]
        self.count += 1


class NeverForgets(Share):
    """Does not reset its counts."""

    def reset(self) -> None:
        self.right, self.count = getattr(self, "right", 0), getattr(self, "count", 0)


class GivesAList(Share):
    """Gives a number per class."""

    def compute(self) -> Any:
        return torch.ones(3)


class SortsTheOutput(Share):
    """Changes what it is shown."""

    def update(self, output: Tensor, target: Tensor) -> None:
        super().update(output, target)
        output.zero_()


METRICS = [
    (WrongDirection, "has_a_direction", "a perfect output scores 1, a random one 0"),
    (MeanOfMeans, "does_not_depend_on_the_batch_size", "the same outputs in batches of other sizes score"),
    (NeverForgets, "reset_clears_all_state", "after reset it scores"),
    (GivesAList, "gives_one_number", "compute must give one number, not tensor([1., 1., 1.])"),
    (SortsTheOutput, "does_not_change_its_arguments", "changes its arguments"),
]


@pytest.mark.parametrize(("component", "check", "message"), METRICS)
def test_faulty_metric_is_caught(component: type[Share], check: str, message: str) -> None:
    assert any(
        message in text for name, text in findings(MetricConformance, component, "classes").items() if name == check
    )


def test_correct_metric_has_no_finding() -> None:
    assert findings(MetricConformance, Share, "classes") == {}


# --- datasets ---------------------------------------------------------------------------------------------------------


@attrs.define(eq=False, kw_only=True)
class Facts(Data):
    """Data with a fact."""

    width: int


def _split(low: int, high: int, generator: torch.Generator | None = None) -> TensorDataset:
    numbers = torch.arange(low, high).float()[:, None]
    noise = 0 if generator is None else torch.rand(len(numbers), 1, generator=generator)
    return TensorDataset(numbers + noise, torch.arange(low, high) % 2)


def sound() -> Facts:
    """Correct data."""
    return Facts(train=_split(0, 12), valid=_split(12, 16), fingerprint="0a1b2c3d4e5f", width=1)


def overlapping() -> Facts:
    """Validates on what it was trained on."""
    return attrs.evolve(sound(), valid=_split(9, 13))


def different_every_time() -> Facts:
    """Draws from the global state."""
    seed = int(torch.randint(10**6, ()))
    generator = torch.Generator().manual_seed(seed)
    return attrs.evolve(sound(), train=_split(0, 12, generator), fingerprint=f"{seed:012d}")


def without_fingerprint() -> Facts:
    """Has no fingerprint."""
    return attrs.evolve(sound(), fingerprint="")


def silent_about_its_facts():  # type: ignore[no-untyped-def]
    """Has no return type."""
    return sound()


def wrong_lengths() -> Facts:
    """Gives too few lengths."""
    return attrs.evolve(sound(), length=lambda split: [1, 2])


DATASETS = [
    (overlapping, "splits_are_disjoint", "3 of 4 examples of the valid split stand in train, too"),
    (different_every_time, "is_deterministic", "built again, its fingerprint is another"),
    (different_every_time, "leaves_global_random_state_alone", "draws from the global random state of torch"),
    (without_fingerprint, "is_deterministic", "has no fingerprint"),
    (silent_about_its_facts, "declares_its_facts", "the return type does not say what it offers (width)"),
    (wrong_lengths, "lengths_belong_to_the_examples", "12 examples of train have lengths of shape (2,)"),
]


@pytest.mark.parametrize(("component", "check", "message"), DATASETS)
def test_faulty_dataset_is_caught(component: Callable[[], Data], check: str, message: str) -> None:
    assert message in findings(DatasetConformance, component)[check]


def test_correct_dataset_has_no_finding() -> None:
    assert findings(DatasetConformance, sound) == {}


# --- executors --------------------------------------------------------------------------------------------------------


class Forgets(InProcess):
    """Leaves out the last run."""

    def submit(self, runs: Any, listener: Any, stop: Any, *, fresh: bool) -> Any:
        return super().submit(runs[:-1], listener, stop, fresh=fresh)


class NeverStops(InProcess):
    """Does not look at ``stop``."""

    def submit(self, runs: Any, listener: Any, stop: Any, *, fresh: bool) -> Any:
        import threading

        return super().submit(runs, listener, threading.Event(), fresh=fresh)


EXECUTORS = [
    (Forgets, "returns_every_run_once_and_finished", "of the seeds 0 and 1 it gave back: seed 0 finished"),
    (NeverStops, "stops_when_asked", "asked to stop, it returned 2 runs"),
]


@pytest.mark.parametrize(("component", "check", "message"), EXECUTORS)
def test_faulty_executor_is_caught(component: type[InProcess], check: str, message: str) -> None:
    assert message in findings(ExecutorConformance, component)[check]
