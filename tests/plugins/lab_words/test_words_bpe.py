"""Byte-pair encoding: the worked example of *Dive into Deep Learning*, section 14.6."""

from __future__ import annotations

import pytest
from lab_words.bpe import learn_merges, segment

from lab.errors import ParameterError

COUNTS = {"fast_": 4, "faster_": 3, "tall_": 5, "taller_": 4}


def test_ten_merges_of_the_book():
    merged = ["".join(pair) for pair in learn_merges(COUNTS, 10)]
    assert merged == ["ta", "tal", "tall", "fa", "fas", "fast", "er", "er_", "tall_", "fast_"]


@pytest.mark.parametrize(
    ("word", "symbols"),
    [
        ("fast_", "fast_"),
        ("faster_", "fast er_"),
        ("taller_", "tall er_"),
        ("tallest_", "tall e s t _"),
        ("fatter_", "fa t t er_"),
    ],
)
def test_segments_of_the_book(word, symbols):
    assert segment(word, learn_merges(COUNTS, 10)) == tuple(symbols.split())


def test_merges_end_where_no_pair_is_left():
    assert learn_merges({"ab": 2}, 5) == [("a", "b")]


def test_overlapping_pairs_are_merged_from_the_left():
    assert segment("aaa", [("a", "a")]) == ("aa", "a")
    assert segment("aaaa", [("a", "a")]) == ("aa", "aa")


def test_an_empty_word_is_refused():
    with pytest.raises(ParameterError, match="bpe"):
        learn_merges({"": 1}, 2)
