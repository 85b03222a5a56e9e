"""Robust standard streams: characters that cannot be encoded are replaced, and a closed pipe is no error."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

__all__ = ["make_robust", "noting_prints", "stdout_to_stderr"]

GONE = (errno.EPIPE, errno.EIO)
"""Errors of writing to a pipe without a reader and to a terminal that was closed."""


class _Robust(io.FileIO):
    """Raw output that discards what is written once its reader is gone."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in GONE:
                raise
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())
        return memoryview(data).nbytes


def make_robust() -> None:
    """Make stdout and stderr of this process robust, for as long as it lives.

    Characters that their encoding lacks are replaced, ``lab … | head -1`` ends the printing but not the work, and
    streams that were closed when the process began lead to the null device, so that no file of the store gets their
    descriptors.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # os.open returns the lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            buffer = io.BufferedWriter(_Robust(descriptor, "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(buffer, "utf-8", "replace"))
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _robust(stream, descriptor))


def _robust(stream: io.TextIOWrapper, descriptor: int) -> TextIO:
    # A Windows console cannot be written through its file descriptor.
    if os.name == "nt" and stream.isatty():
        stream.reconfigure(errors="replace")
        return stream
    with suppress(OSError):
        stream.flush()
    errors = "replace" if stream.errors == "strict" else stream.errors
    buffer = io.BufferedWriter(_Robust(descriptor, "w", closefd=False))
    line_buffering = stream.line_buffering or descriptor == 2
    return io.TextIOWrapper(buffer, stream.encoding, errors, line_buffering=line_buffering)


class _Noting:
    """Stream that passes everything on and notes the first line, with the place in a package that wrote it."""

    def __init__(self, stream: TextIO, package: str) -> None:
        self._stream, self._package, self.first = stream, package, ""

    def write(self, text: str) -> int:
        if not self.first and text.strip():
            frame = self._writer(sys._getframe(1))
            line = text.strip().splitlines()[0][:60]
            self.first = f"{line!r} ({os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno})"
        return self._stream.write(text)

    def _writer(self, frame: Any) -> Any:
        """Return the innermost frame of the package, or the given one: Rich, logging and Ray's print stand between."""
        around = frame
        while around is not None:
            if str(around.f_globals.get("__name__")).partition(".")[0] == self._package:
                return around
            around = around.f_back
        return frame

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def noting_prints(package: str) -> Iterator[Callable[[], str]]:
    """Note what Python prints inside the block: the function gives the first line and its place, or nothing.

    Args:
        package: the top-level package whose line is meant, where it prints by way of a library.
    """
    stream: Any = _Noting(sys.stdout, package)
    with redirect_stdout(stream):
        yield lambda: stream.first


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what is printed inside the block to stderr, by Python or by C code, so that stdout holds only the answer."""
    try:
        _flush(sys.stdout)
        kept = os.dup(1)
    except OSError:
        kept = None
    try:
        if kept is not None:
            with suppress(OSError):
                os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def _flush(stream: TextIO | None) -> None:
    if stream is not None:
        # Flushing a closed stream raises ValueError.
        with suppress(ValueError):
            stream.flush()
