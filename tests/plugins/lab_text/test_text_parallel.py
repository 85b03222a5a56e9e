from __future__ import annotations

import logging
import typing
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import lab_text
import numpy as np
import pytest
import torch
from lab_text import corpora, tokenized
from lab_text.batches import SideCoder, TranslationBatch
from lab_text.corpora import Corpus
from lab_text.parallel import TranslationData, book_pairs, fr_en_questions, multi30k, parallel_text
from lab_text.tokenizers import SpacyTokenizer, WhitespaceTokenizer
from lab_text.vectors import RandomVectors, TextVectors
from lab_text.vocabulary import EOS_ID, PAD_ID, UNK_ID

from lab.errors import DataError, ParameterError

Write = Callable[..., Path]


@pytest.fixture
def small(write_lines: Write) -> Callable[..., TranslationData]:
    """A dataset of 40 pairs from two files; options go to ``parallel_text``."""
    numbers = [f"n{number}" for number in range(40)]
    source = write_lines("a.fr", *(f"le {' '.join(numbers[:n])} ?" for n in range(40)))
    target = write_lines("a.en", *(f"The {' '.join(numbers[:n])} ?" for n in range(40)))

    def make(**options: object) -> TranslationData:
        plain = {"tokenizer": "whitespace", "source_percentile": None, "target_percentile": None}
        return parallel_text(source=str(source), target=str(target), **{**plain, **options})

    return make


