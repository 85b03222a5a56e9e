"""Schedulers of PyTorch as callbacks: the rates are torch's own, drawn beforehand, and the same after a crash."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from click.testing import CliRunner
from lab_basics.averaging import EMA, SWA
from lab_basics.schedules import Warmup
from lab_basics.torch_schedules import TorchSchedule
from torch import nn
from torch.optim import lr_scheduler, swa_utils

from lab.cli.main import cli
from lab.errors import ParameterError
from lab.training import Callback
from tests.plugins.lab_basics.test_basics_callbacks import Dies
from tests.plugins.lab_basics.test_basics_schedules import Watch

PER_EPOCH = [
    partial(lr_scheduler.StepLR, step_size=2),
    partial(lr_scheduler.ExponentialLR, gamma=0.7),
    partial(lr_scheduler.CosineAnnealingLR, T_max=5, eta_min=0.01),
    partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=2),
    partial(lr_scheduler.LinearLR, total_iters=3),
    partial(lr_scheduler.PolynomialLR, total_iters=5, power=2.0),
    partial(lr_scheduler.MultiStepLR, milestones=[1, 3]),
    partial(lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 1 / (1 + epoch)),
    partial(lr_scheduler.MultiplicativeLR, lr_lambda=lambda epoch: 0.9),
]
PER_STEP = [
    partial(lr_scheduler.OneCycleLR, max_lr=0.3, total_steps=20),
    partial(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.2, step_size_up=4),
]


def torch_rates(scheduler, steps, every, lr=0.05):
    """Rates and momenta of a loop that steps torch's scheduler itself."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    made, rates, momenta = scheduler(optimizer), [], []
    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if step % every == 0 and step < steps:
            made.step()
    return rates, momenta


@pytest.mark.parametrize(
    ("scheduler", "every"),
    [*((each, "epoch") for each in PER_EPOCH), *((each, "step") for each in PER_STEP)],
    ids=lambda each: each if isinstance(each, str) else each.func.__name__,
)
def test_rates_and_momenta_are_those_of_torch(make_learner, scheduler, every):
    watch = Watch()
    watch.after = ("torch_schedule",)
    optimizer = partial(torch.optim.SGD, momentum=0.9)
    learner = make_learner(callbacks=[TorchSchedule(scheduler=scheduler, every=every), watch], optimizer=optimizer)
    learner.fit(5)  # 4 steps each
    rates, momenta = torch_rates(scheduler, 20, 4 if every == "epoch" else 1)
    assert watch.rates == pytest.approx(rates, rel=1e-12)
    assert watch.momenta == pytest.approx(momenta, rel=1e-12)
    assert learner.optimizer.param_groups[0]["lr"] == 0.05


def test_the_length_of_the_fit_is_filled_in():
    cosine = TorchSchedule(scheduler=lr_scheduler.CosineAnnealingLR)
    assert cosine.curve(30, 3).factors[-1] == pytest.approx((1 + torch.cos(torch.tensor(torch.pi * 0.9))) / 2)
    cycle = TorchSchedule(scheduler=partial(lr_scheduler.OneCycleLR, max_lr=1.0), every="step")
    assert cycle.curve(30, 3).factors[-1] == pytest.approx(4e-6, rel=1e-2)


def test_a_schedule_multiplies_with_others():
    step, warmup = TorchSchedule(scheduler=partial(lr_scheduler.StepLR, step_size=1, gamma=0.5)), Warmup(steps=2)
    from lab.training.schedules import combined

    assert combined([step, warmup], 6, 2).factors == pytest.approx([0.01, 0.505, 0.5, 0.5, 0.25, 0.25])


def test_a_plan_has_no_note_on_curves_that_are_computed_again():
    from lab.study.unkept import unkept_notes
    from lab.training.stepper import Supervised

    schedule = TorchSchedule(scheduler=lr_scheduler.StepLR)
    assert unkept_notes([schedule], Supervised()) == []
    assert schedule.state_dict() == {}


