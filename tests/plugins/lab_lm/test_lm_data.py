"""Running text: levels, vocabulary, windows, and what is refused."""

from __future__ import annotations

import os
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from lab_lm.data import TokenText, text
from lab_lm.sources import marked
from lab_lm.vocabulary import EOS_ID, UNK_ID, TokenVocabulary
from lab_text.subwords import BpeTokenizer
from lab_text.windows import Window, Windows

from lab.errors import DataError, ParameterError

LINES = "the cat sat\nthe dog sat\n" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cats.txt"
    path.write_text(LINES, encoding="utf-8")
    return str(path)


def test_a_line_is_its_words_and_an_end(file):
    data = text(path=file, bptt=4)
    first = data.train[Window(0, 7)]
    assert [data.vocab.tokens[number] for number in first.tokens[:, 0]] == [
        "the",
        "cat",
        "sat",
        "<eos>",
        "the",
        "dog",
        "sat",
    ]
    assert torch.equal(first.target[:-1], first.tokens[1:])
    assert data.vocab.tokens[:3] == ["<pad>", "<unk>", "<eos>"]


def test_characters_have_the_same_text(file):
    data = text(path=file, level="characters", bptt=4)
    ids = data.train[Window(0, 12)].tokens[:, 0].tolist()
    assert data.vocab.continued("", ids) == "the cat sat\n"


def test_levels_count_the_same_words_and_characters(file):
    words, letters = text(path=file, bptt=4), text(path=file, level="characters", bptt=4)
    # 8 lines of 4 words, ends included, and 12 characters
    assert words.tokens_per_word == 1
    assert words.tokens_per_character == pytest.approx(4 / 12)
    assert letters.tokens_per_word == pytest.approx(12 / 4)
    assert letters.tokens_per_character == 1


def test_subwords_are_pieces_of_words(tmp_path):
    pytest.importorskip("sentencepiece")
    path = tmp_path / "low.txt"
    path.write_text("low lower lowest newer newest wide wider widest\n" * 30, encoding="utf-8")
    data = text(path=str(path), level="subwords", tokenizer=partial(BpeTokenizer, vocab_size=30), bptt=4)
    assert data.tokens_per_word > 1
    assert data.vocab.continued("low", data.vocab.encode(data.vocab.split("lower"))) == "low lower"


def test_the_vocabulary_is_of_the_training_text_and_frequent_tokens_come_first(tmp_path):
    train, valid = tmp_path / "train.txt", tmp_path / "valid.txt"
    train.write_text("b b b a a c\n" * 2, encoding="utf-8")
    valid.write_text("a b z\n" * 3, encoding="utf-8")
    data = text(path=str(train), valid_path=str(valid), bptt=4, tokenizer="whitespace", min_freq=3)
    assert data.vocab.tokens[3:] == ["b", "a"]
    assert data.valid[Window(0, 4)].tokens[:, 0].tolist() == [4, 3, UNK_ID, EOS_ID]


def test_a_spelled_unknown_token_is_the_unknown_token():
    vocabulary = TokenVocabulary.of({"<unk>": 9, "a": 1}, None, 1)
    assert vocabulary.tokens == ["<pad>", "<unk>", "<eos>", "a"]
    assert vocabulary.encode(["<unk>", "a", "b"]) == [UNK_ID, 3, UNK_ID]


