"""Networks over characters: written-out cells, states that are carried, and what is predicted."""

from __future__ import annotations

import pytest
import torch
from lab_charlm.cells import GRUCells, LSTMCells, RNNCells, truncate
from lab_charlm.data import char_text
from lab_charlm.models import Char3, CharLoop, CharRNN
from lab_text.losses import last_only, sequence_nll
from lab_text.metrics import BitsPerCharacter, NextTokenAccuracy, NextTokenPerplexity
from lab_text.samplers import Streams
from torch import nn

from lab import Callback, Learner
from lab.errors import ParameterError, ShapeError
from lab.training import checkpoint

CELLS = ["rnn", "gru", "lstm", "rnn_cell", "gru_cell", "lstm_cell"]
VOCABULARY = 12


def _tokens(steps=6, batch=3, seed=0):
    return torch.randint(VOCABULARY, (steps, batch), generator=torch.Generator().manual_seed(seed))


def _model(**options):
    torch.manual_seed(0)
    return CharRNN(VOCABULARY, **{"hidden_size": 7, "embedding_dim": 5, **options})


# --- written-out cells ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("written", "torchs"), [(RNNCells, nn.RNN), (GRUCells, nn.GRU)])
def test_written_out_cells_give_torchs_values_and_gradients(written, torchs, layers):
    torch.manual_seed(1)
    ours, theirs = written(5, 7, layers), torchs(5, 7, layers)
    ours.load_state_dict(theirs.state_dict())
    inputs, state = torch.randn(6, 3, 5), torch.randn(layers, 3, 7)
    results = []
    for network in (ours, theirs):
        entered = inputs.clone().requires_grad_()
        outputs, last = network(entered, state)
        (outputs.square().sum() + last.sum()).backward()
        gradients = [weight.grad for _, weight in sorted(network.named_parameters())]
        results.append([outputs, last, entered.grad, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_gradients_cut_at_random_have_the_expectation_of_whole_ones():
    # h3 = w (w (w x1 + x2) + x3), its derivative 3 w² x1 + 2 w x2 + x3
    weight = torch.tensor(0.8, requires_grad=True)
    torch.manual_seed(0)
    hidden = torch.zeros(40_000, 1)
    for value in (1.0, 2.0, 3.0):
        (hidden,) = truncate(((hidden + value) * weight,), 0.75)
    # the last state is cut, too, which leaves the expectation as it is
    hidden.mean().backward()
    assert hidden[0].item() == pytest.approx(0.8**3 + 2 * 0.8**2 + 3 * 0.8, rel=1e-6)
    assert weight.grad.item() == pytest.approx(3 * 0.64 + 2 * 2 * 0.8 + 3, rel=0.02)


@pytest.mark.parametrize("cell", ["rnn_cell", "gru_cell", "lstm_cell"])
def test_cut_gradients_change_no_value_and_stop_at_the_cut(cell):
    model, whole = _model(cell=cell, gradient_share=1e-9), _model(cell=cell)
    torch.testing.assert_close(model(_tokens()), whole(_tokens()))
    # nothing passes a step: the last output has no gradient in the first character
    tokens = torch.arange(6)[:, None]
    model(tokens)[-1].sum().backward()
    assert model.embedding.weight.grad[:5].abs().max() == 0
    assert model.embedding.weight.grad[5].abs().max() > 0


@pytest.mark.parametrize("cell", ["rnn_cell", "gru_cell", "lstm_cell"])
def test_gradients_that_are_cut_every_three_steps_reach_back_to_the_cut(cell):
    model = _model(cell=cell, gradient_steps=3)
    model(torch.arange(6)[:, None])[-1].sum().backward()
    reached = model.embedding.weight.grad[:6].abs().amax(1) > 0
    assert reached.tolist() == [False, False, False, True, True, True]


def test_cut_gradients_need_cells_that_are_written_out():
    with pytest.raises(ParameterError, match="gradient_share needs a cell that is written out"):
        _model(cell="gru", gradient_share=0.9)
    with pytest.raises(ParameterError, match=r"gradient_share must lie in \(0, 1\]"):
        _model(cell="gru_cell", gradient_share=0.0)


@pytest.mark.parametrize(("written", "torchs"), [("rnn_cell", "rnn"), ("gru_cell", "gru"), ("lstm_cell", "lstm")])
def test_a_model_with_written_out_cells_loads_the_weights_of_torchs(written, torchs):
    ours, theirs = _model(cell=written), _model(cell=torchs)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(_tokens()), theirs(_tokens()))


@pytest.mark.parametrize("layers", [1, 2])
def test_the_written_out_lstm_gives_torchs_values_and_gradients(layers):
    torch.manual_seed(1)
    ours, theirs = LSTMCells(5, 7, layers), nn.LSTM(5, 7, layers)
    ours.load_state_dict(theirs.state_dict())
    inputs, states = torch.randn(6, 3, 5), (torch.randn(layers, 3, 7), torch.randn(layers, 3, 7))
    results = []
    for network in (ours, theirs):
        outputs, (hidden, memory) = network(inputs, states)
        (outputs.square().sum() + hidden.sum() + memory.square().sum()).backward()
        gradients = [weight.grad for _, weight in sorted(network.named_parameters())]
        results.append([outputs, hidden, memory, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_a_written_out_recurrence_with_relu_is_torchs():
    ours, theirs = _model(cell="rnn_cell", nonlinearity="relu"), _model(cell="rnn", nonlinearity="relu")
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(_tokens()), theirs(_tokens()))
    assert not torch.allclose(ours(_tokens()), _model(cell="rnn")(_tokens()))


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_reading_piece_by_piece_with_state_is_reading_at_once(cell):
    model, tokens = _model(cell=cell, stateful=True, layers=2), _tokens(12)
    windows = [model(window, continues=index > 0) for index, window in enumerate(tokens.split(4))]
    whole = _model(cell=cell, layers=2)(tokens)
    torch.testing.assert_close(torch.cat(windows), whole)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_stop_at_the_boundaries_of_windows(cell):
    tokens = _tokens(8)
    carrying = _model(cell=cell, stateful=True)
    for index, window in enumerate(tokens.split(4)):
        carrying(window, continues=index > 0).square().sum().backward()
    plain, state = _model(cell=cell), None
    for window in tokens.split(4):
        logits, state = plain.read(window, state)
        state = tuple(each.detach() for each in state) if isinstance(state, tuple) else state.detach()
        logits.square().sum().backward()
    for one, other in zip(carrying.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_state_is_forgotten_when_a_batch_does_not_continue():
    model = _model(stateful=True)
    first = model(_tokens())
    torch.testing.assert_close(model(_tokens(), continues=False), first)
    assert not torch.allclose(model(_tokens(), continues=True), first)


def test_another_batch_size_begins_anew():
    model = _model(stateful=True)
    fresh = model(_tokens(batch=2))
    model(_tokens(batch=3))
    torch.testing.assert_close(model(_tokens(batch=2), continues=True), fresh)


def test_validation_has_a_state_of_its_own():
    model = _model(stateful=True)
    model(_tokens())
    carried = model.carried[True].clone()
    model.eval()
    model(_tokens(seed=1))
    assert torch.equal(model.carried[True], carried)


def test_a_model_that_is_not_stateful_carries_nothing():
    model = _model()
    torch.testing.assert_close(model(_tokens(), continues=True), model(_tokens(), continues=True))
    assert model.carried == {True: None, False: None}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_run_stopped_in_the_middle_of_an_epoch_goes_on_exactly(cell, tmp_path):
    def learner():
        data = char_text(max_chars=6000, bptt=8)
        torch.manual_seed(0)
        model = CharRNN(data.vocab_size, cell=cell, hidden_size=8, embedding_dim=4, stateful=True)
        return Learner(model, data, sequence_nll, batch_size=8, sampler=Streams, folder=tmp_path, progress=False)

    straight = learner()
    straight.fit(2)

    class Stop(Callback):
        def after_batch(self, learner):
            if learner.position.step == 5:
                checkpoint.save_checkpoint(learner, tmp_path)
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        learner().fit(2, callbacks=[Stop()])
    resumed = learner()
    resumed.resume(2)
    assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in straight.history]
    for one, other in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_state_is_no_part_of_the_file_of_weights(tmp_path):
    data = char_text(max_chars=6000)
    model = CharRNN(data.vocab_size, hidden_size=8, embedding_dim=4, stateful=True)
    learner = Learner(model, data, sequence_nll, progress=False)
    model(torch.zeros(3, 2, dtype=torch.long))
    learner.save(tmp_path / "model.safetensors")
    fresh = CharRNN(data.vocab_size, hidden_size=8, embedding_dim=4, stateful=True)
    Learner(fresh, data, sequence_nll, progress=False).load(tmp_path / "model.safetensors")
    assert fresh.carried[True] is None


# --- what is predicted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: _model(), (6, 3, VOCABULARY)),
        (lambda: _model(predict="last"), (1, 3, VOCABULARY)),
        (lambda: _model(predict="last", bidirectional=True), (1, 3, VOCABULARY)),
        (lambda: _model(one_hot=True), (6, 3, VOCABULARY)),
        (lambda: Char3(VOCABULARY, hidden_size=4), (1, 3, VOCABULARY)),
        (lambda: CharLoop(VOCABULARY, hidden_size=4), (1, 3, VOCABULARY)),
        (lambda: CharLoop(VOCABULARY, hidden_size=4, combine="concat"), (1, 3, VOCABULARY)),
    ],
)
def test_logits_are_given_for_the_places_that_are_foreseen(model, shape):
    assert model()(_tokens()).shape == shape


