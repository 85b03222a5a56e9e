"""Recurrent language models: states, tied weights, generation, and a golden loss curve."""

from __future__ import annotations

import pytest
import torch
from lab_lm.models import RnnLM
from lab_lm.ngram import KneserNeyLM
from lab_lm.qrnn import QRNN
from lab_lm.steppers import NextToken
from lab_text.generation import generate
from lab_text.losses import sequence_nll
from lab_text.metrics import BitsPerCharacter, NextTokenPerplexity, PerplexityPerWord
from lab_text.samplers import Streams

from lab import Learner
from lab.errors import ParameterError, ShapeError

VOCABULARY = 12


def _tokens(steps=6, batch=3, seed=0):
    return torch.randint(VOCABULARY, (steps, batch), generator=torch.Generator().manual_seed(seed))


def _model(**options):
    torch.manual_seed(0)
    return RnnLM(VOCABULARY, **{"hidden_size": 8, "dropout": 0.0, **options})


def _fitted(model, data, epochs, **options):
    learner = Learner(
        model,
        data,
        sequence_nll,
        lr=0.02,
        batch_size=4,
        sampler=Streams,
        valid_sampler=Streams,
        stepper=NextToken(),
        progress=False,
        seed=1,
        **options,
    )
    learner.fit(epochs)
    return learner


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "qrnn"])
def test_windows_that_continue_are_read_as_one_text(cell):
    model, tokens = _model(cell=cell), _tokens(12)
    whole = model(tokens)
    pieces = [model(piece, continues=number > 0) for number, piece in enumerate(tokens.split(4))]
    torch.testing.assert_close(torch.cat(pieces), whole)
    torch.testing.assert_close(model(tokens[:4], continues=False), whole[:4])


def test_a_qrnn_is_the_recurrence_of_its_paper():
    torch.manual_seed(0)
    network, x = QRNN(3, 4), torch.randn(5, 2, 3)
    weight, bias = network.layers[0].gates.weight, network.layers[0].gates.bias
    before, cell, expected = torch.zeros(2, 3), torch.zeros(2, 4), []
    for step in x:
        z, f, o = (weight @ torch.cat([before, step], 1).T + bias.unsqueeze(1)).T.split(4, 1)
        cell = f.sigmoid() * cell + (1 - f.sigmoid()) * z.tanh()
        expected.append(o.sigmoid() * cell)
        before = step
    torch.testing.assert_close(network(x)[0], torch.stack(expected))


def test_a_tied_model_has_one_matrix_for_both_ends():
    tied, untied = _model(tied=True), _model()
    assert tied.output.weight is tied.embedding.weight
    assert sum(w.numel() for w in untied.parameters()) - sum(w.numel() for w in tied.parameters()) == VOCABULARY * 8
    assert _model(tied=True, embedding_dim=5)(_tokens()).shape == (6, 3, VOCABULARY)


def test_the_initial_weights_of_shared_parts_do_not_depend_on_tying():
    from lab.training.rng import Streams as RandomStreams

    models = []
    for tied in (False, True):
        with RandomStreams(0).initializing():
            models.append(RnnLM(VOCABULARY, hidden_size=8, tied=tied))
    for name in ("embedding.weight", "rnn.weight_hh_l0", "rnn.weight_ih_l1"):
        assert torch.equal(models[0].get_parameter(name), models[1].get_parameter(name))


def test_parameters_and_tokens_out_of_range_are_refused():
    with pytest.raises(ParameterError, match=r"dropout=1.0"):
        _model(dropout=1.0)
    with pytest.raises(ShapeError, match=r"tokens must be integers \(T, B\)"):
        _model()(torch.zeros(3, 2))


def test_golden_loss_curve(tiny):
    """Values written down once; a change of them is a change of what is computed."""
    torch.manual_seed(0)
    learner = _fitted(RnnLM(tiny.vocab_size, hidden_size=16, layers=1, tied=True, dropout=0.0), tiny, 3)
    assert [row["train_loss"] for row in learner.history] == pytest.approx(GOLDEN, rel=5e-3)


GOLDEN = [1.81269, 0.353849, 0.120292]


def test_a_model_that_has_learned_a_text_continues_it(tiny):
    torch.manual_seed(0)
    learner = _fitted(RnnLM(tiny.vocab_size, hidden_size=16, layers=1, dropout=0.0), tiny, 6)
    assert generate(learner, "the cat", 5, greedy=True) == "the cat sat on a mat\n"
    assert generate(learner, "the cat", 3, beam=3) == "the cat sat on a"
    with pytest.raises(ParameterError, match="not in the vocabulary: 'bird'"):
        generate(learner, "the bird", 5)
    with pytest.raises(ParameterError, match="the prompt has no token"):
        generate(learner, " ", 5)


def test_ngrams_are_an_arm_that_is_counted_and_never_trained(tiny):
    learner = _fitted(KneserNeyLM(tiny, tiny.vocab_size, order=3), tiny, 3)
    assert len(learner.history) == 1
    # the animal is the only surprise: once in seven tokens, about 0.64 nats
    assert learner.history[0]["valid_loss"] == pytest.approx(0.64 / 7, abs=0.05)
    assert generate(learner, "the dog", 4, greedy=True) == "the dog sat on a mat"


def test_metrics_of_levels_count_the_same_text():
    target = _tokens()
    output = torch.zeros(6, 3, 8)
    for metric, value in (
        (NextTokenPerplexity(), 8.0),
        (PerplexityPerWord(2.0), 64.0),
        (BitsPerCharacter(0.5), 1.5),
    ):
        metric.update(output, target % 8)
        assert float(metric.compute()) == pytest.approx(value)
    with pytest.raises(ParameterError, match="tokens per unit must be positive, got 0"):
        PerplexityPerWord(0)
