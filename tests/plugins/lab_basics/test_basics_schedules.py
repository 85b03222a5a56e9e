from __future__ import annotations

import math

import pytest
import torch
from lab_basics.metrics import MAE
from lab_basics.schedules import (
    CircularLR,
    CosAnneal,
    Cosine,
    Cyclic,
    Factor,
    InverseSqrt,
    MultiStep,
    OnPlateau,
    Warmup,
    discriminative,
)
from torch import nn
from torch.optim import lr_scheduler

from lab.errors import ParameterError
from lab.training import Callback, CancelFit
from lab.training.schedules import OneCycle


class Watch(Callback):
    """Notes rates and momenta of every step."""

    after = ("one_cycle", "clr", "cos_anneal", "warmup", "multistep", "on_plateau")

    def __init__(self):
        self.rates, self.momenta = [], []

    def before_step(self, learner):
        group = learner.optimizer.param_groups[0]
        self.rates.append(group["lr"])
        self.momenta.append(group["betas"][0] if "betas" in group else group.get("momentum"))


def torch_rates(make, steps, lr=1.0, every=1):
    """Rates and first betas of torch's scheduler, stepped after every ``every`` optimizer steps."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    rates, momenta = [], []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < steps:
            scheduler.step()
    return rates, momenta


# --- closed formulas --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["cos", "linear"])
@pytest.mark.parametrize(("steps", "pct_start"), [(100, 0.3), (37, 0.25), (7, 0.5), (50, 0.0), (50, 1.0)])
def test_one_cycle_is_torchs(steps, pct_start, shape):
    def make(optimizer):
        return lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=steps, pct_start=pct_start, anneal_strategy=shape, div_factor=20.0
        )

    curve = OneCycle(pct_start=pct_start, div_factor=20.0, shape=shape).curve(steps, 10)
    rates, momenta = torch_rates(make, steps)
    assert curve.factors == pytest.approx(rates, rel=1e-12)
    assert curve.momenta == pytest.approx(momenta, rel=1e-12)


def test_one_cycle_rises_to_one_and_ends_near_nothing():
    factors = OneCycle().curve(1000, 100).factors
    assert factors[0] == pytest.approx(1 / 25)
    assert max(factors) == pytest.approx(1.0, abs=1e-4)
    assert factors[-1] == pytest.approx(1 / 25 / 1e4)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_a_few_steps_stays_between_its_bounds(steps):
    for pct_start in (0.0, 0.1, 0.3, 0.5, 1.0):
        assert all(0 < factor <= 1 for factor in OneCycle(pct_start=pct_start).curve(steps, 1).factors)


@pytest.mark.parametrize(("cycle_len", "cycle_mult", "epochs"), [(1, 1, 3), (2, 1, 4), (1, 2, 7), (2, 3, 8)])
def test_cos_anneal_is_torchs_warm_restarts(cycle_len, cycle_mult, epochs):
    def make(optimizer):
        return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=cycle_len * 5, T_mult=cycle_mult, eta_min=0.1)

    curve = CosAnneal(cycle_len=cycle_len, cycle_mult=cycle_mult, min_factor=0.1).curve(epochs * 5, 5)
    assert curve.factors == pytest.approx(torch_rates(make, epochs * 5)[0], rel=1e-9)


def test_cos_anneal_with_a_slow_start_is_the_courses():
    factors = CosAnneal(cycle_len=2, slow_start=0.05).curve(400, 100).factors
    assert factors[:10] == [0.01] * 10
    assert factors[10] == pytest.approx((1 + math.cos(math.pi * 10 / 200)) / 2)
    assert factors[200] == 1.0


def test_clr_is_the_courses_use_clr_20_10():
    # 100 steps: ten of them up from a twentieth to one, then down towards a twentieth again
    factors = CircularLR().curve(100, 10).factors
    assert factors[:11] == pytest.approx([(1 + step / 10 * 19) / 20 for step in range(11)])
    assert factors[10:] == pytest.approx([(1 + (1 - (step - 10) / 90) * 19) / 20 for step in range(10, 100)])


def test_clr_moves_momentum_against_the_rate():
    momenta = CircularLR(momentum=(0.95, 0.85)).curve(100, 10).momenta
    assert (momenta[0], momenta[10]) == pytest.approx((0.95, 0.85))
    assert momenta[55] == pytest.approx(0.9)


def test_clr_begins_again_when_a_cycle_length_is_given():
    factors = CircularLR(cycle_len=2).curve(40, 10).factors
    assert factors[:20] == factors[20:]


@pytest.mark.parametrize("steps", [1, 5, 9])
def test_clr_of_a_few_steps_begins_at_its_peak(steps):
    assert CircularLR().curve(steps, 1).factors[0] == 1.0


def test_inverse_sqrt_is_the_papers_formula():
    factors = InverseSqrt(warmup_steps=4).curve(16, 4).factors
    paper = [32**-0.5 * min(step**-0.5, step * 4**-1.5) / (32**-0.5 * 4**-0.5) for step in range(1, 17)]
    assert factors == pytest.approx(paper)
    with pytest.raises(ParameterError, match="warmup_steps must be at least 1, got 0"):
        InverseSqrt(warmup_steps=0)


def test_warmup_is_torchs_linear_rate():
    def make(optimizer):
        return lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=15)

    expected = torch_rates(make, 40)[0]
    assert Warmup(epochs=1.5, start_factor=0.25).curve(40, 10).factors == pytest.approx(expected)
    assert Warmup(steps=15, start_factor=0.25).curve(40, 10).factors == pytest.approx(expected)


def test_factor_decays_exponentially_down_to_its_floor():
    factors = Factor(gamma=0.5, every_epochs=2, min_factor=0.2).curve(80, 10).factors
    assert factors[::10] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2]


def test_multistep_is_torchs():
    def make(optimizer):
        return lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.1)

    expected = torch_rates(make, 50, every=10)[0]
    assert MultiStep(milestones=(2, 3)).curve(50, 10).factors == pytest.approx(expected)


def test_cosine_is_torchs_after_its_warm_up():
    def make(optimizer):
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.1)

    factors = Cosine(warmup_epochs=2, start_factor=0.2, min_factor=0.1).curve(50, 10).factors
    assert factors[:20] == pytest.approx([0.2 + 0.8 * step / 20 for step in range(20)])
    assert factors[20:] == pytest.approx(torch_rates(make, 30)[0])


def test_on_plateau_decides_as_torch_does(make_learner):
    losses = [5.0, 4.0, 4.0, 4.1, 3.9, 3.9, 3.9, 3.9, 3.9, 3.9, 3.9, 1.0, 2.0, 2.0, 2.0]

    class Scripted(Callback):
        after = ("on_plateau",)

        def after_epoch(self, learner):
            learner.history[-1]["valid_loss"] = losses[learner.epochs_done]

    watch = Watch()
    schedule = OnPlateau(gamma=0.5, patience=1, cooldown=2, min_delta=0.05)
    make_learner(size=10, callbacks=[schedule, Scripted(), watch]).fit(len(losses))

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=1, cooldown=2, threshold=0.05, threshold_mode="abs"
    )
    expected = []
    for loss in losses:
        expected.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    assert watch.rates == pytest.approx(expected)


def test_discriminative_rates_are_the_courses_slice():
    assert discriminative(3e-3) == slice(3e-3 / 2.6**4, 3e-3)


# --- in training ------------------------------------------------------------------------------------------------------


def test_every_group_is_scaled_from_its_own_rate(make_learner):
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    model.layer_groups = lambda: [model[0], model[2]]
    seen = []

    class Both(Callback):
        def before_step(self, learner):
            seen.append([group["lr"] for group in learner.optimizer.param_groups])

    make_learner(model=model, lr=slice(0.01, 0.1), callbacks=[CircularLR(), Both()]).fit(3)
    factors = CircularLR().curve(12, 4).factors
    assert seen == [pytest.approx([0.01 * factor, 0.1 * factor]) for factor in factors]


def test_schedules_multiply(make_learner):
    watch = Watch()
    make_learner(callbacks=[MultiStep(milestones=(2,)), Warmup(), watch]).fit(3)
    expected = [
        0.05 * a * b
        for a, b in zip(MultiStep(milestones=(2,)).curve(12, 4).factors, Warmup().curve(12, 4).factors, strict=True)
    ]
    assert watch.rates == pytest.approx(expected)


def test_one_cycle_moves_the_momentum_and_gives_it_back(make_learner):
    watch = Watch()
    learner = make_learner(optimizer=torch.optim.Adam, callbacks=[watch])
    learner.fit_one_cycle(3)
    assert watch.momenta == pytest.approx(OneCycle().curve(12, 4).momenta)
    group = learner.optimizer.param_groups[0]
    assert (group["lr"], group["betas"]) == (0.05, (0.9, 0.999))


def test_an_optimizer_without_momentum_gets_none(make_learner):
    watch = Watch()
    make_learner(optimizer=torch.optim.SGD, callbacks=[watch]).fit_one_cycle(2)
    assert watch.momenta == [0] * 8


def test_the_rate_is_as_before_when_training_fails(make_learner):
    class Fails(Callback):
        def after_batch(self, learner):
            raise ZeroDivisionError

    learner = make_learner(callbacks=[OneCycle(), Fails()])
    with pytest.raises(ZeroDivisionError):
        learner.fit(2)
    assert learner.optimizer.param_groups[0]["lr"] == 0.05


SCHEDULES = [
    lambda: OneCycle(),
    lambda: CosAnneal(cycle_len=2),
    lambda: CircularLR(momentum=(0.95, 0.85)),
    lambda: OnPlateau(patience=0, min_delta=10.0),
]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_resume_in_the_middle_of_a_cycle_is_exact(make_learner, tmp_path, schedule):
    from lab.training import Checkpoint

    class Dies(Callback):
        def after_batch(self, learner):
            if learner.position.step == 6:
                raise KeyboardInterrupt

    def learner(folder, *more):
        callbacks = [Checkpoint(every_steps=1), schedule(), *more]
        return make_learner(optimizer=torch.optim.Adam, callbacks=callbacks, folder=tmp_path / folder)

    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    watch = Watch()
    whole = learner("whole", watch)
    whole.fit(4)
    with pytest.raises(KeyboardInterrupt):
        learner("broken", Dies()).fit(4)
    rest = Watch()
    resumed = learner("broken", rest)
    resumed.resume(4)
    assert rest.rates == watch.rates[-len(rest.rates) :]
    assert rest.momenta == watch.momenta[-len(rest.rates) :]
    assert 0 < len(rest.rates) < 16
    for mine, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_end_of_every_cycle_is_announced(make_learner):
    ended = []

    class Listener(Callback):
        def on_cycle_end(self, learner, index):
            ended.append((index, learner.epochs_done, "valid_loss" in learner.history[-1]))

    make_learner(callbacks=[CosAnneal(cycle_len=1, cycle_mult=2), Listener()]).fit(7)
    assert ended == [(0, 0, True), (1, 2, True), (2, 6, True)]


def test_a_subclass_may_act_at_the_end_of_a_cycle(make_learner):
    ended = []

    class Mine(CosAnneal):
        def on_cycle_end(self, learner, index):
            ended.append(index)

    make_learner(callbacks=[Mine(cycle_len=2)]).fit(4)
    assert ended == [0, 1]


def test_a_cycle_that_was_cancelled_has_not_ended(make_learner):
    ended = []

    class Cancels(Callback):
        def after_batch(self, learner):
            raise CancelFit

        def on_cycle_end(self, learner, index):
            ended.append(index)

    make_learner(callbacks=[CosAnneal(), Cancels()]).fit(2)
    assert ended == []


def test_snapshots_are_kept_at_the_end_of_each_cycle(make_learner, tmp_path):
    learner = make_learner(callbacks=[CosAnneal(snapshot=True)], folder=tmp_path)
    learner.fit(2)
    assert sorted(path.name for path in tmp_path.rglob("cycle-*")) == ["cycle-0.safetensors", "cycle-1.safetensors"]
    saved = make_learner(lr=1.0)
    saved.load(learner.artefact("cycle-1.safetensors"))
    assert torch.equal(saved.model[0].weight, learner.model[0].weight)


def test_on_plateau_follows_a_metric_in_its_own_direction(make_learner):
    learner = make_learner(metrics={"mae": MAE()}, callbacks=[OnPlateau(monitor="valid_mae", patience=0)])
    learner.fit(3)
    monitor = learner.callbacks[0].monitor
    assert monitor.best == min(row["valid_mae"] for row in learner.history)


# --- what cannot be ---


class Endless(Cyclic):
    def cycle_factor(self, step, cycle):
        return 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: CosAnneal(cycle_len=0),
            "cycle_len must be at least 1 epoch, got 0\n  callback 'cos_anneal'",
        ),
        (lambda: CircularLR(cycle_len=0), "cycle_len must be at least 1 epoch, got 0\n  callback 'clr'"),
        (lambda: Endless(cycle_mult=0), "cycle_mult must be at least 1, got 0\n  callback 'endless'"),
        (
            lambda: CircularLR(div=0),
            "div must be positive and cut_div at least 1, got div=0, cut_div=10.0\n  callback 'clr'",
        ),
        (lambda: OneCycle(pct_start=1.5), "pct_start must lie in [0, 1], got 1.5\n  callback 'one_cycle'"),
        (
            lambda: OneCycle(div_factor=0),
            "both divisors must be positive, got div_factor=0, final_div_factor=10000.0\n  callback 'one_cycle'",
        ),
        (
            lambda: MultiStep(),
            "milestones must be increasing epochs from 1 on, got ()\n"
            "  callback 'multistep'\n  for example milestones=(6, 9)",
        ),
        (lambda: Factor(gamma=0.0), "gamma must lie in (0, 1], got 0.0\n  callback 'factor'"),
        (lambda: Factor(every_epochs=0), "every_epochs must be at least 1, got 0\n  callback 'factor'"),
    ],
)
def test_an_impossible_schedule_is_told_when_it_is_made(make, message):
    with pytest.raises(ParameterError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            CosAnneal(cycle_len=8),
            "cycle 1 ends after epoch 8, the run after epoch 4\n"
            "  callback 'cos_anneal'\n  set epochs=8, or change cycle_len and cycle_mult",
        ),
        (
            CosAnneal(cycle_len=1, cycle_mult=2),
            "cycle 3 ends after epoch 7, the run after epoch 4\n"
            "  callback 'cos_anneal'\n  set epochs=3 or 7, or change cycle_len and cycle_mult",
        ),
        (
            Warmup(epochs=5),
            "the warm-up of 20 steps is longer than the run of 16 steps\n"
            "  callback 'warmup'\n  shorten it or train longer",
        ),
        (
            Cosine(warmup_epochs=5),
            "the warm-up of 20 steps is longer than the run of 16 steps\n"
            "  callback 'cosine'\n  shorten it or train longer",
        ),
        (Warmup(steps=-1), "the warm-up cannot last -1 steps\n  callback 'warmup'"),
        (
            MultiStep(milestones=(2, 4)),
            "milestone 4 is after the last epoch of a run of 4\n  callback 'multistep'\n  use earlier milestones",
        ),
        (
            OnPlateau(monitor="valid_bleu"),
            "unknown metric 'valid_bleu'\n"
            "  callback 'on_plateau', parameter 'monitor'\n  this run has: train_loss, valid_loss",
        ),
    ],
)
def test_a_schedule_that_does_not_fit_the_run_stops_it_before_the_first_step(make_learner, schedule, message):
    learner = make_learner(callbacks=[schedule])
    before = learner.model[0].weight.clone()
    with pytest.raises(ParameterError) as error:
        learner.fit(4)
    assert str(error.value) == message
    assert torch.equal(before, learner.model[0].weight)
