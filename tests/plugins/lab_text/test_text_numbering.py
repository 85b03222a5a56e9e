from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import pytest
from lab_text import numbering
from lab_text.numbering import joined, numbering_of
from lab_text.tokenizer import Tokenizer
from lab_text.tokenizers import CharacterTokenizer, SpacyTokenizer, WhitespaceTokenizer

TEXTS = [
    "L'homme voit Paris .",
    "  où   est l'homme ?",
    "42 Paris n'est pas Paris.",
    "",
    "« Paris » l'a dit , Marie aussi",
    "paris est là",
]
TOKENIZERS: list[Callable[[], Tokenizer]] = [
    lambda: SpacyTokenizer("fr"),
    lambda: SpacyTokenizer("fr", lowercase=False),
    lambda: WhitespaceTokenizer("fr"),
    lambda: CharacterTokenizer("fr"),
]


class Neighbours(WhitespaceTokenizer):
    """Marks every word by the one before it, so that words cannot be tokenized by themselves."""

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        for tokens in super().pipe(texts):
            yield [f"{before}|{token}" for before, token in zip(["", *tokens], tokens, strict=False)]


def sentences(tokenizer: Tokenizer, chunks: list[list[str]], rows: list[int] | None = None) -> list[list[str]]:
    """Number chunks and return the tokens of the numbers."""
    numbers = numbering_of(tokenizer)
    found: list[list[str]] = []
    for texts in chunks:
        chunk = numbers.read(joined(texts))
        chunk = chunk if rows is None else chunk.take(np.array(rows, np.int64))
        ids = numbers.ids(chunk).tolist()
        words = list(numbers.words)
        tokens = iter([words[position] for position in ids])
        found += [[next(tokens) for _ in range(number)] for number in chunk.token_counts.tolist()]
    return found


def spellings(texts: list[str]) -> Counter[str]:
    return Counter(chain.from_iterable(re.findall(r"[^\W\d_]+", text)[1:] for text in texts))


@pytest.mark.parametrize("make", TOKENIZERS)
@pytest.mark.parametrize("size", [1, 2, 6])
def test_numbers_stand_for_the_tokens_that_the_tokenizer_gives(make: Callable[[], Tokenizer], size: int) -> None:
    chunks = [TEXTS[start : start + size] for start in range(0, len(TEXTS), size)]
    expected = list(make().pipe(" ".join(text.split()) for text in TEXTS))
    assert sentences(make(), chunks) == expected


@pytest.mark.parametrize("make", TOKENIZERS)
def test_tokens_are_numbered_by_their_first_occurrence_in_what_is_kept(make: Callable[[], Tokenizer]) -> None:
    rows = [1, 2, 5]
    numbers = numbering_of(make())
    numbers.ids(numbers.read(joined(TEXTS)).take(np.array(rows)))
    kept = make().pipe(" ".join(TEXTS[row].split()) for row in rows)
    assert list(numbers.words) == list(dict.fromkeys(chain.from_iterable(kept)))


@pytest.mark.parametrize("make", TOKENIZERS)
def test_spellings_inside_kept_sentences_are_counted_in_the_order_they_are_met(make: Callable[[], Tokenizer]) -> None:
    numbers = numbering_of(make())
    numbers.ids(numbers.read(joined(TEXTS)).take(np.array([0, 1, 2, 3, 4])))
    expected = spellings(TEXTS[:5])
    assert list(numbers.spellings().items()) == list(expected.items())
    assert (expected["Paris"], expected["homme"], expected["est"]) == (2, 2, 2)


@pytest.mark.parametrize("make", TOKENIZERS)
def test_texts_come_back_with_single_spaces(make: Callable[[], Tokenizer]) -> None:
    texts = ["", "  où \u00a0 est\tl'homme ?", " ", "un\0deux", "là", ""]
    found = numbering_of(make()).read(joined(texts)).texts
    expected = ["", "où est l'homme ?", "", "un\ufffddeux", "là", ""]
    assert found.lengths.tolist() == [len(text.encode()) for text in expected]
    assert found.flat().tobytes().decode() == "".join(expected)


def test_each_word_is_tokenized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Watched(WhitespaceTokenizer):
        by_word = True

        def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
            asked.extend(texts)
            return iter([[text] for text in asked[-len(list(texts)) :]])

    numbers = numbering_of(Watched("fr"))
    for _ in range(2):
        numbers.read(joined(["le chat le chien", "le chat"]))
    assert sorted(asked) == ["chat", "chien", "le"]


def test_a_tokenizer_that_looks_at_neighbours_is_asked_for_whole_texts() -> None:
    assert not Neighbours("fr").by_word
    assert sentences(Neighbours("fr"), [["le chat", "chat le"]]) == [["|le", "le|chat"], ["|chat", "chat|le"]]


def test_languages_with_their_own_tokenizer_are_asked_for_whole_texts() -> None:
    assert not SpacyTokenizer("zh").by_word
    assert sentences(SpacyTokenizer("zh"), [["你好 吗"]]) == [["你", "好", "吗"]]


def test_what_is_remembered_of_words_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = spellings(TEXTS)
    monkeypatch.setattr(numbering, "_REMEMBERED_WORDS", 4)
    numbers = numbering_of(SpacyTokenizer("fr"))
    ids = [numbers.ids(numbers.read(joined([text]))) for text in TEXTS]
    whole = numbering_of(SpacyTokenizer("fr"))
    assert np.concatenate(ids).tolist() == whole.ids(whole.read(joined(TEXTS))).tolist()
    assert len(numbers._table) <= 6 + 2 * max(len(text.split()) for text in TEXTS)
    assert list(numbers.spellings().items()) == list(expected.items())


def test_frequent_words_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "_REMEMBERED_WORDS", 8)
    numbers = numbering_of(WhitespaceTokenizer("fr"))
    for text in ("a le b le le", "c d e f", "g h", "i"):
        numbers.ids(numbers.read(joined([text])))
    assert "le" in numbers._numbers
    assert not {"d", "e", "f"} <= set(numbers._numbers)


def test_nothing_kept_of_a_chunk_has_no_numbers() -> None:
    numbers = numbering_of(SpacyTokenizer("fr"))
    assert numbers.ids(numbers.read(joined(TEXTS)).take(np.array([], np.int64))).tolist() == []
    assert list(numbers.words) == []
