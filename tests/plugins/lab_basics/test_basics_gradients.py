"""Late and compressed gradients: worked numbers, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_basics.gradients import CompressedGradients, DelayedGradients, compressed
from lab_basics.steppers import Supervised
from torch import Tensor, nn

from lab import Data, Learner
from lab.errors import ParameterError


class OneWeight(nn.Module):
    def __init__(self, start: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, _: Tensor) -> Tensor:
        return self.weight


def trace(stepper: Any, start: list[float], loss: Any, steps: int, lr: float = 0.1) -> list[list[float]]:
    """Return the weights after every step."""
    examples = [(torch.zeros(1), torch.zeros(1))]
    data = Data(examples, examples)
    learner = Learner(
        OneWeight(start), data, loss, optimizer=torch.optim.SGD, lr=lr, batch_size=1, stepper=stepper, progress=False
    )
    found = []
    for _ in range(steps):
        stepper.train_step((torch.zeros(1), torch.zeros(1)))
        found.append(learner.model.weight.tolist())
    return found


def half_square(output: Tensor, target: Tensor) -> Tensor:
    return (output**2).sum() / 2


def test_a_late_gradient_is_that_of_earlier_weights() -> None:
    # w ← w − 0.1 · (the weight one step ago), from 1: nothing has arrived at first
    found = trace(DelayedGradients(steps=1), [1.0], half_square, 4)
    assert [value for (value,) in found] == pytest.approx([1.0, 0.9, 0.8, 0.71])


def test_no_delay_is_the_supervised_step() -> None:
    assert trace(DelayedGradients(steps=0), [1.0, 2.0], half_square, 5) == trace(
        Supervised(), [1.0, 2.0], half_square, 5
    )


def test_a_great_delay_diverges_where_none_converges() -> None:
    none, late = (trace(DelayedGradients(steps=steps), [1.0], half_square, 60, lr=0.5)[-1][0] for steps in (0, 8))
    assert abs(none) < 1e-6 < 1 < abs(late)


def fit(steps: int, epochs: int) -> Learner:
    """Return a learner that was fitted with four batches an epoch."""
    examples = [(torch.zeros(1), torch.zeros(1))] * 4
    stepper = DelayedGradients(steps=steps)
    learner = Learner(
        OneWeight([1.0]),
        Data(examples, examples),
        half_square,
        optimizer=torch.optim.SGD,
        lr=0.1,
        batch_size=1,
        stepper=stepper,
        progress=False,
    )
    learner.fit(epochs)
    return learner


def test_a_delay_as_long_as_the_training_is_refused_before_it() -> None:
    with pytest.raises(ParameterError) as caught:
        fit(steps=8, epochs=2)
    assert str(caught.value) == (
        "gradients arrive 8 steps late, and the training has 8 steps: no weight would change\n"
        "  stepper 'delayed_gradients'\n"
        "  lower steps, at most 7, or train for more epochs"
    )


def test_the_longest_delay_that_is_allowed_changes_a_weight_once() -> None:
    assert fit(steps=7, epochs=2).model.weight.item() == pytest.approx(0.9)


def test_a_second_fit_gets_the_gradients_that_are_under_way() -> None:
    learner = fit(steps=7, epochs=2)
    learner.fit(1)
    # 1 − 0.1 · 1, then four gradients of the first weight
    assert learner.model.weight.item() == pytest.approx(0.5)


def test_gradients_under_way_survive_a_crash() -> None:
    whole = DelayedGradients(steps=2)
    trace(whole, [1.0], half_square, 3)
    again = DelayedGradients(steps=2)
    trace(again, [1.0], half_square, 0)
    again.load_state_dict(whole.state_dict())
    assert [each[0].item() for each in again._under_way] == [each[0].item() for each in whole._under_way]
    assert len(again._under_way) == 2


def test_only_the_greatest_entries_are_sent() -> None:
    gradient = torch.tensor([[3.0, -1.0], [0.5, -2.0]])
    assert compressed(gradient, "top_k", keep=0.5).tolist() == [[3.0, 0.0], [0.0, -2.0]]
    assert compressed(gradient, "top_k", keep=1e-6).count_nonzero() == 1
    assert torch.equal(compressed(gradient, "top_k", keep=1.0), gradient)


def test_signs_have_the_mean_magnitude() -> None:
    assert compressed(torch.tensor([3.0, -1.0, 0.0, 2.0]), "sign").tolist() == [1.5, -1.5, 0.0, 1.5]


def linear(output: Tensor, target: Tensor) -> Tensor:
    return output @ torch.tensor([3.0, -1.0, 0.5, 2.0])


def test_what_was_not_sent_is_sent_later() -> None:
    # gradients are (3, −1, .5, 2): sent 3 and 2; then the rest (−1, .5) is added, and (3, 2) are again the greatest but
    # for −2, which is as great as 2
    stepper = CompressedGradients(keep=0.25)
    found = trace(stepper, [0.0] * 4, linear, 8, lr=1.0)
    assert found[0] == [-3.0, 0.0, 0.0, 0.0]
    errors = stepper._errors[0]
    # everything was sent, or is kept: eight gradients in all
    torch.testing.assert_close(-torch.tensor(found[-1]) + errors, 8 * torch.tensor([3.0, -1.0, 0.5, 2.0]))
    assert sum(value != 0 for value in found[-1]) > 1


def test_without_feedback_the_rest_is_lost() -> None:
    found = trace(CompressedGradients(keep=0.25, feedback=False), [0.0] * 4, linear, 8, lr=1.0)
    assert found[-1] == [-24.0, 0.0, 0.0, 0.0]


def test_parameters_are_checked() -> None:
    with pytest.raises(ParameterError, match=r"keep is in \(0, 1\]"):
        CompressedGradients(keep=0.0)
    with pytest.raises(ParameterError, match="steps must be at least 0"):
        DelayedGradients(steps=-1)
