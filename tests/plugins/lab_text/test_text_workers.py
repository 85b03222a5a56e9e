"""Messages between tokenizing processes, and a stream tokenized by several of them."""

from __future__ import annotations

import ast
import io
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lab_text
import numpy as np
import pytest
from lab_text import spread as spreading
from lab_text import tokenizers
from lab_text.messages import Closed, pack_error, receive, send, unpack_error
from lab_text.spread import spread
from lab_text.tokenizer import Tokenizer
from lab_text.tokenizers import SpacyTokenizer, WhitespaceTokenizer
from lab_text.workers import NoWorker, describe, rebuild

from lab.errors import DataError, LabError, ParameterError, StudyError
from tests.plugins.lab_text.odd_tokenizers import Clumsy, Cutting, Failing, Forgetful, Plain, Private, Renamed

PICKLING = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "multiprocessing", "concurrent"}
HERE = "tests.plugins.lab_text.odd_tokenizers"


def through_a_pipe(content: Any, *parts: Any) -> tuple[Any, list[Any]]:
    pipe = io.BytesIO()
    send(pipe, content, *parts)
    pipe.seek(0)
    return receive(pipe)


@pytest.mark.parametrize("text", ["", "a\0b", "\n{}\n", "\ud83d half a character", "\U0001f600", "\u2028\x85\r\n"])
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    assert through_a_pipe({"texts": [text]}, text, None, text) == ({"texts": [text]}, [text, None, text])


@pytest.mark.parametrize("numbers", [[], [3, -1, 1 << 62]])
def test_numbers_come_out_as_they_went_in(numbers: list[int]) -> None:
    _, (found, empty) = through_a_pipe({}, np.array(numbers, np.int64), "")
    assert found.dtype == np.int64
    assert found.tolist() == numbers
    assert empty == ""


def test_messages_follow_each_other_and_then_the_pipe_is_closed() -> None:
    pipe = io.BytesIO()
    send(pipe, {"first": 1}, "one")
    send(pipe, {"second": 2})
    pipe.seek(0)
    assert [receive(pipe), receive(pipe)] == [({"first": 1}, ["one"]), ({"second": 2}, [])]
    with pytest.raises(Closed):
        receive(pipe)


@pytest.mark.parametrize("kept", [5, -1])
def test_half_a_message_is_none(kept: int) -> None:
    pipe = io.BytesIO()
    send(pipe, {}, "a text")
    with pytest.raises(Closed):
        receive(io.BytesIO(pipe.getvalue()[:kept]))