def test_three_characters_are_a_loop_of_three():
    torch.manual_seed(0)
    three, loop = Char3(VOCABULARY, hidden_size=4), CharLoop(VOCABULARY, hidden_size=4)
    loop.load_state_dict(three.state_dict())
    torch.testing.assert_close(three(_tokens(5)), loop(_tokens(5)[-3:]))


@pytest.mark.parametrize("cell", ["rnn", "rnn_cell"])
def test_recurrent_weights_may_begin_as_the_identity(cell):
    plain, identity = _model(cell=cell).rnn, _model(cell=cell, identity_init=True).rnn
    assert torch.equal(identity.weight_hh_l0, torch.eye(7))
    others = [name for name, _ in plain.named_parameters() if name != "weight_hh_l0"]
    assert all(torch.equal(getattr(plain, name), getattr(identity, name)) for name in others)


def test_the_courses_lstm_has_dropout_between_its_layers_only():
    model = _model(cell="lstm", layers=2, dropout=0.5, output_dropout=0.0)
    assert (model.rnn.dropout, model.dropout.p) == (0.5, 0.0)
    assert _model(cell="lstm", layers=2, dropout=0.5).dropout.p == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bidirectional": True}, "a bidirectional network would read the characters that it is to predict"),
        ({"cell": "gru", "identity_init": True}, "identity_init needs cell 'rnn' or 'rnn_cell', got 'gru'"),
        ({"cell": "lstm", "nonlinearity": "relu"}, "nonlinearity='relu' needs cell 'rnn' or 'rnn_cell', got 'lstm'"),
        ({"cell": "rnn", "nonlinearity": "gelu"}, "nonlinearity must be 'tanh' or 'relu', got 'gelu'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        _model(**options)


def test_a_window_too_short_for_three_characters_is_refused():
    with pytest.raises(ShapeError, match="T at least 3"):
        Char3(VOCABULARY)(_tokens(2))


# --- loss and metrics -------------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_negative_log_likelihood_in_nats():
    output = torch.log(torch.tensor([[[0.5, 0.25, 0.25]], [[0.1, 0.1, 0.8]]]))
    target = torch.tensor([[0], [2]])
    expected = -(torch.log(torch.tensor(0.5)) + torch.log(torch.tensor(0.8))) / 2
    torch.testing.assert_close(sequence_nll(output, target), expected)
    torch.testing.assert_close(last_only(output, target), -torch.log(torch.tensor(0.8)))


def test_a_model_of_the_last_position_is_judged_by_the_last_target():
    output = torch.randn(1, 3, VOCABULARY)
    torch.testing.assert_close(sequence_nll(output, _tokens()), nn.functional.cross_entropy(output[0], _tokens()[-1]))


def test_output_and_target_that_do_not_belong_together_are_refused():
    with pytest.raises(ShapeError, match=r"logits must be \(T, B, V\) and the target \(T, B\)"):
        sequence_nll(torch.randn(6, 2, VOCABULARY), _tokens())


def test_metrics_of_a_model_that_knows_nothing():
    output, target = torch.zeros(6, 3, 8), _tokens() % 8
    for metric, value in ((BitsPerCharacter(1.0), 3.0), (NextTokenPerplexity(), 8.0)):
        metric.update(output, target)
        assert float(metric.compute()) == pytest.approx(value)


def test_accuracy_counts_the_likeliest_character():
    target = _tokens()
    output = nn.functional.one_hot(target, VOCABULARY).float()
    output[0] = 0.0
    output[0, :, 0] = 1.0
    metric = NextTokenAccuracy()
    metric.update(output, target)
    hits = int((target[0] == 0).sum()) + 15
    assert float(metric.compute()) == pytest.approx(hits / 18)
