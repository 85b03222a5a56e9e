"""The hand-written GRU has torch's numbers and gradients."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from lab_attention.fused.linear import DeferredLinear
from lab_seq2seq.fused.forward import _by_hand
from lab_seq2seq.fused.gru import FusedGRU
from lab_seq2seq.models import Recurrent
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


def same_gradients(one, other):
    for name, weight in one.named_parameters():
        assert torch.allclose(weight.grad, dict(other.named_parameters())[name].grad, atol=1e-5), name


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_whole_sequences_are_those_of_torch(bidirectional, padded):
    torch.manual_seed(0)
    ours = Recurrent("gru", 5, 4, 2, dropout=0.0, bidirectional=bidirectional)
    theirs = Recurrent("gru", 5, 4, 2, dropout=0.0, bidirectional=bidirectional)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(7, 6, 5)
    inputs = pack_padded_sequence(x, torch.tensor([3, 7, 5, 7, 1, 2]), enforce_sorted=False) if padded else x
    results = []
    for model, rnn in ((ours, FusedGRU(ours.rnn)), (theirs, None)):
        outputs, [state] = model(inputs, rnn=rnn)
        values = outputs.data if padded else outputs
        (values.square().sum() + state.sin().sum()).backward()
        results.append((values, state))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    same_gradients(ours, theirs)


def test_steps_are_those_of_torch():
    torch.manual_seed(0)
    ours, theirs = nn.GRU(5, 4, 2), nn.GRU(5, 4, 2)
    theirs.load_state_dict(ours.state_dict())
    x, first = torch.randn(6, 3, 5), torch.randn(2, 3, 4)
    gru, state, outputs = FusedGRU(ours), first, []
    for each in x:
        output, state = gru.step(each, state)
        outputs.append(output)
    expected, last = theirs(x, first)
    assert torch.allclose(torch.stack(outputs), expected, atol=1e-6)
    assert torch.allclose(torch.stack(state.states), last, atol=1e-6)
    torch.stack(outputs).sin().sum().backward()
    expected.sin().sum().backward()
    same_gradients(ours, theirs)


def test_dropout_lies_between_layers_alone():
    torch.manual_seed(0)
    ours = Recurrent("gru", 5, 4, 2, dropout=0.5)
    x = torch.ones(3, 2, 5)
    outputs = [FusedGRU(ours.rnn)(x)[0] for _ in range(2)]
    assert not torch.allclose(*outputs)
    single = Recurrent("gru", 5, 4, 1, dropout=0.5)
    assert torch.equal(FusedGRU(single.rnn)(x)[0], FusedGRU(single.rnn)(x)[0])
    ours.eval()
    assert torch.allclose(FusedGRU(ours.rnn)(x)[0], ours(x)[0], atol=1e-6)


def test_under_autocast_states_keep_their_precision_and_gradients_come_close():
    torch.manual_seed(0)
    ours = Recurrent("gru", 5, 4, 2, dropout=0.0, bidirectional=True)
    exact = Recurrent("gru", 5, 4, 2, dropout=0.0, bidirectional=True)
    exact.load_state_dict(ours.state_dict())
    x = torch.randn(7, 6, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, [state] = ours(x, rnn=FusedGRU(ours.rnn))
    expected, _ = exact(x)
    assert outputs.dtype == state.dtype == torch.float32
    assert torch.allclose(outputs, expected, atol=0.02)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    for name, weight in ours.named_parameters():
        gradient = dict(exact.named_parameters())[name].grad
        assert weight.grad.dtype == torch.float32
        assert (weight.grad - gradient).norm() < 0.03 * gradient.norm(), name


def test_the_gradient_of_a_weight_is_made_in_one_product_whatever_reaches_it():
    weight, bias = torch.randn(3, 2).requires_grad_(), torch.randn(3).requires_grad_()
    x = torch.randn(4, 5, 2).requires_grad_()
    layer = DeferredLinear(weight, bias)
    sum(layer(each).sin().sum() for each in x[:3]).backward()  # the last is never used
    used = [each.clone() for each in (weight.grad, bias.grad, x.grad)]
    weight.grad = bias.grad = x.grad = None
    nn.functional.linear(x[:3], weight, bias).sin().sum().backward()
    for one, other in zip(used, (weight.grad, bias.grad, x.grad), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_layer_that_nothing_reaches_has_no_gradient():
    weight = torch.randn(3, 2).requires_grad_()
    layer = DeferredLinear(weight)
    layer(torch.randn(4, 2))
    (weight.sum() * 0).backward()
    assert not weight.grad.any()


def test_products_of_lowered_precision_give_gradients_of_the_weights_own():
    weight, x = torch.randn(3, 2).requires_grad_(), torch.randn(4, 2).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = DeferredLinear(weight)(x)
    product.float().sum().backward()
    assert product.dtype == torch.bfloat16
    assert weight.grad.dtype == x.grad.dtype == torch.float32


def test_a_forward_pass_whose_result_is_dropped_leaves_nothing_behind():
    gc.disable()
    try:
        weight = torch.randn(3, 2).requires_grad_()
        layer = DeferredLinear(weight)
        product = layer(torch.randn(4, 2))
        uses = weakref.ref(layer._uses)
        del layer, product
        assert uses() is None
    finally:
        gc.enable()


def test_evaluation_and_other_cells_use_torchs_own_layers():
    gru = nn.GRU(5, 4)
    assert _by_hand(gru)
    with torch.no_grad():
        assert not _by_hand(gru)
    assert not _by_hand(gru.requires_grad_(False))
    assert not _by_hand(nn.LSTM(5, 4))


def test_products_meet_few_shapes_however_many_sentences_are_left(monkeypatch):
    rows = set()
    product = torch.mm
    monkeypatch.setattr(torch, "mm", lambda x, *rest, **where: rows.add(len(x)) or product(x, *rest, **where))
    layer = DeferredLinear(torch.randn(3, 2).requires_grad_())
    outputs = [layer(torch.randn(count, 2)) for count in range(1, 33)]
    assert rows == {16, 32}
    assert [len(each) for each in outputs] == list(range(1, 33))
