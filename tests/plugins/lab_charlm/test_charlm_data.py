"""A text as characters, and the ways to read it."""

from __future__ import annotations

import itertools

import pytest
import torch
from lab_charlm.data import CharText, CharVocabulary, char_text
from lab_text.samplers import Chunks, RandomOffsets, SlidingWindows, Spans, Streams
from lab_text.windows import Window, Windows

from lab.errors import DataError, ParameterError
from lab.training.rng import Streams as RandomStreams


@pytest.fixture
def text_file(tmp_path):
    def write(content):
        path = tmp_path / "text.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def _generator():
    return torch.Generator().manual_seed(0)


# --- the text ---------------------------------------------------------------------------------------------------------


def test_the_embedded_text_is_long_english_and_needs_no_download():
    data = char_text()
    assert len(data.train.ids) > 300_000
    assert "statement" in data.vocab.decode(data.train.ids[:20_000].tolist())


def test_the_last_lines_validate(text_file):
    data = char_text(path=text_file("".join(f"line {number}\n" for number in range(10))), bptt=2)
    assert data.vocab.decode(data.valid.ids.tolist()) == "line 8\nline 9\n".replace("8", "�").replace("9", "�")
    assert data.vocab.decode(data.train.ids.tolist()).endswith("line 7\n")


def test_the_vocabulary_is_made_of_the_training_part_alone(text_file):
    data = char_text(path=text_file("aaaa\nbbbb\naaaa\nbbbb\nzzzz\n"), bptt=2)
    assert "z" not in data.vocab.characters
    assert data.valid.ids[:4].tolist() == [1, 1, 1, 1]


def test_rare_characters_are_unknown():
    vocabulary = CharVocabulary.of("aaabbc", min_freq=2)
    assert vocabulary.characters[2:] == ["a", "b"]
    assert vocabulary.encode("abcé").tolist() == [2, 3, 1, 1]
    assert vocabulary.unknown_in("abcéc") == ["c", "é"]


@pytest.mark.parametrize(("options", "text"), [({"lower": True}, "éa\n"), ({"lower": False}, "Éa\n")])
def test_letters_are_made_small_by_default(text_file, options, text):
    data = char_text(path=text_file("Éa\n" * 5), bptt=2, **options)
    assert data.vocab.decode(data.train.ids[:3].tolist()) == text


def test_letters_can_be_written_in_ascii(text_file):
    data = char_text(path=text_file("été\n" * 5), bptt=2, ascii_only=True)
    assert data.vocab.decode(data.train.ids[:4].tolist()) == "ete\n"


def test_letters_alone_are_kept_as_in_the_book(text_file):
    data = char_text(path=text_file("The Time, 1 Machine\n\n  by H. G. Wells!\nCafé " * 9), letters_only=True, bptt=4)
    assert data.vocab.decode(data.train[Window(0, 21)][0].flatten()) == "the time machineby h "
    assert set(data.vocab.characters) <= set("abcdefghijklmnopqrstuvwxyz ") | {"\0", "\N{REPLACEMENT CHARACTER}"}


def test_the_time_machine_has_the_books_letters(lab_data):
    data = char_text("timemachine", letters_only=True, bptt=35)
    # and the vocabulary has 28 in the book: letters, the space, and the unknown one
    assert sum(len(part.ids) for part in (data.train, data.valid)) == 170_580
    assert len(data.vocab) - 1 == 28


def test_the_target_is_the_next_character():
    split = CharText(torch.arange(10), bptt=3)
    batch = split.__getitems__([0, 2])
    assert batch.tokens.T.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert batch.target.T.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert not batch.continues
    assert len(split) == 3


def test_the_licence_at_the_end_of_a_gutenberg_text_is_left_out(tmp_path, monkeypatch):
    text = "A tale.\n" * 50 + "*** END OF THIS PROJECT GUTENBERG EBOOK TALES ***\nlicence licence\n"
    (tmp_path / "andersen").mkdir()
    (tmp_path / "andersen" / "andersen.txt").write_text(text)
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    data = char_text("andersen")
    assert "l" in data.vocab.characters
    assert "c" not in data.vocab.characters


@pytest.mark.parametrize("corpus", ["nietzsche", "timemachine", "andersen"])
def test_real_texts_are_read(corpus, lab_data):
    data = char_text(corpus)
    assert len(data.train.ids) > 100_000
    assert 35 < data.vocab_size < 90


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the text is empty"),
        ("a", "the text is too short: 1 character, at least 2 needed"),
        ("all in one line", "the validation part has 3 characters, too few for a window of bptt=8"),
        ("ab\ncd\n", "the training part has 5 characters, too few for a window of bptt=8"),
        ("abcdefghi\n" * 4 + "x\n", "the validation part has 8 characters, too few for a window of bptt=8"),
    ],
)
def test_a_text_that_is_too_short_is_refused(text_file, content, message):
    with pytest.raises(DataError) as error:
        char_text(path=text_file(content))
    assert str(error.value).splitlines()[0] == message


