from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.decode import translate
from lab_seq2seq.losses import Seq2SeqLoss
from lab_seq2seq.metrics import Bleu, TokenPerplexity
from lab_seq2seq.steppers import TeacherForcing

from lab.errors import ParameterError
from lab.training import Callback, Learner
from tests.plugins.lab_seq2seq.conftest import PAD, ToyTranslation, small_model, toy_data
from tests.plugins.lab_seq2seq.reference import plain_forward, plain_loss

GOLDEN_TRAIN = [2.18528, 1.72173, 1.42008, 1.26990, 1.17883, 1.13913]
GOLDEN_VALID = [1.83839, 1.45495, 1.29625, 1.18106, 1.06747, 1.01861]


def learner_of(data: Any, model: Any = None, **options: Any) -> Learner:
    defaults = {"stepper": TeacherForcing(PAD), "batch_size": 16, "lr": 0.01, "progress": False, "seed": 1}
    loss = options.pop("loss", Seq2SeqLoss(PAD))
    return Learner(model or small_model(data), data, loss, **{**defaults, **options})


class Probabilities(Callback):
    """Keeps the probability of each epoch."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def before_epoch(self, learner: Learner) -> None:
        self.seen.append(learner.stepper.probability)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"decay_epochs": 4}, [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        ({"start": 0.5, "decay_epochs": 2}, [0.5, 0.25, 0.0, 0.0, 0.0, 0.0]),
        ({"start": 0.3, "decay_epochs": None}, [0.3] * 6),
        ({"start": 0.0}, [0.0] * 6),
    ],
)
def test_forcing_falls_linearly(options: dict[str, Any], expected: list[float], data: ToyTranslation) -> None:
    probabilities = Probabilities()
    learner_of(data, stepper=TeacherForcing(PAD, **options), callbacks=[probabilities]).fit(6)
    assert probabilities.seen == pytest.approx(expected)


def test_forcing_may_fall_over_a_fraction_of_the_fit_step_by_step(data: ToyTranslation) -> None:
    class Steps(Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def before_batch(self, learner: Learner) -> None:
            self.seen.append(learner.stepper.probability)

    steps = Steps()
    learner_of(data, stepper=TeacherForcing(PAD, decay=0.8), callbacks=[steps], batch_size=16).fit(2)
    count = len(steps.seen)
    assert steps.seen == pytest.approx([max(0.0, 1 - step / (0.8 * count)) for step in range(count)])
    assert steps.seen[-1] == 0.0


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_the_fraction_over_which_forcing_falls_is_checked(decay: float) -> None:
    with pytest.raises(ParameterError, match=rf"decay must lie in \(0, 1\], got {decay}"):
        TeacherForcing(PAD, decay=decay)


def test_forcing_masks_come_from_the_steppers_own_stream(data: ToyTranslation) -> None:
    one, two = learner_of(data), learner_of(data)
    one.position.epoch = two.position.epoch = 5
    torch.manual_seed(123)
    first = [one.stepper.sample_forcing_mask(9) for _ in range(3)]
    torch.manual_seed(321)
    assert [two.stepper.sample_forcing_mask(9) for _ in range(3)] == first
    assert any(any(mask) and not all(mask) for mask in first)


def test_extreme_probabilities_leave_nothing_to_chance(data: ToyTranslation) -> None:
    learner = learner_of(data)
    assert all(learner.stepper.sample_forcing_mask(1000))
    learner.position.epoch = 10
    assert not any(learner.stepper.sample_forcing_mask(1000))


def test_validation_is_never_forced(data: ToyTranslation) -> None:
    learner = learner_of(data)
    batch = data.collate(data.valid)
    with learner.evaluating():
        evaluation = learner.stepper.valid_step(batch)
        free = learner.model(batch.source, at_least=len(batch.target))
    assert torch.equal(evaluation.output, free)
    assert evaluation.output.shape[:2] == evaluation.target.shape
    assert torch.equal(evaluation.target[: len(batch.target)], batch.target)
    assert torch.all(evaluation.target[len(batch.target) :] == PAD)


@pytest.mark.parametrize("padding", ["ignore", "count"])
def test_validation_loss_does_not_depend_on_the_batch_size(padding: str, data: ToyTranslation) -> None:
    """With "count" all sentences must be of one length: padding is part of that loss."""
    data.valid = [sample for sample in data.valid if padding == "ignore" or len(sample[1]) == 5]
    model = small_model(data)
    losses = [
        learner_of(data, model, loss=Seq2SeqLoss(PAD, padding=padding), batch_size=size).validate()["valid_loss"]
        for size in (1, 3, 100)
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_counted_padding_is_learned_too(data: ToyTranslation) -> None:
    learner = learner_of(data, small_model(data, mask_padding=False), loss=Seq2SeqLoss(PAD, padding="count"))
    before = learner.validate()["valid_loss"]
    assert learner.fit(3)[-1]["valid_loss"] < before


def test_any_loss_of_logits_and_target_can_be_used(data: ToyTranslation) -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())

    assert learner_of(data, loss=loss).fit(1)[0]["train_loss"] > 0


def test_a_tiny_corpus_is_learned_by_heart() -> None:
    data = toy_data(size=16)
    data.valid = data.train
    model = small_model(data, embedding_dim=32, hidden_size=32, attention=AdditiveAttention)
    metrics = {"bleu": Bleu(data), "perplexity": TokenPerplexity(PAD)}
    learner = learner_of(
        data, model, stepper=TeacherForcing(PAD, decay_epochs=40), metrics=metrics, methods={"translate": translate}
    )
    row = learner.fit(60)[-1]
    assert row["valid_loss"] < 0.05
    assert row["valid_perplexity"] < 1.06
    texts = [" ".join(data.source_vocab.tokens(sample[0].tolist())) for sample in data.train]
    assert learner.translate(texts) == learner.translate(texts, beam=4) == [sample[2] for sample in data.train]


def golden_learner(model_step: Any = None) -> Learner:
    data = toy_data()
    torch.manual_seed(7)
    model = small_model(data, embedding_dim=16, hidden_size=16, attention=AdditiveAttention, bidirectional=True)
    stepper = (model_step or TeacherForcing)(PAD, decay_epochs=4, clip=1.0)
    optimizer = partial(torch.optim.Adam, betas=(0.8, 0.99))
    return learner_of(data, model, optimizer=optimizer, stepper=stepper, seed=3)


class PlainForcing(TeacherForcing):
    """Teacher forcing by the plain step-by-step loop."""

    def train_loss(self, batch: Any) -> torch.Tensor:
        forced = self.sample_forcing_mask(len(batch.target))
        logits = plain_forward(self.learner.model, batch.source, batch.target, forced)
        return plain_loss(logits, batch.target, PAD)


def test_golden_loss_curve() -> None:
    """Values written down once, when the plain loop gave the same; a change of them is a change of what is computed."""
    rows = golden_learner().fit(6)
    assert [row["train_loss"] for row in rows] == pytest.approx(GOLDEN_TRAIN, rel=2e-3)
    assert [row["valid_loss"] for row in rows] == pytest.approx(GOLDEN_VALID, rel=2e-3)


def test_the_plain_loop_learns_along_the_same_curve() -> None:
    fast, plain = golden_learner().fit(4), golden_learner(PlainForcing).fit(4)
    for name in ("train_loss", "valid_loss"):
        assert [row[name] for row in fast] == pytest.approx([row[name] for row in plain], rel=1e-3)


class StopAfter(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_epoch(self, learner: Learner) -> None:
        if learner.position.epoch == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupted_training_resumes_with_the_same_forcing_masks(data: ToyTranslation) -> None:
    whole, interrupted = learner_of(data), learner_of(data)
    interrupted.model.load_state_dict(whole.model.state_dict())
    expected = [row["train_loss"] for row in whole.fit(4)]
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(4, callbacks=[StopAfter(1)])
    resumed = learner_of(data, interrupted.model)
    resumed.load_state_dict(interrupted.state_dict())
    assert [row["train_loss"] for row in resumed.fit(4)] == expected


def test_a_probability_out_of_range_is_refused() -> None:
    with pytest.raises(ParameterError) as failure:
        TeacherForcing(PAD, start=1.5)
    assert str(failure.value) == "start must lie in [0, 1], got 1.5\n  stepper 'teacher_forcing'"


def test_a_decay_of_no_epochs_is_refused() -> None:
    with pytest.raises(ParameterError) as failure:
        TeacherForcing(PAD, decay_epochs=0)
    assert str(failure.value) == (
        "decay_epochs must be positive, got 0\n  stepper 'teacher_forcing'\n"
        "  decay_epochs=None keeps the probability; start=0 never forces"
    )
