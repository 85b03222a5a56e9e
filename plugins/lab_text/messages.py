"""Messages over a pipe: a line of JSON, then numbers and texts as raw bytes.

Both ends use the same two functions, :func:`send` and :func:`receive`. An exception is sent as its message; its class
is looked up in :mod:`lab.errors` and nowhere else.
"""

from __future__ import annotations

import json
import traceback
from typing import IO, Any

import numpy as np
import numpy.typing as npt

import lab.errors
from lab.errors import DataError, LabError

__all__ = ["Closed", "Content", "Message", "Part", "WorkerTraceback", "pack_error", "receive", "send", "unpack_error"]

Content = dict[str, Any]
Part = npt.NDArray[np.int64] | str | None
Message = tuple[Content, list[Part]]

# Lone surrogates are passed on; the tokenizer decides what to do with them.
_SURROGATES = "surrogatepass"


class Closed(Exception):
    """Raised if the other end has closed the pipe."""


def send(stream: IO[bytes], content: Content, *parts: Part) -> None:
    """Write one message.

    Args:
        stream: an open pipe.
        content: plain JSON values.
        parts: one-dimensional int64 arrays, texts or None, sent as raw bytes.
    """
    packed = [_packed(part) for part in parts]
    header = {"content": content, "parts": [(kind, len(block)) for kind, block in packed]}
    stream.write(json.dumps(header).encode() + b"\n")
    stream.writelines(block for _, block in packed)
    # The other side waits for the message.
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Return the next message: its content, and its parts; the numbers are read-only.

    Raises:
        Closed: there is no complete message.
    """
    line = stream.readline()
    # A process that died may have written half a line.
    if not line.endswith(b"\n"):
        raise Closed
    header = json.loads(line)
    return header["content"], [_unpacked(kind, _exactly(stream, length)) for kind, length in header["parts"]]


def _packed(part: Part) -> tuple[str | None, bytes]:
    if part is None:
        return None, b""
    if isinstance(part, str):
        return "text", part.encode("utf-8", _SURROGATES)
    # Raw bytes: as JSON, a chunk of numbers would take longer to write than to tokenize.
    return "numbers", part.astype(np.int64, copy=False).tobytes()


def _unpacked(kind: str | None, block: bytes) -> Part:
    if kind is None:
        return None
    return block.decode("utf-8", _SURROGATES) if kind == "text" else np.frombuffer(block, np.int64)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    block = stream.read(length)
    if len(block) < length:
        raise Closed
    return block


class WorkerTraceback(Exception):
    """Traceback of an exception in another process, the cause of the one raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def pack_error(error: Exception) -> Content:
    """Return an exception as JSON: the parts of a LabError or of an OSError.

    Any other exception becomes a DataError with its type, its text and the line that raised it.
    """
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, OSError) and error.errno is not None:
        return {"system": [error.errno, error.strerror, _path(error.filename)], "trace": trace}
    shown = error if isinstance(error, LabError) else _explained(error)
    return {"kind": _kind(shown), "what": shown.what, "where": shown.where, "hint": shown.hint, "trace": trace}


def _path(name: object) -> str | None:
    return None if name is None else str(name)


def _explained(error: Exception) -> DataError:
    """Return a DataError for an unexpected exception."""
    # The innermost line, which is usually in the tokenizer.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return DataError(
        f"tokenizing failed with {type(error).__name__}: {error}",
        where=f"{frame.filename}, line {frame.lineno}, in {frame.name}",
        hint="try the tokenizer on a single sentence of the corpus; --debug shows the traceback",
    )


def _kind(error: LabError) -> str:
    """Return the nearest class of lab.errors whose constructor takes what, where and hint."""
    names: list[str] = [
        kind.__name__
        for kind in type(error).__mro__
        # Only classes whose constructor takes what, where and hint can be rebuilt.
        if getattr(lab.errors, kind.__name__, None) is kind and kind.__init__ is LabError.__init__
    ]
    return names[0]


def unpack_error(content: Content) -> Exception:
    """Return the exception packed by :func:`pack_error`, with the traceback of the other process as its cause."""
    error: Exception
    if "system" in content:
        error = OSError(*content["system"])
    else:
        # Never another class: the name comes from another process.
        kind = getattr(lab.errors, content["kind"]) if content["kind"] in lab.errors.__all__ else DataError
        error = kind(content["what"], where=content["where"], hint=content["hint"])
    # A traceback object cannot travel; its text is shown as the cause.
    error.__cause__ = WorkerTraceback(content["trace"])
    return error
