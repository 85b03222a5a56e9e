"""The loop and its events."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from lab.errors import LabError, NonFiniteLossError, OutOfMemoryError, UnknownNameError
from lab.training import EVENTS, Callback, CancelBatch, CancelEpoch, CancelFit, Learner
from lab.training import loop as loop_module
from lab.training.callback import order_callbacks
from tests.kernel.training_toys import toy_data, toy_learner, toy_model


class Tape(Callback):
    """Writes down every event."""

    def __init__(self, name: str = "tape", tape: list[str] | None = None) -> None:
        self.name, self.tape = name, [] if tape is None else tape


def _record(moment: str):
    def method(self: Tape, learner: Learner) -> None:
        self.tape.append(f"{self.name}.{moment}" if self.name != "tape" else moment)

    return method


for _event in EVENTS:
    for _moment in ("before", "after"):
        setattr(Tape, f"{_moment}_{_event}", _record(f"{_moment}_{_event}"))


def test_the_loop_fires_the_events_that_its_drawing_shows() -> None:
    tape = Tape()
    toy_learner(callbacks=[tape], batch_size=36).fit(1)
    drawn = re.findall(r"before_(\w+) … after_\w+", loop_module.__doc__ or "")
    step = ["before_batch", "before_backward", "after_backward", "before_step", "after_step", "after_batch"]
    assert drawn == ["fit", "epoch", "batch", "backward", "step", "validate", "eval_weights"]
    assert tape.tape == [
        "before_fit",
        "before_epoch",
        *step,
        *step,
        "before_validate",
        "before_eval_weights",
        "after_eval_weights",
        "after_validate",
        "after_epoch",
        "after_fit",
    ]


def test_after_methods_run_in_reverse_order() -> None:
    tape: list[str] = []
    toy_learner(callbacks=[Tape("a", tape), Tape("b", tape)], batch_size=96).fit(1)
    assert tape[:2] == ["a.before_fit", "b.before_fit"]
    assert tape[-2:] == ["b.after_fit", "a.after_fit"]


class Failing(Callback):
    """Raises at one moment."""

    def before_step(self, learner: Learner) -> None:
        raise ValueError("no")


def test_after_methods_run_also_when_the_body_raised() -> None:
    tape = Tape()
    with pytest.raises(ValueError, match="no"):
        toy_learner(callbacks=[tape, Failing()]).fit(1)
    assert tape.tape[-4:] == ["after_step", "after_batch", "after_epoch", "after_fit"]


def test_an_exception_says_which_callback_raised_when() -> None:
    with pytest.raises(ValueError, match="no") as caught:
        toy_learner(callbacks=[Failing()]).fit(1)
    assert caught.value.__notes__ == ["in callback 'failing', before_step, epoch 1, batch 0"]


class Cancelling(Callback):
    """Leaves a level at the second batch."""

    def __init__(self, how: type[Exception]) -> None:
        self.how, self.batches = how, 0

    def before_batch(self, learner: Learner) -> None:
        self.batches += 1
        if self.batches == 2:
            raise self.how


@pytest.mark.parametrize(
    ("how", "batches", "epochs", "steps"), [(CancelBatch, 18, 2, 17), (CancelEpoch, 11, 1, 10), (CancelFit, 2, 0, 1)]
)
def test_cancelling_leaves_just_its_level(how: type[Exception], batches: int, epochs: int, steps: int) -> None:
    callback = Cancelling(how)
    learner = toy_learner(callbacks=[callback])
    seen: list[int] = []
    learner.stepper.optimizer_step, step = lambda: (seen.append(1), step()), learner.stepper.optimizer_step
    learner.fit(2)
    assert (callback.batches, len(learner.history), len(seen)) == (batches, epochs, steps)


class StopAfterTwo(Callback):
    """Ends the fit at the end of its second epoch."""

    def after_epoch(self, learner: Learner) -> None:
        if learner.position.epoch == 1:
            raise CancelFit


def test_a_fit_that_ends_at_the_end_of_an_epoch_counts_that_epoch() -> None:
    learner = toy_learner(callbacks=[StopAfterTwo()])
    learner.fit(5)
    assert learner.is_finished
    learner.fit(1)
    assert [row["epoch"] for row in learner.history] == [0, 1, 2]


class Refusing(Callback):
    """Cannot work with any learner."""

    def check(self, learner: Learner) -> None:
        raise LabError("this learner will not do")


def test_callbacks_are_asked_before_anything_is_trained() -> None:
    learner = toy_learner(callbacks=[tape := Tape(), Refusing()])
    with pytest.raises(LabError, match="this learner will not do"):
        learner.fit(1)
    assert tape.tape == []


def test_a_callback_may_come_after_all_others_but_those_that_come_after_it() -> None:
    last, late, first, second = Tape("last"), Tape("late"), Tape("first"), Tape("second")
    last.after, late.after = ("*",), ("last",)
    ordered = order_callbacks([last, late, first, second])
    assert [callback.name for callback in ordered] == ["first", "second", "last", "late"]


def test_callbacks_are_ordered_by_their_wishes() -> None:
    first, second, third = Tape("first"), Tape("second"), Tape("third")
    third.before, second.after = ("first",), ("first",)
    assert [callback.name for callback in order_callbacks([first, second, third])] == ["third", "first", "second"]


def test_wishes_that_contradict_each_other_name_the_cycle() -> None:
    one, two = Tape("one"), Tape("two")
    one.before, two.before = ("two",), ("one",)
    with pytest.raises(LabError) as caught:
        order_callbacks([one, two])
    assert str(caught.value) in (
        "callbacks cannot be ordered: one → two → one\n  change `before` or `after` of one of them",
        "callbacks cannot be ordered: two → one → two\n  change `before` or `after` of one of them",
    )


def test_two_callbacks_of_one_name_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="two callbacks are called 'one'"):
        order_callbacks([Tape("one"), Tape("one")])


def test_a_loss_that_becomes_nan_stops_the_run_and_says_at_which_step() -> None:
    calls = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        value = nn.functional.cross_entropy(output, target)
        return value * float("nan") if len(calls) >= 13 else value

    with pytest.raises(NonFiniteLossError) as caught:
        Learner(toy_model(), toy_data(), loss, lr=0.01, batch_size=8, progress=False).fit(3)
    assert str(caught.value) == (
        "the loss became nan at step 9 (epoch 2, batch 0)\n"
        "  learning rate 0.01\n"
        "  try a smaller lr, or clip gradients: stepper=use(..., clip=1.0)"
    )


def test_a_batch_that_does_not_fit_in_memory_says_so() -> None:
    class Greedy(nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes.")

    model = nn.Sequential(nn.Linear(4, 2), Greedy())
    with pytest.raises(OutOfMemoryError) as caught:
        Learner(model, toy_data(), nn.functional.cross_entropy, batch_size=8, progress=False).fit(1)
    assert str(caught.value) == (
        "a batch did not fit in the memory of cpu\n"
        "  batch_size=8\n"
        "  use a smaller batch_size; stepper=use(..., accumulate=N) keeps the effective size"
    )


def test_real_exhaustion_of_memory_is_recognised() -> None:
    class Greedy(nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return torch.empty(2**46)

    model = nn.Sequential(nn.Linear(4, 2), Greedy())
    with pytest.raises(OutOfMemoryError, match="a batch did not fit in the memory of cpu"):
        Learner(model, toy_data(), nn.functional.cross_entropy, progress=False).fit(1)


def test_losses_equal_those_of_a_bare_loop_bit_for_bit() -> None:
    learner = toy_learner(batch_size=8, callbacks=[seen := LossTape()])
    learner.fit(2)
    assert seen.losses == _bare_loop(learner, epochs=2)


class LossTape(Callback):
    """Keeps every loss."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_batch(self, learner: Learner) -> None:
        self.losses.append(float(learner.step_loss))


def _bare_loop(learner: Learner, epochs: int) -> list[float]:
    """The same training in plain torch, on the same order of batches and the same dropout."""
    model, data, losses = toy_model(), toy_data(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    points, labels = data.train.tensors
    with torch.random.fork_rng():
        torch.manual_seed(learner.streams.seed("dropout"))
        for epoch in range(epochs):
            order = torch.randperm(len(points), generator=learner.streams.restart("sampler", epoch))
            for batch in order.split(8):
                loss = nn.functional.cross_entropy(model(points[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
    return losses


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    toy_learner().fit(1)
    assert torch.equal(torch.rand(3), expected)


def test_a_second_fit_continues_the_history_with_other_batches() -> None:
    learner = toy_learner()
    learner.fit(1)
    learner.fit(2)
    assert [row["epoch"] for row in learner.history] == [0, 1, 2]
    together = toy_learner()
    together.fit(3)
    assert [row["train_loss"] for row in learner.history] == [row["train_loss"] for row in together.history]
