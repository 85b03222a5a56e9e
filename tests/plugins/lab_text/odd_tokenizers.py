"""Tokenizers that fail, in a module that another process can import."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

import attrs
from lab_text.tokenizers import WhitespaceTokenizer

from lab.errors import DataError


class Failing(WhitespaceTokenizer):
    """Cannot tokenize anything."""

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        raise DataError("no token today")


class Clumsy(WhitespaceTokenizer):
    """Fails in a way that nobody foresaw."""

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        raise ValueError("too clumsy")


class NoRoom(WhitespaceTokenizer):
    """Finds the disk full."""

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        raise OSError(28, "No space left on device", "words.bin")


class Dying(WhitespaceTokenizer):
    """Ends the process that it is asked in."""

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        os._exit(1)


class Alone(WhitespaceTokenizer):
    """Wants no other process."""

    processes = 1


@attrs.define
class Cutting(WhitespaceTokenizer):
    """Has a parameter that is no JSON value."""

    cut: re.Pattern[str] = attrs.field(default=re.compile("-"), kw_only=True)


class Plain(WhitespaceTokenizer):
    """Has a constructor of its own, whose parameters are attributes."""

    def __init__(self, language: str, upper: bool = False) -> None:
        super().__init__(language)
        self.upper = upper

    @property
    def identity(self) -> dict[str, object]:
        return {"name": "plain", "upper": self.upper}


class Forgetful(WhitespaceTokenizer):
    """Does not keep what it was built with."""

    def __init__(self, language: str, folded: bool = True) -> None:
        super().__init__(language, lowercase=folded)


class Renamed(WhitespaceTokenizer):
    """Keeps something else than what it was built with, so an equal one cannot be built from it."""

    def __init__(self, language: str, times: int = 1) -> None:
        super().__init__(language)
        self.times = 2 * times

    @property
    def identity(self) -> dict[str, object]:
        return {"name": "renamed", "times": self.times}


@attrs.define
class Private(WhitespaceTokenizer):
    """An attribute is called otherwise than its parameter."""

    _letters: int = attrs.field(default=3, kw_only=True)

    @property
    def identity(self) -> dict[str, object]:
        return {"name": "private", "letters": self._letters}


not_a_tokenizer = dict
