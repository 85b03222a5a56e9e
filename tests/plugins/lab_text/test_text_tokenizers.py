from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path

import pytest
from lab_text import tokenizers
from lab_text.detokenize import capitalize, join_tokens
from lab_text.tokenizers import CharacterTokenizer, SpacyTokenizer, WhitespaceTokenizer, tokenizer_factory

from lab.errors import ParameterError

FRENCH = ["Qu'est-ce que c'est ?", "", "Où sont-ils\u202f?", "  Va-t'en !  "]


def lines(path: Path, count: int) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\n") for line in islice(file, count)]


def test_whitespace_tokenizer_splits_at_any_white_space() -> None:
    assert WhitespaceTokenizer("fr", lowercase=False)("Où\u00a0sont-ils  ?") == ["Où", "sont-ils", "?"]


def test_lower_case_is_the_default_and_detokenize_capitalizes() -> None:
    tokenizer = WhitespaceTokenizer("en")
    assert tokenizer("Who won ?") == ["who", "won", "?"]
    assert tokenizer.detokenize(["who", "won", "?"]) == "Who won ?"


def test_characters_round_trip() -> None:
    tokenizer = CharacterTokenizer("fr")
    assert tokenizer("Où  ?") == ["O", "ù", "▁", "?"]
    assert tokenizer.detokenize(tokenizer("Où va-t-il ?")) == "Où va-t-il ?"


def test_spacy_splits_elisions_and_inversions() -> None:
    assert SpacyTokenizer("fr")(FRENCH[0]) == ["qu'", "est", "-ce", "que", "c'", "est", "?"]


def test_spacy_keeps_case_when_asked() -> None:
    assert SpacyTokenizer("fr", lowercase=False)("Où ?") == ["Où", "?"]


def test_spacy_gives_no_tokens_of_white_space() -> None:
    assert list(SpacyTokenizer("fr").pipe(FRENCH))[1:3] == [[], ["où", "sont", "-ils", "?"]]


@pytest.mark.parametrize("language", ["fr", "en", "de", "xx"])
def test_remembered_words_give_the_same_tokens_as_spacy_itself(language: str) -> None:
    spacy = pytest.importorskip("spacy")
    texts = [*FRENCH, "Don't (you) can't—well: 10% of $5.50, o'clock... John's a.m. U.S. :-) e.g. l'\"homme\""]
    expected = [[t.lower_ for t in doc if not t.is_space] for doc in spacy.blank(language).pipe(texts)]
    tokenizer = SpacyTokenizer(language)
    assert list(tokenizer.pipe(texts)) == expected
    assert list(tokenizer.pipe(texts)) == expected, "the second time, from memory"


@pytest.mark.parametrize("language", ["fr", "en", "de"])
def test_remembered_words_give_the_same_tokens_on_a_real_corpus(real_data: Path, language: str) -> None:
    spacy = pytest.importorskip("spacy")
    texts = lines(real_data / "multi30k" / f"train.{language}.gz", 2000)
    expected = [[t.text for t in doc if not t.is_space] for doc in spacy.blank(language).pipe(texts)]
    assert list(SpacyTokenizer(language, lowercase=False).pipe(texts)) == expected


def test_languages_with_their_own_tokenizer_work_too() -> None:
    assert SpacyTokenizer("zh")("你好 吗") == ["你", "好", "吗"]


def test_memory_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "_REMEMBERED_WORDS", 3)
    monkeypatch.setattr(tokenizers, "_CHUNK_SENTENCES", 1)
    tokenizer = SpacyTokenizer("fr")
    assert list(tokenizer.pipe(["un deux trois quatre", "cinq", "un"])) == [
        ["un", "deux", "trois", "quatre"],
        ["cinq"],
        ["un"],
    ]
    assert len(tokenizer._remembered) <= 4


def test_a_rule_that_sees_beyond_a_space_does_not_join_words_of_a_corpus() -> None:
    tokenizer = SpacyTokenizer("fr")
    tokenizer._nlp.tokenizer.add_special_case("un deux", [{"ORTH": "un deux"}])
    assert [doc.text for doc in tokenizer._nlp.tokenizer("un deux")] == ["un deux"]
    assert tokenizer("un deux trois") == ["un", "deux", "trois"]


def test_tokenizing_is_lazy() -> None:
    endless = iter(lambda: "un deux", None)
    assert list(islice(SpacyTokenizer("fr").pipe(endless), 2)) == [["un", "deux"]] * 2


def test_identity_names_the_version_of_spacy() -> None:
    spacy = pytest.importorskip("spacy")
    assert SpacyTokenizer("fr").identity == {
        "name": "spacy",
        "version": spacy.__version__,
        "language": "fr",
        "lowercase": True,
    }


def test_a_language_that_spacy_lacks_is_an_error() -> None:
    with pytest.raises(ParameterError) as caught:
        SpacyTokenizer("qq")("qapla'")
    first, *_, last = str(caught.value).splitlines()
    assert first == "spaCy cannot tokenize the language 'qq'"
    assert last == "  language 'xx' tokenizes any text with spaces by general rules"


def test_something_that_is_no_language_code_is_an_error() -> None:
    with pytest.raises(ParameterError) as caught:
        SpacyTokenizer("french")
    assert str(caught.value) == "not a language code: 'french'\n  write it as in ISO 639: fr, en, de"


def test_an_unknown_tokenizer_name_is_an_error_without_the_kernel_too() -> None:
    with pytest.raises(ParameterError) as caught:
        tokenizer_factory("spacey")
    assert str(caught.value) == "unknown tokenizer 'spacey'\n  built in: spacy, whitespace, characters, book"


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("fr", "Qu'est-ce que c'est ?"),
        ("fr", 'Y a-t-il un "rendez-vous", aujourd\'hui ?'),
        ("fr", "L'homme (grand) dit : « Va-t'en ! »"),
        ("en", "Why don't you rest, Tom's mother said."),
        ("en", 'The sign says "Exodus", I can\'t go (yet).'),
        ("en", "I'm gonna say you cannot have a half-eaten apple."),
        ("de", "Ein Schild, auf dem steht „Welcome Bikers“."),
    ],
)
def test_a_sentence_survives_being_tokenized_and_joined(language: str, sentence: str) -> None:
    tokens = SpacyTokenizer(language, lowercase=False)(sentence)
    assert len(tokens) > len(sentence.split()) or '"' not in sentence
    assert join_tokens(tokens, language) == sentence


@pytest.mark.parametrize("language", ["fr", "en"])
def test_nearly_every_real_sentence_survives(real_data: Path, language: str) -> None:
    sentences = [" ".join(text.split()) for text in lines(real_data / "multi30k" / f"val.{language}.gz", 1014)]
    tokenizer = SpacyTokenizer(language, lowercase=False)
    same = sum(
        join_tokens(tokens, language) == text for tokens, text in zip(tokenizer.pipe(sentences), sentences, strict=True)
    )
    assert same / len(sentences) > 0.99


def test_the_english_first_person_is_capitalized() -> None:
    assert capitalize("should i go, i.e. leave?", "en") == "Should I go, i.e. leave?"
