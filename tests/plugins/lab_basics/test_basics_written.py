"""Optimizers written out and decays by formula: equal to torch's, and to numbers worked out in a textbook."""

from __future__ import annotations

import math

import pytest
import torch
from lab_basics.decays import Exponential, Polynomial
from lab_basics.written import WrittenAdadelta, WrittenAdaGrad, WrittenAdam, WrittenRMSProp, WrittenSGD

from lab.errors import ParameterError

PAIRS = [
    (WrittenSGD, {}, torch.optim.SGD, {}),
    (WrittenSGD, {"momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
    (WrittenAdaGrad, {}, torch.optim.Adagrad, {}),
    (WrittenRMSProp, {"rho": 0.8}, torch.optim.RMSprop, {"alpha": 0.8}),
    (WrittenAdadelta, {}, torch.optim.Adadelta, {}),
    (WrittenAdam, {"beta1": 0.8, "beta2": 0.99}, torch.optim.Adam, {"betas": (0.8, 0.99)}),
]


@pytest.mark.parametrize(("written", "options", "torchs", "theirs"), PAIRS)
def test_optimizers_written_out_take_the_steps_of_torchs(written, options, torchs, theirs):
    results = []
    for kind, chosen in ((written, options), (torchs, theirs)):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
        optimizer = kind(model.parameters(), lr=0.1, **chosen)
        for _ in range(20):
            optimizer.zero_grad()
            model(torch.randn(8, 3, dtype=torch.double)).square().mean().backward()
            optimizer.step()
        results.append([weight.detach() for weight in model.parameters()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_an_optimizer_written_out_resumes_from_its_state():
    def start():
        weight = torch.nn.Parameter(torch.tensor([5.0, -2.0]))
        return weight, WrittenAdam([weight], 0.1)

    def walk(weight, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (weight**2).sum().backward()
            optimizer.step()

    straight, optimizer = start()
    walk(straight, optimizer, 6)
    first, optimizer = start()
    walk(first, optimizer, 3)
    resumed, other = start()
    resumed.data.copy_(first.data)
    other.load_state_dict(optimizer.state_dict())
    walk(resumed, other, 3)
    assert torch.equal(resumed, straight)


def descend(function, start, optimizer, lr, steps, **options):
    """Return where an optimizer ends on a surface."""
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.double))
    chosen = optimizer([weight], lr, **options)
    for _ in range(steps):
        chosen.zero_grad()
        function(weight).backward()
        chosen.step()
    return weight.tolist()


# Printed by the chapter on optimization of Dive into Deep Learning, from the start (-5, -2), 20 steps.
FLAT = (-5.0, -2.0)


@pytest.mark.parametrize(("lr", "printed"), [(0.2, 0.060466), (0.05, 3.486784), (1.1, 61.917364)])
def test_gradient_descent_on_a_parabola_ends_where_the_book_does(lr, printed):
    [x] = descend(lambda w: (w**2).sum(), [10.0], WrittenSGD, lr, 10)
    assert x == pytest.approx(printed, abs=1e-6)


def test_a_large_rate_finds_a_local_minimum_as_in_the_book():
    [x] = descend(lambda w: (w * torch.cos(0.15 * math.pi * w)).sum(), [10.0], WrittenSGD, 2.0, 10)
    assert x == pytest.approx(-1.528166, abs=1e-5)


def test_gradient_descent_in_two_dimensions_ends_where_the_book_does():
    found = descend(lambda w: w[0] ** 2 + 2 * w[1] ** 2, FLAT, WrittenSGD, 0.1, 20)
    assert found == pytest.approx([-0.057646, -0.000073], abs=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "lr", "options", "printed"),
    [
        (WrittenSGD, 0.4, {}, [-0.943467, -0.000073]),
        (WrittenSGD, 0.6, {}, [-0.387814, -1673.365109]),
        (WrittenSGD, 0.6, {"momentum": 0.5}, [0.007188, 0.002553]),
        (WrittenSGD, 0.6, {"momentum": 0.25}, [-0.126340, -0.186632]),
        (WrittenAdaGrad, 0.4, {}, [-2.382563, -0.158591]),
        (WrittenAdaGrad, 2.0, {}, [-0.002295, 0.0]),
        (WrittenRMSProp, 0.4, {}, [-0.010599, 0.0]),
    ],
)
def test_optimizers_on_a_flat_ellipse_end_where_the_book_does(optimizer, lr, options, printed):
    found = descend(lambda w: 0.1 * w[0] ** 2 + 2 * w[1] ** 2, FLAT, optimizer, lr, 20, **options)
    assert found == pytest.approx(printed, rel=1e-4, abs=2e-6)


def test_a_smoothing_constant_out_of_range_is_refused():
    with pytest.raises(ParameterError, match=r"rho must lie in \[0, 1\), got 1.0"):
        WrittenRMSProp([torch.nn.Parameter(torch.zeros(1))], 0.1, rho=1.0)


# --- decays -----------------------------------------------------------------------------------------------------------


def test_the_square_root_decays_by_whole_epochs():
    schedule = Polynomial(alpha=0.5, beta=1.0)
    assert [schedule.factor(step, 8, 2) for step in range(8)] == pytest.approx(
        [1.0, 1.0, 2**-0.5, 2**-0.5, 3**-0.5, 3**-0.5, 0.5, 0.5]
    )


def test_a_polynomial_may_decay_at_every_step():
    assert Polynomial(beta=0.1, by="step").factor(50, 100, 10) == pytest.approx(6**-0.5)


def test_an_exponential_decays_at_its_rate():
    assert Exponential(rate=0.1).factor(25, 100, 10) == pytest.approx(math.exp(-0.2))
    assert Exponential(rate=0.1, by="step").factor(25, 100, 10) == pytest.approx(math.exp(-2.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Polynomial(alpha=-1.0), "alpha must be at least 0, got -1.0\n  callback 'polynomial'"),
        (lambda: Exponential(rate=math.nan), "rate must be at least 0, got nan\n  callback 'exponential'"),
        (lambda: Exponential(by="hour"), "by must be 'epoch' or 'step', got 'hour'"),
    ],
)
def test_a_decay_out_of_range_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()
