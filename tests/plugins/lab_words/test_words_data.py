"""Pairs, counts, paths: worked examples and bad input."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from lab_words.cooccurrence import cooccurrences
from lab_words.corpora import read_sentences
from lab_words.counts import word_counts
from lab_words.data import alias_table, encode, huffman_paths, word_pairs
from lab_words.losses import word_nll
from lab_words.models import WordVectorModel
from lab_words.vocabulary import WordVocabulary

from lab import Learner
from lab.errors import DataError, ParameterError, UnknownNameError
from lab.training.data import SequentialSampler


@pytest.fixture
def lab_data():
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: Penn Treebank is not here")


def written(tmp_path, text):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


TEN = "a b c d e f g h i j. " * 20


def test_penn_treebank_has_the_numbers_of_the_book(lab_data):
    """*Dive into Deep Learning*, 14.3: 42,069 lines (one is empty), 6,719 words with <unk>, 1,503,420 pairs."""
    data = word_pairs("ptb", negatives=1)
    assert data.sentence_count == 42_068
    assert data.vocab_size == 6_718
    assert data.vocab.counts[data.vocab.id("the")] == 50_770
    assert data.vocab.counts[data.vocab.id("join")] == 45
    # both are draws, 10,000 pairs are six times their spread over seeds
    assert len(data.train) == pytest.approx(1_503_420, abs=10_000)
    center_is_the = (data.train.words[:, 0] == data.vocab.id("the")).sum()
    assert center_is_the == pytest.approx(2_010 * len(data.train) / 344_060, rel=0.15)


def test_fixed_windows_hold_every_neighbor_of_the_sentence(tmp_path):
    data = word_pairs(
        path=written(tmp_path, TEN), min_freq=1, subsample=None, window=2, dynamic_window=False, negatives=1
    )
    sentence = len(data.vocab)
    assert sentence == 10
    # ten words: 2 · (9 + 8) pairs in each of the 18 training sentences
    assert len(data.train) == 34 * 18
    batch = data.train.__getitems__(range(34))
    first = data.vocab.words[int(batch.words[0, 0])], data.vocab.words[int(batch.candidates[0, 0])]
    assert first == ("a", "b")


def test_negatives_are_never_context_words_and_follow_the_power_of_frequency():
    data = word_pairs(min_freq=20, subsample=None, window=1, dynamic_window=False, model="cbow", negatives=20)
    pairs = data.train
    assert not (pairs.negatives == pairs.outputs[:, None]).any()
    drawn = np.bincount(pairs.negatives.flatten().numpy(), minlength=len(data.vocab)) / pairs.negatives.numel()
    expected = data.vocab.counts**0.75 / (data.vocab.counts**0.75).sum()
    # rare words are never rejected often, so their share is near the weight
    assert np.abs(drawn[50:] / expected[50:] - 1).mean() < 0.1


def test_draws_depend_on_the_seed_alone():
    first, again, other = (word_pairs(min_freq=100, seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def epochs_of(data, count):
    """Return the outputs of the batches of each epoch, and whether all have one number of pairs."""
    model = WordVectorModel(data.vocab_size, data.vocab, data.objective, embedding_dim=2)
    learner = Learner(model, data, word_nll, batch_size=1024, progress=False, seed=0)
    seen = []
    for _ in range(count):
        learner.fit(1)
        seen.append(data.train.outputs.clone())
    return seen


def test_every_epoch_draws_other_pairs_and_as_many():
    first, second, third = epochs_of(word_pairs(min_freq=100), 3)
    assert len(first) == len(second) == len(third)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_an_epoch_is_drawn_from_its_number_alone():
    one, other = word_pairs(min_freq=100), word_pairs(min_freq=100)
    for epoch in (1, 2):
        one.train.start_epoch(epoch)
    other.train.start_epoch(2)
    assert torch.equal(one.train.outputs, other.train.outputs)
    assert torch.equal(one.train.negatives, other.train.negatives)
    one.train.start_epoch(0)
    assert torch.equal(one.train.negatives, word_pairs(min_freq=100).train.negatives)


def test_pairs_can_be_drawn_once_as_in_the_book():
    first, second = epochs_of(word_pairs(min_freq=100, redraw=False), 2)
    assert torch.equal(first, second)


def test_workers_get_the_pairs_of_the_epoch_too():
    data = word_pairs(min_freq=200)
    data.train.start_epoch(1)
    drawn = data.train.outputs.clone()
    data.train.start_epoch(0)

    class Order(SequentialSampler):
        epoch = 1

    for workers in (0, 1):
        batches = list(data.loader(data.train, Order(len(data.train), 8192), workers=workers))
        assert torch.equal(torch.cat([batch.candidates[:, 0] for batch in batches]), drawn)
        data.train.start_epoch(0)


def test_the_alias_table_holds_the_distribution():
    counts = np.array([1000, 100, 100, 7, 1])
    threshold, alias = alias_table(counts, 0.75)
    shares = threshold.copy()
    np.add.at(shares, alias, 1 - threshold)
    assert shares / len(counts) == pytest.approx(counts**0.75 / (counts**0.75).sum())


def test_huffman_codes_are_prefix_free_and_as_short_as_entropy_allows():
    counts = np.array([45, 13, 12, 16, 9, 5])
    nodes, bits = huffman_paths(counts)
    lengths = (nodes >= 0).sum(1)
    # the example of Cormen et al., section 16.3: 224 bits
    assert int((lengths * torch.from_numpy(counts)).sum()) == 224
    assert float((0.5**lengths).sum()) == 1.0
    assert ((bits < 0) == (nodes < 0)).all()


def test_cooccurrences_are_symmetric_and_weigh_distance():
    words, contexts, counts = cooccurrences(np.array([0, 1, 2]), np.zeros(3, int), 3, 2)
    found = {(int(a), int(b)): float(x) for a, b, x in zip(words, contexts, counts, strict=True)}
    assert found == {(0, 1): 1, (1, 0): 1, (1, 2): 1, (2, 1): 1, (0, 2): 0.5, (2, 0): 0.5}


def test_counts_do_not_cross_sentences(tmp_path):
    train, _, name = read_sentences("embedded", written(tmp_path, "a b. c d. a b. a b."), 0.25)
    vocab = WordVocabulary.of(train, 1, name)
    words, contexts, _ = cooccurrences(*encode(train, vocab), len(vocab), 5)
    pairs = {(vocab.words[a], vocab.words[b]) for a, b in zip(words, contexts, strict=True)}
    assert pairs == {("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")}


def test_counts_of_the_embedded_text_are_split_without_overlap():
    data = word_counts(min_freq=50)
    seen = [{(int(a), int(b)) for a, b in zip(s.words, s.contexts, strict=True)} for s in (data.train, data.valid)]
    assert not seen[0] & seen[1]


def test_counts_are_an_objective_of_pairs_too():
    assert word_pairs(min_freq=50, objective="counts").fingerprint == word_counts(min_freq=50).fingerprint


def test_an_empty_vocabulary_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match=r"0 of 10 words occur at least 1000 times, 2 words are needed"):
        word_pairs(path=written(tmp_path, TEN), min_freq=1_000)


def test_a_text_of_single_words_has_no_pair(tmp_path):
    with pytest.raises(DataError, match="no pair of words in the train part"):
        word_pairs(path=written(tmp_path, "a. b. a. b. a. b."), min_freq=1)


def test_a_text_of_one_sentence_cannot_be_split(tmp_path):
    with pytest.raises(DataError, match="fewer than two sentences"):
        word_pairs(path=written(tmp_path, "a b c"), min_freq=1)


@pytest.mark.parametrize(
    "wrong", [{"window": 0}, {"negatives": 0}, {"min_freq": 0}, {"valid_share": 1.0}, {"subsample": 0.0}]
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ParameterError):
        word_pairs(**wrong)


def test_an_unknown_word_has_close_matches():
    with pytest.raises(UnknownNameError, match="'objcet' is not in the vocabulary") as caught:
        WordVocabulary(["object", "objects"], [2, 1]).id("objcet")
    assert "object" in (caught.value.hint or "")