def test_a_resumed_fit_has_the_rates_of_a_whole_one(make_learner, tmp_path):
    from lab.training.checkpoint import Checkpoint

    def learner(name, *more):
        (tmp_path / name).mkdir(exist_ok=True)
        schedule = TorchSchedule(scheduler=lr_scheduler.CosineAnnealingLR)
        return make_learner(callbacks=[Checkpoint(every_steps=1), schedule, *more], folder=tmp_path / name)

    whole = learner("whole")
    whole.fit(3)
    with pytest.raises(KeyboardInterrupt):
        learner("broken", Dies(7)).fit(3)
    resumed = learner("broken")
    resumed.resume(3)
    assert torch.equal(whole.model[0].weight, resumed.model[0].weight)


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        (lr_scheduler.StepLR, "cannot be run over 2 epochs"),
        (partial(lr_scheduler.StepLR, step_size=0), "cannot be run over 2 epochs"),
        (lr_scheduler.ReduceLROnPlateau, "asks for a metric(.|\n)*on_plateau"),
        (partial(lr_scheduler.ExponentialLR, gamma="half"), "cannot be run over 2 epochs"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_trains(make_learner, scheduler, said):
    with pytest.raises(ParameterError, match=said):
        make_learner(callbacks=[TorchSchedule(scheduler=scheduler)]).fit(2)


STUDY = '''"""Does a schedule help?"""
from torch.optim.lr_scheduler import StepLR
from lab import Experiment, Study, use

base = Experiment(dataset="points", architecture="mlp", loss="cross_entropy", epochs=4, lr=0.01)
study = Study(base, seeds=2).swap(
    "callbacks",
    {
        "steps": [use("torch_schedule", scheduler=use(StepLR, step_size=2))],
        "cycle": [use("torch_schedule", scheduler=use("one_cycle_lr", max_lr=0.1), every="step")],
    },
)
'''


def test_every_drawing_has_the_base_and_the_rates_that_are_trained_with(tmp_path):
    (tmp_path / "steps.py").write_text(STUDY)
    from lab_basics.schedule_command import _curves

    from lab.registry.plugins import load_catalog
    from lab.study.load import load_study

    catalog = load_catalog()
    study = load_study(tmp_path / "steps.py", catalog)
    curves = _curves(study.resolve(catalog), catalog)
    assert list(curves) == ["base", "steps", "cycle"]
    assert set(curves["base"][1].factors) == {0.01}
    assert max(curves["cycle"][1].factors) == pytest.approx(0.1, rel=1e-2)
    done = CliRunner().invoke(cli, ["schedule", str(tmp_path / "steps.py"), "-o", str(tmp_path / "rates.png")])
    assert done.exit_code == 0, done.output
    assert "base" in done.output
    assert (tmp_path / "rates.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("callback", "update"),
    [(SWA(start=0.0), swa_utils.get_swa_multi_avg_fn()), (EMA(decay=0.1), swa_utils.get_ema_multi_avg_fn(0.1))],
)
def test_averages_are_those_of_torch(make_learner, callback, update):
    # a decay of 0.1 is EMA's own from the first step on
    is_swa = isinstance(callback, SWA)

    class Beside(Callback):
        def before_fit(self, learner):
            self.average = None if is_swa else swa_utils.AveragedModel(learner.model, multi_avg_fn=update)
            if not is_swa:
                # torch copies the first weights that it sees; ours begins with those before the first step
                self.average.update_parameters(learner.model)

        def after_step(self, learner):
            position = learner.position
            if is_swa and (position.step + 1) % position.batches == 0:
                self.average = self.average or swa_utils.AveragedModel(learner.model, multi_avg_fn=update)
                self.average.update_parameters(learner.model)
            elif not is_swa:
                self.average.update_parameters(learner.model)

    beside = Beside()
    learner = make_learner(callbacks=[callback, beside])
    learner.fit(3)
    for mine, theirs in zip(learner.model.parameters(), beside.average.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)
