"""Models, losses, evaluation and files: worked examples, and a golden loss curve."""

from __future__ import annotations

import json
import math
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from lab_text.embedded import generate, tokens
from lab_text.indexes import NmslibIndex
from lab_text.vectors import TextVectors
from lab_text.vocabulary import Vocabulary
from lab_words.counts import word_counts
from lab_words.data import word_pairs
from lab_words.embedded_eval import embedded_analogies, embedded_similarities
from lab_words.evaluation import (
    Question,
    analogy_score,
    answers,
    correlation,
    nearest,
    neighbors,
    plane,
    similarity_score,
    solve,
)
from lab_words.export import export_vectors
from lab_words.losses import glove_loss, negative_sampling, path_nll, word_nll
from lab_words.models import WordVectorModel, ngrams_of
from lab_words.vocabulary import WordVocabulary
from safetensors.torch import save_file
from torch.nn import functional

from lab import Learner
from lab.errors import DataError, ParameterError, ShapeError


def model_of(data, **options):
    torch.manual_seed(0)
    return WordVectorModel(data.vocab_size, data.vocab, data.objective, embedding_dim=16, **options)


def fitted(data, loss, epochs=2, **options):
    learner = Learner(
        model_of(data, **options),
        data,
        loss,
        lr=1e-2,
        batch_size=512,
        progress=False,
        seed=3,
        optimizer=partial(torch.optim.Adam),
    )
    return [row["train_loss"] for row in learner.fit(epochs)], learner


RECIPES = {
    "negatives": (word_pairs, negative_sampling, {}),
    "cbow": (partial(word_pairs, model="cbow"), word_nll, {}),
    "tree": (partial(word_pairs, objective="tree"), word_nll, {}),
    "softmax": (partial(word_pairs, objective="softmax"), word_nll, {}),
    "subwords": (word_pairs, word_nll, {"subwords": (3, 6), "buckets": 500}),
    "glove": (word_counts, glove_loss, {}),
}
GOLDEN = {
    "negatives": [0.68583, 0.56068, 0.45085],
    "cbow": [4.15290, 4.04221, 3.58482],
    "tree": [6.30410, 6.10127, 6.00363],
    "softmax": [6.15811, 6.14718, 6.10121],
    "subwords": [3.35038, 2.81566, 2.72335],
    "glove": [0.11210, 0.03891, 0.02623],
}


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """A file of generated sentences; Python's own help differs between versions."""
    path = tmp_path_factory.mktemp("text") / "sentences.txt"
    some = islice(generate(), 4000)
    path.write_text("\n\n".join(" ".join(tokens(pair.english)) for pair in some), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("objective", GOLDEN)
def test_golden_loss_curves(objective, sentences):
    """Values written down once; a change of them is a change of what is computed."""
    make, loss, options = RECIPES[objective]
    losses, _ = fitted(make(path=sentences, min_freq=20), loss, 3, **options)
    assert losses == pytest.approx(GOLDEN[objective], rel=2e-3)


@pytest.mark.parametrize("objective", ["negatives", "tree", "softmax", "counts"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_every_objective_is_learned(model, objective):
    losses, _ = fitted(word_pairs(min_freq=50, model=model, objective=objective), word_nll, 4)
    assert losses[-1] < losses[0]


def test_glove_and_subwords_are_learned():
    assert np.diff(fitted(word_counts(min_freq=50), glove_loss)[0]) < 0
    assert np.diff(fitted(word_pairs(min_freq=50), negative_sampling, subwords=(3, 6), buckets=500)[0]) < 0


@pytest.mark.parametrize("objective", ["negatives", "tree"])
def test_gradients_are_those_of_copied_rows(objective):
    data = word_pairs(min_freq=100, objective=objective)
    model = model_of(data).double()
    words, candidates, target = data.train.__getitems__(range(64))
    word_nll(model(words, candidates), target.double()).backward()
    fused = [model.inputs.weight.grad.clone(), model.outputs.weight.grad.clone()]
    model.zero_grad()
    rows = functional.embedding(candidates.clamp(min=0), model.outputs.weight)
    hidden = functional.embedding(words[:, 0], model.inputs.weight)
    word_nll((rows * hidden[:, None]).sum(2), target.double()).backward()
    assert torch.allclose(fused[0], model.inputs.weight.grad)
    assert torch.allclose(fused[1], model.outputs.weight.grad)


def test_a_hierarchical_softmax_is_a_distribution():
    data = word_pairs(min_freq=100, objective="tree")
    model = model_of(data).double()
    nodes, bits = data.train.paths
    words = torch.zeros(data.vocab_size, 1, dtype=torch.long)
    logits = model(words, nodes).detach()
    each = functional.binary_cross_entropy_with_logits(logits, bits.clamp(min=0).double(), reduction="none")
    assert float((-(each * (bits >= 0)).sum(1)).exp().sum()) == pytest.approx(1)


def test_the_context_of_cbow_is_a_mean_without_padding():
    data = word_pairs(min_freq=100)
    model = model_of(data)
    both = model.inputs.weight[[3, 5]].mean(0)
    assert torch.allclose(model.lookup(torch.tensor([[3, -1, 5, -1]]))[0], both)


def test_ngrams_of_where_are_those_of_the_paper():
    assert ngrams_of("where", 3, 3) == ["<wh", "whe", "her", "ere", "re>"]
    assert len(ngrams_of("where", 3, 6)) == 5 + 4 + 3 + 2


def test_subword_vectors_are_sums():
    data = word_pairs(min_freq=100)
    model = model_of(data, subwords=(3, 4), buckets=50)
    pieces = model.subword_ids[7]
    assert torch.allclose(model.vectors()[7], model.inputs.weight[pieces[pieces >= 0]].sum(0), atol=1e-6)


def test_glove_ratios_of_ice_and_steam():
    """Pennington et al. 2014, table 1: ratios of probabilities are what differences of vectors encode."""
    ice = {"solid": 1.9e-4, "gas": 6.6e-5, "water": 3.0e-3, "fashion": 1.7e-5}
    steam = {"solid": 2.2e-5, "gas": 7.8e-4, "water": 2.2e-3, "fashion": 1.8e-5}
    # the table rounds its probabilities to two digits, so the ratios agree to a few percent
    ratios = {word: ice[word] / steam[word] for word in ice}
    assert ratios == pytest.approx({"solid": 8.9, "gas": 0.085, "water": 1.36, "fashion": 0.96}, rel=0.04)
    # a model whose outputs are log counts has loss 0, and its differences are the logarithms of these ratios
    logs = torch.tensor([[math.log(1e6 * p) for p in side.values()] for side in (ice, steam)])
    assert float(glove_loss(logs, logs.exp())) == pytest.approx(0, abs=1e-10)
    assert (logs[0] - logs[1]).exp().tolist() == pytest.approx(list(ratios.values()))


def test_glove_weighs_rare_pairs_less():
    wrong = torch.zeros(1, 1)
    assert float(glove_loss(wrong, torch.full((1, 1), 25.0))) == pytest.approx(0.25**0.75 * math.log(25) ** 2)
    assert float(glove_loss(wrong, torch.full((1, 1), 400.0))) == pytest.approx(math.log(400) ** 2)


def test_one_loss_fits_all_objectives():
    output, counts = torch.tensor([[0.5], [2.0]]), torch.tensor([3.0, 200.0])
    assert word_nll(output[:, 0], counts) == glove_loss(output[:, 0], counts)
    words = torch.tensor([1, 0])
    assert word_nll(output @ output.T, words) == functional.cross_entropy(output @ output.T, words)


def test_only_counts_have_biases_by_default():
    assert model_of(word_pairs(min_freq=200, objective="counts")).input_bias is not None
    assert model_of(word_pairs(min_freq=200)).input_bias is None


def test_losses_of_chance_are_known():
    zeros, target = torch.zeros(2, 3), torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]])
    assert float(path_nll(zeros, target)) == pytest.approx(5 * math.log(2) / 2)
    assert float(negative_sampling(zeros, target.clamp(min=0))) == pytest.approx(math.log(2))
    with pytest.raises(ShapeError):
        negative_sampling(zeros, target[:, :2])


