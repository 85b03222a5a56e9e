from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from lab_text import sides, tokenized
from lab_text.parallel import parallel_text
from lab_text.sides import SideWriter, open_sides
from lab_text.tokenizers import Tokenizer, WhitespaceTokenizer

from lab.errors import DataError
from tests.plugins.lab_text.odd_tokenizers import Alone, Dying, Failing

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


def files(cache: Path) -> dict[str, bytes]:
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_processes_of_their_own_write_the_same_files(
    corpus: dict[str, str], own_cache: Path, tmp_path: Path, two_processors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenized, "_CHUNK_PAIRS", 7)
    monkeypatch.setattr(sides, "SideWriter", None)
    apart = parallel_text(**corpus, tokenizer="whitespace", max_target_tokens=5)
    monkeypatch.undo()
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "other"))
    together = parallel_text(**corpus, tokenizer="whitespace", max_target_tokens=5)
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
    assert caplog.messages[0] == "the tokenizing processes could not start; going on in one process"
    assert data.statistics["train"]["kept"] == 50


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
