from __future__ import annotations

import copy
import math

import pytest
import torch
from lab_basics import optimizers
from lab_basics.optimizers import Yogi
from torch import nn

from lab.errors import ParameterError


def one_weight(make, gradients, start=1.0, **options):
    """The values of a single weight after each of some given gradients."""
    weight = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = make([weight], **options)
    values = []
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        values.append(weight.item())
    return values


FUSED = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9, "weight_decay": 0.1}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("adagrad", {}),
    ("adam", {}),
    ("adam", {"amsgrad": True}),
    ("adamw", {"betas": (0.8, 0.99)}),
]


@pytest.mark.parametrize(("name", "options"), FUSED)
def test_the_fused_kernel_is_used_and_moves_the_weights_as_the_loop_does(name, options):
    torch.manual_seed(0)
    model = nn.Linear(7, 3)
    twin = copy.deepcopy(model)
    fused = getattr(optimizers, name)(model.parameters(), 0.1, **options)
    loop = getattr(optimizers, name)(twin.parameters(), 0.1, fused=False, **options)
    assert fused.param_groups[0]["fused"] is True
    assert not loop.param_groups[0]["fused"]
    for _ in range(5):
        inputs = torch.randn(4, 7)
        for each, optimizer in ((model, fused), (twin, loop)):
            optimizer.zero_grad()
            each(inputs).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(model.weight, twin.weight, rtol=1e-5, atol=1e-6)


def test_parameters_without_a_fused_kernel_fall_back_to_the_loop():
    weight = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    optimizer = optimizers.adam([weight], 0.1)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert not optimizer.param_groups[0]["fused"]
    assert weight.abs().min() > 0


@pytest.mark.parametrize("name", optimizers.__all__[1:])
def test_groups_keep_their_own_rate_and_what_the_kernel_notes_in_them(name):
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    groups = [
        {"params": iter([first]), "lr": 0.1, "initial_lr": 0.1},
        {"params": [second], "lr": 0.2, "initial_lr": 0.2, "weight_decay": 0.5},
    ]
    optimizer = getattr(optimizers, name)(groups, 0.3)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    assert optimizer.param_groups[1]["weight_decay"] == 0.5
    assert optimizer.param_groups[0]["params"][0] is first


def test_momentum_keeps_a_share_of_the_last_velocity():
    assert one_weight(optimizers.sgd, [1.0, 1.0], lr=0.1, momentum=0.5) == pytest.approx([0.9, 0.75])


def test_nesterov_looks_ahead():
    # velocities 1 and 1.5; steps 0.1 · (1 + 0.5 · 1) and 0.1 · (1 + 0.5 · 1.5)
    values = one_weight(optimizers.sgd, [1.0, 1.0], lr=0.1, momentum=0.5, nesterov=True)
    assert values == pytest.approx([0.85, 0.675])


def test_adagrad_divides_by_the_root_of_all_squares():
    values = one_weight(optimizers.adagrad, [3.0, 4.0], lr=0.1)
    assert values == pytest.approx([0.9, 0.9 - 0.1 * 4 / 5])


def test_rmsprop_divides_by_the_root_of_the_average_square():
    values = one_weight(optimizers.rmsprop, [2.0, 2.0], lr=0.1, alpha=0.5)
    assert values == pytest.approx([1 - 0.1 * 2 / math.sqrt(2), 1 - 0.1 * 2 / math.sqrt(2) - 0.1 * 2 / math.sqrt(3)])


def test_adadelta_steps_by_the_ratio_of_both_averages():
    step = math.sqrt(1e-6) / math.sqrt(0.1 * 4 + 1e-6) * 2
    assert one_weight(optimizers.adadelta, [2.0], lr=1.0) == pytest.approx([1 - step])


def test_the_first_step_of_adam_is_the_learning_rate():
    assert one_weight(optimizers.adam, [123.0], lr=0.1) == pytest.approx([0.9])


def test_amsgrad_never_divides_by_less_than_before():
    gradients = [10.0] + [0.1] * 20
    plain, largest = (
        one_weight(optimizers.adam, gradients, lr=0.1, betas=(0.0, 0.5), amsgrad=on) for on in (False, True)
    )
    assert largest[-1] > plain[-1]


def test_adamw_decays_apart_from_the_step():
    assert one_weight(optimizers.adamw, [1.0], lr=0.1, weight_decay=0.5) == pytest.approx([1 * (1 - 0.05) - 0.1])


def yogi_by_hand(gradients, lr, beta1, beta2, eps, start):
    weight, mean, variance, values = 1.0, 0.0, start, []
    for step, gradient in enumerate(gradients, 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        difference = variance - gradient**2
        variance -= (1 - beta2) * (difference > 0) * gradient**2 - (1 - beta2) * (difference < 0) * gradient**2
        corrected = math.sqrt(variance / (1 - beta2**step)) + eps
        weight -= lr * mean / (1 - beta1**step) / corrected
        values.append(weight)
    return values


def test_yogi_follows_its_equations():
    gradients = [2.0, 0.5, -1.0, 0.1, 3.0]
    expected = yogi_by_hand(gradients, 0.1, 0.9, 0.99, 1e-3, 1e-6)
    assert one_weight(optimizers.yogi, gradients, lr=0.1, betas=(0.9, 0.99)) == pytest.approx(expected, rel=1e-12)


def test_a_worked_number_of_yogi():
    # g = 2: m = 0.2, v = 1e-6 + 0.01 · 4 = 0.040001; corrected 2 and 4.0001; 1 - 0.1 · 2 / (2.000025 + 0.001)
    assert one_weight(Yogi, [2.0], lr=0.1, betas=(0.9, 0.99)) == pytest.approx([0.90005123], abs=1e-8)


def test_yogis_average_falls_by_a_bounded_step_when_gradients_become_small():
    weight = nn.Parameter(torch.ones(1))
    optimizer = Yogi([weight], betas=(0.9, 0.5), initial_accumulator=100.0)
    weight.grad = torch.tensor([2.0])
    optimizer.step()
    assert optimizer.state[weight]["variance"].item() == 98.0  # Adam's would be 52


def test_yogi_goes_on_exactly_from_its_state():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = Yogi(model.parameters())

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()

    step(model, optimizer)
    twin = copy.deepcopy(model)
    other = Yogi(twin.parameters())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(model, optimizer)
    step(twin, other)
    assert torch.equal(model.weight, twin.weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda weights: optimizers.sgd(weights, 0.1, nesterov=True),
            "nesterov needs momentum above 0 and dampening 0\n  optimizer 'sgd', momentum=0.0, dampening=0.0",
        ),
        (
            lambda weights: Yogi(weights, betas=(0.9, 1.0)),
            "betas must lie in [0, 1), got (0.9, 1.0)\n  optimizer 'yogi'",
        ),
    ],
)
def test_impossible_parameters_are_told(make, message):
    with pytest.raises(ParameterError) as error:
        make([nn.Parameter(torch.ones(1))])
    assert str(error.value) == message
