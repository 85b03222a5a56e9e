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

    What comes back is read here, so this pays where a text takes longer to tokenize than its tokens take to read.

    Args:
        tokenizer: is rebuilt in each process; where that cannot be, the work is done here.
        chunks: lists of texts, none empty; read when they are needed.
        processes: how many, at least 1; none is started where there is no chunk.

    Raises:
        DataError: a process has ended, or something other than a LabError ended its work.
        LabError: what the tokenizer raised there.
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
        """Give it texts, if there are any; the tokens of those that it was given before."""
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
        log.info("the tokenizing processes could not start; going on in one process")
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
