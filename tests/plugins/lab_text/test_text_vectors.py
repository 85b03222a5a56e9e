from __future__ import annotations

import gzip
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from lab_text.vectors import FastTextTrained, FastTextVectors, RandomVectors, TextVectors
from lab_text.vocabulary import PAD_ID, Vocabulary

from lab.errors import DataError, ParameterError

WORDS = Vocabulary(["the", "of", "zebraxx"])
SENTENCES = [["the", "cat", "of", "the", "house"], ["the", "end", "of", "it"]] * 20


def message(error: pytest.ExceptionInfo[BaseException]) -> list[str]:
    return str(error.value).splitlines()


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    path = tmp_path / "words.vec"
    path.write_text("3 2\nthe 1 2\nOf 3 4\nother 5 6\n")
    return path


@pytest.fixture(scope="module")
def trained_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with n-grams, trained here."""
    fasttext = pytest.importorskip("fasttext")
    folder = tmp_path_factory.mktemp("fasttext")
    (folder / "text").write_text("the cat of the house\n" * 50)
    model = fasttext.train_unsupervised(str(folder / "text"), dim=4, minCount=1, bucket=50, thread=1, verbose=0)
    model.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def test_rows_follow_the_vocabulary_and_padding_is_zero(vec: Path) -> None:
    table = TextVectors(path=str(vec), std=None).table(WORDS)
    assert table.weights.shape == (7, 2)
    assert table.weights[4].tolist() == [1.0, 2.0]
    assert table.weights[PAD_ID].tolist() == [0.0, 0.0]


def test_other_spellings_serve_a_lower_cased_vocabulary(vec: Path) -> None:
    assert TextVectors(path=str(vec), std=None).table(WORDS).weights[5].tolist() == [3.0, 4.0]


def test_words_without_a_vector_are_listed_and_told(vec: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lab"):
        table = TextVectors(path=str(vec)).table(WORDS)
    assert table.missing == ("zebraxx",)
    assert caplog.messages == [f"{vec}: 2 of 3 words have a vector, 1 have none (zebraxx)"]


def test_vectors_are_scaled_to_the_standard_deviation_asked_for(real_data: Path) -> None:
    path = "word_vectors/glove.6B.50d.subset.txt"
    words = Vocabulary(["the", "of", "to", "and", "in", "was"])
    plain = TextVectors(path=path, std=None).table(words).weights[4:]
    scaled = TextVectors(path=path, std=0.5).table(words).weights[4:]
    assert float(scaled.std(correction=0)) == pytest.approx(0.5, rel=1e-5)
    assert torch.allclose(scaled / plain, (scaled / plain)[0, 0].expand_as(plain))


def test_missing_words_get_random_rows_of_the_same_spread_and_always_the_same(vec: Path) -> None:
    many = Vocabulary(["the", "of", *(f"w{number}" for number in range(2000))])
    weights = TextVectors(path=str(vec), std=0.5).table(many).weights
    assert float(weights[6:].std()) == pytest.approx(0.5, rel=0.05)
    assert torch.equal(weights, TextVectors(path=str(vec), std=0.5).table(many).weights)
    assert not torch.equal(weights, TextVectors(path=str(vec), std=0.5, seed=1).table(many).weights)


def test_gzip_and_plain_text_vectors_read_alike(vec: Path) -> None:
    packed = vec.with_suffix(".vec.gz")
    packed.write_bytes(gzip.compress(vec.read_bytes()))
    plain, unpacked = (TextVectors(path=str(path)).table(WORDS).weights for path in (vec, packed))
    assert torch.equal(plain, unpacked)


def test_glove_files_need_no_header(real_data: Path) -> None:
    table = TextVectors(path="word_vectors/glove.6B.50d.subset.txt").table(WORDS)
    assert table.weights.shape == (7, 50)
    assert table.missing == ("zebraxx",)


def test_text_and_binary_of_one_model_agree(real_data: Path) -> None:
    name = "word_vectors/pang_lee_polarity_fasttext"
    text = TextVectors(path=f"{name}.vec", std=None).table(WORDS)
    binary = FastTextVectors(path=f"{name}.bin", std=None).table(WORDS)
    assert torch.allclose(text.weights[4:6], binary.weights[4:6], atol=1e-4)


def test_a_vector_file_that_is_not_there() -> None:
    with pytest.raises(DataError) as caught:
        TextVectors(path="nowhere.vec").table(WORDS)
    assert message(caught) == [
        "vector file not found",
        "  nowhere.vec",
        "  check the path (relative to here or to LAB_DATA)",
    ]


def test_no_vector_file_named() -> None:
    with pytest.raises(ParameterError) as caught:
        FastTextVectors().table(WORDS)
    assert message(caught) == ["no vector file was named", "  vectors 'fasttext'", "  path=…"]


def test_vectors_of_another_width_than_asked_for(vec: Path) -> None:
    with pytest.raises(DataError) as caught:
        TextVectors(path=str(vec), width=300).table(WORDS)
    assert message(caught) == [
        "these vectors are 2 wide, expected 300",
        f"  {vec}",
        "  choose another file or another width",
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("3 2\nthe 1 2\nof 3\n", "line 3 of the vector file has 1 values, expected 2"),
        ("the 1 2\nof 3 4 5\n", "line 2 of the vector file has 3 values, expected 2"),
        ("3 2\nthe 1 x\n", "line 2 of the vector file has a value that is not a number"),
        ("3 2\nthe 1 2\nof 3 4\n", "the vector file is cut short: it promises 3 vectors and holds 2"),
        ("", "the vector file is empty"),
    ],
)
def test_damaged_text_vectors(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "bad.vec"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        TextVectors(path=str(path)).table(WORDS)
    assert message(caught) == [what, f"  {path}", "  fetch the file again"]


def test_numbers_are_read_to_the_last_bit_whatever_follows_them(tmp_path: Path) -> None:
    numbers = ["0.1", "-1e-7", "3.4028235e38", "16777217.0", "0.30000001192092896"]
    path = tmp_path / "a.vec"
    path.write_bytes(f"the {' '.join(numbers)} \r\nof {'  '.join(numbers)}\n".encode())
    width, found = TextVectors(path=str(path)).find(["the", "of"], tuple)
    expected = np.array(list(map(float, numbers)), np.float32)
    assert width == len(numbers)
    assert found["the"].tobytes() == found["of"].tobytes() == expected.tobytes()


def test_values_of_words_that_are_not_needed_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.vec"
    path.write_text("the 1 2\nzebra x y z\nof 3 4\n")
    assert TextVectors(path=str(path)).find(["of"], tuple)[1]["of"].tolist() == [3, 4]


def test_compressed_text_vectors_cut_short(tmp_path: Path, vec: Path) -> None:
    path = tmp_path / "bad.vec.gz"
    path.write_bytes(gzip.compress(vec.read_bytes())[:-9])
    with pytest.raises(DataError) as caught:
        TextVectors(path=str(path)).table(WORDS)
    assert message(caught) == ["the compressed vector file is cut short", f"  {path}", "  fetch the file again"]


def test_fasttext_composes_vectors_of_unlisted_words(trained_bin: Path) -> None:
    words = Vocabulary(["the", "houses"])
    assert FastTextVectors(path=str(trained_bin)).table(words).missing == ()
    assert FastTextVectors(path=str(trained_bin), subwords=False).table(words).missing == ("houses",)


@pytest.mark.parametrize("kept", [60, 100, 200, -1])
def test_fasttext_model_cut_short(trained_bin: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(trained_bin.read_bytes()[:kept])
    with pytest.raises(DataError) as caught:
        FastTextVectors(path=str(path)).table(WORDS)
    assert message(caught)[0].startswith("the fastText model is truncated")
    assert message(caught)[1:] == [f"  {path}", "  fetch the file again"]


def test_a_model_cut_in_its_matrix_says_how_much_is_missing(trained_bin: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "bad.bin", trained_bin.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError) as caught:
        FastTextVectors(path=str(path)).table(WORDS)
    assert message(caught)[0] == f"the fastText model is truncated: {len(whole) - 1:,} of {len(whole):,} bytes"


@pytest.mark.parametrize("content", [b"", b"3 2\nthe 1 2\n", struct.pack("<i", 7) * 40])
def test_something_that_is_no_fasttext_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        FastTextVectors(path=str(path)).table(WORDS)
    assert message(caught) == [
        "not a fastText model",
        f"  {path}",
        "  give a .bin file of fastText 0.1 or newer; for text files use vectors 'text_vectors'",
    ]


def test_trained_vectors_are_the_same_for_the_same_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = {"width": 8, "buckets": 100}
    first = FastTextTrained(**options).table(WORDS, lambda: SENTENCES)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "another"))
    again = FastTextTrained(**options).table(WORDS, lambda: SENTENCES)
    assert torch.equal(first.weights, again.weights)
    assert first.missing == ("zebraxx",)
    assert first.weights.shape == (7, 8)


def test_trained_vectors_are_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = FastTextTrained(width=8, buckets=100)
    first = vectors.table(WORDS, lambda: SENTENCES)
    monkeypatch.setattr(FastTextTrained, "_train", None)
    assert torch.equal(vectors.table(WORDS, lambda: SENTENCES).weights, first.weights)


def test_training_vectors_on_nothing_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        FastTextTrained().table(WORDS, tuple)
    assert message(caught) == ["no sentences to train vectors on", "  vectors 'fasttext_trained'"]


def test_random_vectors_have_the_spread_asked_for_and_miss_nothing() -> None:
    table = RandomVectors(width=500, std=0.1).table(WORDS)
    assert float(table.weights[4:].std()) == pytest.approx(0.1, rel=0.1)
    assert table.missing == ()


def test_random_vectors_need_a_width() -> None:
    with pytest.raises(ParameterError) as caught:
        RandomVectors(width=None).table(WORDS)
    assert message(caught) == ["random vectors need a width", "  vectors 'random'", "  width=300"]


def test_a_standard_deviation_of_zero_is_an_error() -> None:
    with pytest.raises(ParameterError) as caught:
        RandomVectors(std=0.0)
    assert message(caught) == ["std must be above 0, not 0.0", "  vectors RandomVectors"]


def test_weights_are_float32(vec: Path) -> None:
    assert TextVectors(path=str(vec)).table(WORDS).weights.numpy().dtype == np.float32