class OwnError(ParameterError):
    """An error of a plugin, which the other process may not know."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("what", where="where", hint="hint"), DataError),
        (OwnError("what", where="where", hint="hint"), ParameterError),
        (StudyError(["what"], where="where"), LabError),
    ],
)
def test_an_error_of_the_lab_keeps_its_parts_and_the_nearest_known_class(error: LabError, kind: type) -> None:
    (content, _) = through_a_pipe(pack_error(error))
    again = unpack_error(content)
    assert type(again) is kind
    assert str(again) == str(error)


def test_a_class_that_lab_errors_does_not_have_is_not_looked_up() -> None:
    content = {**pack_error(DataError("what")), "kind": "annotations"}
    assert type(unpack_error(content)) is DataError


@pytest.mark.parametrize(
    "tokenizer",
    [
        WhitespaceTokenizer("fr", lowercase=False),
        SpacyTokenizer("fr"),
        Plain("fr", upper=True),
        Private("fr", letters=5),
    ],
)
def test_a_tokenizer_is_rebuilt_from_its_description(tokenizer: Tokenizer) -> None:
    content, _ = through_a_pipe(describe(tokenizer))
    again = rebuild(content)
    assert type(again) is type(tokenizer)
    assert again.identity == tokenizer.identity
    assert again.language == "fr"


def test_a_tokenizer_elsewhere_starts_no_processes() -> None:
    assert describe(SpacyTokenizer("fr", processes=8))["parameters"] == {
        "language": "fr",
        "lowercase": True,
        "processes": 1,
    }


@pytest.mark.parametrize("tokenizer", [Cutting("fr"), Forgetful("fr")])
def test_a_parameter_that_is_unknown_or_no_json_cannot_be_described(tokenizer: Tokenizer) -> None:
    with pytest.raises(NoWorker):
        describe(tokenizer)


@pytest.mark.parametrize("name", [f"{HERE}:not_a_tokenizer", f"{HERE}:os.getcwd", "builtins:dict"])
def test_only_a_tokenizer_is_rebuilt(name: str) -> None:
    with pytest.raises(NoWorker):
        rebuild({"class": name, "parameters": {}, "identity": {}})


def test_another_tokenizer_than_was_described_is_not_rebuilt() -> None:
    with pytest.raises(NoWorker):
        rebuild(describe(Renamed("fr", times=3)))


def chunks() -> Iterator[list[str]]:
    texts = [f"le {number} est\0là \U0001f600" for number in range(55)]
    return iter([texts[start : start + 10] for start in range(0, 55, 10)])


@pytest.mark.parametrize("processes", [1, 2])
def test_other_processes_give_the_same_tokens_in_the_same_order(processes: int) -> None:
    tokenizer = WhitespaceTokenizer("fr")
    there = [tokens for sentences in spread(tokenizer, chunks(), processes) for tokens in sentences]
    assert there == [tokens for texts in chunks() for tokens in tokenizer.pipe(texts)]


def test_a_long_stream_of_spacys_goes_through_as_many_processes_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "_CHUNK_SENTENCES", 10)
    monkeypatch.setattr(tokenizers, "_POOL_AFTER_CHUNKS", 2)
    started: list[Tokenizer] = []
    monkeypatch.setattr(spreading, "_Helper", Recorded(started))
    texts = [f"C'est l'{number}." for number in range(55)]
    assert list(SpacyTokenizer("fr", processes=3).pipe(texts)) == list(SpacyTokenizer("fr", processes=1).pipe(texts))
    assert len(started) == 3


class Recorded:
    """In the place of a class: remembers what it was called with, and starts no process."""

    def __init__(self, calls: list[Tokenizer]) -> None:
        self.calls = calls

    def __call__(self, tokenizer: Tokenizer) -> Any:
        self.calls.append(tokenizer)
        here = spreading._Here(tokenizer)
        here.stop = here.wait = lambda: None  # type: ignore[attr-defined]
        return here


def test_small_corpora_never_start_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "_Helper", None)
    assert len(list(SpacyTokenizer("fr", processes=4).pipe(["un deux"] * 4))) == 4


@pytest.mark.parametrize(("language", "processes"), [("fr", 1), ("zh", 4)])
def test_remembered_words_need_no_other_process(language: str, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers.os, "cpu_count", lambda: 8)
    assert SpacyTokenizer(language)._workers() == processes


def test_work_goes_on_here_when_processes_cannot_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lab"):
        assert list(spread(Cutting("fr"), iter([["un deux"], ["trois"]]), 1)) == [[["un", "deux"]], [["trois"]], []]
    assert caplog.messages == ["the tokenizing processes could not start; using one process"]


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [(Failing("fr"), "no token today"), (Clumsy("fr"), "tokenizing failed with ValueError: too clumsy")],
)
def test_what_a_helper_raises_is_raised_here(tokenizer: Tokenizer, message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(spread(tokenizer, chunks(), 1))
    assert caught.value.what == message


def test_a_stream_may_be_left_before_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    stream = spread(WhitespaceTokenizer("fr"), iter(lambda: ["un deux"] * 10_000, None), 2)
    assert len(list(islice(stream, 3))) == 3
    stream.close()  # type: ignore[attr-defined]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("path", sorted(Path(lab_text.__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_nothing_here_pickles(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert not imported & PICKLING