def test_a_text_that_is_not_utf8_is_refused_with_the_position(text_file):
    path = text_file(b"first line\nsecond caf\xe9\n")
    with pytest.raises(DataError) as error:
        char_text(path=path)
    assert str(error.value) == (
        f"byte 21 (line 2) is not UTF-8: 0xe9\n  {path}\n"
        "  encoding='cp1252' reads 'second café'\n"
        "  or convert the file, for example: iconv -f latin1 -t utf-8 text.txt"
    )


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="text file not found"):
        char_text(path=str(tmp_path / "no.txt"))


def test_a_corpus_of_another_kind_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    with pytest.raises(DataError, match="corpus 'tatoeba' is not a single text"):
        char_text("tatoeba")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bptt": 0}, "bptt must be at least 1, got 0"),
        ({"valid_share": 1.0}, "valid_share must lie in (0, 1), got 1.0"),
        ({"min_freq": 0}, "min_freq must be at least 1, got 0"),
        ({"max_chars": 0}, "max_chars must be at least 1, got 0"),
    ],
)
def test_values_that_cannot_be_are_refused(options, message):
    with pytest.raises(ParameterError) as error:
        char_text(**options)
    assert str(error.value).splitlines()[0] == message


# --- ways to read -----------------------------------------------------------------------------------------------------


def _positions(batches):
    return [position for batch in batches for window in batch for position in range(window.start, window.stop)]


@pytest.mark.parametrize("vary", [False, True])
def test_streams_read_every_position_of_every_block_once_and_go_on(vary):
    batches = list(Streams(25, 8, 4, _generator(), vary=vary))
    assert sorted(_positions(batches)) == list(range(200))
    assert [batch[0].continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    for before, after in itertools.pairwise(batches):
        assert [window.stop for window in before] == [window.start for window in after]


def test_varied_windows_differ_in_length_and_some_are_half_as_long():
    lengths = [batch[0].stop - batch[0].start for batch in Streams(4000, 32, 4, _generator(), vary=True)]
    short = sum(length < 22 for length in lengths) / len(lengths)
    assert len(set(lengths)) > 10
    assert 0.02 < short < 0.09


def test_an_epoch_of_varied_windows_has_as_many_batches_as_one_of_equal_ones():
    for size in (3, 25, 117):
        sampler = Streams(size, 8, 2, _generator(), vary=True)
        assert len(list(sampler)) == len(sampler) == len(list(Streams(size, 8, 2, _generator())))


def test_sliding_windows_start_at_every_position():
    batches = list(SlidingWindows(5, 4, 3, _generator()))
    assert sorted(window.start for batch in batches for window in batch) == list(range(17))
    assert {window.stop - window.start for batch in batches for window in batch} == {4}


def test_windows_may_step_further():
    batches = list(SlidingWindows(5, 4, 3, _generator(), step=4))
    assert sorted(_positions(batches)) == list(range(20))


def test_chunks_hold_every_position_once():
    assert sorted(_positions(Chunks(6, 5, 4, _generator()))) == list(range(30))


def test_random_offsets_cut_each_epoch_elsewhere():
    streams = RandomStreams(0)
    sampler = RandomOffsets(10, 5, 4, streams.generator("sampler"))
    offsets = set()
    for epoch in range(20):
        streams.restart("sampler", epoch)
        positions = sorted(_positions(sampler))
        assert positions == list(range(positions[0], positions[0] + 45))
        offsets.add(positions[0])
    assert offsets == {0, 1, 2, 3, 4}


def test_spans_have_random_lengths_and_stay_in_the_text():
    batches = list(Spans(100, 8, 4, _generator()))
    lengths = {batch[0].stop - batch[0].start for batch in batches}
    assert min(lengths) >= 10
    assert max(lengths) <= 40
    assert len(lengths) > 5
    assert all(window.start >= 0 and window.stop <= 800 for batch in batches for window in batch)
    assert len({window.stop - window.start for window in batches[0]}) == 1


def test_a_text_shorter_than_a_batch_of_streams_is_refused():
    with pytest.raises(DataError, match="a text of 24 positions is shorter than one batch of 64 streams"):
        Streams(3, 8, 64, _generator())


def test_spans_longer_than_the_text_are_refused():
    with pytest.raises(DataError, match="a text of 24 positions is shorter than a span of 40"):
        Spans(3, 8, 4, _generator())


@pytest.mark.parametrize("starts", [range(0, 40, 10), [0, 10, 20, 30]])
def test_windows_that_begin_behind_the_text_are_an_error_not_left_out(starts):
    with pytest.raises(IndexError):
        CharText(torch.arange(30), 5).__getitems__(Windows(starts, 3))


def test_windows_of_a_batch_are_read_side_by_side():
    batch = CharText(torch.arange(30), 5).__getitems__([Window(3, 6, True), Window(10, 13, True)])
    assert batch.tokens.tolist() == [[3, 10], [4, 11], [5, 12]]
    assert batch.continues
