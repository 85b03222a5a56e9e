"""Errors that a user can act on: the problem, its origin, and the remedy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Self

__all__ = [
    "DataError",
    "LabError",
    "NonFiniteLossError",
    "OutOfMemoryError",
    "ParameterError",
    "PluginError",
    "RunFailed",
    "ShapeError",
    "StoreError",
    "StudyError",
    "UnknownNameError",
    "add_note",
    "describe",
    "describe_error",
    "did_you_mean",
    "error_text",
    "line_of_code",
    "notes_of",
    "own_line",
    "place_of",
    "printable",
]

MAX_SUGGESTIONS = 3
"""Close matches that a message offers for a name that does not exist."""


class LabError(Exception):
    """An expected failure; the command line prints it without a traceback.

    Args:
        what: one sentence of what is wrong.
        where: where it comes from (a file, a parameter, a plugin).
        hint: what to do about it; may hold several lines.
    """

    exit_code = 2

    blames: tuple[str, ...] = ()
    """What is at fault: hooks of a plugin or slots of an experiment. Whoever knows them adds plugin, file and line."""

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def blaming(self, *names: str) -> Self:
        """Return this error with what is at fault."""
        self.blames = names
        return self

    @classmethod
    def among(
        cls, kind: str, name: str, known: Iterable[str], *, hint: str | None = None, where: str | None = None
    ) -> Self:
        """Return the error for a ``name`` that is not in ``known``, with the names most like it.

        Args:
            kind: the kind of the name, for the message ``unknown KIND 'NAME'``.
            name: as it was written.
            known: the names that exist; a mapping gives the text that the message shows for each.
            hint: lines below the close matches, such as where all names are listed.
            where: the file, parameter or plugin that the name is from.
        """
        return cls(f"unknown {kind} '{name}'", where=where, hint=did_you_mean(name, known, hint or ""))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback, which would bury what is wrong."""
        return [f"{type(self).__name__}: {printable(str(self))}"]

    def __str__(self) -> str:
        details = [line for part in (self.where, self.hint) if part for line in part.splitlines()]
        return "\n".join([self.what, *(f"  {line}" for line in details)])


class UnknownNameError(LabError):
    """A name, path, arm or kind that does not exist."""


class ParameterError(LabError):
    """A component's parameter is unknown, missing or of the wrong type."""


class PluginError(LabError):
    """A plugin breaks its contract: a clash, a wrong hook, an object that cannot be loaded."""


class DataError(LabError):
    """A corpus or a file cannot be used as it is."""


class ShapeError(LabError):
    """Tensors disagree in shape; the message gives the shapes."""


class StoreError(LabError):
    """The folder of runs cannot be read or written."""


class RunFailed(LabError):
    """A run could not finish; the study goes on without it."""

    exit_code = 1


class NonFiniteLossError(RunFailed):
    """The loss became NaN or infinite."""


class OutOfMemoryError(RunFailed):
    """A batch did not fit in the device's memory."""


class StudyError(LabError):
    """Every problem of a study at once.

    Args:
        problems: one entry per problem, each already naming its arm.
        where: the file of the study.
    """

    def __init__(self, problems: Sequence[str], *, where: str | None = None) -> None:
        count = len(problems)
        what = problems[0] if count == 1 else f"{count} problems in this study"
        super().__init__(what, where=where)
        self.problems = list(problems)

    def __str__(self) -> str:
        lines = [f"  {self.where}"] if self.where else []
        if len(self.problems) == 1:
            return "\n".join([self.problems[0], *lines])
        body = [line for problem in self.problems for line in ("", *problem.splitlines())]
        return "\n".join([f"{self.what}:", *lines, *body])


def did_you_mean(name: str, known: Iterable[str], *below: str) -> str:
    """Return a line with the names most like ``name``, if any is close, and the lines ``below``.

    >>> did_you_mean("hiden_size", {"hidden_size": "hidden_size (int)", "layers": "layers (int)"})
    'did you mean: hidden_size (int)?'
    """
    import difflib

    # 0.6 is difflib's own cutoff, written out since messages are tested against it.
    close = difflib.get_close_matches(name, list(dict.fromkeys(known)), n=MAX_SUGGESTIONS, cutoff=0.6)
    texts = known if isinstance(known, Mapping) else {}
    shown = [text if isinstance(text := texts.get(each), str) else each for each in close]
    return "\n".join(filter(None, [f"did you mean: {' or '.join(shown)}?" if shown else "", *below]))


