"""Files that are damaged, of another kind or written in other ways: read rightly, or told."""

from __future__ import annotations

import gzip
import io
import logging
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lab_text.files import check_text_file, read_text
from lab_text.parallel import TranslationData, parallel_text
from lab_text.reading import TabFile, read_lines
from lab_text.vectors import FastTextVectors, TextVectors, VectorTable
from lab_text.vocabulary import SPECIAL_TOKENS, UNK_ID, Vocabulary

from lab.errors import DataError, LabError, ParameterError

Write = Callable[..., Path]


def first_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    return str(error.value).splitlines()[0]


# --- special tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_a_text_never_has_the_id_of_a_special_token(token: str) -> None:
    vocabulary = Vocabulary.from_tokens([["who", token, "won"]])
    assert vocabulary.ids(["who", token, "won"]) == [4, UNK_ID, 5]
    assert vocabulary.id(token) == UNK_ID


def test_special_tokens_in_a_corpus_and_in_a_sentence_to_translate_are_unknown_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("où _eos_ est\twhere _pad_ is\nqui est\twho is\n" * 20)
    data = _pairs(path)
    assert data.train[0].source.tolist()[1] == UNK_ID
    assert data.encode(["où _eos_ est _bos_"])[:, 0].tolist().count(2) == 1
    assert any("'_eos_', spelled like special tokens" in note for note in data.notes)


def test_vectors_of_special_tokens_in_a_file_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.vec"
    path.write_text("_pad_ 9 9\n_eos_ 9 9\nthe 1 2\n")
    weights = TextVectors(path=str(path), std=None).table(Vocabulary(["the"])).weights
    assert weights[1].tolist() == [0.0, 0.0]
    assert weights[2].tolist() != [9.0, 9.0]


# --- word vectors -----------------------------------------------------------------------------------------------------

WORDS = Vocabulary(["the", "of", "zebraxx"])
PLAIN = "the 1 2 3\nof 4 5 6\n"


def _table(tmp_path: Path, content: str | bytes, words: Vocabulary = WORDS, **options) -> VectorTable:
    path = tmp_path / "a.vec"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return TextVectors(path=str(path), std=None, **options).table(words)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace(" ", "\t"),
        PLAIN.replace(" ", "  "),
        PLAIN.replace("the ", "the\t"),
        PLAIN.replace("\n", " \r\n"),
        " " + PLAIN,
        "\ufeff" + PLAIN,
        "\ufeff2 3\n" + PLAIN,
        "2\t3\n" + PLAIN,
        "New York 7 8 9\nthe end 7 8 9\n. . . 7 8 9\n" + PLAIN,
        "5 3\nNew York 7 8 9\nthe end 7 8 9\n. . . 7 8 9\n" + PLAIN,
        PLAIN + "\n\n",
        PLAIN + "the 7 8 9\n",
    ],
)
def test_vectors_are_read_however_their_lines_are_written(tmp_path: Path, content: str) -> None:
    weights = _table(tmp_path, content).weights
    assert weights[4:6].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_words_with_blanks_are_found(tmp_path: Path) -> None:
    assert _table(tmp_path, "New York 7 8 9\n" + PLAIN, words=Vocabulary(["New York"])).weights[4].tolist() == [7, 8, 9]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "NaN"])
def test_a_value_that_is_not_finite_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError) as caught:
        _table(tmp_path, f"2 3\nthe 1 2 3\nof 4 {value} 6\n")
    assert first_line(caught) == (f"line 3 of the vector file, 'of', has a value that is not a finite number: {value}")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (PLAIN.encode("utf-16"), "the file is UTF-16, not UTF-8"),
        (gzip.compress(PLAIN.encode() * 50, mtime=0)[:-12], "the compressed vector file is cut short"),
        (gzip.compress(b"", mtime=0)[:12], "the compressed vector file is cut short"),
        (b"PK\x03\x04rest", "this is a zip archive, not a text file"),
        ("the\nof\n", "the lines of the vector file have no values"),
        ("9 300\n" + PLAIN * 9, "the header of the vector file promises 300 values a word, and the lines have 3"),
        ("2 3\n", "the vector file is empty"),
        ("the 1 2 3\nof 4 1_5 6\n", "line 2 of the vector file has a value that is not a number"),
        ("the 1,5 2 3\nof 4 5 6\n", "line 1 of the vector file has a value that is not a number"),
        ("the 2 3\n\0\0the \0\0\1\2\3", "the file has zero bytes (the first in line 2), so it is not text in utf-8"),
    ],
)  # fmt: skip
def test_vector_files_that_cannot_be_read_are_told(tmp_path: Path, content: str | bytes, what: str) -> None:
    with pytest.raises(DataError) as caught:
        _table(tmp_path, content)
    assert first_line(caught) == what


