"""The plan goes once through everything that a run does; what would fail hours later is a problem of the plan."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from lab import Callback, Data, Evaluation, Experiment, Learner, Stepper, Study, mean_over, use
from lab.errors import StudyError
from lab.registry.plugins import Catalog, load_catalog
from lab.study.preflight import Plan, plan_study
from lab.study.store import Store
from lab.study.workspace import Workspace
from lab.training.stepper import Supervised


@cache
def _catalog() -> Catalog:
    return load_catalog()


def data(*, count: int = 24, valid: int = 10) -> Data:
    """Points of two classes."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count + valid, 4, generator=generator)
    labels = (inputs.sum(1) > 0).long()
    return Data(
        TensorDataset(inputs[:count], labels[:count]),
        TensorDataset(inputs[count:], labels[count:]),
        fingerprint=f"{count} {valid}",
    )


class Net(nn.Module):
    """A linear model."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)


def study(**changes: Any) -> Study:
    recipe = {"dataset": data, "architecture": Net, "loss": "cross_entropy", "batch_size": 8}
    options = {name: changes.pop(name) for name in ("compare",) if name in changes}
    return Study(Experiment(**{**recipe, **changes}), seeds=1, name="rehearsed", **options)


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    def plan(**changes: Any) -> Plan:
        return plan_study(study(**changes), Workspace(_catalog(), Store(tmp_path / "runs")))

    return plan


@pytest.fixture
def problem(plan: Callable[..., Plan]) -> Callable[..., str]:
    """What the plan says against an experiment."""

    def problem(**changes: Any) -> str:
        with pytest.raises(StudyError) as caught:
            plan(**changes)
        return str(caught.value)

    return problem


def test_a_forward_pass_that_raises_leaves_no_guard_open(plan, monkeypatch) -> None:
    class Failing(Net):
        def forward(self, inputs: Tensor) -> Tensor:
            raise KeyError("inputs")

    entered: list[str] = []
    left: list[str] = []

    @contextmanager
    def guard(owner: str, **_: Any) -> Iterator[None]:
        entered.append(owner)
        yield
        # not reached by one that is only collected, which would put settings and seeds back at any later time
        left.append(owner)

    monkeypatch.setattr("lab.study.rehearsal.assert_global_state_unchanged", guard)
    with pytest.raises(StudyError, match="KeyError: 'inputs'"):
        plan(architecture=Failing)
    of_model = [owner for owner in entered if owner.startswith("architecture")]
    assert of_model
    assert [owner for owner in left if owner.startswith("architecture")] == of_model


# --- losses -----------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_on_the_first_batch_is_a_problem(problem) -> None:
    def poisoned(output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target) * math.nan

    assert problem(loss=poisoned).startswith("the training loss is nan on the first batch, before any weight has moved")


def test_a_learning_rate_that_explodes_within_two_steps_is_a_problem(problem) -> None:
    class Deep(Net):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))

    # a step that takes long, on a busy machine, is not repeated, and the validation tells
    moment = "the (training loss is nan at the second step|validation loss is nan after two training steps)"
    said = problem(architecture=Deep, optimizer="sgd", lr=1e38)
    assert re.match(moment + r"\n  learning rate 1e\+38\n  try a smaller lr", said)


def test_the_first_steps_follow_the_schedule(plan) -> None:
    class Deep(Net):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))

    warm = use("one_cycle", div_factor=1e32, momentum=None)
    plan(architecture=Deep, optimizer="sgd", lr=1e30, callbacks=[warm], epochs=100)


def test_a_validation_loss_that_is_not_finite_is_a_problem(problem) -> None:
    class Odd(Net):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs) if self.training else super().forward(inputs) / 0

    assert "the validation loss is nan after two training steps" in problem(architecture=Odd)


def test_initial_weights_that_are_not_a_number_are_named(problem) -> None:
    class Poisoned(Net):
        def __init__(self) -> None:
            super().__init__()
            self.layer.weight.data[1, 3] = math.nan

    assert problem(architecture=Poisoned).startswith("the weight 'layer.weight' is not a number before training")


def masked(output: Tensor, target: Tensor) -> Tensor:
    kept = target == 1
    return functional.cross_entropy(output, target, reduction="none")[kept].mean()


@mean_over(lambda output, target: (target == 1).sum())
def stated(output: Tensor, target: Tensor) -> Tensor:
    return masked(output, target)


def test_a_loss_that_does_not_add_up_is_noted_by_name(plan) -> None:
    [note] = plan(loss=masked, dataset=use(data, count=26)).checks["base"].notes
    assert note.startswith("valid_loss depends on how batches are cut: masked gives ")
    assert plan(loss=stated, dataset=use(data, count=26)).checks["base"].notes == ()
    assert plan(loss="cross_entropy").checks["base"].notes == ()


def test_a_trial_of_a_search_may_diverge(tmp_path: Path) -> None:
    from lab_search.rounds import next_arms

    from lab.study.results import Results

    searched = study(optimizer="sgd").search({"lr": [1e38, 3e38]}, trials=1, searcher="random")
    first = plan_study(searched, Workspace(_catalog(), Store(tmp_path)))
    grown = attrs.evolve(searched, arms=next_arms(searched, Results(first.study, first.arms, []), _catalog()))
    assert len(plan_study(grown, Workspace(_catalog(), Store(tmp_path))).checks) == 2


# --- metrics ----------------------------------------------------------------------------------------------------------


class Constant:
    """A metric that is fine; the others differ from it in one thing."""

    higher_is_better = True

    def update(self, output: Tensor, target: Tensor) -> None:
        pass

    def compute(self) -> Any:
        return 0.5

    def reset(self) -> None:
        pass


class GivesDictionary(Constant):
    def compute(self) -> Any:
        return {"a": 1.0}


class GivesVector(Constant):
    def compute(self) -> Any:
        return torch.ones(3)


class GivesNothing(Constant):
    def compute(self) -> Any:
        return None


class RaisesInUpdate(Constant):
    def update(self, output: Tensor, target: Tensor) -> None:
        raise ZeroDivisionError("no")


class RaisesInCompute(Constant):
    def compute(self) -> Any:
        raise ZeroDivisionError("no")


class RaisesInReset(Constant):
    def reset(self) -> None:
        raise ZeroDivisionError("no")


class NeedsEqualBatches(Constant):
    """Cannot join batches of two sizes."""

    def reset(self) -> None:
        self.seen: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        self.seen.append(output)

    def compute(self) -> Any:
        return torch.stack(self.seen).mean()


class SqueezesAll(Constant):
    """Fails on a batch of one example."""

    def update(self, output: Tensor, target: Tensor) -> None:
        output.argmax(-1).squeeze()[0]


class Directionless(Constant):
    higher_is_better = None


class Swapped(Constant):
    def update(self, target: Tensor, preds: Tensor) -> None:  # type: ignore[override]
        pass


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (GivesDictionary, "compute gives {'a': float}, not one number"),
        (GivesVector, "compute gives float32 (3,), not one number"),
        (GivesNothing, "compute gives None, not one number"),
        (RaisesInUpdate, 'raise ZeroDivisionError("no")\n  output float32 (8, 2), target int64 (8,)'),
        (RaisesInCompute, "fails: ZeroDivisionError: no"),
        (RaisesInReset, "fails: ZeroDivisionError: no"),
        (NeedsEqualBatches, "fails: RuntimeError: stack expects each tensor to be equal size"),
        (Directionless, "does not say whether higher or lower is better"),
        (Swapped, "takes its arguments the other way round: update(target, preds)"),
    ],
)
def test_a_metric_that_would_fail_after_an_epoch_is_a_problem(problem, metric, told) -> None:
    assert told in problem(metrics=[metric])


def test_a_metric_that_fails_on_the_smallest_batch_is_a_problem(problem) -> None:
    assert "IndexError" in problem(metrics=[SqueezesAll], dataset=use(data, valid=9))


def test_problems_of_several_metrics_are_told_at_once(problem) -> None:
    told = problem(metrics=[Directionless, Swapped])
    assert told.startswith("2 problems in this study")


# --- what is compared -------------------------------------------------------------------------------------------------


class AddsNorm(Callback):
    """Adds a column that it does not declare."""

    def after_validate(self, learner: Learner) -> None:
        learner.history[-1]["norm"] = 1.0


class DeclaresNorm(AddsNorm):
    metrics = {"norm": False}  # noqa: RUF012


def test_comparing_a_column_without_direction_is_a_problem_with_the_remedy(problem, plan) -> None:
    told = problem(callbacks=[AddsNorm], compare="norm")
    assert told.startswith("this study compares 'norm', but nothing declares whether higher or lower is better")
    assert "metrics = {'norm': True}" in told
    plan(callbacks=[DeclaresNorm], compare="norm")


def test_comparing_a_test_split_that_is_not_there_is_a_problem(problem) -> None:
    assert problem(compare="test_loss") == "this study compares 'test_loss', but the data has no test split"


# --- samplers ---------------------------------------------------------------------------------------------------------


class Batches:
    """A sampler that gives some batches and says how many."""

    def __init__(self, size: int, *, batches: list[Any], count: int) -> None:
        self.batches, self.count = batches, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


@pytest.mark.parametrize(
    ("batches", "count", "told"),
    [
        ([[0, 1], [2]], 3, "declares 3 batches of the train split and gives 2"),
        ([[0, 1], [2], [3]], 2, "declares 2 batches of the train split and gives more"),
        ([[0, 24]], 1, "gives the index 24, but the train split has 24 examples"),
        ([[0, -1]], 1, "gives the index -1, but the train split has 24 examples"),
        ([[0], []], 2, "batch 1 of the train split is empty"),
        ([[0.5]], 1, "gives the index 0.5, but the train split has 24 examples"),
        ([0, 1], 2, "gives int, not a list of indices"),
    ],
)
def test_a_sampler_that_lies_is_a_problem(problem, batches, count, told) -> None:
    assert told in problem(sampler=use(Batches, batches=batches, count=count))


def test_a_validation_sampler_is_looked_at_too(problem) -> None:
    told = problem(valid_sampler=use(Batches, batches=[[0, 10]], count=1))
    assert "gives the index 10, but the valid split has 10 examples" in told


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))


def test_a_last_batch_of_one_is_found_with_its_remedy(problem, plan) -> None:
    told = problem(architecture=Normed, dataset=use(data, count=25))
    assert told.startswith(
        "the smallest batch of an epoch has 1 example, and the model cannot be trained on it: "
        "ValueError: Expected more than 1 value per channel when training"
    )
    assert "25 training examples, batch_size=8" in told
    assert "sampler=use('shuffle', drop_last=True)" in told
    plan(architecture=Normed, dataset=use(data, count=25), sampler=use("shuffle", drop_last=True))
    plan(architecture=Normed, dataset=use(data, count=26))


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_a_before_fit_that_raises_is_a_problem(problem) -> None:
    class Raises(Callback):
        def before_fit(self, learner: Learner) -> None:
            raise ZeroDivisionError("no")

    told = problem(callbacks=[Raises])
    assert told.startswith("ZeroDivisionError: no\n")
    assert told.endswith("callback 'raises', before_fit")


def test_a_callback_may_ask_not_to_be_rehearsed(plan) -> None:
    class Expensive(Callback):
        rehearse = False

        def before_fit(self, learner: Learner) -> None:
            raise ZeroDivisionError("no")

    plan(callbacks=[Expensive])


def test_a_rehearsed_callback_has_a_folder_for_artefacts(plan) -> None:
    plan(callbacks=["save_best"])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("after_epcoh", "after_epoch"),
        ("before_fitt", "before_fit"),
        ("afterEpoch", "after_epoch"),
        ("before_validation", "before_validate"),
        ("on_epoch_end", "after_epoch"),
        ("after_batches", "after_batch"),
    ],
)
def test_a_misspelt_event_is_a_problem_with_the_event_that_was_meant(problem, name, meant) -> None:
    odd = type("Odd", (Callback,), {name: lambda self, learner: None, "__module__": __name__})
    told = problem(callbacks=[odd])
    assert told == f"callback 'odd' has a method '{name}', which is not an event\n  did you mean: {meant}?"


def test_an_event_that_takes_no_learner_is_a_problem(problem) -> None:
    class Odd(Callback):
        def after_epoch(self) -> None:  # type: ignore[override]
            pass

    assert problem(callbacks=[Odd]) == "callback 'odd': after_epoch must take one argument, the learner"


def test_helpers_of_a_callback_are_no_events(plan) -> None:
    class Fine(Callback):
        def after_all(self) -> None: ...

        def measure(self) -> None: ...

        def before_dinner(self) -> None: ...

    plan(callbacks=[Fine])


# --- weights ----------------------------------------------------------------------------------------------------------


class LeavesOut(Net):
    """Names one of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.extra(super().forward(inputs))

    def layer_groups(self) -> list[Any]:
        return [self.layer]


