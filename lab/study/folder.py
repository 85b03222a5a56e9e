"""Guard of the working folder: if a component changes it, every later relative path is wrong."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lab.errors import PluginError, add_note, line_of_code

__all__ = ["keeps_working_folder"]


@contextmanager
def keeps_working_folder() -> Iterator[None]:
    """Raise if the block leaves the working folder changed, and restore it.

    It is restored in any case, also after an error.

    Raises:
        PluginError: it was changed; the message names the line. An error of the block gets that as a note instead.
    """
    before, change = _working_folder(), os.chdir
    callers: list[str] = []

    def noted(path: Any) -> None:
        change(path)
        frame: Any = sys._getframe(1)
        # contextlib.chdir changes it for somebody else
        while frame.f_back is not None and frame.f_code.co_filename == contextlib.__file__:
            frame = frame.f_back
        callers.append(line_of_code(frame.f_code.co_filename, frame.f_lineno))

    # replaced for the block: afterwards nothing shows which line has changed the folder
    os.chdir = noted
    try:
        yield
    except BaseException as error:
        complaint = _put_back(before, change, callers)
        if complaint is not None:
            add_note(error, str(complaint))
        raise
    finally:
        os.chdir = change
    complaint = _put_back(before, change, callers)
    if complaint is not None:
        raise complaint


def _put_back(before: str | None, change: Any, callers: list[str]) -> PluginError | None:
    now = _working_folder()
    if before is None or now == before:
        return None
    # the folder may have been removed meanwhile
    with suppress(OSError):
        change(before)
    return PluginError(
        f"the working folder was changed to {now or 'one that is gone'}, and it belongs to the whole process",
        where=callers[-1] if callers else None,
        hint="give absolute paths instead, such as Path(__file__).parent / 'table.csv'",
    )


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        # the folder was removed
        return None
