from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab_text.vocabulary import BOS_ID, EOS_ID, PAD_ID, UNK_ID, Vocabulary

from lab.errors import DataError

SENTENCES = [["who", "won", "?"], ["who", "lost", "?"], ["who"]]


def test_special_tokens_have_the_first_four_ids() -> None:
    vocabulary = Vocabulary.from_tokens(SENTENCES)
    assert vocabulary.words[:4] == ["_bos_", "_pad_", "_eos_", "_unk"]
    assert (BOS_ID, PAD_ID, EOS_ID, UNK_ID) == (0, 1, 2, 3)


def test_words_stand_by_frequency_and_then_by_first_occurrence() -> None:
    assert Vocabulary.from_tokens(SENTENCES).words[4:] == ["who", "?", "won", "lost"]


def test_max_size_does_not_count_special_tokens() -> None:
    assert len(Vocabulary.from_tokens(SENTENCES, max_size=2)) == 6


def test_rare_words_are_left_out() -> None:
    assert Vocabulary.from_tokens(SENTENCES, min_freq=2).words[4:] == ["who", "?"]


def test_unknown_words_get_the_id_of_unk() -> None:
    assert Vocabulary.from_tokens(SENTENCES).ids(["who", "knows"]) == [4, UNK_ID]


def test_tokens_end_at_the_first_eos_and_skip_padding() -> None:
    vocabulary = Vocabulary.from_tokens(SENTENCES)
    assert vocabulary.tokens([BOS_ID, 4, PAD_ID, 5, EOS_ID, 6]) == ["who", "?"]


def test_a_corpus_that_holds_a_special_token_does_not_double_it() -> None:
    assert Vocabulary.from_tokens([["_unk", "who"]]).words.count("_unk") == 1


def test_json_round_trip_keeps_words_and_counts() -> None:
    vocabulary = Vocabulary.from_tokens(SENTENCES)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    assert again.counts == [3, 2, 1, 1]


def test_file_round_trip(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["où", "qu'"])
    vocabulary.save(tmp_path / "words.json")
    assert Vocabulary.load(tmp_path / "words.json") == vocabulary


def test_a_word_twice_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        Vocabulary(["who", "won", "who"])
    assert str(caught.value) == "duplicate word in a vocabulary\n  'who'"


def test_a_file_that_is_no_vocabulary_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text("[]")
    with pytest.raises(DataError, match="not a vocabulary"):
        Vocabulary.load(path)
