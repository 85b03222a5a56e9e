"""Projection and cross-entropy in one give the numbers of both apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_attention.fused import projection
from lab_attention.fused.projection import projected_cross_entropy
from lab_seq2seq.fused.projection import Unprojected
from lab_seq2seq.losses import Seq2SeqLoss, seq2seq_loss
from lab_seq2seq.steppers import TeacherForcing
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from lab.errors import ParameterError
from lab.training import Learner
from tests.plugins.lab_seq2seq.conftest import PAD, ToyTranslation, small_model

ROWS, WIDTH, WORDS = 23, 5, 11


@pytest.fixture(params=[10_000, 40], ids=["one chunk", "many chunks"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(projection, "_CHUNK", request.param)
    return request.param


@pytest.fixture
def parts() -> list[torch.Tensor]:
    """Features, weight and bias."""
    shapes = ((ROWS, WIDTH), (WORDS, WIDTH), (WORDS,))
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.fixture
def target() -> torch.Tensor:
    return torch.randint(WORDS, (ROWS,))


def plainly(parts: list[torch.Tensor], target: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    return functional.cross_entropy(functional.linear(*parts), target, label_smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_the_plain_computation(
    smoothing: float, chunk: int, parts: list[torch.Tensor], target: torch.Tensor
) -> None:
    loss = projected_cross_entropy(*parts, target, label_smoothing=smoothing)
    plain = plainly(parts, target, smoothing)
    torch.testing.assert_close(loss, plain)
    found, expected = (torch.autograd.grad(3 * each, parts) for each in (loss, plain))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_are_those_of_finite_differences(
    smoothing: float, chunk: int, parts: list[torch.Tensor], target: torch.Tensor
) -> None:
    assert torch.autograd.gradcheck(
        lambda *given: projected_cross_entropy(*given, target, label_smoothing=smoothing), parts
    )


@pytest.mark.parametrize("wants", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_what_is_asked_for_gets_a_gradient(
    wants: tuple[bool, ...], parts: list[torch.Tensor], target: torch.Tensor
) -> None:
    for part, wanted in zip(parts, wants, strict=True):
        part.requires_grad_(wanted)
    projected_cross_entropy(*parts, target).backward()
    assert tuple(part.grad is not None for part in parts) == wants
    asked = [part for part in parts if part.requires_grad]
    torch.testing.assert_close([part.grad for part in asked], list(torch.autograd.grad(plainly(parts, target), asked)))


def test_a_loss_that_nobody_learns_from_is_the_same(parts: list[torch.Tensor], target: torch.Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(projected_cross_entropy(*parts, target), plainly(parts, target))


def test_scores_beyond_every_exponent_stay_finite(target: torch.Tensor) -> None:
    parts = [torch.randn(ROWS, WIDTH) * 100, torch.randn(WORDS, WIDTH) * 100, torch.zeros(WORDS)]
    torch.testing.assert_close(projected_cross_entropy(*parts, target), plainly(parts, target))


def test_under_autocast_products_are_lowered_and_the_loss_is_not(
    parts: list[torch.Tensor], target: torch.Tensor
) -> None:
    single = [part.detach().float().requires_grad_() for part in parts]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = projected_cross_entropy(*single, target)
    loss.backward()
    assert loss.dtype == torch.float32
    expected = torch.autograd.grad(plainly(parts, target), parts)
    torch.testing.assert_close(loss.double(), plainly(parts, target), rtol=0.02, atol=0.02)
    for one, gradient in zip(single, expected, strict=True):
        assert one.grad.dtype == torch.float32
        torch.testing.assert_close(one.grad.double(), gradient, rtol=0.05, atol=0.005)


class LargestTensor(TorchDispatchMode):
    """Watches how many elements the largest tensor has that anything makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.numel())
        return made


def test_logits_are_never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_CHUNK", 1_000)
    parts = [torch.randn(400, 2).requires_grad_(), torch.randn(50, 2).requires_grad_(), torch.zeros(50)]
    with LargestTensor() as largest:
        projected_cross_entropy(*parts, torch.randint(50, (400,))).backward()
    assert largest.elements <= 1_000


