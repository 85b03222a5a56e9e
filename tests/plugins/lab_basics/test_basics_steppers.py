from __future__ import annotations

import copy
import logging

import pytest
import torch
from lab_basics import losses, optimizers
from lab_basics.steppers import ActivationRegularized, LossStepper, Supervised
from torch import nn

from lab.errors import ParameterError
from lab.training import Callback, CancelBatch, Checkpoint


class Gradients(Callback):
    """Notes the gradient of the first weights at every step of the optimizer."""

    def __init__(self):
        self.seen = []

    def before_step(self, learner):
        self.seen.append(next(learner.model.parameters()).grad.clone())


def weights(learner):
    return [weight.detach().clone() for weight in learner.model.parameters()]


def assert_same_weights(first, second, **tolerance):
    for mine, theirs in zip(weights(first), weights(second), strict=True):
        torch.testing.assert_close(mine, theirs, **(tolerance or {"rtol": 0, "atol": 0}))


def test_supervised_is_the_plain_step_of_the_kernel(make_learner):
    plain, ours = make_learner(), make_learner(stepper=Supervised())
    assert plain.fit(2)[-1]["valid_loss"] == ours.fit(2)[-1]["valid_loss"]
    assert_same_weights(plain, ours)


def test_accumulating_two_batches_is_training_on_their_union(make_learner):
    joined = make_learner(batch_size=20, stepper=Supervised())
    halves = make_learner(batch_size=10, stepper=Supervised(accumulate=2))
    joined.fit(3)
    halves.fit(3)
    assert_same_weights(joined, halves, rtol=1e-5, atol=1e-6)


def test_an_incomplete_last_group_is_a_mean_of_what_is_there(make_learner):
    gradients = Gradients()
    learner = make_learner(size=50, stepper=Supervised(accumulate=4), callbacks=[gradients], lr=1e-30)
    learner.fit(1)
    assert len(gradients.seen) == 2
    alone = make_learner(size=50, stepper=Supervised(), callbacks=[each := Gradients()], lr=1e-30)
    alone.fit(1)
    torch.testing.assert_close(gradients.seen[0], torch.stack(each.seen[:4]).mean(0))
    torch.testing.assert_close(gradients.seen[1], each.seen[4])


def test_a_cancelled_batch_does_not_shrink_the_mean(make_learner):
    class SkipsOne(Callback):
        def before_batch(self, learner):
            if learner.position.batch == 1 and not self.skipped:
                self.skipped = True
                raise CancelBatch

        skipped = False

    gradients = Gradients()
    learner = make_learner(stepper=Supervised(accumulate=2), callbacks=[SkipsOne(), gradients], lr=1e-30)
    learner.fit(1)
    each = Gradients()
    make_learner(stepper=Supervised(), callbacks=[each], lr=1e-30).fit(1)
    torch.testing.assert_close(gradients.seen[1], each.seen[3])


def test_clipping_scales_all_gradients_together_down_to_the_norm(make_learner):
    norms = []

    class Norms(Callback):
        def before_step(self, learner):
            gradients = [weight.grad for weight in learner.model.parameters()]
            norms.append((float(nn.utils.get_total_norm(gradients)), float(learner.stepper.gradient_norm)))

    make_learner(stepper=Supervised(clip=0.1), callbacks=[Norms()]).fit(1)
    for after, before in norms:
        assert before > 0.1
        assert after == pytest.approx(0.1, rel=1e-4)


def test_a_small_gradient_is_not_clipped(make_learner):
    plain, clipped = make_learner(stepper=Supervised()), make_learner(stepper=Supervised(clip=1e6))
    plain.fit(1)
    clipped.fit(1)
    assert_same_weights(plain, clipped)


def test_accumulated_gradients_are_clipped_after_their_mean(make_learner):
    joined = make_learner(batch_size=20, stepper=Supervised(clip=0.1))
    halves = make_learner(batch_size=10, stepper=Supervised(clip=0.1, accumulate=2))
    joined.fit(2)
    halves.fit(2)
    assert_same_weights(joined, halves, rtol=1e-5, atol=1e-6)