class MadeLate(Net):
    """Makes a layer in its first forward pass."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Linear(2, 2)
        return self.late(super().forward(inputs))


class LearnedLoss(nn.Module):
    """Has a weight that nobody trains."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return self.scale * functional.cross_entropy(output, target)


class PlainList(Net):
    """Keeps a layer where PyTorch does not find it."""

    def __init__(self) -> None:
        super().__init__()
        self.more = [nn.Linear(2, 2)]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.more[0](super().forward(inputs))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"architecture": PlainList}, "more.0.weight, more.0.bias"),
        ({"architecture": LeavesOut}, "extra.weight, extra.bias"),
        ({"architecture": MadeLate}, "late.weight, late.bias"),
        ({"loss": LearnedLoss}, "loss.scale"),
    ],
)
def test_weights_that_the_optimizer_does_not_hold_are_named(problem, changes, names) -> None:
    assert problem(**changes).startswith(f"the optimizer does not hold weights that require a gradient: {names}\n")


class FrozenRest(LeavesOut):
    def __init__(self) -> None:
        super().__init__()
        self.extra.requires_grad_(False)


class DeclaredRest(LeavesOut):
    untrained = ("extra",)


@pytest.mark.parametrize("architecture", [FrozenRest, DeclaredRest])
def test_weights_that_are_frozen_or_declared_need_no_optimizer(plan, architecture) -> None:
    plan(architecture=architecture)


