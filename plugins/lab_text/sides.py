"""Tokenizing and writing one language of a corpus, in this process or in its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from lab.collection import without_collection
from lab_text import workers
from lab_text.cache import ArrayWriter
from lab_text.messages import Content
from lab_text.numbering import Chunk, numbering_of
from lab_text.tokenizer import Tokenizer
from lab_text.workers import NoWorker, Worker

__all__ = ["Side", "SideProcess", "SideWriter", "open_sides"]

log = logging.getLogger("lab")

Rows = npt.NDArray[np.int64] | None


AnySide = TypeVar("AnySide", "SideWriter", "SideProcess")


class Side(Protocol):
    """Writer of one language, a chunk at a time."""

    def advance(self, rows: Rows, text: str | None) -> None:
        """Write sentences of the previous chunk, then read the next chunk.

        Args:
            rows: sentences of the previous chunk to write, ascending; None in the first call.
            text: the next chunk, from :func:`lab_text.numbering.joined`; None in the last call.
        """

    def token_counts(self) -> npt.NDArray[np.int64]:
        """Return the number of tokens of each sentence of the last chunk."""

    def close(self) -> None:
        """Finish the files."""

    def stop(self) -> None:
        """Release files and processes, finished or not."""


@contextmanager
def open_sides(folder: Path, given: Sequence[tuple[str, Tokenizer]], *, apart: bool) -> Iterator[Sequence[Side]]:
    """Open both languages, to be written into ``folder``.

    Args:
        folder: an existing folder.
        given: name and tokenizer of each side.
        apart: use one process per language, if there are processors for it.
    """
    with ExitStack() as stack, without_collection():
        sides = _processes(folder, given, stack) if apart and _spare_processors(given) else []
        sides = sides or _opened(SideWriter, folder, given, stack)
        yield sides
        for side in sides:
            side.close()


def _opened(
    kind: type[AnySide], folder: Path, given: Sequence[tuple[str, Tokenizer]], stack: ExitStack
) -> list[AnySide]:
    sides = []
    for name, tokenizer in given:
        sides.append(kind(folder, name, tokenizer))
        stack.callback(sides[-1].stop)
    return sides


def _spare_processors(given: Sequence[tuple[str, Tokenizer]]) -> bool:
    """Return True for several languages whose tokenizers can all run in another process."""
    # The processors of this process, which a cluster may restrict.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable > 1 and all(getattr(tokenizer, "processes", None) != 1 for _, tokenizer in given)


def _processes(folder: Path, given: Sequence[tuple[str, Tokenizer]], stack: ExitStack) -> Sequence[Side]:
    """Return a process for each side; none if they cannot start or a tokenizer cannot be described to them."""
    with contextlib.suppress(NoWorker), ExitStack() as own:
        sides = _opened(SideProcess, folder, given, own)
        # All start at the same time, and are then waited for.
        for side in sides:
            side.wait()
        # Only if all have started; otherwise ``own`` stops those that have.
        stack.enter_context(own.pop_all())
        return sides
    log.info("the tokenizing processes could not start; using one process")
    return []


class SideWriter:
    """Writer of one language while it is tokenized."""

    _chunk: Chunk

    def __init__(self, folder: Path, side: str, tokenizer: Tokenizer) -> None:
        self._numbering = numbering_of(tokenizer)
        self._words_file, self._casing_file = (folder / f"{side}.{name}.json" for name in ("words", "casing"))
        self._ids, self._text = (ArrayWriter(folder / f"{side}.{n}.npy", t) for n, t in (("ids", "i"), ("text", "B")))
        self._bounds, self._text_bounds = (
            ArrayWriter(folder / f"{side}.{name}.npy", "q") for name in ("bounds", "text_bounds")
        )
        # Bounds begin with 0: sentence n is values[bounds[n]:bounds[n + 1]].
        for writer in (self._bounds, self._text_bounds):
            writer.extend([0])

    def advance(self, rows: Rows, text: str | None) -> None:
        """Write ``rows`` of the previous chunk, then read the next one."""
        # The rows of a chunk are known only after both languages have counted its tokens.
        if rows is not None:
            self._write(self._chunk.take(rows))
        if text is not None:
            self._chunk = self._numbering.read(text)

    def token_counts(self) -> npt.NDArray[np.int64]:
        """Return the number of tokens of each sentence of the last chunk."""
        return self._chunk.token_counts

    def _write(self, chunk: Chunk) -> None:
        _append(self._ids, self._bounds, chunk.token_counts, self._numbering.ids(chunk))
        _append(self._text, self._text_bounds, chunk.texts.lengths, chunk.texts.flat())

    def stop(self) -> None:
        """Release the files."""
        for writer in (self._ids, self._text, self._bounds, self._text_bounds):
            writer.close()

    def close(self) -> None:
        """Finish the files."""
        self.stop()
        casing = _casing(self._numbering.spellings(), self._numbering.words)
        for path, value in ((self._words_file, list(self._numbering.words)), (self._casing_file, casing)):
            path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _casing(spellings: Counter[str], words: Container[str]) -> dict[str, str]:
    """Return the most frequent spelling of every word that is mostly not written in lower case."""
    best: dict[str, str] = {}
    for spelling, number in spellings.items():
        lower = spelling.lower()
        # The most frequent spelling wins; ties keep the first.
        if lower in words and number > spellings.get(best.get(lower, ""), 0):
            best[lower] = spelling
    return {lower: spelling for lower, spelling in best.items() if lower != spelling}


def _append(values: ArrayWriter, bounds: ArrayWriter, lengths: npt.NDArray[np.int64], block: npt.NDArray[Any]) -> None:
    bounds.extend(values.length + np.cumsum(lengths))
    values.extend(block)


class SideProcess(Worker):
    """A :class:`SideWriter` in its own process, with the same interface and files.

    Args:
        folder, side, tokenizer: as of :class:`SideWriter`; the tokenizer is described to the process.

    Raises:
        NoWorker: the process cannot be started, or the tokenizer cannot be described to it.
        DataError: from any method: the process has died, or failed with another exception than a LabError.
        LabError: from any method: raised by the tokenizer.
    """

    def __init__(self, folder: Path, side: str, tokenizer: Tokenizer) -> None:
        super().__init__("lab_text.sides", tokenizer, str(folder), side)

    def advance(self, rows: Rows, text: str | None) -> None:
        """Write ``rows`` of the previous chunk and read the next one, in the background."""
        self.send({"complete": False}, rows, text)

    def token_counts(self) -> npt.NDArray[np.int64]:
        """Return the number of tokens of each sentence of the last chunk."""
        _, (counts,) = self.receive()
        return cast(npt.NDArray[np.int64], counts)

    def close(self) -> None:
        """Finish the files."""
        # The answer to the last chunk is still in the pipe.
        self.receive()
        self.send({"complete": True})
        self.receive()


def serve() -> None:
    """Run the process of a :class:`SideProcess`: write one language."""
    workers.serve(_written)


@contextmanager
def _written(tokenizer: Tokenizer, folder: str, side: str) -> Iterator[Callable[..., tuple[Any, ...]]]:
    """Yield the function that answers the messages of a :class:`SideProcess`."""
    writer = SideWriter(Path(folder), side, tokenizer)

    def answer(content: Content, rows: Rows = None, text: str | None = None) -> tuple[Any, ...]:
        if content["complete"]:
            writer.close()
            return ({},)
        writer.advance(rows, text)
        return {}, writer.token_counts()

    try:
        yield answer
    finally:
        writer.stop()
