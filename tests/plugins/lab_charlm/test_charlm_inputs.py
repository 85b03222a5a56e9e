"""Texts that are short, odd, or written in other ways: read rightly, or told."""

from __future__ import annotations

import gzip

import pytest
import torch
from lab_charlm.data import CharVocabulary, char_text

from lab.errors import DataError, ParameterError

LINES = "".join(f"line number {number % 10}\n" for number in range(100))


@pytest.fixture
def text_file(tmp_path):
    def write(content, name="text.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def _texts(data):
    return [data.vocab.decode(split.ids.tolist()) for split in (data.train, data.valid)]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.9])
@pytest.mark.parametrize(
    "content", ["a" * 50_000 + "b" * 50_000, "short\n" * 50 + "ab" * 50_000, "ab" * 50_000 + "\n" + "short\n" * 50]
)
def test_a_text_whose_lines_do_not_serve_is_split_by_characters(text_file, content, share):
    data = char_text(path=text_file(content), valid_share=share)
    assert len(data.valid.ids) == pytest.approx(share * len(content), abs=1)
    assert "of the text, by characters" in data.notes[0]


def test_the_share_that_validates_and_the_characters_are_told(text_file):
    data = char_text(path=text_file(LINES))
    assert data.notes == (
        "train: 1,120 characters, valid: 280 characters, 20 % of the text, by lines",
        "20 characters in the vocabulary, unknown: 0 % of train, 0 % of valid",
    )


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + LINES,
        LINES.replace("\n", "\r\n"),
        LINES.replace("\n", "\r"),
        gzip.compress(LINES.encode()),
    ],
    ids=["bom", "windows", "mac", "gzip"],
)
def test_a_text_is_the_same_however_it_is_written(text_file, content):
    data = char_text(path=text_file(content))
    assert data.fingerprint == char_text(path=text_file(LINES, "plain.txt")).fingerprint
    assert not {"\r", "\ufeff"} & set(data.vocab.characters)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "utf-8-sig"])
def test_texts_in_other_encodings_are_read(text_file, encoding):
    text = "été à Paris\n" * 40
    assert "".join(_texts(char_text(path=text_file(text.encode(encoding)), encoding=encoding))) == text.lower()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            bytes(range(256)) * 4 + bytes(999),
            "the file has zero bytes (the first in line 1), so it is not text in utf-8",
        ),
        (b"some text\n" * 500 + b"a\0b", "line 501 has a zero byte, so the file is not text"),
        (b"PK\x03\x04 ...", "this is a zip archive, not a text file"),
        (LINES.encode("utf-16"), "the file is UTF-16, not UTF-8"),
        (gzip.compress(LINES.encode(), mtime=0)[:-9], "the compressed file is damaged or cut short"),
        (b"\xef\xbb\xbf", "the text is empty"),
        ("aaaa\n" * 80 + "zyxw" * 25, "no character of the validation part is in the vocabulary"),
    ],
)
def test_files_that_cannot_be_read_are_told(text_file, content, message):
    with pytest.raises(DataError) as caught:
        char_text(path=text_file(content))
    assert str(caught.value).splitlines()[0] == message


def test_several_files_are_one_text(text_file):
    files = [text_file("abc" * 40, "one.txt"), text_file("def\n" * 40, "two.txt")]
    assert "".join(_texts(char_text(path=files))) == "abc" * 40 + "\n" + "def\n" * 40
    assert char_text(path=files[:1]).fingerprint == char_text(path=files[0]).fingerprint


def test_a_study_names_several_files_and_its_record_their_content(text_file, tmp_path):
    from lab import Experiment, use
    from lab.registry.plugins import load_catalog
    from lab.study.experiment import checked

    files = [text_file("abc" * 40, "one.txt"), text_file("def\n" * 40, "two.txt")]
    base = Experiment(
        dataset=use("char_text", path=files), architecture="char_rnn", loss="sequence_nll", sampler="chunks"
    )
    assert checked(base, load_catalog()).to_json()["dataset"]["params"]["path"] == files


def test_no_file_is_told():
    with pytest.raises(ParameterError, match="path names no file"):
        char_text(path=[])


def test_a_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="this is a folder; name a file in it"):
        char_text(path=str(tmp_path))


def test_no_known_character_is_an_error(text_file):
    with pytest.raises(DataError) as caught:
        char_text(path=text_file(LINES), min_freq=5_000)
    assert str(caught.value).splitlines()[0] == "no character of the training part is in the vocabulary"


def test_validation_characters_that_are_unknown_are_told(text_file, caplog):
    char_text(path=text_file("abc\n" * 80 + "abz\n" * 20))
    assert "25 % of the validation part are unknown characters" in caplog.text


def test_a_huge_alphabet_is_told(text_file, caplog):
    text = "".join(chr(0x4E00 + number % 1500) + ("\n" if number % 30 == 29 else "") for number in range(9000))
    char_text(path=text_file(text))
    assert "1,501 different characters" in caplog.text


def test_signs_that_nobody_sees_are_told(text_file):
    notes = " ".join(char_text(path=text_file("a\u200bb e\u0301 \ufffd\n" * 60)).notes)
    assert "60 invisible characters" in notes
    assert "60 combining accents" in notes
    assert "60 replacement characters" in notes


@pytest.mark.parametrize(
    "options",
    [{"max_chars": -1}, {"valid_share": float("nan")}, {"bptt": -1}, {"min_freq": -1}, {"encoding": "utf-9"}],
)
def test_values_that_cannot_be_are_refused(text_file, options):
    with pytest.raises(ParameterError):
        char_text(path=text_file(LINES), **options)


def test_a_text_shorter_than_a_window_is_told_with_the_numbers(text_file):
    with pytest.raises(DataError) as caught:
        char_text(path=text_file(LINES), bptt=500)
    assert str(caught.value).splitlines()[0] == (
        "the validation part has 280 characters, too few for a window of bptt=500"
    )


# --- characters of the vocabulary and prompts -------------------------------------------------------------------------


def test_no_character_of_a_text_has_the_number_of_padding_or_unknown():
    vocabulary = CharVocabulary.of("a\0\ufffdb")
    assert min(vocabulary.encode("a\0\ufffdb").tolist()) == 2
    assert vocabulary.decode(vocabulary.encode("a\0\ufffdb").tolist()) == "a\0\ufffdb"


@pytest.mark.parametrize("prompt", ["日本", "\udce9", "a\0", "A"])
def test_characters_of_a_prompt_that_are_unknown_are_told(prompt):
    with pytest.raises(ParameterError, match="not in the vocabulary: "):
        CharVocabulary("abc").prompt_ids(prompt)


def test_capital_letters_in_a_prompt_for_a_text_in_small_ones_are_told_with_the_remedy():
    with pytest.raises(ParameterError, match="write it in lower case"):
        CharVocabulary("abc").prompt_ids("Abc")


def test_many_unknown_characters_of_a_prompt_are_counted():
    prompt = "".join(map(chr, range(0x4E00, 0x4E00 + 500)))
    with pytest.raises(ParameterError) as caught:
        CharVocabulary("abc").prompt_ids(prompt)
    assert " and 490 more" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_known_prompts_are_numbers():
    assert torch.equal(CharVocabulary("abc").prompt_ids("cab"), torch.tensor([4, 2, 3]))
