"""Files, corpora and splits of labelled texts; bad input."""

from __future__ import annotations

import gzip
import os
from collections import Counter

import numpy as np
import pytest
import torch
from lab_sentences.data import labelled_text
from lab_sentences.sources import exchanged
from lab_text.vocabulary import PAD_ID

from lab.errors import DataError, ParameterError

ROWS = [(f"a good film {number}", "good") for number in range(10)] + [
    (f"a bad film {number}", "bad") for number in range(20)
]


def written(tmp_path, content, name="texts.csv"):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def table(rows=ROWS, separator=",", header=("text", "label")):
    return "\n".join(separator.join(row) for row in [header, *rows]) + "\n"


def test_a_csv_file_is_divided_by_class(tmp_path):
    data = labelled_text(path=written(tmp_path, table()), valid_share=0.2)
    assert data.class_names == ("bad", "good")
    assert Counter(data.valid.target.tolist()) == {0: 4, 1: 2}
    assert Counter(data.train.target.tolist()) == {0: 16, 1: 8}


def test_formats_hold_the_same_data(tmp_path):
    lines = "".join(f'{{"label": "{label}", "text": "{text}"}}\n' for text, label in ROWS)
    paths = [
        written(tmp_path, table()),
        written(tmp_path, table(separator="\t"), "texts.tsv"),
        written(tmp_path, lines, "texts.jsonl"),
    ]
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(table().encode()))
    prints = {labelled_text(path=str(path)).fingerprint for path in (*paths, packed)}
    assert len(prints) == 1


def test_quoted_texts_hold_separators_and_lines(tmp_path):
    rows = [('"one, two\nthree"', "a"), ("four", "a"), ("five", "b"), ("six", "b")]
    data = labelled_text(path=written(tmp_path, table(rows)), valid_share=0.5)
    assert max(len(ids) for split in (data.train, data.valid) for ids in split.ids) == 3


def test_batches_are_filled_up_behind(tmp_path):
    rows = [("one two three", "a"), ("one", "b"), ("two", "a"), ("one two", "b")]
    data = labelled_text(path=written(tmp_path, table(rows)), valid_share=0.5)
    batch = data.train.__getitems__(range(2))
    lengths = (batch.tokens != PAD_ID).sum(1)
    assert batch.tokens.shape == (2, int(lengths.max()))
    assert all((row[:length] != PAD_ID).all() for row, length in zip(batch.tokens, lengths, strict=True))


@pytest.mark.parametrize(("keep", "words"), [("head", "a b"), ("tail", "d e"), ("both", "a e")])
def test_long_texts_are_cut(tmp_path, keep, words):
    rows = [("a b c d e", "x"), ("a b c d e", "y")] * 2
    data = labelled_text(path=written(tmp_path, table(rows)), max_tokens=2, keep=keep, valid_share=0.5)
    assert data.vocabulary.tokens(data.train.ids[0]) == words.split()


def test_half_of_the_generated_questions_have_exchanged_words():
    texts, labels, _ = exchanged(400, 0)
    assert Counter(labels)["intact"] == pytest.approx(200, abs=40)
    again = exchanged(400, 0)
    assert (texts, labels) == (again.texts, again.labels)
    assert exchanged(400, 1).labels != labels


def test_texts_without_a_word_are_left_out_and_told(tmp_path, caplog):
    data = labelled_text(path=written(tmp_path, table([*ROWS, (" ", "good")])))
    assert len(data.train) + len(data.valid) == 30
    assert "1 text without a word left out" in data.notes


def test_texts_of_both_parts_are_told(tmp_path):
    data = labelled_text(path=written(tmp_path, table([("same", "a"), ("same", "b")] * 4)), valid_share=0.25)
    assert "valid: 2 texts that the training part has, too" in data.notes


def test_few_examples_are_drawn_by_class_and_words_of_the_others_are_known(tmp_path):
    path = written(tmp_path, table())
    whole = labelled_text(path=path, valid_share=0.2)
    few, more = (labelled_text(path=path, valid_share=0.2, max_examples=count) for count in (6, 12))
    assert Counter(few.train.target.tolist()) == {0: 4, 1: 2}
    assert few.vocabulary.words == whole.vocabulary.words
    assert len(few.valid.ids) == len(whole.valid.ids)
    assert {tuple(ids) for ids in few.train.ids} < {tuple(ids) for ids in more.train.ids}
    other = labelled_text(path=path, valid_share=0.2, max_examples=6, seed=1)
    assert other.fingerprint != few.fingerprint
    assert labelled_text(path=path, valid_share=0.2, max_examples=100).fingerprint == whole.fingerprint


def test_a_class_without_a_drawn_text_is_told(tmp_path):
    with pytest.raises(DataError, match="1 class in 1 text, at least 2 needed"):
        labelled_text(path=written(tmp_path, table()), max_examples=1)


def test_a_class_with_one_text_stays_in_training(tmp_path):
    data = labelled_text(path=written(tmp_path, table([*ROWS, ("odd", "rare")])))
    number = data.class_names.index("rare")
    assert (data.train.target == number).sum() == 1
    assert not (data.valid.target == number).any()


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("", "the file is empty", ""),
        (table(header=("texts", "label")), "no column 'text'", "did you mean 'texts'"),
        (table(header=("text", "label", "text")), "duplicate column 'text'", "rename"),
        (table([*ROWS, ("a, b", "c")]), "line 32 has 3 columns, and the header 2", "quote texts"),
        (table([("one", "a"), ("two", "a")]), "1 class in 2 texts, at least 2 needed", "label="),
        (table([*ROWS, ("none", "")]), "1 text without a label", "label them"),
        (
            table([(f"text {n}", str(n / 2)) for n in range(40)]),
            "40 different numbers, which are values",
            "low, medium",
        ),
        (table([("one", "a"), ("two", "b")]), "no class has two texts", "several texts"),
    ],
)
def test_bad_tables_are_told(tmp_path, content, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        labelled_text(path=written(tmp_path, content))
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "line 2 is not JSON"), ("[1]", "line 2 is not an object"), ('{"txt": "a", "label": "b"}', "no 'text'")],
)
def test_bad_lines_of_json_are_told(tmp_path, line, message):
    good = '{"text": "a", "label": "b"}\n'
    with pytest.raises(DataError, match=message):
        labelled_text(path=written(tmp_path, good + line, "texts.jsonl"))


def test_a_file_of_another_encoding_is_told(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_bytes(table([("caf\u00e9", "a")]).encode("latin-1"))
    with pytest.raises(DataError, match=r"utf-8|UTF-8"):
        labelled_text(path=str(path))


def test_other_formats_and_corpora_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"unknown format '\.txt'"):
        labelled_text(path=written(tmp_path, "a", "texts.txt"))
    with pytest.raises(ParameterError, match="corpus 'ptb' has no labels"):
        labelled_text("ptb")


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"min_freq": 0}, {"max_size": 0}, {"valid_share": 1.0}, {"max_examples": 0}]
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ParameterError):
        labelled_text(**wrong)


def test_real_corpora_have_their_sizes():
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: the corpora are not here")
    data = labelled_text("sst2")
    assert (len(data.train), len(data.valid), len(data.test)) == (60_614, 6_735, 872)
    assert data.class_names == ("negative", "positive")
    reviews = labelled_text("movie_reviews")
    assert Counter(torch.cat([reviews.train.target, reviews.valid.target]).tolist()) == {0: 1000, 1: 1000}
    assert max(map(len, reviews.train.ids)) == 400
    assert all(isinstance(ids, np.ndarray) for ids in reviews.train.ids[:3])