@pytest.fixture
def model() -> Any:
    return small_model(attention=AdditiveAttention, bidirectional=True)


def test_the_model_leaves_its_projection_to_a_loss_that_takes_it(model: Any, batch: Any) -> None:
    source, target = batch
    forced = [True] * len(target)
    unprojected = model(source, target, forced, packed=True, unprojected=True)
    assert isinstance(unprojected, Unprojected)
    found = torch.autograd.grad(seq2seq_loss(unprojected, target, PAD), list(model.parameters()))
    packed = model(source, target, forced, packed=True)
    expected = torch.autograd.grad(seq2seq_loss(packed, target, PAD), list(model.parameters()))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_label_smoothing_reaches_the_unprojected_loss(model: Any, batch: Any) -> None:
    source, target = batch
    loss = Seq2SeqLoss(PAD, label_smoothing=0.1)
    forced = [True] * len(target)
    unprojected = model(source, target, forced, packed=True, unprojected=True)
    torch.testing.assert_close(loss(unprojected, target), loss(model(source, target, forced, packed=True), target))


def test_unprojected_features_have_no_padding_to_count(model: Any, batch: Any) -> None:
    source, target = batch
    unprojected = model(source, target, packed=True, unprojected=True)
    with pytest.raises(ParameterError) as failure:
        seq2seq_loss(unprojected, target, PAD, padding="count")
    assert str(failure.value) == "packed features hold no padding to be counted\n  seq2seq_loss"


def test_only_packed_features_of_a_fused_model_are_left_unprojected(model: Any, batch: Any) -> None:
    with pytest.raises(ParameterError) as failure:
        model(*batch, unprojected=True)
    assert str(failure.value) == "unprojected=True needs packed=True and a model with fused=True\n  Seq2SeqRNN"
    model.fused = False
    assert not model.gives_unprojected
    with pytest.raises(ParameterError, match="unprojected=True needs"):
        model(*batch, packed=True, unprojected=True)


def test_only_the_loss_that_ignores_padding_takes_unprojected_features() -> None:
    assert Seq2SeqLoss(PAD).accepts_unprojected
    assert not Seq2SeqLoss(PAD, padding="count").accepts_unprojected


def kinds_given(data: ToyTranslation, loss: Any, change: Any = None) -> type:
    """Return the type of the model's output in a training step."""
    given: list[Any] = []

    class Watching(type(loss)):
        def forward(self, output: Any, target: Any) -> Any:
            given.append(output)
            return super().forward(output, target)

    loss.__class__ = Watching
    model = small_model(data)
    if change is not None:
        change(model)
    learner = Learner(model, data, loss, stepper=TeacherForcing(PAD), batch_size=64, progress=False)
    learner.stepper.train_step(data.collate(data.train))
    return type(given[0])


def test_a_training_step_leaves_the_projection_to_the_loss(data: ToyTranslation) -> None:
    assert kinds_given(data, Seq2SeqLoss(PAD)) is Unprojected


def test_a_loss_that_takes_packed_logits_alone_gets_them(data: ToyTranslation) -> None:
    class Older(Seq2SeqLoss):
        accepts_unprojected = False

    assert kinds_given(data, Older(PAD)) is torch.nn.utils.rnn.PackedSequence


def test_whoever_watches_the_projection_sees_it_called(data: ToyTranslation) -> None:
    seen: list[Any] = []

    def watch(model: Any) -> None:
        model.output.register_forward_hook(lambda module, inputs, output: seen.append(output))

    assert kinds_given(data, Seq2SeqLoss(PAD), watch) is torch.nn.utils.rnn.PackedSequence
    assert seen


def test_a_projection_of_ones_own_is_called(data: ToyTranslation) -> None:
    def exchange(model: Any) -> None:
        model.output = torch.nn.Linear(12, data.target_vocab_size)

    assert kinds_given(data, Seq2SeqLoss(PAD), exchange) is torch.nn.utils.rnn.PackedSequence
