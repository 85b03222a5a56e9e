"""Encoders, poolings and the classifier: worked examples, and golden loss curves."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lab_basics.optimizers import adam
from lab_sentences.data import labelled_text
from lab_sentences.encoders import BagOfWords, BiRNN, TextCNN, TransformerEncoder
from lab_sentences.models import TextClassifier, reversed_words
from lab_sentences.poolings import ConcatPooling, FirstPooling, LastPooling, MaxPooling, MeanPooling
from torch.nn import functional

from lab import Learner
from lab.errors import DataError, ParameterError, ShapeError

GOLDEN = {
    "textCNN": (partial(TextCNN, filters=8), [0.69907, 0.68766]),
    "Transformer": (partial(TransformerEncoder, hidden_size=16, heads=2, feed_forward=32), [0.71992, 0.70004]),
}


def fitted(encoder, pooling, epochs, rows=1500):
    """Return the losses and the learner of a classifier of the first ``rows`` generated questions."""
    data = labelled_text(max_size=500)
    data.train.ids, data.train.target = data.train.ids[:rows], data.train.target[:rows]
    torch.manual_seed(0)
    model = TextClassifier(
        data.vocab_size, data.output_size, data.pad_id, None, 1, encoder=encoder, pooling=pooling, embedding_dim=16
    )
    learner = Learner(
        model, data, functional.cross_entropy, optimizer=adam, lr=1e-2, batch_size=64, progress=False, seed=3
    )
    return [row["train_loss"] for row in learner.fit(epochs)], learner


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_loss_curve(name):
    """Values written down once; a change of them is a change of what is computed."""
    encoder, expected = GOLDEN[name]
    losses, _ = fitted(encoder, MaxPooling, 2)
    assert losses == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(("encoder", "learned"), [(TextCNN, True), (BiRNN, True), (BagOfWords, False)])
def test_order_is_learned_by_encoders_that_see_it(tmp_path, encoder, learned):
    path = tmp_path / "order.csv"
    path.write_text("text,label\n" + "one two,x\ntwo one,y\n" * 32, encoding="utf-8")
    data = labelled_text(path=str(path))
    torch.manual_seed(0)
    model = TextClassifier(
        data.vocab_size, 2, data.pad_id, None, 1, encoder=encoder, pooling=MaxPooling, embedding_dim=8, dropout=0.0
    )
    learner = Learner(model, data, functional.cross_entropy, optimizer=adam, lr=1e-2, batch_size=16, progress=False)
    assert (learner.fit(12)[-1]["valid_loss"] < 0.3) == learned


def test_poolings_of_a_worked_example():
    x = torch.tensor([[[1.0, 4.0], [3.0, 2.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    expected = {MaxPooling: [3, 4], MeanPooling: [2, 3], FirstPooling: [1, 4], LastPooling: [3, 2]}
    for kind, values in expected.items():
        assert kind(2)(x, mask).tolist() == [values]
    assert ConcatPooling(2)(x, mask).tolist() == [[3, 2, 3, 4, 2, 3]]


def test_a_bag_of_words_knows_no_order():
    model = TextClassifier(9, 2, 1, None, 1, encoder=BagOfWords, pooling=MeanPooling, embedding_dim=4).eval()
    assert torch.allclose(model(torch.tensor([[5, 6, 7]])), model(torch.tensor([[7, 5, 6]])))


def test_a_text_of_padding_alone_is_finite():
    for encoder in (BagOfWords, BiRNN, TextCNN):
        model = TextClassifier(9, 2, 1, None, 1, encoder=encoder, pooling=MaxPooling, embedding_dim=4).eval()
        assert torch.isfinite(model(torch.tensor([[1, 1, 1], [5, 6, 1]]))).all()


def test_word_vectors_are_the_start():
    vectors = torch.randn(9, 3)
    model = TextClassifier(9, 2, 1, vectors, 1, embedding_dim=50)
    assert torch.equal(model.embedding.trained.weight, vectors)


def test_without_word_vectors_the_start_is_small():
    torch.manual_seed(0)
    weight = TextClassifier(900, 2, 1, None, 1, embedding_dim=50).embedding.trained.weight.detach()
    assert 0.24 < weight.abs().max() <= 0.25
    assert weight.std() == pytest.approx(0.25 / 3**0.5, rel=0.02)
    assert weight[1].abs().max() == 0


def test_predictions_have_names():
    _, learner = fitted(BagOfWords, MeanPooling, 1, rows=128)
    found = learner.predict(["who is there ?", "is who there ?"])
    assert [set(each) for each in found] == [{"exchanged", "intact"}] * 2
    assert all(sum(each.values()) == pytest.approx(1) for each in found)
    assert learner.predict("who is there ?")[0] == pytest.approx(found[0])
    with pytest.raises(DataError, match="no text to classify"):
        learner.predict([""])


def test_parameters_and_shapes_are_checked():
    with pytest.raises(ParameterError):
        TextClassifier(9, 2, 1, None, 1, dropout=1.0)
    with pytest.raises(ParameterError):
        BiRNN(4, hidden_size=0)
    with pytest.raises(ParameterError):
        TextCNN(4, kernels=())
    with pytest.raises(ShapeError):
        TextClassifier(9, 2, 1, None, 1)(torch.zeros(2, 3))


def test_words_are_reversed_and_padding_stays():
    tokens = torch.tensor([[0, 0, 5, 6, 7], [8, 9, 0, 0, 0], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0]])
    expected = [[0, 0, 7, 6, 5], [9, 8, 0, 0, 0], [5, 4, 3, 2, 1], [0, 0, 0, 0, 0]]
    assert reversed_words(tokens, 0).tolist() == expected


def test_a_backward_classifier_sees_what_a_forward_one_sees_of_reversed_texts():
    options = {"encoder": "birnn", "pooling": "last", "embedding_dim": 6, "dropout": 0.0}
    torch.manual_seed(0)
    forward = TextClassifier(20, 3, 0, None, 1, **options).eval()
    backward = TextClassifier(20, 3, 0, None, 1, backward=True, **options).eval()
    backward.load_state_dict(forward.state_dict())
    tokens = torch.tensor([[0, 0, 5, 6, 7], [1, 2, 3, 4, 5]])
    torch.testing.assert_close(backward(tokens), forward(reversed_words(tokens, 0)))
    assert not torch.allclose(backward(tokens), forward(tokens))
