"""Ratings as they are read, numbered and split."""

from __future__ import annotations

import attrs
import numpy as np
import pandas as pd
import pytest
import torch
from lab_collab.data import ratings, ratings_of_frame, ratings_of_source
from lab_collab.sources import generated

from lab.errors import DataError, LabError, ParameterError

CSV = "user,item,rating,time\n" + "".join(
    f"u{number % 4},i{number % 5},{1 + number % 5},{number}\n" for number in range(20)
)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "ratings.csv"
        path.write_text(text)
        return str(path)

    return write


def test_a_fifth_validates_and_nothing_is_lost():
    data = ratings()
    assert (len(data.train), len(data.valid)) == (9600, 2400)
    assert data.user_count == 301


def test_a_batch_is_one_look_up():
    batch = ratings().train.__getitems__([0, 5, 7])
    assert [tuple(part.shape) for part in batch] == [(3,), (3,), (3,)]
    assert batch.users.dtype == torch.long


def test_numbers_are_given_by_the_training_part_alone(file):
    data = ratings(path=file(CSV + "newcomer,i1,5,99\n"), time="time", split="last", valid_share=0.1)
    assert "newcomer" not in data.user_ids
    assert data.valid.users.tolist() == [data.user_number("u3"), 0]
    assert data.user_number("newcomer") == 0
    assert data.user_number("u2") > 0


def test_the_last_in_time_validate(file):
    data = ratings(path=file(CSV), time="time", split="last", valid_share=0.25)
    assert data.valid.target.tolist() == [1 + number % 5 for number in range(15, 20)]


def test_folds_validate_every_rating_once():
    parts = [ratings(folds=5, fold=fold, max_rows=100).valid for fold in range(5)]
    assert sum(len(part) for part in parts) == 100
    everything = np.sort(np.concatenate([part.target.numpy() for part in parts]))
    whole = ratings(max_rows=100)
    assert np.array_equal(everything, np.sort(torch.cat([whole.train.target, whole.valid.target]).numpy()))


def test_another_split_has_another_fingerprint():
    prints = {ratings(max_rows=200, split_seed=seed).fingerprint for seed in (1, 2, 1)}
    assert len(prints) == 2


def test_a_frame_is_read_too():
    frame = pd.DataFrame({"who": [1, 1, 2, 2, 3], "what": list("ababa"), "stars": [1.0, 2.0, 3.0, 4.0, 5.0]})
    data = ratings_of_frame(frame, user="who", item="what", rating="stars")
    assert len(data.train) + len(data.valid) == 5


def test_what_each_user_has_rated_is_at_hand():
    data = ratings()
    user = 7
    first, last = data.rated_starts[user], data.rated_starts[user + 1]
    assert sorted(data.rated_items[first:last].tolist()) == sorted(data.train.items[data.train.users == user].tolist())


def test_features_stand_beside_the_numbers():
    data = ratings()
    assert data.item_features.shape == (data.item_count, 3)
    assert not data.item_features[0].any()


@pytest.mark.parametrize(
    ("corpus", "users", "items"),
    [("movielens_small_2016", 671, 9066), ("movielens_small_2018", 610, 9724), ("ml-100k", 943, 1682)],
)
def test_real_ratings_are_read(corpus, users, items, lab_data):
    data = ratings(corpus)
    assert data.user_count == users + 1
    assert items * 0.9 < data.item_count <= items + 1
    assert any("Casablanca" in title for title in data.item_titles.values())
    assert data.item_features is not None


def test_other_features_have_another_fingerprint():
    source = generated()[0].first(200)
    others = {name: 1 - row for name, row in source.item_features.items()}
    changed = [attrs.evolve(source, item_features=others), attrs.evolve(source, titles={"item 1": "Casablanca"})]
    prints = [ratings_of_source(each).fingerprint for each in (source, *changed, source)]
    assert len(set(prints)) == 3
    assert prints[0] == prints[-1]


def test_a_blank_line_at_the_end_is_no_rating(file):
    data = ratings(path=file(CSV + "\n\n"))
    assert len(data.train) + len(data.valid) == 20


def test_the_range_holds_the_ratings_of_both_parts(file):
    data = ratings(path=file(CSV + "u1,i1,9,99\n"), time="time", split="last", valid_share=0.05)
    assert data.rating_range == (1.0, 9.0)


def test_a_file_that_is_not_utf8_is_refused_with_the_position(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"user,item,rating\nu1,caf\xe9,5\n")
    with pytest.raises(DataError) as error:
        ratings(path=str(path))
    assert str(error.value) == (
        f"byte 23 (line 2) is not UTF-8: 0xe9\n  {path}\n"
        "  encoding='cp1252' reads 'u1,café,5'\n"
        "  or convert the file, for example: iconv -f latin1 -t utf-8 ratings.csv"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("user,item,rating\n", "there are no ratings"),
        ("user,item,rating\nu,i,5\nu,i\n", "line 3 has 2 columns, the header 3"),
        ("user,item,rating\nu,i,5,6\n", "line 2 has 4 columns, the header 3"),
        ("user,item,rating\nu,i,good\n", "line 2 has no rating: 'good'"),
        ("user,item,rating\nu,i,\n", "line 2 has no rating: ''"),
        ("user,item,rating\nu,i,inf\n", "line 2 has no rating: 'inf'"),
        ("user,item,rating\n,i,3\n", "line 2 has no user"),
        ("user,itme,rating\nu,i,3\n", "unknown column 'item'"),
        ("user,item,item,rating\nu,i,i,3\n", "duplicate column 'item'"),
        ("user,item,rating\nu,i,3\n", "too few ratings to split: 1"),
    ],
)
def test_a_file_with_a_fault_is_refused(file, text, message):
    with pytest.raises(DataError) as error:
        ratings(path=file(text))
    assert str(error.value).splitlines()[0] == message


def test_a_misspelt_column_gets_a_close_match(file):
    with pytest.raises(DataError, match=r"did you mean: itme\?"):
        ratings(path=file("user,itme,rating\nu,i,3\n"))


def test_a_split_by_time_needs_times(file):
    with pytest.raises(DataError, match="these ratings have no times"):
        ratings(path=file(CSV), split="last")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid_share": 0.0}, "valid_share must lie in (0, 1), got 0.0"),
        ({"folds": 5, "fold": 5}, "fold 5 of 5 does not exist"),
        ({"folds": 1}, "fold 0 of 1 does not exist"),
    ],
)
def test_values_that_cannot_be_are_refused(options, message):
    with pytest.raises(ParameterError) as error:
        ratings(**options)
    assert str(error.value).splitlines()[0] == message


def test_an_unknown_corpus_gets_a_close_match():
    with pytest.raises(LabError) as error:
        ratings("movielens_small_2015")
    assert "unknown corpus of ratings 'movielens_small_2015'" in str(error.value)
    assert "did you mean: movielens_small_2018 or movielens_small_2016?" in str(error.value)


def test_the_courses_split_is_its_own():
    data = ratings(split="course", max_rows=1000)
    everything = ratings(split="course", max_rows=1000, split_seed=3)
    order = np.random.RandomState(42).permutation(1000)
    source = generated()[0].first(1000)
    assert sorted(data.valid.target.tolist()) == sorted(source.ratings[order[:200]].tolist())
    assert data.fingerprint != everything.fingerprint
