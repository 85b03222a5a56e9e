"""Files that modules open while they are imported: they are part of what the modules are made of."""

from __future__ import annotations

import itertools
import os
import sys
from functools import cache
from typing import Any

__all__ = ["last_move", "last_variable", "opened_files", "watch_reads"]

WRITES = os.O_WRONLY | os.O_RDWR
CODE = (".py", ".pyc", ".so", ".pyd")

LAB = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")

_opened: list[tuple[list[str], str]] = []
_count = itertools.count(1)
_moves: list[tuple[int, str, int]] = [(0, "", 0)]
_variables: dict[str, tuple[int, str, int]] = {}


@cache
def watch_reads() -> None:
    """Note which files modules open from now on, in whatever way Python opens them."""
    # Python has no way to remove an audit hook, so it is added once per process.
    sys.addaudithook(_on_event)


def opened_files() -> list[tuple[list[str], str]]:
    """Return the files that were opened since the last call, each with the modules that were being imported."""
    found = _opened[:]
    # Another thread may append between the two statements.
    del _opened[: len(found)]
    return found


def last_move() -> tuple[int, str, int]:
    """Return the number, the file and the line of the last change of the working folder."""
    return _moves[0]


def last_variable(prefixes: tuple[str, ...]) -> tuple[int, str, int, str]:
    """Return the number, the file and the line of the last change of an environment variable, and its name."""
    found = [(*place, name) for name, place in _variables.items() if name.startswith(prefixes)]
    return max(found, default=(0, "", 0, ""))


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Note an opened file: every one passes here, those of ``os.open`` and ``io.open_code`` included.

    Nothing is looked up here: the hook runs inside of the import that opens the file.
    """
    # The hook runs for every audit event of the process, so the cheapest test comes first.
    if event not in ("open", "sqlite3.connect", "os.chdir", "os.putenv", "os.unsetenv"):
        return
    if event.endswith("env"):
        frame = sys._getframe(1)
        # os.environ sets variables in methods of its own
        while frame.f_back is not None and frame.f_globals.get("__name__") in ("os", "collections.abc"):
            frame = frame.f_back
        if not frame.f_code.co_filename.startswith(LAB):
            _variables[os.fsdecode(arguments[0])] = next(_count), frame.f_code.co_filename, frame.f_lineno
        return
    if event == "os.chdir":
        frame = sys._getframe(1)
        # lab itself goes back to where it was
        if not frame.f_code.co_filename.startswith(LAB):
            _moves[:] = [(next(_count), frame.f_code.co_filename, frame.f_lineno)]
        return
    file = arguments[0]
    if event == "open" and (not isinstance(arguments[2], int) or arguments[2] & WRITES):
        return
    if isinstance(file, (str, bytes, os.PathLike)):
        names, is_import = _modules_being_imported(sys._getframe(1))
        path = os.fsdecode(file) if names else ""
        # Opening the file of a module that is being imported is no read of data.
        if names and not (is_import and path.endswith(CODE)):
            _opened.append((names, os.path.abspath(path)))


def _modules_being_imported(frame: Any) -> tuple[list[str], bool]:
    """Return the modules whose bodies run in a frame or around it, innermost first; and whether an import opens."""
    names: list[str] = []
    is_import = False
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>":
            name = str(frame.f_globals.get("__name__", ""))
            # The body of __main__ runs as long as the process, so everything would count as read by it.
            names += [] if name.startswith("__main__") else [name]
        # These two functions of importlib are on the stack exactly while an import statement runs.
        elif not names and code.co_name in ("_find_and_load", "_exec") and "importlib" in code.co_filename:
            is_import = True
        frame = frame.f_back
    return names, is_import