VOCAB = WordVocabulary(["man", "woman", "son", "daughter", "stone"], [5, 4, 3, 2, 1])
VECTORS = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [0, -1, 0]], float)


@pytest.mark.parametrize("method", ["add", "multiply"])
def test_an_analogy_is_solved_without_its_own_words(method):
    assert solve(VOCAB, VECTORS, "man", "woman", "son", method=method)[0][0] == "daughter"
    score = analogy_score(VOCAB, VECTORS, [Question("man", "woman", "son", "daughter"), Question(*"abcd")], method)
    assert score == (1.0, 1, 2)


def test_neighbors_similarity_and_correlation_of_a_worked_example():
    assert [word for word, _ in nearest(VOCAB, VECTORS, "man", 2)] == ["woman", "son"]
    pairs = [("man", "woman", 9.0), ("man", "stone", 0.0), ("man", "daughter", 5.0), ("man", "unknown", 5.0)]
    assert similarity_score(VOCAB, VECTORS, pairs) == (pytest.approx(1.0), 3, 4)
    assert correlation(VOCAB, VECTORS, "woman", "son") == pytest.approx(-0.5)
    assert math.isnan(similarity_score(VOCAB, VECTORS, pairs[3:]).value)


@pytest.mark.parametrize("index", [None, NmslibIndex()])
def test_neighbors_come_from_an_index_and_zeros_are_none(index):
    vectors = np.vstack([VECTORS, np.zeros(3)])
    vocab = WordVocabulary([*VOCAB.words, "nothing"], [5, 4, 3, 2, 1, 1])
    found = neighbors(vocab, vectors, ["man", "nothing", "unknown"], 9, index)
    words = [word for word, _ in found["man"]]
    # woman and son are equally near, and an index of several threads orders them either way
    assert (sorted(words[:2]), words[2:]) == (["son", "woman"], ["daughter", "stone"])
    assert dict(found["man"])["woman"] == pytest.approx(0.5**0.5, abs=1e-5)
    assert found["nothing"] == []
    assert found.keys() == {"man", "nothing"}