@pytest.fixture
def fake_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the generated corpus."""

    def generate(number: int, seed: int) -> typing.Iterator[SimpleNamespace]:
        return (SimpleNamespace(french=f"Où est {i} ?", english=f"Where is {i}?") for i in range(number))

    monkeypatch.setattr(lab_text, "embedded", SimpleNamespace(VERSION="test", generate=generate), raising=False)


def message(error: pytest.ExceptionInfo[BaseException]) -> list[str]:
    return str(error.value).splitlines()


@pytest.mark.parametrize("factory", [parallel_text, fr_en_questions, multi30k])
def test_facts_are_known_from_the_return_type(factory: Callable[..., object]) -> None:
    assert typing.get_type_hints(factory)["return"] is TranslationData


def test_pairs_of_30_or_more_target_tokens_are_dropped_and_counted(small: Callable[..., TranslationData]) -> None:
    data = small()
    assert data.statistics["train"] == {"read": 40, "dropped_empty": 0, "dropped_long": 12, "kept": 28}
    assert small(max_target_tokens=None).statistics["train"]["kept"] == 40


def test_the_hold_out_is_the_draw_of_the_course(small: Callable[..., TranslationData]) -> None:
    data = small()
    keep = np.random.RandomState(42).rand(28) > 0.1
    assert data.train.rows.tolist() == np.flatnonzero(keep).tolist()
    assert sorted([*data.train.rows, *data.valid.rows]) == list(range(28))
    assert small(split_seed=1).train.rows.tolist() != data.train.rows.tolist()


def test_lengths_are_cut_at_the_percentiles_and_still_end_with_eos(small: Callable[..., TranslationData]) -> None:
    data = small(source_percentile=50.0, target_percentile=99.0)
    lengths = np.arange(2, 30) + 1
    limits = int(np.percentile(lengths, 50)), int(np.percentile(lengths, 99))
    batch = data.train[range(len(data.train))[-1]]
    assert (len(batch.source), len(batch.target)) == limits == (16, 29)
    assert batch.source[-1] == batch.target[-1] == EOS_ID


def test_max_length_is_the_longest_training_target(small: Callable[..., TranslationData]) -> None:
    data = small()
    assert data.max_length == max(len(data.train[i].target) for i in range(len(data.train)))


def test_a_batch_is_padded_time_first_and_holds_the_original_sentences(small: Callable[..., TranslationData]) -> None:
    data = small()
    batch = data.train.__getitems__([0, 3])
    assert isinstance(batch, TranslationBatch)
    assert batch.source.dtype == batch.target.dtype == torch.int64
    assert data.source_vocab.tokens(batch.source[:, 1].tolist()) == ["le", "n0", "n1", "n2", "?"]
    assert batch.source[:, 0].tolist() == [*data.source_vocab.ids(["le", "?"]), EOS_ID, PAD_ID, PAD_ID, PAD_ID]
    assert batch.references == ("The  ?".replace("  ", " "), "The n0 n1 n2 ?")


def test_samples_collated_one_by_one_equal_the_batch_made_at_once(small: Callable[..., TranslationData]) -> None:
    data = small()
    at_once = data.train.__getitems__([5, 1, 9])
    singly = data.collate([data.train[i] for i in (5, 1, 9)])
    assert torch.equal(singly.source, at_once.source)
    assert torch.equal(singly.target, at_once.target)
    assert singly.references == at_once.references
    assert data.collate(at_once) is at_once


def test_lengths_of_a_split_are_those_of_its_targets(small: Callable[..., TranslationData]) -> None:
    data = small()
    assert list(data.length(data.valid)) == [len(data.valid[i].target) for i in range(len(data.valid))]


def test_vocabularies_come_from_the_training_split_only(small: Callable[..., TranslationData]) -> None:
    data = small(max_target_tokens=None, split_seed=3)
    held_out = set(data.valid.rows.tolist())
    longest_kept = max(row for row in range(40) if row not in held_out)
    assert f"n{longest_kept - 1}" in data.source_vocab
    assert f"n{longest_kept}" not in data.source_vocab


def test_unknown_words_of_other_splits_become_unk(small: Callable[..., TranslationData], write_lines: Write) -> None:
    valid = write_lines("v.fr", "le zèbre ?"), write_lines("v.en", "the zebra ?")
    data = small(valid_source=str(valid[0]), valid_target=str(valid[1]))
    assert data.valid[0].source.tolist()[1] == UNK_ID
    assert len(data.train) == 28


def test_given_files_are_neither_dropped_nor_cut(small: Callable[..., TranslationData], write_lines: Write) -> None:
    long = " ".join(["n1"] * 50)
    files = [str(write_lines(name, long)) for name in ("v.fr", "v.en", "t.fr", "t.en")]
    data = small(
        valid_source=files[0],
        valid_target=files[1],
        test_source=files[2],
        test_target=files[3],
        source_percentile=10.0,
    )
    assert len(data.valid[0].source) == len(data.test[0].target) == 51


def test_the_direction_can_be_reversed(small: Callable[..., TranslationData]) -> None:
    forward, backward = small(), small(reverse=True)
    assert backward.source_vocab == forward.target_vocab
    assert backward.train.source_text(3) == forward.train.target_text(3)
    assert (backward.source_tokenizer.language, backward.target_tokenizer.language) == ("en", "fr")
    assert backward.fingerprint != forward.fingerprint


def test_one_file_of_columns_works_too(write_lines: Write) -> None:
    path = write_lines("fra.txt", *(f"Go {i}.\tVa {i} !\tCC-BY" for i in range(30)))
    data = parallel_text(source=str(path), columns=(1, 0))
    assert (data.train.source_text(0), data.train.target_text(0)) == ("Va 0 !", "Go 0.")


def test_files_are_also_found_in_the_data_directory(empty_data: Path) -> None:
    (empty_data / "pairs.tsv").write_text("".join(f"où {i}\twhere {i}\n" for i in range(30)), encoding="utf-8")
    assert len(parallel_text(source="pairs.tsv").train) > 0


def test_pairs_stops_early(small: Callable[..., TranslationData]) -> None:
    assert small(pairs=20).statistics["train"]["kept"] == 20


def test_pairs_that_are_empty_on_one_side_are_dropped_and_told(
    write_lines: Write, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_lines("a.fr", *["un deux"] * 20, "   ", "trois")
    target = write_lines("a.en", *["one two"] * 20, "nothing", "\u00a0")
    with caplog.at_level(logging.INFO, logger="lab"):
        data = parallel_text(source=str(source), target=str(target))
    assert data.statistics["train"] == {"read": 22, "dropped_empty": 2, "dropped_long": 0, "kept": 20}
    assert caplog.messages[0] == "a.fr + a.en: 20 pairs (dropped: 2 empty on one side)"


def test_nothing_left_is_an_error_with_the_figures(write_lines: Write) -> None:
    source, target = write_lines("a.fr", " ", "un"), write_lines("a.en", "one", " ")
    with pytest.raises(DataError) as caught:
        parallel_text(source=str(source), target=str(target))
    assert message(caught) == [
        "no sentence pairs are left",
        "  a.fr + a.en",
        "  read 2, dropped empty 2, dropped long 0, kept 0",
    ]


def test_a_failed_reading_leaves_nothing_in_the_cache(write_lines: Write, own_cache: Path) -> None:
    source, target = write_lines("a.fr", "un"), write_lines("a.en", "one", "two")
    with pytest.raises(DataError):
        parallel_text(source=str(source), target=str(target))
    assert not list((own_cache / "text").iterdir())


def test_too_few_pairs_to_hold_any_out(write_lines: Write) -> None:
    source, target = write_lines("a.fr", "un"), write_lines("a.en", "one")
    with pytest.raises(DataError) as caught:
        parallel_text(source=str(source), target=str(target))
    assert message(caught) == [
        "1 pairs are too few to hold out 10% of them",
        "  use more pairs or another holdout",
    ]


def test_a_file_must_be_named() -> None:
    with pytest.raises(ParameterError) as caught:
        parallel_text()
    assert message(caught) == ["no corpus file was given", "  dataset 'parallel_text'", "  source=…, target=…"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"holdout": 1.0}, "holdout must be at least 0 and below 1, not 1.0"),
        ({"source_percentile": 0.0}, "percentile must be above 0 and at most 100, not [0.0]"),
        ({"max_target_tokens": 0}, "max_target_tokens must be above 0, not 0"),
        ({"pairs": 0}, "pairs must be above 0, not 0"),
        ({"max_size": 0}, "max_size must be above 0, not 0"),
    ],
)
def test_values_out_of_range(small: Callable[..., TranslationData], option: dict[str, object], expected: str) -> None:
    with pytest.raises(ParameterError) as caught:
        small(**option)
    assert str(caught.value) == expected


def test_the_second_reading_tokenizes_nothing(
    small: Callable[..., TranslationData], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small()
    monkeypatch.setattr(tokenized._Builder, "_write", None)
    second = small()
    assert second.fingerprint == first.fingerprint
    assert torch.equal(second.train.__getitems__([0, 1]).source, first.train.__getitems__([0, 1]).source)


@pytest.mark.parametrize(
    "option", [{"max_target_tokens": 25}, {"tokenizer": "characters"}, {"split_seed": 7}, {"max_size": 5}]
)
def test_what_changes_a_batch_changes_the_fingerprint(
    small: Callable[..., TranslationData], option: dict[str, object]
) -> None:
    assert small(**option).fingerprint != small().fingerprint


def test_a_changed_file_is_read_again(small: Callable[..., TranslationData], tmp_path: Path) -> None:
    before = small().fingerprint
    path = tmp_path / "a.en"
    path.write_text(path.read_text().replace("The", "A"))
    assert small().fingerprint != before


def test_cached_arrays_are_mapped_and_cannot_be_changed(small: Callable[..., TranslationData]) -> None:
    ids = small().train.pairs.source.ids
    assert not ids.flags.writeable
    assert isinstance(ids.base, np.memmap)


def test_tokenizers_may_be_given_as_factories_classes_or_objects(small: Callable[..., TranslationData]) -> None:
    data = small(tokenizer=partial(SpacyTokenizer, lowercase=False), target_tokenizer=WhitespaceTokenizer("en"))
    assert isinstance(data.source_tokenizer, SpacyTokenizer)
    assert (data.source_tokenizer.language, data.target_tokenizer.language) == ("fr", "en")


def test_vectors_have_the_rows_of_the_vocabulary(small: Callable[..., TranslationData]) -> None:
    data = small(source_vectors=RandomVectors(width=7))
    assert data.source_vectors is not None
    assert data.source_vectors.shape == (data.source_vocab_size, 7)
    assert data.target_vectors is None
    assert data.fingerprint != small().fingerprint


def test_words_without_a_vector_are_kept_with_the_data(
    small: Callable[..., TranslationData], write_lines: Write
) -> None:
    path = write_lines("some.vec", "le 1 2", "? 3 4")
    data = small(source_vectors=TextVectors(path=str(path)), pairs=12)
    assert set(data.missing_vectors) == {"source"}
    assert set(data.missing_vectors["source"]) == set(data.source_vocab.words[4:]) - {"le", "?"}


def test_encode_and_decode_are_inverse(small: Callable[..., TranslationData]) -> None:
    data = small()
    ids = data.encode(["le n0 ?", "LE\u00a0n0 n1 ?"])
    assert ids.shape == (5, 2)
    assert ids[:, 0].tolist() == [*data.source_vocab.ids(["le", "n0", "?"]), EOS_ID, PAD_ID]
    batch = data.train.__getitems__([2, 4])
    assert data.decode(batch.target) == list(batch.references)


def test_decode_writes_names_as_the_corpus_does(write_lines: Write) -> None:
    source = write_lines("a.fr", *["Où est Tom ?"] * 20)
    target = write_lines("a.en", *["Where is Tom today?"] * 20)
    data = parallel_text(source=str(source), target=str(target))
    assert data.decode(data.valid.__getitems__([0]).target) == ["Where is Tom today?"]


def test_a_batch_of_nothing_has_one_empty_dimension(small: Callable[..., TranslationData]) -> None:
    data = small()
    assert SideCoder.of(data.train.pairs.source, data.source_vocab).padded(np.zeros(0, np.int64)).shape == (1, 0)


@pytest.mark.usefixtures("fake_grammar")
def test_the_embedded_corpus_is_as_large_as_asked() -> None:
    data = fr_en_questions(pairs=50)
    assert len(data.train) + len(data.valid) == 50
    assert data.train.source.limit is None
    assert data.train.source_text(0) == "Où est 0 ?"
    assert fr_en_questions(pairs=50, reverse=True).train.source_text(0) == "Where is 0?"


@pytest.mark.usefixtures("fake_grammar")
def test_the_version_of_the_grammar_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fr_en_questions(pairs=50).fingerprint
    monkeypatch.setattr(lab_text.embedded, "VERSION", "next")
    assert fr_en_questions(pairs=50).fingerprint != before


def test_tatoeba_has_8623_questions(real_data: Path) -> None:
    data = fr_en_questions(corpus="tatoeba")
    assert data.statistics["train"]["kept"] == len(data.train) + len(data.valid) == 8623
    assert (len(data.train), len(data.valid)) == (7723, 900)
    assert data.train.source_text(0) == "Qui ?"
    assert data.train.target_text(0) == "Who?"
    assert (data.train.source.limit, data.train.target.limit) == (14, 14)


def test_multi30k_has_its_three_splits_in_any_direction(real_data: Path) -> None:
    data = multi30k(source="de", target="fr", pairs=500)
    assert [len(split) for split in (data.train, data.valid, data.test)] == [500, 1014, 1000]
    assert data.train.source_text(0).startswith("Zwei junge weiße Männer")
    assert data.train.target_text(0).startswith("Deux jeunes hommes blancs")


def test_multi30k_says_which_languages_it_has() -> None:
    with pytest.raises(ParameterError) as caught:
        multi30k(target="es")
    assert message(caught) == ["multi30k has no language 'es'", "  its languages: en, fr, de"]


def test_a_corpus_without_the_language_is_an_error(monkeypatch: pytest.MonkeyPatch, empty_data: Path) -> None:
    german = Corpus(name="g", title="g", languages=("de", "en"), license="CC0", publisher="me", files={"de": ("g.de",)})
    monkeypatch.setitem(corpora._BUILT_IN, "g", lambda: german)
    with pytest.raises(DataError) as caught:
        fr_en_questions(corpus="g")
    assert message(caught) == ["corpus 'g' has no sentences in 'fr'", "  its languages: de, en"]


def test_a_corpus_of_one_file_per_language_is_read(monkeypatch: pytest.MonkeyPatch, empty_data: Path) -> None:
    files = {"fr": ("g.fr",), "en": ("g.en",)}
    aligned = Corpus(name="g", title="g", languages=("fr", "en"), license="CC0", publisher="me", files=files)
    (empty_data / "g.fr").write_text("Qui est là ?\n" * 20, encoding="utf-8")
    (empty_data / "g.en").write_text("Who is there?\n" * 20, encoding="utf-8")
    monkeypatch.setitem(corpora._BUILT_IN, "g", lambda: aligned)
    assert fr_en_questions(corpus="g").train.source_text(0) == "Qui est là ?"


def test_the_books_600_pairs_have_its_vocabularies(real_data: Path) -> None:
    data = book_pairs()
    # Without the four special tokens the book has 180 and 197 words, too: it prints 184 and 201.
    assert (data.source_vocab_size, data.target_vocab_size) == (184, 201)
    assert (data.train.source_text(0), len(data.train), len(data.valid)) == ("Go.", 600, 600)
    assert book_pairs(reverse=True).source_vocab_size == 201