def test_paragraphs_are_joined(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("one two\nthree\n\nfour\n\n" * 12, encoding="utf-8")
    data = text(path=str(path), unit="paragraphs", bptt=2)
    assert data.vocab.continued("one", data.train[Window(1, 5)].tokens[:, 0].tolist()) == "one two three\nfour"


def test_windows_are_those_of_the_ids():
    split = TokenText(np.arange(20, dtype=np.int32), 4)
    assert len(split) == 4
    batch = split.__getitems__(Windows([0, 10], 3, True))
    assert batch.tokens.T.tolist() == [[0, 1, 2], [10, 11, 12]]
    assert batch.target.T.tolist() == [[1, 2, 3], [11, 12, 13]]
    assert batch.continues
    assert split[-1].tokens[:, 0].tolist() == [12, 13, 14, 15]
    with pytest.raises(IndexError):
        split.__getitems__(Windows([18], 3))


def test_a_backward_text_is_the_reversed_one(file):
    forward, backward = text(path=file, bptt=4), text(path=file, bptt=4, backward=True)
    assert np.array_equal(forward.train.ids[::-1], backward.train.ids)
    assert forward.fingerprint != backward.fingerprint


def test_markers_are_those_of_the_course():
    assert marked(["HELLO", "A", "Yes", "!!!!!"]) == ["xxup", "hello", "a", "yes", "xxrep", "5", "!"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "letters"}, "unknown level 'letters'"),
        ({"level": "characters", "tokenizer": "spacy"}, "characters have no tokenizer"),
        ({"level": "subwords", "tokenizer": "whitespace"}, "the tokenizer 'whitespace' has no subwords"),
        ({"level": "characters", "markers": True}, "markers are of words"),
        ({"bptt": 0}, "bptt must be at least 1, got 0"),
        ({"valid_share": 1.0}, r"valid_share must lie in \(0, 1\), got 1.0"),
        ({"test_path": "x.txt"}, "valid_path or test_path without path"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        text(**options)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("one line\n", {}, "the text is too short: 1 line, at least 2 needed"),
        ("a b\n" * 4, {"bptt": 50}, "the training part has 9 tokens, too few for a window of bptt=50"),
        ("a b c d\n" * 4 + "x y z w v\n" * 4, {"bptt": 2, "valid_share": 0.5},
         "no token of the validation part is in the vocabulary"),
    ],
)  # fmt: skip
def test_texts_that_cannot_be_used_are_refused(tmp_path, content, options, message):
    path = tmp_path / "text.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        text(path=str(path), **options)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt"):
        text(path=str(tmp_path / "gone.txt"))


def test_a_corpus_of_other_things_is_refused():
    with pytest.raises(DataError, match="corpus 'multi30k' is not a running text"):
        text("multi30k")


def test_penn_treebank_has_the_published_counts():
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: Penn Treebank is not here")
    data = text("ptb")
    assert [len(split.ids) for split in (data.train, data.valid, data.test)] == [929_589, 73_760, 82_430]
    # 10,000 with <unk> and <eos>, and padding
    assert data.vocab_size == 10_001


def test_phrases_of_sst2_are_a_text_without_their_labels():
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: SST-2 is not here")
    data = text("sst2", bptt=32)
    # the words of 60,614, 6,735 and 872 texts, and the end of each
    assert [len(split.ids) for split in (data.train, data.valid, data.test)] == [630_371, 70_702, 17_918]
    first = [data.vocab.tokens[number] for number in data.train.ids[:6].tolist()]
    assert first == ["when", "are", "bears", "bears", "and", "<eos>"]


def test_every_piece_of_the_training_text_is_known(tmp_path):
    path = tmp_path / "zebra.txt"
    path.write_text(LINES + "a zebra\n" + LINES, encoding="utf-8")
    data = text(path=str(path), level="subwords", tokenizer=partial(BpeTokenizer, vocab_size=30), bptt=4)
    assert UNK_ID not in data.train.ids


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """Two folders of reviews, as LAB_DATA has them."""
    (tmp_path / "data" / "movie_reviews").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "data" / "movie_reviews" / "movie_reviews.zip", "w") as archive:
        archive.writestr("movie_reviews/README", "not a review")
        for number in range(20):
            archive.writestr(f"movie_reviews/neg/cv{number:03}_1.txt", "the film sat \nso bad \n")
            archive.writestr(f"movie_reviews/pos/cv{number:03}_2.txt", "the film ran \nso good \n")
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    return tmp_path


def test_film_reviews_validate_with_both_classes(reviews):
    data = text(corpus="movie_reviews", bptt=4)
    assert len(data.train.ids) + len(data.valid.ids) == 40 * 7
    written = [data.vocab.tokens[number] for number in data.valid.ids.tolist()]
    assert written.count("good") == written.count("bad") == 2
    assert "review" not in data.vocab.ids


def test_a_film_review_is_a_paragraph(reviews):
    data = text(corpus="movie_reviews", unit="paragraphs", bptt=4)
    assert data.vocab.continued("", data.valid.ids[:6].tolist()) == "the film sat so bad\n"


def test_film_reviews_that_are_no_archive_are_refused(reviews):
    (reviews / "data" / "movie_reviews" / "movie_reviews.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not a zip archive"):
        text(corpus="movie_reviews")