def test_answers_are_of_known_questions():
    questions = [Question("man", "woman", "son", "daughter"), Question("a", "man", "son", "stone")]
    assert answers(VOCAB, VECTORS, questions) == [(questions[0], "daughter")]
    assert answers(VOCAB, VECTORS, questions[1:]) == []


def test_the_plane_keeps_distances_of_two_dimensions_and_has_one_sign():
    points = np.array([[3.0, 4.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    places = plane(points)
    assert np.linalg.norm(places[0] - places[1]) == pytest.approx(np.linalg.norm(unit[0] - unit[1]))
    assert np.allclose(places, plane(points))
    assert (places[np.abs(places).argmax(0), [0, 1]] >= 0).all()
    assert plane(np.ones((1, 1))).tolist() == [[0.0, 0.0]]


def test_the_embedded_text_covers_the_embedded_lists():
    data = word_pairs()
    pairs = embedded_similarities()
    assert similarity_score(data.vocab, np.eye(data.vocab_size), pairs).known == len(pairs)
    assert analogy_score(data.vocab, np.eye(data.vocab_size), embedded_analogies()).known >= 600


@pytest.mark.parametrize("suffix", [".vec", ".bin", ".safetensors"])
def test_exported_vectors_are_read_back_exactly(tmp_path, suffix):
    path = tmp_path / f"vectors{suffix}"
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    export_vectors(VOCAB.words, vectors, path)
    _, found = TextVectors(path=str(path), std=None).find(VOCAB.words, tuple)
    assert all(np.array_equal(found[word], vectors[row]) for row, word in enumerate(VOCAB.words))
    assert TextVectors(path=str(path)).table(Vocabulary(VOCAB.words)).missing == ()


def test_safetensors_hold_words_and_vectors(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "vectors.safetensors"
    export_vectors(VOCAB.words, VECTORS, path)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["words"]) == VOCAB.words
        assert torch.equal(file.get_tensor("vectors"), torch.from_numpy(VECTORS).float())


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"vectors": torch.zeros(2, 3)}, {}, r"of the shape \(2, 3\) has no words in the metadata"),
        ({"vectors": torch.zeros(2, 3)}, {"words": '["a"]'}, r"of the shape \(2, 3\) has 1 words in the metadata"),
        ({"other": torch.zeros(2, 3)}, {"words": '["a", "b"]'}, "not a file of vectors: .*vectors"),
        ({"vectors": torch.zeros(2, 3)}, {"words": "["}, "not a file of vectors"),
    ],
)
def test_other_safetensors_are_refused(tmp_path, tensors, metadata, message):
    path = tmp_path / "other.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(DataError, match=message):
        TextVectors(path=str(path)).find(["a"], tuple)


@pytest.mark.parametrize("suffix", [".vec", ".bin"])
def test_gensim_reads_what_was_exported(tmp_path, suffix):
    models = pytest.importorskip("gensim.models", reason="gensim is not installed (extra bench)")
    path = tmp_path / f"vectors{suffix}"
    export_vectors(VOCAB.words, VECTORS, path)
    read = models.KeyedVectors.load_word2vec_format(str(path), binary=suffix == ".bin")
    assert np.array_equal(read["daughter"], VECTORS[3].astype(np.float32))


def test_fasttext_reads_what_was_exported(tmp_path):
    """fastText reads text vectors as the start of a classifier; with lr 0 they stay as they are."""
    fasttext = pytest.importorskip("fasttext", reason="fasttext-wheel needs Python 3.11 or 3.12")
    path, text = tmp_path / "vectors.vec", tmp_path / "text.txt"
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    export_vectors(VOCAB.words, vectors, path)
    text.write_text("__label__a man woman\n__label__b stone\n")
    model = fasttext.train_supervised(
        str(text), pretrainedVectors=str(path), dim=3, lr=0.0, epoch=1, minn=0, maxn=0, thread=1, verbose=0
    )
    # words of the file that the text does not have are known, too
    assert all(np.array_equal(model.get_word_vector(w), vectors[row]) for row, w in enumerate(VOCAB.words))


def test_words_that_a_file_cannot_hold_are_refused(tmp_path):
    with pytest.raises(DataError, match="'new york' has a blank"):
        export_vectors(["new york", "b"], VECTORS[:2], tmp_path / "v.vec")
    with pytest.raises(DataError, match="'b' occurs twice"):
        export_vectors(["b", "b"], VECTORS[:2], tmp_path / "v.vec")
    with pytest.raises(ParameterError, match=r"unknown format '\.csv'"):
        export_vectors(["a", "b"], VECTORS[:2], tmp_path / "v.csv")