def test_no_vector_for_any_word_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        _table(tmp_path, "THE 1 2\nOF 3 4\n", words=Vocabulary(["the", "of", "zebra"]))
    assert str(caught.value).splitlines() == [
        "none of 3 words has a vector (the, of, zebra)",
        f"  {tmp_path / 'a.vec'}",
        "  66.7 % of them would be found in upper case",
    ]


def test_a_low_coverage_is_a_warning_with_examples(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _table(tmp_path, PLAIN, words=Vocabulary(["the", "a", "b", "c"]))
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        f"{tmp_path / 'a.vec'}: 1 of 4 words have a vector, 3 have none (a, b, c)"
    ]


def test_vectors_in_another_encoding_are_told_and_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content, words = "été 1 2\nthe 3 4\n".encode("latin-1"), Vocabulary(["été", "the"])
    assert _table(tmp_path, content, words=words).missing == ("été",)
    assert "1 words are not UTF-8; if they are many, give the encoding of the file" in caplog.text
    assert _table(tmp_path, content, words=words, encoding="latin-1").missing == ()
    assert _table(tmp_path, "été 1 2\nthe 3 4\n".encode("utf-16"), words=words, encoding="utf-16").missing == ()


def test_further_vectors_of_a_word_and_too_many_vectors_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert _table(tmp_path, "2 3\n" + PLAIN + "of 7 8 9\n").weights[5].tolist() == [4, 5, 6]
    assert "only the first vector of a repeated word is used (1 repeated): 'of' (line 4)" in caplog.text
    assert "the header promises 2 vectors, not 3" in caplog.text


BINARY = b"2 3\nthe " + np.array([1, 2, 3], "<f4").tobytes() + b"\nof " + np.array([4, 5, 0.1], "<f4").tobytes()