def test_a_resume_in_the_middle_of_a_group_is_exact(make_learner, tmp_path):
    class Dies(Callback):
        def after_batch(self, learner):
            if learner.position.step == 6:
                raise KeyboardInterrupt

    def learner(folder, *more):
        (tmp_path / folder).mkdir(exist_ok=True)
        callbacks = [Checkpoint(every_steps=1), *more]
        return make_learner(
            size=50, stepper=Supervised(accumulate=3, clip=1.0), callbacks=callbacks, folder=tmp_path / folder
        )

    whole = learner("whole")
    whole.fit(3)
    with pytest.raises(KeyboardInterrupt):
        learner("broken", Dies()).fit(3)
    resumed = learner("broken")
    resumed.resume(3)
    assert_same_weights(whole, resumed)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_about_the_same(make_learner, precision):
    full = make_learner(stepper=Supervised()).fit(5)[-1]["valid_loss"]
    learner = make_learner(stepper=Supervised(precision=precision, clip=10.0))
    if precision == "float16":
        learner.stepper._scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    assert learner.fit(5)[-1]["valid_loss"] == pytest.approx(full, rel=0.05)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, optimizers.adam])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_half_precision_leaves_out_steps_that_overflow(make_learner, optimizer, clip):
    learner = make_learner(stepper=Supervised(precision="float16", clip=clip), optimizer=optimizer)
    learner.stepper._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = weights(learner)
    learner.fit(1)
    assert learner.stepper._scaler.get_scale() < 2.0**120
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(before, weights(learner), strict=True))


def test_the_scale_of_half_precision_survives_a_crash(make_learner):
    first = make_learner(stepper=Supervised(precision="float16"))
    first.stepper._scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    first.fit(1)
    second = make_learner(stepper=Supervised(precision="float16"))
    second.stepper.load_state_dict(copy.deepcopy(first.stepper.state_dict()))
    second.fit(1)
    assert second.stepper._scaler.get_scale() == 8.0


def test_a_model_that_cannot_be_compiled_runs_as_it_is_and_says_so(make_learner, caplog, monkeypatch):
    def refuse(model):
        def call(*inputs):
            raise torch._dynamo.exc.TorchDynamoException("no compiler")

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    plain, ours = make_learner(), make_learner(stepper=Supervised(compile=True))
    plain.fit(1)
    with caplog.at_level(logging.WARNING, logger="lab"):
        ours.fit(1)
    assert caplog.messages == ["torch.compile failed, the model runs uncompiled: TorchDynamoException: no compiler"]
    assert_same_weights(plain, ours)


def test_a_subclass_only_says_what_its_loss_is(make_learner):
    class Doubled(LossStepper):
        def train_loss(self, batch):
            inputs, target = batch
            return 2 * self.learner.loss(self.model(inputs), target)

        evaluate = Supervised.evaluate

    plain, doubled = make_learner(lr=0.1, stepper=Supervised()), make_learner(lr=0.05, stepper=Doubled())
    plain.fit(1)
    doubled.fit(1)
    assert_same_weights(plain, doubled, rtol=1e-5, atol=1e-6)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 4)
        self.last = nn.Linear(4, 1)

    def forward(self, inputs):
        outputs, _ = self.rnn(inputs.T[:, :, None])  # (T, B, H)
        return self.last(outputs[-1])


def test_activation_regularisation_adds_both_prices_to_the_training_loss(make_learner):
    learner = make_learner(model=Recurrent(), stepper=ActivationRegularized(part="rnn", alpha=2.0, beta=3.0))
    inputs, target = learner.data.train[list(range(10))]
    hidden, _ = learner.model.rnn(inputs.T[:, :, None])
    expected = (
        losses.mse(learner.model(inputs), target)
        + 2.0 * hidden.square().mean()
        + 3.0 * (hidden[1:] - hidden[:-1]).square().mean()
    )
    torch.testing.assert_close(learner.stepper.train_loss((inputs, target)), expected)
    assert learner.stepper.valid_step((inputs, target)).loss == losses.mse(learner.model(inputs), target)
    assert not learner.model.rnn._forward_hooks


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Supervised(clip=0.0), "clip must be positive, got 0.0\n  stepper\n  clip=None does not clip"),
        (lambda: Supervised(accumulate=0), "accumulate must be at least 1, got 0\n  stepper"),
    ],
)
def test_impossible_parameters_are_told(make, message):
    with pytest.raises(ParameterError) as error:
        make()
    assert str(error.value) == message


def test_a_part_that_is_not_there_is_named_with_those_that_are(make_learner):
    with pytest.raises(ParameterError) as error:
        make_learner(model=Recurrent(), stepper=ActivationRegularized(part="rnm"))
    assert str(error.value) == (
        "the model has no module 'rnm'\n  stepper 'activation_regularized', parameter 'part'\n  modules: rnn, last"
    )
