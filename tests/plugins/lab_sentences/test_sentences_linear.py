"""Linear models of n-grams equal scikit-learn's own pipelines."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from lab_basics.fitting import FitOrStep
from lab_basics.losses import cross_entropy
from lab_sentences.data import labelled_text
from lab_sentences.linear import NgramModel
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from lab import Learner
from lab.errors import ParameterError, ShapeError


@pytest.fixture(scope="module")
def data():
    data = labelled_text(max_size=300)
    data.train.ids, data.train.target = data.train.ids[:400], data.train.target[:400]
    return data


def fitted(data, **options):
    model = NgramModel(data.vocab_size, data.output_size, data.pad_id, data.text_count, **options)
    learner = Learner(model, data, cross_entropy, stepper=FitOrStep(), batch_size=64, progress=False)
    learner.fit(1)
    return learner


def strings(data, split):
    return [" ".join(map(str, ids)) for ids in split.ids]


def test_tfidf_equals_scikit_learn(data):
    learner = fitted(data, longest=2, strength=3.0)
    vectorizer = TfidfVectorizer(analyzer="word", token_pattern=r"\d+", ngram_range=(1, 2))
    x = vectorizer.fit_transform(strings(data, data.train))
    model = LogisticRegression(C=3.0, max_iter=1000).fit(x, data.train.target.numpy())
    expected = model.decision_function(vectorizer.transform(strings(data, data.valid)))
    batch = data.valid.__getitems__(range(len(data.valid)))
    logits = learner.predict(batch.tokens)
    assert np.allclose((logits[:, 1] - logits[:, 0]).numpy(), expected, atol=2e-3)


def test_nb_svm_equals_its_definition(data):
    learner = fitted(data, features="nb", classifier="svm", longest=1)
    vectorizer = CountVectorizer(token_pattern=r"\d+", binary=True)
    x = vectorizer.fit_transform(strings(data, data.train)).astype(float)
    y = data.train.target.numpy()
    p, q = (1 + np.asarray(x[y == label].sum(0)).ravel() for label in (1, 0))
    ratio = np.log((p / p.sum()) / (q / q.sum()))
    model = LinearSVC(random_state=0).fit(x.multiply(ratio).tocsr(), y)
    weight = 0.75 * np.abs(model.coef_[0]).mean() + 0.25 * model.coef_[0]
    test = vectorizer.transform(strings(data, data.valid)).astype(float)
    expected = test.multiply(ratio).tocsr() @ weight + model.intercept_[0]
    logits = learner.predict(data.valid.__getitems__(range(len(data.valid))).tokens)
    assert np.allclose((logits[:, 1] - logits[:, 0]).numpy(), expected, atol=2e-2)


@pytest.mark.parametrize("features", ["tfidf", "binary", "nb"])
def test_three_classes_are_learned_and_saved(tmp_path, features):
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "red apple,fruit\nblue sea,water\nold stone,rock\n" * 10, encoding="utf-8")
    data = labelled_text(path=str(path))
    learner = fitted(data, features=features)
    assert [max(each, key=each.get) for each in learner.predict(["apple", "sea", "stone"])] == [
        "fruit", "water", "rock",
    ]  # fmt: skip
    learner.save(tmp_path / "model.safetensors")
    other = NgramModel(data.vocab_size, data.output_size, data.pad_id, 1, features=features)
    again = Learner(other, data, cross_entropy, progress=False, stepper=FitOrStep())
    again.load(tmp_path / "model.safetensors")
    assert again.predict(["apple"]) == learner.predict(["apple"])


def test_a_text_without_a_known_n_gram_gets_the_bias(data):
    learner = fitted(data)
    assert torch.allclose(learner.predict(torch.tensor([[data.pad_id]])), learner.model.bias)


@pytest.mark.parametrize("wrong", [{"longest": 5}, {"min_texts": 0}, {"strength": 0.0}, {"beta": 1.1}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ParameterError):
        NgramModel(9, 2, 1, 1, **wrong)


def test_n_grams_of_pairs_are_told_by_the_texts_that_have_them(tmp_path):
    path = tmp_path / "pairs.csv"
    rows = "a cat sits,a cat sits down,yes\na cat sits,no cat sits,no\nno dog sits,a cat,no\na dog,a dog,yes\n"
    path.write_text("text,other,label\n" + rows * 6, encoding="utf-8")
    data = labelled_text(path=str(path), text_pair="other", valid_share=0.25)
    learner = fitted(data, features="binary", longest=2, strength=2.0)
    pairs = list(zip(strings(data, data.train), others(data.train), strict=True))
    x = DictVectorizer().fit_transform([by_place(*pair) for pair in pairs])
    model = LogisticRegression(C=2.0, max_iter=1000).fit(x, data.train.target.numpy())
    batch = data.train.__getitems__(range(len(data.train)))
    logits = learner.predict(batch.tokens, batch.pair_tokens)
    assert np.allclose((logits[:, 1] - logits[:, 0]).numpy(), model.decision_function(x), atol=2e-3)
    answers = learner.predict([("a cat sits", "a cat sits"), ("a cat sits", "no cat sits")])
    assert [max(each, key=each.get) for each in answers] == ["yes", "no"]
    with pytest.raises(ShapeError, match="takes 2 texts"):
        learner.model(batch.tokens)


def others(split):
    return [" ".join(map(str, ids)) for ids in split.pair_ids]


def by_place(first, second):
    """Return the unigrams and bigrams of a pair as features: of both texts, of the first or of the second alone."""
    a, b = ({*words, *itertools.pairwise(words)} for words in (first.split(), second.split()))
    return {f"{place} {ngram}": 1 for place, some in enumerate((a & b, a - b, b - a)) for ngram in some}


def test_numbers_are_refused():
    with pytest.raises(ParameterError, match="the labels are numbers"):
        NgramModel(9, 1, 1, 1)
