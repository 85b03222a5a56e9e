"""AWD-LSTM: each regularizer against its definition, and averaging that is triggered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from lab_attention.dropout import dropout
from lab_lm.awd import NTASGD, AwdLSTM, LockedDropout, RegularizedNextToken, WeightDropLSTM, dropped_embedding
from lab_text.losses import sequence_nll
from lab_text.samplers import Streams
from torch import nn

from lab import Learner
from lab.errors import ParameterError

VOCABULARY = 12


def _tokens(steps=6, batch=3, seed=0):
    return torch.randint(VOCABULARY, (steps, batch), generator=torch.Generator().manual_seed(seed))


def _model(**options):
    torch.manual_seed(0)
    return AwdLSTM(VOCABULARY, **{"embedding_dim": 6, "hidden_size": 9, "layers": 3, **options})


def _without_dropout(**options):
    drops = ("weight_dropout", "embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout")
    return _model(**{**dict.fromkeys(drops, 0.0), **options})


def test_weight_drop_is_an_lstm_with_dropped_recurrent_weights():
    torch.manual_seed(0)
    layer, x = WeightDropLSTM(4, 5, weight_dropout=0.5), torch.randn(7, 3, 4)
    torch.manual_seed(1)
    outputs, (hidden, cell) = layer(x)
    outputs.square().sum().backward()
    torch.manual_seed(1)
    dropped = dropout(layer.weight_hh_l0.detach(), 0.5)
    assert 0 < float((dropped == 0).float().mean()) < 1
    plain = nn.LSTM(4, 5)
    plain.load_state_dict({**layer.state_dict(), "weight_hh_l0": dropped})
    expected, (last_hidden, last_cell) = plain(x)
    expected.square().sum().backward()
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close((hidden, cell), (last_hidden, last_cell))
    # a dropped weight gets no gradient, a kept one that of the scaled weight
    factor = torch.where(dropped == 0, 0.0, 2.0)
    torch.testing.assert_close(layer.weight_hh_l0.grad, plain.weight_hh_l0.grad * factor)
    torch.testing.assert_close(layer.weight_ih_l0.grad, plain.weight_ih_l0.grad)


def test_in_evaluation_nothing_is_dropped():
    layer, x = WeightDropLSTM(4, 5, weight_dropout=0.5).eval(), torch.randn(7, 3, 4)
    plain = nn.LSTM(4, 5)
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x)[0], plain(x)[0])


def test_locked_dropout_zeroes_the_same_values_at_every_step():
    torch.manual_seed(0)
    x = LockedDropout(0.5)(torch.ones(5, 4, 50))
    assert set(x.unique().tolist()) == {0.0, 2.0}
    assert (x == x[0]).all()
    assert not (x[:, 0] == x[:, 1]).all()


def test_embedding_dropout_zeroes_whole_words_wherever_they_occur():
    torch.manual_seed(0)
    tokens, weight = torch.arange(200).repeat(2, 1), torch.ones(200, 3)
    x = dropped_embedding(tokens, weight, 0.5)
    assert set(x.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(x[0], x[1])
    assert (x.amax(2) == x.amin(2)).all()
    assert 0.3 < float((x == 0).float().mean()) < 0.7


def test_windows_that_continue_are_read_as_one_text():
    model, tokens = _without_dropout(), _tokens(12)
    whole = model(tokens)
    pieces = [model(piece, continues=number > 0) for number, piece in enumerate(tokens.split(4))]
    torch.testing.assert_close(torch.cat(pieces), whole)


def test_ar_and_tar_are_added_to_the_gradients_and_not_to_the_reported_loss(tiny):
    torch.manual_seed(0)
    model = AwdLSTM(tiny.vocab_size, embedding_dim=6, hidden_size=9, layers=2, output_dropout=0.0).eval()
    stepper = RegularizedNextToken(alpha=2.0, beta=3.0)
    Learner(model, tiny, sequence_nll, stepper=stepper, progress=False)
    batch = tiny.train[0]
    penalized = stepper.train_loss(batch)
    with torch.no_grad():
        raw, _ = model.rnn(model.embedding(batch.tokens))
        plain = sequence_nll(model(batch.tokens), batch.target)
    torch.testing.assert_close(penalized - plain, 2 * raw.square().mean() + 3 * raw.diff(dim=0).square().mean())
    torch.testing.assert_close(stepper._plain, plain)


def test_averaging_starts_when_losses_stop_falling():
    callback, said = NTASGD(patience=2), []
    learner = SimpleNamespace(
        history=[], epochs_done=0, position=SimpleNamespace(step=0, epoch=0), model=nn.Linear(1, 1), say=said.append
    )
    callback.before_fit(learner)
    started = []
    for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.4, 2.3, 1.0]):
        learner.history.append({"epoch": epoch, "valid_loss": loss})
        learner.epochs_done = learner.position.epoch = epoch
        callback.after_epoch(learner)
        started.append(callback.triggered)
    # 2.5 and 2.4 are within the patience; 2.4 > min(3.0, 2.0) of all but the last two
    assert started == [False, False, False, False, True, True]
    assert len(said) == 1


def test_the_average_is_the_mean_of_the_weights_of_the_steps(tiny):
    callback = NTASGD(patience=1)
    model, seen = nn.Linear(1, 1), []
    learner = SimpleNamespace(model=model, position=SimpleNamespace(step=0))
    callback.before_fit(learner)
    callback.triggered = True
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, value)
        seen.append(value)
        callback.after_step(learner)
    assert float(callback._average[0]) == pytest.approx(3.0)


def test_a_small_model_learns(tiny):
    torch.manual_seed(0)
    model = _small(tiny)
    learner = Learner(
        model,
        tiny,
        sequence_nll,
        lr=0.02,
        batch_size=4,
        sampler=Streams,
        valid_sampler=Streams,
        stepper=RegularizedNextToken(),
        callbacks=[NTASGD(patience=1)],
        progress=False,
    )
    losses = [row["valid_loss"] for row in learner.fit(6)]
    assert losses[-1] < 0.5 < losses[0]


def _small(data):
    return AwdLSTM(
        data.vocab_size,
        embedding_dim=16,
        hidden_size=24,
        layers=2,
        weight_dropout=0.1,
        embedding_dropout=0.0,
        input_dropout=0.1,
        hidden_dropout=0.1,
        output_dropout=0.1,
    )


def test_probabilities_and_modules_that_do_not_exist_are_refused(tiny):
    with pytest.raises(ParameterError, match=r"weight_dropout must lie in \[0, 1\), got 1.0"):
        _model(weight_dropout=1.0)
    with pytest.raises(ParameterError, match="the model has no module 'output_dropout'"):
        Learner(nn.Linear(1, 1), tiny, sequence_nll, stepper=RegularizedNextToken(), progress=False)
    with pytest.raises(ParameterError, match="patience must be at least 1, got 0"):
        NTASGD(patience=0)
