"""The source at every step, directions per layer, and scores with ReLU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.decode import beam_search, greedy
from lab_seq2seq.losses import seq2seq_loss
from torch.nn.utils.rnn import PackedSequence

from lab.errors import ParameterError

EVERY: dict[str, Any] = {"context": "each_step"}
FIRST: dict[str, Any] = {"bidirectional": "first", "layers": 3}


def relu(query_size: int, key_size: int) -> AdditiveAttention:
    return AdditiveAttention(query_size, key_size, activation="relu")


@pytest.mark.parametrize(
    "options",
    [EVERY, {**EVERY, "cell": "lstm", "bidirectional": True}, FIRST, {**FIRST, "cell": "lstm"}, {"attention": relu}],
    ids=["every step", "every step, LSTM", "first", "first, LSTM", "ReLU"],
)
@pytest.mark.parametrize("forced", [[True] * 4, [True, False, True, False]], ids=["forced", "mixed"])
def test_the_fused_pass_equals_step_by_step_with_its_gradients(
    options: dict[str, Any], forced: list[bool], batch: Any, make_model: Any
) -> None:
    found = {}
    for fused in (True, False):
        torch.manual_seed(0)
        model = make_model(fused=fused, **options)
        steps = [*forced, *[True] * len(batch[1])][: len(batch[1])]
        logits = model(batch[0], batch[1], steps, packed=True)
        assert isinstance(logits, PackedSequence)
        seq2seq_loss(logits, batch[1], model.pad_id).backward()
        found[fused] = logits.data, {name: each.grad for name, each in model.named_parameters()}
    torch.testing.assert_close(found[True][0], found[False][0], rtol=1e-5, atol=1e-5)
    for name, gradient in found[True][1].items():
        torch.testing.assert_close(gradient, found[False][1][name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("options", [EVERY, FIRST], ids=["every step", "first"])
def test_a_beam_of_1_is_greedy(options: dict[str, Any], batch: Any, make_model: Any) -> None:
    model = make_model(**options).eval()
    one, other = greedy(model, batch[0]), beam_search(model, batch[0], 1)
    assert [found.ids for found in one] == [found.ids for found in other]
    alone = [beam_search(model, batch[0][:, [at]], 3)[0].ids for at in range(batch[0].shape[1])]
    assert [found.ids for found in beam_search(model, batch[0], 3)] == alone


def test_the_source_enters_every_step(batch: Any, make_model: Any) -> None:
    model = make_model(**EVERY).eval()
    state = model.start(batch[0])
    tokens = batch[1][0]
    changed = state._replace(summary=state.summary + 1)
    assert not torch.allclose(model.step(tokens, state).logits, model.step(tokens, changed).logits)


def test_only_the_first_layer_reads_backwards(make_model: Any) -> None:
    recurrent = make_model(**FIRST).encoder.recurrent
    assert recurrent.rnn.bidirectional
    assert recurrent.rnn.num_layers == 1
    assert not recurrent.upper.bidirectional
    assert recurrent.upper.num_layers == 2
    assert recurrent.upper.input_size == recurrent.upper.hidden_size == 2 * recurrent.rnn.hidden_size


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_without_a_bridge_the_decoder_starts_from_the_states_of_the_encoder(
    cell: str, batch: Any, make_model: Any
) -> None:
    model = make_model(cell=cell, bridge=False, hidden_size=8, embedding_dim=8).eval()
    for state, encoded in zip(model.start(batch[0]).hidden, model.encoder(batch[0]).hidden, strict=True):
        assert torch.equal(state, encoded)
    assert not [*model.bridge.parameters()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bridge": False, "bidirectional": True, "hidden_size": 8, "embedding_dim": 8}, r"\(16\) must be as wide as"),
        ({"context": "last"}, "context must be 'first' or 'each_step', not 'last'"),
        ({"bidirectional": "last"}, "bidirectional must be false, true or 'first', not 'last'"),
        ({"context": "each_step", "attention": AdditiveAttention}, "attention already gives every step a context"),
    ],
    ids=["bridge", "context", "directions", "both"],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str, make_model: Any) -> None:
    with pytest.raises(ParameterError, match=message):
        make_model(**options)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ParameterError, match="unknown activation 'gelu'"):
        AdditiveAttention(4, 4, activation="gelu")  # type: ignore[arg-type]
