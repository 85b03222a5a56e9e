"""Worker process with a tokenizer.

The process is a fresh interpreter that imports what it serves and the tokenizer's module, never the program that is
running here, so a script needs no ``if __name__ == "__main__"``. Both talk over its standard streams, in
:mod:`lab_text.messages`; a tokenizer is described by the name of its class and its parameters, as plain JSON.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import IO, Any, cast

import attrs

from lab.errors import DataError
from lab_text.messages import Closed, Content, Message, Part, pack_error, receive, send, unpack_error
from lab_text.tokenizer import Tokenizer

__all__ = ["NoWorker", "Work", "Worker", "describe", "rebuild", "serve"]

_NOTHING = object()  # no plain JSON value

Work = Callable[..., AbstractContextManager[Callable[..., tuple[Any, ...]]]]


class NoWorker(Exception):
    """Raised if no process with this tokenizer can be started; the caller then does the work itself."""


def describe(tokenizer: Tokenizer) -> Content:
    """Return the plain JSON from which :func:`rebuild` builds an equal tokenizer in another process.

    The parameters are those of its class, each read from the attribute of the same name; of an attrs class from the
    attribute that it sets. ``processes`` becomes 1: a process that was started for a tokenizer starts no others.

    Raises:
        NoWorker: the class cannot be imported, or a parameter is not an attribute or not plain JSON.
    """
    kind = type(tokenizer)
    parameters = {name: getattr(tokenizer, attribute, _NOTHING) for name, attribute in _parameters(kind)}
    # A class inside a function cannot be imported elsewhere.
    if "<locals>" in kind.__qualname__ or not _is_json(parameters):
        raise NoWorker
    if "processes" in parameters:
        parameters["processes"] = 1
    name = f"{kind.__module__}:{kind.__qualname__}"
    return {"class": name, "parameters": parameters, "identity": tokenizer.identity}


def _parameters(kind: type[Tokenizer]) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a class, and the attribute that each sets."""
    known = {field.alias: field.name for field in attrs.fields(kind)} if attrs.has(kind) else {}
    for name in inspect.signature(kind).parameters:
        yield name, known.get(name, name)


def _is_json(value: Any) -> bool:
    """Return True if a value survives JSON unchanged."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def rebuild(description: Content) -> Tokenizer:
    """Return the tokenizer that :func:`describe` described.

    Raises:
        NoWorker: the class is not a tokenizer here, or builds a different one.
    """
    module, _, path = description["class"].partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    if not (isinstance(found, type) and issubclass(found, Tokenizer)):
        raise NoWorker
    tokenizer: Tokenizer = found(**description["parameters"])
    # Another version there would give other tokens under the same cache key.
    if tokenizer.identity != description["identity"]:
        raise NoWorker
    return tokenizer


class Worker:
    """Process with its own tokenizer.

    Args:
        module: module whose function ``serve`` the process calls.
        tokenizer: rebuilt in the process.
        settings: other arguments, plain JSON values.

    Raises:
        NoWorker: the process cannot be started, or the tokenizer cannot be described to it.
    """

    def __init__(self, module: str, tokenizer: Tokenizer, *settings: Any) -> None:
        opening = {"tokenizer": describe(tokenizer), "settings": settings}
        # The child finds what this process finds, without running its main module.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        # Not multiprocessing: that imports the main program again, which scripts must guard against.
        command = [sys.executable, "-c", f"from {module} import serve; serve()"]
        environment = {**os.environ, "PYTHONPATH": path}
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        except OSError as error:
            raise NoWorker from error
        self._to, self._from = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self.send(opening)

    def wait(self) -> None:
        """Wait until the process is ready.

        Raises:
            NoWorker: it could not start or rebuild the tokenizer.
            LabError: it could not start for another reason than the data.
        """
        try:
            content, _ = self.receive()
        except (DataError, OSError) as error:
            raise NoWorker from error
        if not content["ready"]:
            raise NoWorker

    def send(self, content: Content, *parts: Part) -> None:
        """Send a message without waiting for the answer."""
        with contextlib.suppress(BrokenPipeError):  # reported when the answer is missing
            send(self._to, content, *parts)

    def receive(self) -> Message:
        """Return the answer to the earliest message without one.

        Raises:
            DataError: the process has died, or failed with another exception than a LabError.
            LabError: raised in the process.
        """
        try:
            content, parts = receive(self._from)
        except Closed as error:
            hint = "was the machine short of memory? tokenizer.processes=1 stays in one process"
            raise DataError("a tokenizing process ended early", hint=hint) from error
        if "error" in content:
            raise unpack_error(content["error"])
        return content, parts

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._to.close()
        # Both pipes first: the child ends when it reads or writes a closed one.
        self._from.close()
        self._process.wait()


def serve(work: Work) -> None:
    """Run the process of a :class:`Worker`: answer the messages on standard input.

    Args:
        work: context manager, called with the tokenizer and the settings; yields a function from the content and the
        parts
            of a message to those of the answer.
    """
    # Ctrl-C reaches the whole process group; the parent ends its children in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Millions of small strings and no cycles.
    gc.disable()
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not end up between the messages.
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError), ExitStack() as stack:
        for answer in _answers(sys.stdin.buffer, work, stack):
            send(answers, *answer)


def _answers(messages: IO[bytes], work: Work, stack: ExitStack) -> Iterator[tuple[Any, ...]]:
    """Yield the answer to each message, and finally the exception that ended the work, if any."""
    try:
        opening, _ = receive(messages)
        tokenizer = _rebuilt(opening["tokenizer"])
        answer = stack.enter_context(work(tokenizer, *opening["settings"])) if tokenizer else None
        yield ({"ready": answer is not None},)
        while answer is not None:
            content, parts = receive(messages)
            yield answer(content, *parts)
    except Closed:
        return
    except Exception as error:
        yield ({"error": pack_error(error)},)


def _rebuilt(description: Content) -> Tokenizer | None:
    """Return the tokenizer; None if it cannot be built here."""
    with contextlib.suppress(Exception):
        return rebuild(description)
    return None