class Detached(LeavesOut):
    """Cuts its first layer off."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.extra(Net.forward(self, inputs).detach())

    def layer_groups(self) -> list[Any]:
        return [self.layer, self.extra]


def test_weights_that_no_gradient_reaches_are_noted(plan) -> None:
    notes = [note for check in plan(architecture=Detached).checks.values() for note in check.notes]
    assert any(note.startswith("no gradient reached layer.weight, layer.bias") for note in notes)
    notes = [note for check in plan(architecture=Net).checks.values() for note in check.notes]
    assert not any("gradient" in note for note in notes)


class NeverSteps(Supervised):
    """Computes gradients, and leaves it at that."""

    def train_step(self, batch: Any) -> Tensor:
        loss = self.learner.loss(self.learner.model(batch[0]), batch[1])
        self.learner.optimizer.zero_grad()
        loss.backward()
        return loss.detach()


class Steps(NeverSteps):
    def train_step(self, batch: Any) -> Tensor:
        loss = super().train_step(batch)
        self.learner.optimizer.step()
        return loss


def test_a_stepper_that_moves_no_weight_is_noted(plan) -> None:
    notes = [note for check in plan(stepper=NeverSteps).checks.values() for note in check.notes]
    assert any("two steps changed no weight" in note for note in notes)
    notes = [note for check in plan(stepper=Steps).checks.values() for note in check.notes]
    assert not any("changed no weight" in note for note in notes)


class Texts(Net):
    """Has text in its state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(lambda module, state, prefix, _: state.update({f"{prefix}words": "a b"}))


