"""Tokenizing a long stream of texts in several processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, cycle, islice
from typing import Any

from lab_text import workers
from lab_text.messages import Content
from lab_text.tokenizer import Tokenizer
from lab_text.workers import NoWorker, Worker

__all__ = ["spread"]

log = logging.getLogger("lab")

Tokens = list[list[str]]


def spread(tokenizer: Tokenizer, chunks: Iterator[list[str]], processes: int) -> Iterator[Tokens]:
    """Yield the tokens of every text of each chunk, in order; at most one chunk per process is in flight.

    Answers are parsed in this process, so this pays only if tokenizing takes longer than parsing the tokens.

    Args:
        tokenizer: rebuilt in each process; if that fails, this process does the work.
        chunks: non-empty lists of texts, read as needed.
        processes: number of processes, at least 1; none is started for an empty stream.

    Raises:
        DataError: a process has died, or failed with another exception than a LabError.
        LabError: raised by the tokenizer.
    """
    with ExitStack() as stack:
        # No process is started for an empty stream.
        for first in chunks:
            turns: Iterator[_Helper | _Here] = cycle(_started(tokenizer, processes, stack))
            for texts in chain([first], chunks):
                yield next(turns).exchange(texts)
            # The answers still in flight, in the order of the questions.
            for helper in islice(turns, processes):
                yield helper.exchange([])


class _Helper(Worker):
    """A process that tokenizes a chunk at a time."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__("lab_text.spread", tokenizer)
        self._is_busy = False

    def exchange(self, texts: list[str]) -> Tokens:
        """Send texts, if any; return the tokens of the texts sent before."""
        tokens: Tokens = self.receive()[0]["tokens"] if self._is_busy else []
        self._is_busy = bool(texts)
        if texts:
            self.send({"texts": texts})
        return tokens


class _Here:
    """Stand-in for a :class:`_Helper` that works in this process."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def exchange(self, texts: list[str]) -> Tokens:
        """Return the tokens of these texts."""
        return list(self._tokenizer.pipe(texts))


def _started(tokenizer: Tokenizer, processes: int, stack: ExitStack) -> Sequence[_Helper | _Here]:
    """Return the processes, when all of them are ready."""
    helpers: list[_Helper] = []
    try:
        for _ in range(processes):
            # Registered one by one: if the third cannot start, the first two are stopped.
            helpers.append(_Helper(tokenizer))
            stack.callback(helpers[-1].stop)
        for helper in helpers:
            helper.wait()
    except NoWorker:
        log.info("the tokenizing processes could not start; using one process")
        return [_Here(tokenizer)]
    return helpers


def serve() -> None:
    """Run a process of :func:`spread`: tokenize the texts it receives."""
    workers.serve(_tokenized)


@contextmanager
def _tokenized(tokenizer: Tokenizer) -> Iterator[Callable[..., tuple[Any, ...]]]:
    """Yield the function that answers the messages of a helper."""

    def answer(content: Content) -> tuple[Any, ...]:
        return ({"tokens": list(tokenizer.pipe(content["texts"]))},)

    yield answer
