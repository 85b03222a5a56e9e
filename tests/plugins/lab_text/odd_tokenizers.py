"""Tokenizers that fail, in a module that another process can import."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from lab_text.tokenizers import WhitespaceTokenizer

from lab.errors import DataError


class Failing(WhitespaceTokenizer):
    """Cannot tokenise anything."""

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        raise DataError("no token today")


class Dying(WhitespaceTokenizer):
    """Ends the process that it is asked in."""

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        os._exit(1)


class Alone(WhitespaceTokenizer):
    """Wants no other process."""

    processes = 1
