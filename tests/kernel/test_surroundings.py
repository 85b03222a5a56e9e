"""Whatever a component does to its surroundings, its run fails with a sentence and the study goes on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lab import Callback, CancelBatch, CancelFit, Study
from lab.errors import StudyError, add_note, describe_error, error_text, notes_of
from lab.registry.plugins import load_catalog
from lab.study.execute import run_study
from lab.study.folder import keeps_working_folder
from tests.kernel.toys import experiment
from tests.kernel.training_toys import toy_data


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Textless(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


class Skipped(BaseException):
    """As pytest's, which is no Exception."""


class _Raises(Callback):
    def error(self) -> BaseException:
        return ValueError("half a character: \udc80")

    def before_epoch(self, learner: Any) -> None:
        raise self.error()


class Bare(_Raises):
    def error(self) -> BaseException:
        return Silent()


class Wordless(_Raises):
    def error(self) -> BaseException:
        return Textless()


class Noted(_Raises):
    def error(self) -> BaseException:
        error = ValueError("with notes")
        error.__notes__ = [3, "a note", b"\xff"]
        return error


class NotedOddly(_Raises):
    def error(self) -> BaseException:
        error = ValueError("with odd notes")
        error.__notes__ = 7  # type: ignore[assignment]
        return error


class Skips(_Raises):
    def error(self) -> BaseException:
        return Skipped("not here")


class Cancelled(_Raises):
    def error(self) -> BaseException:
        return asyncio.CancelledError("cancelled")


class Exits(_Raises):
    def error(self) -> BaseException:
        return GeneratorExit()


class Moves(Callback):
    def before_epoch(self, learner: Any) -> None:
        os.chdir("/")


class Removes(Callback):
    def before_epoch(self, learner: Any) -> None:
        shutil.rmtree(learner.folder)


class Replaces(Callback):
    def before_epoch(self, learner: Any) -> None:
        shutil.rmtree(learner.folder)
        learner.folder.write_text("a file")


class CancelsAll(Callback):
    def before_epoch(self, learner: Any) -> None:
        raise CancelFit


class CancelsBatches(Callback):
    def before_batch(self, learner: Any) -> None:
        raise CancelBatch


class Quiet(Callback):
    """Does nothing."""


@pytest.fixture
def errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What ``failure.json`` says of an arm with one callback; the base and the working folder are as they were."""
    monkeypatch.chdir(tmp_path)

    def errors(callback: type[Callback]) -> str:
        base = experiment(dataset=toy_data, architecture=Net, loss="cross_entropy", callbacks=[Quiet], epochs=1)
        study = Study(base, seeds=1, name="bad").swap("callbacks.Quiet", {"bad": callback})
        results = run_study(study, runs="runs", catalog=load_catalog())
        assert [run.status == "finished" for run in results.runs] == [True, False]
        assert Path.cwd() == tmp_path
        return str(results.runs[1].result.get("error", ""))

    return errors


def Net(*, width: int = 4) -> Any:  # noqa: N802
    from torch import nn

    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2))


@pytest.mark.parametrize(
    ("callback", "start"),
    [
        (_Raises, "ValueError: half a character: ?"),
        (Bare, "Silent: (its message cannot be read: __str__ raises RuntimeError)"),
        (Wordless, "Textless: (its message cannot be read: __str__ raises TypeError)"),
        (Noted, "ValueError: with notes"),
        (NotedOddly, "ValueError: with odd notes"),
        (Skips, "Skipped: not here"),
        (Cancelled, "CancelledError: cancelled"),
        (Exits, "GeneratorExit"),
    ],
)
def test_any_error_fails_its_run_alone_and_is_told_with_its_line(errors, callback, start):
    text = errors(callback)
    assert text.startswith(f"{start}\n  {__file__}, line ")
    assert ": raise self.error()\n" in f"{text}\n"


def test_notes_are_kept_where_they_are_text(errors):
    assert errors(Noted).splitlines()[2:] == ["a note", "in callback 'noted', before_epoch, epoch 1, batch 0"]


def test_a_callback_that_changes_the_working_folder_is_named(errors):
    assert errors(Moves).splitlines() == [
        "the working folder was changed to /, and it belongs to the whole process",
        f'  {__file__}, line {Moves.before_epoch.__code__.co_firstlineno + 1}: os.chdir("/")',
        "  give absolute paths instead, such as Path(__file__).parent / 'table.csv'",
    ]


@pytest.mark.parametrize("callback", [Removes, Replaces])
def test_a_component_that_removes_the_folder_of_its_run_ends_no_other(errors, callback):
    text = errors(callback)
    assert callback is Replaces or text


def test_training_that_a_callback_cancels_at_once_fails_as_what_it_is(errors):
    assert errors(CancelsAll).startswith("no epoch was trained\n  a callback or the stepper ended the training")


def test_training_without_a_batch_fails_as_what_it_is(errors):
    assert errors(CancelsBatches).startswith("no batch was trained\n  the sampler gave no batch")


def test_no_epochs_are_a_problem_of_the_plan(tmp_path):
    with pytest.raises(StudyError, match="epochs must be at least 1, not 0"):
        run_study(Study(experiment(epochs=0)), runs=tmp_path, catalog=load_catalog())


class MovesWhenBuilt(Callback):
    def __init__(self) -> None:
        os.chdir("/")


def test_the_plan_names_who_changes_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study(experiment(dataset=toy_data, architecture=Net, loss="cross_entropy", callbacks=[MovesWhenBuilt]))
    with pytest.raises(StudyError, match=r"MovesWhenBuilt.* changes the working folder, which belongs to the whole"):
        run_study(study, runs=tmp_path, catalog=load_catalog())
    assert Path.cwd() == tmp_path


# --- the helpers ------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_put_back_was_not_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with keeps_working_folder():
        os.chdir("/")
        os.chdir(tmp_path)


def test_a_working_folder_that_is_gone_is_no_error_of_the_block(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with keeps_working_folder():
        pass


def test_an_error_inside_keeps_its_place_and_is_noted(tmp_path, monkeypatch):
    def moves_and_fails():
        with keeps_working_folder():
            os.chdir("/")
            raise ZeroDivisionError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError) as caught:
        moves_and_fails()
    assert caught.value.__notes__[0].startswith("the working folder was changed to /")
    assert Path.cwd() == tmp_path


def test_an_error_of_an_installed_package_alone_has_no_own_line():
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    assert describe_error(error).startswith("JSONDecodeError: Expecting property name")
    assert "\n" not in describe_error(error)


def test_helpers_take_any_error():
    error = Silent()
    error.__notes__ = 7
    add_note(error, "not possible")
    assert notes_of(error) == []
    assert error_text(KeyError("\udc80")) == "'\\udc80'"