def describe(error: BaseException) -> str:
    """Return an error in one line: its message, after its type unless it is a ``LabError``."""
    # Messages of torch and pydantic hold line breaks.
    text = " ".join(error_text(error).split())
    if isinstance(error, LabError):
        return text
    return f"{type(error).__name__}{': ' if text else ''}{text}"


def error_text(error: BaseException) -> str:
    """Return the message of an error as text that can be written, even if its ``__str__`` raises."""
    try:
        text = str(error)
    except BaseException as second:
        # Whatever __str__ raised, the first error is the one to report.
        # Ctrl-C ends the command even while a message is made.
        if isinstance(second, KeyboardInterrupt):
            raise
        text = f"(its message cannot be read: __str__ raises {type(second).__name__})"
    return printable(text)


def describe_error(error: BaseException) -> str:
    """Describe an error for a reader: type, message, and the line of the user's own code in which it was raised.

    A ``LabError`` speaks for itself.
    """
    text = error_text(error)
    if isinstance(error, LabError):
        return text
    line = own_line(error)
    return f"{type(error).__name__}{': ' if text else ''}{text}" + (f"\n  {line}" if line else "")


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error, unless the error's class does not allow it."""
    with suppress(TypeError, AttributeError):
        error.add_note(note)


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of an error as text, whatever its class left there."""
    notes = getattr(error, "__notes__", None)
    return [printable(note) for note in notes if isinstance(note, str)] if isinstance(notes, (list, tuple)) else []


def printable(text: str) -> str:
    """Return text that can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()


def own_line(error: BaseException) -> str:
    """Return file, line and source of the innermost frame of an error in the user's own code; empty if none is.

    The user's own is what neither Python, an installed package, ``lab`` nor one of its own plugins brings.
    """
    import traceback

    return _own_place([(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)])


def place_of(definition: object) -> str:
    """Return ``"file, line N"`` of a class or function; empty if it has no source."""
    import inspect

    try:
        plain: Any = inspect.unwrap(definition)  # type: ignore[arg-type]
        plain = getattr(plain, "func", plain)
        lines, first = inspect.getsourcelines(plain)
        # The first line may be a decorator.
        skipped = next((at for at, line in enumerate(lines) if line.lstrip().startswith(_DEFINES)), 0)
        return printable(f"{inspect.getsourcefile(plain)}, line {first + skipped}")
    except (TypeError, OSError, ValueError):
        return ""


_DEFINES = ("def ", "class ", "async def ")


def _own_place(frames: Sequence[tuple[str, int | None]]) -> str:
    # Frames of torch and lab are where an error surfaces; the user's own line is where it can be fixed.
    own = [(file, line) for file, line in frames if line is not None and _is_own(file)]
    if not own:
        return ""
    return line_of_code(*own[-1])


def line_of_code(file: str, line: int) -> str:
    """Return a place in code as it is shown: its file, its line and the source of that line."""
    import linecache

    source = linecache.getline(file, line).strip()
    return printable(f"{file}, line {line}" + (f": {source}" if source else ""))


@lru_cache(maxsize=1024)
def _is_own(file: str) -> bool:
    # "<string>" and "<frozen ...>" are no files of the user's.
    return not file.startswith("<") and not os.path.abspath(file).startswith(_installed())


@lru_cache
def _installed() -> tuple[str, ...]:
    """Return the folders of code that is not the user's: Python's library, installed packages, ``lab``, its plugins."""
    import sysconfig

    kernel = os.path.dirname(os.path.abspath(__file__))
    # The folder of plugins in a checkout; when they are installed they lie in site-packages.
    plugins = os.path.join(os.path.dirname(kernel), "plugins")
    folders = {*sysconfig.get_paths().values(), kernel, plugins} - {sysconfig.get_path("scripts")}
    # "data" is the root of the whole environment, which may contain the user's project.
    folders -= {sysconfig.get_path("data")}
    return tuple(os.path.join(folder, "") for folder in sorted(folders))
