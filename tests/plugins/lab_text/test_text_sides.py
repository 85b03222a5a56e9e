from __future__ import annotations

import errno
import logging
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lab_text import sides, tokenized
from lab_text.parallel import parallel_text
from lab_text.sides import SideWriter, open_sides
from lab_text.tokenizer import Tokenizer
from lab_text.tokenizers import WhitespaceTokenizer

from lab.errors import DataError
from tests.plugins.lab_text.odd_tokenizers import Alone, Clumsy, Cutting, Dying, Failing, Forgetful, NoRoom, Renamed

Write = Callable[..., Path]


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any corpus counts as large, on a machine of two processors."""
    monkeypatch.setattr(tokenized, "_LARGE_BYTES", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)


@pytest.fixture
def corpus(write_lines: Write) -> dict[str, str]:
    source = write_lines("a.fr", *(f"Le  chat {n} de Paris" for n in range(50)), "", "seul")
    target = write_lines("a.en", *(f"The cat {n} of Paris" for n in range(50)), "alone", "")
    return {"source": str(source), "target": str(target)}


@pytest.fixture
def odd_corpus(tmp_path: Path) -> dict[str, str]:
    """Characters that a pipe, a line or a JSON text might trip over."""
    odd = [
        "a\0b c",
        "\x85 x\u2028y \x1c",
        "\U0001f600\u200d\U0001f525 \ufeff",
        '"\\n" {"content": 1}',
        "\ufffd\x7f\x1b[",
    ]
    paths = {"source": tmp_path / "odd.fr", "target": tmp_path / "odd.en"}
    for path in paths.values():
        path.write_bytes("".join(f"{line}\n" for line in odd * 10).encode())
    return {side: str(path) for side, path in paths.items()}


def files(cache: Path) -> dict[str, bytes]:
    (folder,) = (cache / "text").iterdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [("corpus", "whitespace"), ("odd_corpus", "whitespace"), ("odd_corpus", "characters")],
)
def test_processes_of_their_own_write_the_same_files(
    texts: str,
    tokenizer: str,
    request: pytest.FixtureRequest,
    own_cache: Path,
    tmp_path: Path,
    two_processors: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = request.getfixturevalue(texts)
    monkeypatch.setattr(tokenized, "_CHUNK_PAIRS", 7)
    monkeypatch.setattr(sides, "SideWriter", None)
    apart = parallel_text(**corpus, tokenizer=tokenizer, max_target_tokens=20)
    monkeypatch.undo()
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "other"))
    together = parallel_text(**corpus, tokenizer=tokenizer, max_target_tokens=20)
    assert files(own_cache) == files(tmp_path / "other")
    assert apart.fingerprint == together.fingerprint
    assert apart.statistics == together.statistics


@pytest.mark.parametrize("allowed", ["small corpus", "few pairs", "one processor", "processes=1"])
def test_no_process_is_started_where_it_does_not_pay(
    allowed: str, corpus: dict[str, str], two_processors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sides, "SideProcess", None)
    options: dict[str, object] = {"tokenizer": WhitespaceTokenizer("fr")}
    if allowed == "small corpus":
        monkeypatch.setattr(tokenized, "_LARGE_BYTES", 1 << 40)
    elif allowed == "few pairs":
        options["pairs"] = 30
    elif allowed == "one processor":
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    else:
        options["tokenizer"] = Alone("fr")
    assert len(parallel_text(**corpus, **options).train) > 0


def test_a_tokenizer_that_cannot_be_sent_stays_here(
    corpus: dict[str, str], two_processors: None, caplog: pytest.LogCaptureFixture
) -> None:
    class Local(WhitespaceTokenizer):
        """No other process knows where this class is."""

    with caplog.at_level(logging.INFO, logger="lab"):
        data = parallel_text(**corpus, tokenizer=Local)
    assert caplog.messages[0] == "the tokenizing processes could not start; using one process"
    assert data.statistics["train"]["kept"] == 50


@pytest.mark.parametrize("kind", [Cutting, Forgetful, Renamed])
def test_a_tokenizer_that_cannot_be_rebuilt_stays_here(
    kind: type[Tokenizer], corpus: dict[str, str], two_processors: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="lab"):
        data = parallel_text(**corpus, tokenizer=kind)
    assert caplog.messages[0] == "the tokenizing processes could not start; using one process"
    assert data.statistics["train"]["kept"] == 50


def test_a_process_that_was_started_for_nothing_leaves_the_files_alone(tmp_path: Path, two_processors: None) -> None:
    given = [("source", WhitespaceTokenizer("fr")), ("target", Renamed("en"))]
    with open_sides(tmp_path, given, apart=True) as both:
        for side in both:
            side.advance(None, "un deux")
            side.advance(side.token_counts() - 2, None)
    assert [np.load(tmp_path / f"{name}.ids.npy").tolist() for name, _ in given] == [[0, 1], [0, 1]]


def opened(folder: Path, tokenizer: Tokenizer) -> None:
    """Give one text to both sides, each in its own process."""
    with open_sides(folder, [("source", tokenizer), ("target", tokenizer)], apart=True) as both:
        assert not isinstance(both[0], SideWriter)
        for side in both:
            side.advance(None, "un deux")
        for side in both:
            side.token_counts()


def test_what_a_tokenizer_raises_in_its_process_is_raised_here(tmp_path: Path, two_processors: None) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path, Failing("fr"))
    assert str(caught.value) == "no token today"


def test_an_exception_that_is_no_labs_is_told_with_its_type(tmp_path: Path, two_processors: None) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path, Clumsy("fr"))
    what, where, hint = str(caught.value).splitlines()
    assert what == "tokenizing failed with ValueError: too clumsy"
    assert re.fullmatch(r"  \S.*odd_tokenizers\.py, line \d+, in pipe", where)
    assert hint == "  try the tokenizer on a single sentence of the corpus; --debug shows the traceback"
    assert 'raise ValueError("too clumsy")' in "".join(traceback.format_exception(caught.value))


def test_a_full_disk_is_a_full_disk_in_another_process_too(tmp_path: Path, two_processors: None) -> None:
    with pytest.raises(OSError, match=r"No space left on device: 'words\.bin'") as caught:
        opened(tmp_path, NoRoom("fr"))
    assert caught.value.errno == errno.ENOSPC


def test_a_process_that_ends_early_is_an_error(tmp_path: Path, two_processors: None) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path, Dying("fr"))
    assert str(caught.value).splitlines() == [
        "a tokenizing process ended early",
        "  was the machine short of memory? tokenizer.processes=1 stays in one process",
    ]


def test_garbage_is_collected_again_afterwards(tmp_path: Path) -> None:
    import gc

    with open_sides(tmp_path, [("source", WhitespaceTokenizer("fr"))], apart=False):
        assert not gc.isenabled()
    assert gc.isenabled()
