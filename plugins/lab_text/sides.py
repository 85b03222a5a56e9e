"""One language of a corpus while it is tokenised and written: in this process, or in one of its own."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pickle import PicklingError
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lab.errors import DataError
from lab_text.cache import ArrayWriter
from lab_text.numbering import Chunk, numbering_of
from lab_text.tokenizers import Tokenizer

__all__ = ["Side", "SideProcess", "SideWriter", "open_sides"]

log = logging.getLogger("lab")

Rows = npt.NDArray[np.int64] | None


AnySide = TypeVar("AnySide", "SideWriter", "SideProcess")


class Side(Protocol):
    """Where the sentences of one language go, a chunk at a time."""

    def advance(self, rows: Rows, texts: Sequence[str]) -> None:
        """Write the ``rows`` (ascending; None for the first time) of the texts given before; take in further ones."""

    def token_counts(self) -> npt.NDArray[np.int64]:
        """The number of tokens of each text given last."""

    def close(self) -> None:
        """Complete the files."""

    def stop(self) -> None:
        """Let go of files and processes, whether complete or not."""


@contextmanager
def open_sides(folder: Path, given: Sequence[tuple[str, Tokenizer]], *, apart: bool) -> Iterator[Sequence[Side]]:
    """Both languages, to be written into ``folder``.

    Args:
        folder: an existing folder.
        given: the name of each side and its tokenizer.
        apart: whether each may have a process of its own, where there are processors for it.
    """
    with ExitStack() as stack, _no_collection():
        sides = _processes(folder, given, stack) if apart and _spare_processors(given) else []
        sides = sides or _opened(SideWriter, folder, given, stack)
        yield sides
        for side in sides:
            side.close()


def _opened(
    kind: type[AnySide], folder: Path, given: Sequence[tuple[str, Tokenizer]], stack: ExitStack
) -> list[AnySide]:
    sides = [kind(folder, *side) for side in given]
    for side in sides:
        stack.callback(side.stop)
    return sides


def _spare_processors(given: Sequence[tuple[str, Tokenizer]]) -> bool:
    alone = multiprocessing.current_process().daemon or any(
        getattr(tokenizer, "processes", None) == 1 for _, tokenizer in given
    )
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable > 1 and not alone


def _processes(folder: Path, given: Sequence[tuple[str, Tokenizer]], stack: ExitStack) -> Sequence[Side]:
    """A process for each side; none where they cannot start, or a tokenizer cannot be sent to them."""
    try:
        sides = _opened(SideProcess, folder, given, stack)
        for side in sides:
            side.wait()
    except (BrokenProcessPool, PicklingError, AttributeError, TypeError):
        log.info("the tokenizing processes could not start; going on in one process")
        return []
    return sides


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of strings make Python look for cycles all the time; there are none worth finding."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class SideWriter:
    """Writes one language while it is tokenised."""

    _chunk: Chunk

    def __init__(self, folder: Path, side: str, tokenizer: Tokenizer) -> None:
        self._numbering = numbering_of(tokenizer)
        self._words_file, self._casing_file = (folder / f"{side}.{name}.json" for name in ("words", "casing"))
        self._ids, self._text = (ArrayWriter(folder / f"{side}.{n}.npy", t) for n, t in (("ids", "i"), ("text", "B")))
        self._bounds, self._text_bounds = (
            ArrayWriter(folder / f"{side}.{name}.npy", "q") for name in ("bounds", "text_bounds")
        )
        for writer in (self._bounds, self._text_bounds):
            writer.extend([0])

    def advance(self, rows: Rows, texts: Sequence[str]) -> None:
        """Write the ``rows`` of the texts given before; then take in further ones."""
        if rows is not None:
            self._write(self._chunk.take(rows))
        self._chunk = self._numbering.read(texts)

    def token_counts(self) -> npt.NDArray[np.int64]:
        """The number of tokens of each text given last."""
        return self._chunk.token_counts

    def _write(self, chunk: Chunk) -> None:
        _append(self._ids, self._bounds, chunk.token_counts, self._numbering.ids(chunk))
        encoded = [text.encode("utf-8") for text in chunk.texts]
        _append(self._text, self._text_bounds, list(map(len, encoded)), b"".join(encoded))

    def stop(self) -> None:
        """Let go of the files."""
        for writer in (self._ids, self._text, self._bounds, self._text_bounds):
            writer.close()

    def close(self) -> None:
        """Complete the files."""
        self.stop()
        casing = _casing(self._numbering.spellings(), self._numbering.words)
        for path, value in ((self._words_file, list(self._numbering.words)), (self._casing_file, casing)):
            path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _casing(spellings: Counter[str], words: Container[str]) -> dict[str, str]:
    """The most frequent spelling of every word that is mostly not written in lower case."""
    best: dict[str, str] = {}
    for spelling, number in spellings.items():
        lower = spelling.lower()
        if lower in words and number > spellings.get(best.get(lower, ""), 0):
            best[lower] = spelling
    return {lower: spelling for lower, spelling in best.items() if lower != spelling}


def _append(values: ArrayWriter, bounds: ArrayWriter, lengths: Any, block: Any) -> None:
    bounds.extend(values.length + np.cumsum(lengths, dtype=np.int64))
    values.extend(block)


class SideProcess:
    """A :class:`SideWriter` in a process of its own: the same calls, the same files.

    Args:
        folder, side, tokenizer: as of :class:`SideWriter`; the tokenizer is sent to the process.

    Raises:
        DataError: from any method, when the process has ended; and whatever the tokenizer raised there.
    """

    def __init__(self, folder: Path, side: str, tokenizer: Tokenizer) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=_open, initargs=(folder, side, tokenizer))
        self._answer: Future[npt.NDArray[np.int64] | None] = self._pool.submit(_ready)

    def wait(self) -> None:
        """Wait until the process has started."""
        self._answer.result()

    def advance(self, rows: Rows, texts: Sequence[str]) -> None:
        """Write the ``rows`` of the texts given before and take in further ones, while this process goes on."""
        self._answer = self._pool.submit(_advance, rows, texts)

    def token_counts(self) -> npt.NDArray[np.int64]:
        """The number of tokens of each text given last."""
        counts = self._result()
        assert counts is not None
        return counts

    def close(self) -> None:
        """Complete the files."""
        self._result()
        self._answer = self._pool.submit(_close)
        self._result()

    def stop(self) -> None:
        """End the process."""
        self._pool.shutdown(cancel_futures=True)

    def _result(self) -> npt.NDArray[np.int64] | None:
        try:
            return self._answer.result()
        except BrokenProcessPool as error:
            raise DataError("a tokenizing process ended early", hint=_SHORT_OF_MEMORY) from error


_SHORT_OF_MEMORY = "was the machine short of memory? tokenizer.processes=1 stays in one process"
_writers: list[SideWriter] = []  # of a process started by SideProcess: its one writer


def _open(folder: Path, side: str, tokenizer: Tokenizer) -> None:
    gc.disable()
    _writers.append(SideWriter(folder, side, tokenizer))


def _ready() -> None:
    """Answer when :func:`_open` is done."""


def _advance(rows: Rows, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    _writers[0].advance(rows, texts)
    return _writers[0].token_counts()


def _close() -> None:
    _writers[0].close()