@pytest.mark.parametrize("content", [BINARY, BINARY.replace(b"\nof", b"of"), BINARY + b"\n"])
def test_the_binary_format_of_word2vec_is_read(tmp_path: Path, content: bytes) -> None:
    assert _table(tmp_path, content).weights[4:6].tolist() == [[1, 2, 3], [4, 5, float(np.float32(0.1))]]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (BINARY[:-1], "the vector file is cut short: it promises 2 vectors of 3 values and holds 1"),
        (BINARY.replace(b"2 3", b"9 3"), "the vector file is cut short: it promises 9 vectors of 3 values and holds 2"),
        (BINARY.replace(b"2 3", b"1 3"), "15 bytes follow the 1 vectors of 3 values that the header promises"),
        (BINARY.replace(b"2 3", b"2 4"), "the vector file is cut short: it promises 2 vectors of 4 values and holds 1"),
        (BINARY.replace(b"2 3", b"2 2"), "4 bytes follow the 2 vectors of 2 values that the header promises"),
        (BINARY[:-4] + np.array([np.nan], "<f4").tobytes(), "vector 2, 'of', has a value that is not a finite number"),
        (gzip.compress(BINARY, mtime=0), "vectors in word2vec's binary format are read unpacked"),
    ],
)
def test_binary_vectors_that_are_damaged_are_told(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(DataError) as caught:
        _table(tmp_path, content)
    assert first_line(caught) == what


def test_binary_and_text_of_real_vectors_agree(real_data: Path) -> None:
    words = Vocabulary(["the", "of", "night", "said"])
    table = TextVectors(path="word_vectors/euclidean_vectors.bin", std=None).table(words)
    assert table.weights.shape[1] == 10
    assert float(table.weights[4, 0]) == pytest.approx(0.42133, abs=1e-3)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models with n-grams, plain and quantized."""
    fasttext = pytest.importorskip("fasttext")
    folder = tmp_path_factory.mktemp("models")
    (folder / "text").write_text("".join(f"the cat été of naïve houses w{n % 37}\n" for n in range(200)))
    (folder / "labels").write_text("".join(f"__label__{n % 3} the cat w{n % 397} été\n" for n in range(900)))
    options = {"minCount": 1, "bucket": 50, "thread": 1, "verbose": 0, "epoch": 1}
    plain = fasttext.train_unsupervised(str(folder / "text"), dim=6, **options)
    small = fasttext.train_supervised(str(folder / "labels"), dim=6, minn=2, maxn=3, **options)
    small.quantize(input=str(folder / "labels"), qnorm=True)
    paths = {name: folder / name for name in ("plain.bin", "small.ftz")}
    for model, path in zip((plain, small), paths.values(), strict=True):
        model.save_model(str(path))
    return paths


@pytest.mark.parametrize("name", ["plain.bin", "small.ftz"])
def test_vectors_of_a_model_are_those_of_the_library(models: dict[str, Path], name: str) -> None:
    import fasttext

    library = fasttext.FastText._FastText(model_path=str(models[name]))
    words = ["the", "été", "naïve", "naïveté", "w3", "日本", "a"]
    _, found = FastTextVectors(path=str(models[name])).find(words, tuple)
    expected = {word: library.get_word_vector(word) for word in words}
    assert {word: vector.tolist() for word, vector in found.items()} == {
        word: vector.tolist() for word, vector in expected.items() if vector.any()
    }


@pytest.mark.parametrize("name", ["plain.bin", "small.ftz"])
def test_a_model_with_a_flipped_bit_is_read_or_told(models: dict[str, Path], tmp_path: Path, name: str) -> None:
    whole, draw, path = models[name].read_bytes(), random.Random(0), tmp_path / name
    refused = 0
    for place in [*range(4, 100), *(draw.randrange(len(whole)) for _ in range(60))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            FastTextVectors(path=str(path)).find(["the", "cats", "été"], tuple)
        except LabError:
            refused += 1
    assert refused > 20


def test_values_of_a_model_that_are_not_finite_are_told(models: dict[str, Path], tmp_path: Path) -> None:
    whole = models["plain.bin"].read_bytes()
    values = np.frombuffer(whole, np.uint8).copy()
    values[len(whole) // 3 : len(whole) // 2] = 0xFF
    (tmp_path / "bad.bin").write_bytes(values.tobytes())
    with pytest.raises(DataError, match="has values that are not finite"):
        FastTextVectors(path=str(tmp_path / "bad.bin")).find([f"w{n}" for n in range(37)], tuple)


# --- files that are no text, and encodings ----------------------------------------------------------------------------


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("a.txt", "b.txt"):
            archive.writestr(zipfile.ZipInfo(name), "text")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (_zip(), ["this is a zip archive, not a text file", "  unpack it, and name a file in it: a.txt, b.txt"]),
        (b"%PDF-1.7 ...", ["this is a PDF document, not a text file", "  unpack it, or save it as plain text"]),
        (b"<!DOCTYPE html><html>log in", ["this is a web page, not a text file", "  fetch the file itself"]),
        ("où est\n".encode("utf-16"), ["the file is UTF-16, not UTF-8", "  encoding='utf-16'"]),
        ("where is it\n".encode("utf-16-le"), ["the file has zero bytes, so it is not text in utf-8",
                                                "  encoding='utf-16-le'"]),
        (bytes(range(256)) + bytes(100), ["the file has zero bytes (the first in line 1), so it is not text in utf-8",
                                          "  give a text file"]),
        (b"un\rdeux\rtrois\r", ["the lines end with \\r alone, as old Macs wrote them",
                                "  write them with \\n: tr '\\r' '\\n' < a"]),
        (b"\x1f\x8b\x08\x00 no gzip", ["the compressed file is damaged or truncated after line 0",
                                       "  fetch or write it again"]),
    ],
)  # fmt: skip
def test_files_that_are_no_text_are_told(tmp_path: Path, content: bytes, told: list[str]) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert str(caught.value).splitlines() == [told[0], f"  {path}", told[1]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252", "latin-1"])
def test_texts_in_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a"
    for packed in (False, True):
        content = "où\nété ?\n".encode(encoding)
        path.write_bytes(gzip.compress(content) if packed else content)
        assert list(read_lines(path, encoding=encoding)) == ["où", "été ?"]
        assert read_text(path, encoding) == "où\nété ?\n"


def test_an_unknown_encoding_is_told(tmp_path: Path) -> None:
    for name in ("utf-9", "zlib_codec", "a\0b"):
        with pytest.raises(ParameterError, match="unknown encoding"):
            check_text_file(tmp_path / "a", name)


def test_utf8_that_is_read_in_another_encoding_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a").write_text("été\n")
    assert list(read_lines(tmp_path / "a", encoding="latin-1")) == ["Ã©tÃ©"]
    assert "is UTF-8, it seems, and is read as latin-1: 'é' becomes 'Ã©'" in caplog.text


# --- sentence pairs ---------------------------------------------------------------------------------------------------


def _pairs(path: Path, target: Path | None = None, **options) -> TranslationData:
    given = {"tokenizer": "whitespace", "source_percentile": None, "target_percentile": None, **options}
    return parallel_text(source=str(path), target=None if target is None else str(target), **given)


def _tsv(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "a.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_the_share_held_out_and_pairs_in_both_splits_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = _pairs(_tsv(tmp_path, [f"mot{n % 50}\tword{n % 50}" for n in range(200)]), holdout=0.25)
    count = len(data.valid)
    assert f"valid: {count} pairs, {100 * count / 200:.3g} % of all, drawn at random" in data.notes
    assert any("pairs of 'valid' (" in note and "are in train too" in note for note in data.notes)
    assert "are in train too" in caplog.text


def test_pairs_that_share_one_side_alone_are_not_in_both_splits(tmp_path: Path) -> None:
    data = _pairs(_tsv(tmp_path, [f"mot\tword{n}" for n in range(100)]))
    assert not any("in train too" in note for note in data.notes)


def test_pairs_of_a_validation_file_are_compared_too(tmp_path: Path) -> None:
    train = _tsv(tmp_path, [f"mot{n} un\tword{n} one" for n in range(50)])
    valid = tmp_path / "valid.tsv"
    valid.write_text("autre\tother\nmot7 un\tword7 one\n")
    assert "1 pair of 'valid' (50 %) is in train too" in _pairs(train, valid_source=str(valid)).notes


def test_swapped_languages_are_told(tmp_path: Path) -> None:
    path = _tsv(tmp_path, [f"where is the house {n}\toù est la maison {n}" for n in range(40)])
    assert any("look like 'en'" in note for note in _pairs(path).notes)
    assert not any("look like" in note for note in _pairs(path, columns=(1, 0)).notes)


def test_lines_with_further_columns_are_told(tmp_path: Path) -> None:
    path = _tsv(tmp_path, [f"mot{n}\tword{n}" + ("\tx" if n == 4 else "") for n in range(40)])
    assert any(
        "1 line has another number of columns than the first, which has 2: line 5" in n for n in _pairs(path).notes
    )


def test_an_empty_line_of_a_file_with_columns_is_an_empty_pair(tmp_path: Path) -> None:
    assert list(TabFile(_tsv(tmp_path, ["a\tb", "", "c\td"])).pairs(lambda count: None)) == [
        ("a", "b"),
        ("", ""),
        ("c", "d"),
    ]


def test_signs_that_nobody_sees_are_counted(tmp_path: Path) -> None:
    lines = [f"mot{n}\u200b e\u0301te\u0301\tword{n} \u2028 \ufffd" for n in range(30)]
    notes = " ".join(_pairs(_tsv(tmp_path, lines)).notes)
    found = ("30 invisible characters", "60 combining accents", "30 line or page separators", "30 replacement")
    assert all(each in notes for each in found)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"split_seed": -1}, "split_seed must be from 0 to 2³² - 1, not -1"),
        ({"split_seed": 1 << 32}, "split_seed must be from 0 to 2³² - 1, not 4294967296"),
        ({"holdout": float("nan")}, "holdout must be at least 0 and below 1, not nan"),
        ({"columns": (0, -1)}, "columns must be two different positions from 0 on, not (0, -1)"),
        ({"columns": (1, 1)}, "columns must be two different positions from 0 on, not (1, 1)"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
        ({"valid_target": "b.en"}, "valid_target has no valid_source"),
    ],
)
def test_values_that_cannot_be_are_refused(tmp_path: Path, options: dict, what: str) -> None:
    with pytest.raises(ParameterError) as caught:
        _pairs(_tsv(tmp_path, ["a\tb"] * 20), **options)
    assert first_line(caught) == what


def test_one_file_for_both_languages_is_refused(tmp_path: Path) -> None:
    path = _tsv(tmp_path, ["a\tb"] * 20)
    with pytest.raises(ParameterError, match="source and target are the same file"):
        _pairs(path, path)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"holdout": 0.0}, "the split 'valid' has no pairs"),
        ({"min_freq": 99}, "the vocabulary of the source is empty"),
    ],
)
def test_empty_splits_and_vocabularies_are_refused(tmp_path: Path, options: dict, what: str) -> None:
    with pytest.raises(DataError) as caught:
        _pairs(_tsv(tmp_path, [f"mot{n}\tword{n}" for n in range(40)]), **options)
    assert first_line(caught) == what


def test_a_line_of_a_million_characters_is_read(tmp_path: Path) -> None:
    lines = [f"mot{n}\tword{n}" for n in range(40)] + ["x" * 1_000_000 + "\t" + "y z " * 250_000]
    assert _pairs(_tsv(tmp_path, lines), max_target_tokens=None).max_length > 1


def test_a_word_that_spacy_would_need_minutes_for_is_told(tmp_path: Path) -> None:
    lines = [f"mot{n}\tword{n}" for n in range(20)] + ["l'" * 300_000 + "\tthe"]
    with pytest.raises(DataError) as caught:
        _pairs(_tsv(tmp_path, lines), tokenizer="spacy")
    assert first_line(caught) == "a word has 600,000 characters without a blank"