def test_text_in_a_state_dict_is_a_problem(problem) -> None:
    told = problem(architecture=Texts)
    assert told.startswith("the state dict of the model holds what cannot be saved as weights: words is a str")
    assert "get_extra_state" in told


class Unsavable(Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"object": object()}


class Unloadable(Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"a": 1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise KeyError("b")


def test_a_checkpoint_that_cannot_be_saved_or_loaded_is_a_problem(problem) -> None:
    assert problem(callbacks=[Unsavable]).startswith("a object cannot be saved in a checkpoint")
    assert problem(callbacks=[Unloadable]).startswith("a checkpoint of this arm cannot be loaded: KeyError: 'b'")


# --- odd batches ------------------------------------------------------------------------------------------------------


def dictionaries(examples: list[Any]) -> dict[str, Tensor]:
    inputs, labels = zip(*examples, strict=True)
    return {"inputs": torch.stack(inputs), "labels": torch.stack(labels)}


def data_of_dictionaries() -> Data:
    plain = data()
    return Data(plain.train, plain.valid, collate=dictionaries, fingerprint="dictionaries")


def test_a_dictionary_as_batch_is_told_by_its_structure(problem) -> None:
    told = problem(dataset=data_of_dictionaries)
    assert told == (
        "the batch is {'inputs': float32 (8, 4), 'labels': int64 (8,)}, not (*inputs, target)\n"
        "  stepper 'supervised'\n"
        "  give the data a collate that returns (*inputs, target), or write a stepper (docs/training.md)"
    )


class GivesTuple(Net):
    def forward(self, inputs: Tensor) -> Any:
        return super().forward(inputs), inputs


def test_an_output_that_does_not_fit_the_loss_is_told_by_its_structure(problem) -> None:
    told = problem(architecture=GivesTuple)
    assert "batch [float32 (8, 4), int64 (8,)], output (float32 (8, 2), float32 (8, 4))" in told
    assert "a stepper computes the loss of such a batch" in told


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lambda output, target: {"a": output.mean()}, "the loss is {'a': float32 scalar}, not a scalar tensor"),
        (lambda output, target: output.sum(1), "the loss is float32 (8,), not a scalar tensor"),
        (lambda output, target: output.mean().item(), "the loss is float, not a scalar tensor"),
        (lambda output, target: output.detach().mean(), "the loss has no gradient"),
    ],
)
def test_a_loss_that_cannot_be_minimized_is_told_by_its_structure(problem, loss, told) -> None:
    def named(output: Tensor, target: Tensor) -> Any:
        return loss(output, target)

    assert problem(loss=named).startswith(told)


class GivesNoEvaluation(Stepper):
    def train_step(self, batch: Any) -> Any:
        inputs, target = batch
        loss = self.learner.loss(self.learner.model(inputs), target)
        self.backward(loss)
        self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: Any) -> Any:
        inputs, target = batch
        return self.learner.loss(self.learner.model(inputs), target)


class GivesNoLoss(GivesNoEvaluation):
    def train_step(self, batch: Any) -> Any:
        super().train_step(batch)


def test_steppers_that_give_something_else_are_told(problem) -> None:
    told = problem(stepper=GivesNoEvaluation)
    assert told.startswith("the validation step gives float32 scalar, not an Evaluation with a scalar loss")
    assert problem(stepper=GivesNoLoss).startswith("the training step gives None, not the loss as a scalar tensor")
    assert Evaluation._fields == ("loss", "output", "target", "weight")
