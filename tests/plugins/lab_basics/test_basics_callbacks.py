from __future__ import annotations

import csv
import time

import pytest
import torch
from lab_basics.averaging import EMA, SWA
from lab_basics.callbacks import CSVLog, EarlyStopping, GradientNorm, SaveBest, Timing
from lab_basics.hooks import ActivationStats, Hooks, SaveFeatures
from lab_basics.metrics import MAE
from lab_basics.schedules import OnPlateau
from lab_basics.steppers import Supervised
from lab_basics.tensorboard import TensorBoard
from torch import nn

from lab.errors import ParameterError
from lab.training import Callback, Checkpoint


class Script(Callback):
    """Writes the validation losses of a script into the history, before anybody reads them."""

    after = ("early_stopping", "save_best", "csv_log")

    def __init__(self, losses):
        self.losses = losses

    def after_epoch(self, learner):
        learner.history[-1]["valid_loss"] = self.losses[learner.epochs_done]


class Dies(Callback):
    def __init__(self, step):
        self.step = step

    def after_batch(self, learner):
        if learner.position.step == self.step:
            raise KeyboardInterrupt


def same_weights(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


# --- early stopping, the best ---


def test_training_ends_when_patience_does(make_learner):
    learner = make_learner(callbacks=[EarlyStopping(patience=1), Script([3.0, 2.0, 2.5, 2.0, 1.0, 0.0])])
    assert len(learner.fit(6)) == 4


def test_a_gain_below_min_delta_is_none(make_learner):
    learner = make_learner(callbacks=[EarlyStopping(patience=0, min_delta=0.5), Script([3.0, 2.0, 1.8, 0.0])])
    assert len(learner.fit(4)) == 3


def test_a_loss_that_is_not_a_number_is_no_gain(make_learner):
    learner = make_learner(callbacks=[EarlyStopping(patience=0), Script([3.0, float("nan"), 1.0])])
    assert len(learner.fit(3)) == 2


def test_every_fit_has_its_own_patience(make_learner):
    learner = make_learner(lr=1e-30, callbacks=[EarlyStopping(patience=0)])
    learner.fit(5)
    learner.history.clear()
    assert len(learner.fit(5)) == 2


def test_early_stopping_remembers_across_a_crash(make_learner, tmp_path):
    def learner(*more):
        callbacks = [Checkpoint(), EarlyStopping(patience=2), Script([1.0, 2.0, 2.0, 2.0, 2.0, 2.0]), *more]
        return make_learner(callbacks=callbacks, folder=tmp_path)

    with pytest.raises(KeyboardInterrupt):
        learner(Dies(9)).fit(6)
    assert len(learner().resume(6)) == 4


@pytest.mark.parametrize("callback", [EarlyStopping, SaveBest, OnPlateau])
def test_a_figure_that_no_epoch_will_have_is_told_before_training(make_learner, tmp_path, callback):
    learner = make_learner(metrics={"mae": MAE()}, callbacks=[callback(monitor="valid_acuracy")], folder=tmp_path)
    with pytest.raises(ParameterError) as error:
        learner.fit(1)
    assert str(error.value) == (
        "unknown metric 'valid_acuracy'\n"
        f"  callback '{callback.name}', parameter 'monitor'\n"
        "  this run has: train_loss, valid_loss, valid_mae"
    )


def test_the_best_weights_are_kept_and_given_back(make_learner, tmp_path):
    kept = []

    class Notes(Callback):
        def after_epoch(self, learner):
            kept.append([weight.detach().clone() for weight in learner.model.parameters()])

    callbacks = [SaveBest(restore=True), Script([3.0, 1.0, 2.0]), Notes()]
    learner = make_learner(callbacks=callbacks, folder=tmp_path)
    learner.fit(3)
    assert all(torch.equal(a, b) for a, b in zip(kept[1], learner.model.parameters(), strict=True))
    assert not torch.equal(kept[2][0], next(learner.model.parameters()))


# --- writing down ---


def test_the_history_is_a_csv_file_after_every_epoch(make_learner, tmp_path):
    learner = make_learner(callbacks=[CSVLog(), GradientNorm(), Timing()], folder=tmp_path)
    learner.fit(2)
    with learner.artefact("epochs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    assert float(rows[1]["valid_loss"]) == learner.history[1]["valid_loss"]
    assert float(rows[1]["grad_norm"]) == learner.history[1]["grad_norm"]
    assert "seconds_data" in rows[0]


def test_tensorboard_has_every_figure_of_every_epoch(make_learner, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    learner = make_learner(metrics={"mae": MAE()}, callbacks=[TensorBoard(), GradientNorm()], folder=tmp_path)
    learner.fit(2)
    events = EventAccumulator(str(tmp_path / "artefacts" / "tensorboard"))
    events.Reload()
    assert {"loss/train", "loss/valid", "mae/valid", "grad_norm", "lr/0"} <= set(events.Tags()["scalars"])
    points = events.Scalars("loss/valid")
    assert [point.step for point in points] == [0, 1]
    assert points[1].value == pytest.approx(learner.history[1]["valid_loss"])


def test_tensorboard_goes_on_after_a_crash(make_learner, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def learner(*more):
        return make_learner(callbacks=[Checkpoint(min_interval_s=0), TensorBoard(), *more], folder=tmp_path)

    with pytest.raises(KeyboardInterrupt):
        learner(Dies(6)).fit(3)
    learner().resume(3)
    events = EventAccumulator(str(tmp_path / "artefacts" / "tensorboard"))
    events.Reload()
    assert sorted(point.step for point in events.Scalars("loss/train")) == [0, 1, 2]


@pytest.mark.parametrize("callback", [CSVLog, TensorBoard])
def test_without_a_folder_nothing_is_written(make_learner, callback):
    assert len(make_learner(callbacks=[callback()]).fit(1)) == 1


@pytest.mark.parametrize("stepper", [Supervised(), Supervised(clip=0.01)])
def test_gradient_norms_are_those_before_clipping(make_learner, stepper):
    norms = []

    class Norms(Callback):
        def after_backward(self, learner):
            norms.append(float(nn.utils.get_total_norm([weight.grad for weight in learner.model.parameters()])))

    learner = make_learner(stepper=stepper, callbacks=[GradientNorm(), Norms()])
    row = learner.fit(1)[0]
    assert row["grad_norm"] == pytest.approx(sum(norms) / len(norms))
    assert row["grad_norm_max"] == pytest.approx(max(norms))


def test_timing_says_where_the_seconds_went(make_learner):
    class Slow(Callback):
        def before_batch(self, learner):
            time.sleep(0.005)

    row = make_learner(callbacks=[Timing(), Slow()]).fit(1)[0]
    assert row["seconds_step"] >= 0.02
    assert 0 < row["seconds_valid"] < row["seconds_step"]
    assert row["seconds_data"] > 0


# --- averages ---


def test_ema_follows_its_formula(make_learner):
    path = []

    class Path(Callback):
        def after_step(self, learner):
            path.append(learner.model[0].weight.detach().clone())

    learner = make_learner(callbacks=[EMA(decay=0.8), Path()])
    expected = learner.model[0].weight.detach().clone()
    learner.fit(2)
    for step, weight in enumerate(path):
        keep = min(0.8, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * weight
    torch.testing.assert_close(learner.model[0].weight.detach(), expected)


def test_the_average_is_what_is_validated_and_what_is_left(make_learner):
    learner = make_learner(callbacks=[EMA(decay=0.99)])
    last = learner.fit(2)[-1]["valid_loss"]
    assert learner.validate()["valid_loss"] == pytest.approx(last)


def test_an_average_does_not_change_what_is_trained(make_learner):
    class Last(Callback):
        def after_batch(self, learner):
            self.weight = learner.model[0].weight.detach().clone()

    plain, averaged = Last(), Last()
    make_learner(callbacks=[plain]).fit(3)
    make_learner(callbacks=[averaged, EMA(decay=0.99)]).fit(3)
    assert torch.equal(plain.weight, averaged.weight)


@pytest.mark.parametrize("average", [lambda: EMA(decay=0.9), lambda: SWA(start=0.0)])
def test_an_average_survives_a_crash(make_learner, tmp_path, average):
    def learner(folder, *more):
        (tmp_path / folder).mkdir(exist_ok=True)
        callbacks = [Checkpoint(every_steps=1), average(), *more]
        return make_learner(callbacks=callbacks, folder=tmp_path / folder)

    whole = learner("whole")
    whole.fit(3)
    with pytest.raises(KeyboardInterrupt):
        learner("broken", Dies(7)).fit(3)
    resumed = learner("broken")
    resumed.resume(3)
    assert [row["valid_loss"] for row in resumed.history] == [row["valid_loss"] for row in whole.history]
    assert same_weights(whole.model, resumed.model)


def test_after_a_failure_the_model_has_its_own_weights(make_learner):
    learner = make_learner(callbacks=[EMA(decay=0.999), Dies(3)])
    with pytest.raises(KeyboardInterrupt):
        learner.fit(1)
    plain = make_learner(callbacks=[Dies(3)])
    with pytest.raises(KeyboardInterrupt):
        plain.fit(1)
    assert same_weights(learner.model, plain.model)


def test_an_average_goes_on_in_the_same_learner_after_an_interruption(make_learner):
    whole = make_learner(callbacks=[EMA(decay=0.9)])
    whole.fit(2)
    dies = Dies(3)
    learner = make_learner(callbacks=[EMA(decay=0.9), dies])
    with pytest.raises(KeyboardInterrupt):
        learner.fit(2)
    dies.step = -1
    learner.fit(2)
    assert same_weights(whole.model, learner.model)


def test_a_single_step_outside_of_a_fit_disturbs_no_callback(make_learner, tmp_path):
    callbacks = [kind() for kind in (EMA, SWA, GradientNorm, Timing, CSVLog, TensorBoard, SaveBest, ActivationStats)]
    learner = make_learner(stepper=Supervised(clip=1.0), callbacks=callbacks, folder=tmp_path)
    assert learner.stepper.train_step(learner.data.train[[0, 1]]).isfinite()
    learner.validate()
    learner.fit(1)


@pytest.mark.parametrize("average", [lambda: EMA(decay=0.9), lambda: SWA(start=0.0)], ids=["ema", "swa"])
@pytest.mark.parametrize("keep", [Checkpoint, SaveBest])
def test_the_weights_of_the_best_epoch_are_those_that_were_judged(make_learner, tmp_path, average, keep):
    learner = make_learner(callbacks=[keep(), average()], folder=tmp_path)
    learner.fit(4)
    best = min(learner.history, key=lambda row: row["valid_loss"])
    [file] = tmp_path.rglob("best*.safetensors")
    learner.load(file)
    assert learner.validate()["valid_loss"] == pytest.approx(best["valid_loss"])


def test_swa_is_the_mean_of_the_last_epochs(make_learner):
    ends = []

    class Ends(Callback):
        def before_validate(self, learner):
            ends.append(learner.model[0].weight.detach().clone())

    learner = make_learner(callbacks=[Ends(), SWA(start=0.5)])
    learner.fit(6)
    torch.testing.assert_close(learner.model[0].weight.detach(), torch.stack(ends[3:]).mean(0))


def test_swa_takes_the_last_epoch_of_each_cycle(make_learner):
    ends = []

    class Ends(Callback):
        def before_validate(self, learner):
            ends.append(learner.model[0].weight.detach().clone())

    learner = make_learner(callbacks=[Ends(), SWA(start=0.0, every_epochs=2)])
    learner.fit(4)
    torch.testing.assert_close(learner.model[0].weight.detach(), (ends[1] + ends[3]) / 2)


class PlainNorm(nn.BatchNorm1d):
    """A batch norm of one's own, which knows a momentum that is a number."""

    def forward(self, x):
        mean, variance = (x.mean(0), x.var(0)) if self.training else (self.running_mean, self.running_var)
        if self.training:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        return (x - mean) * (variance + self.eps).rsqrt() * self.weight + self.bias


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, PlainNorm])
def test_swa_measures_batch_norm_anew(make_learner, norm):
    model = nn.Sequential(nn.Linear(3, 8), norm(8), nn.Linear(8, 1))
    learner = make_learner(model=model, callbacks=[SWA(start=0.0)])
    learner.fit(3)
    inputs = torch.stack([learner.data.train[index][0] for index in range(40)])
    torch.testing.assert_close(model[1].running_mean, model[0](inputs).mean(0).detach())
    assert model[1].momentum == 0.1
    assert learner.validate()["valid_loss"] == pytest.approx(learner.history[-1]["valid_loss"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EMA(decay=1.0), "decay must lie in [0, 1), got 1.0\n  callback 'ema'"),
        (
            lambda: SWA(start=1.0),
            "start must lie in [0, 1) and every_epochs be at least 1, got start=1.0, every_epochs=1\n  callback 'swa'",
        ),
        (
            lambda: EarlyStopping(min_delta=-1.0),
            "min_delta must be at least 0, got -1.0\n  callback 'early_stopping'",
        ),
        (
            lambda: ActivationStats(every_steps=0),
            "every_steps must be at least 1, got 0\n  callback 'activation_stats'",
        ),
    ],
)
def test_impossible_parameters_are_told(make, message):
    with pytest.raises(ParameterError) as error:
        make()
    assert str(error.value) == message


# --- hooks ---


def test_features_are_saved_while_the_block_runs(make_learner):
    model = make_learner().model
    inputs = torch.ones(2, 3)
    with SaveFeatures({"first": model[0], "tanh": model[1]}) as saved:
        model(inputs)
    torch.testing.assert_close(saved.features["tanh"], saved.features["first"].tanh())
    assert not saved.features["first"].requires_grad
    assert not model[0]._forward_hooks


def test_features_of_tuples_keep_their_form():
    rnn = nn.LSTM(3, 4)
    with SaveFeatures(rnn) as saved:
        output, _ = rnn(torch.ones(5, 2, 3))
    mine, (hidden, cell) = saved.features[""]
    assert torch.equal(mine, output)
    assert hidden.shape == cell.shape == (1, 2, 4)


def test_hooks_are_gone_when_the_block_fails():
    model = nn.Linear(3, 1)
    with pytest.raises(TypeError), Hooks({"all": model}, lambda *_: None):
        model("not a tensor")
    assert not model._forward_hooks


def test_activation_statistics_are_those_of_the_outputs(make_learner, tmp_path):
    outputs = []
    stats = ActivationStats(modules=("1",), every_steps=1, threshold=0.1)
    learner = make_learner(callbacks=[stats], folder=tmp_path, lr=1e-30)
    with Hooks({"1": learner.model[1]}, lambda _, module, out: outputs.append(out.detach()) if module.training else 0):
        learner.fit(1)
    values = torch.cat(outputs)
    row = stats.rows[0]
    assert (row["epoch"], row["module"]) == (0, "1")
    assert row["mean"] == pytest.approx(float(values.mean()), abs=1e-6)
    assert row["std"] == pytest.approx(float(values.std(correction=0)), rel=1e-5)
    assert row["near_zero"] == pytest.approx(float((values.abs() <= 0.1).float().mean()))
    lines = learner.artefact("activation_stats.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "epoch,module,mean,std,near_zero"
    assert len(lines) == 2


def test_activation_statistics_look_at_layers_with_weights_unless_told(make_learner):
    stats = ActivationStats()
    make_learner(callbacks=[stats]).fit(1)
    assert [row["module"] for row in stats.rows] == ["0", "2"]


def test_the_hooks_of_activation_statistics_are_gone_after_a_failure(make_learner):
    learner = make_learner(callbacks=[ActivationStats(), Dies(2)])
    with pytest.raises(KeyboardInterrupt):
        learner.fit(1)
    assert not any(module._forward_hooks for module in learner.model.modules())


def test_a_module_that_is_not_there_is_named_with_those_that_are(make_learner):
    with pytest.raises(ParameterError) as error:
        make_learner(callbacks=[ActivationStats(modules=("7",))]).fit(1)
    assert str(error.value) == (
        "the model has no module '7'\n  callback 'activation_stats', parameter 'modules'\n  modules: 0, 1, 2"
    )


def test_an_average_of_one_epoch_is_remarked(make_learner):
    learner = make_learner(callbacks=[SWA()])
    learner.expect(4)
    assert "one epoch of 4 is averaged" in SWA().remarks(learner)[0]
    learner.expect(8)
    assert SWA().remarks(learner) == ()
