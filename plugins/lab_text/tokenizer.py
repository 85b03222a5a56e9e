"""Contract of the registry ``tokenizers``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Tokenizer", "TrainableTokenizer"]


class Tokenizer(ABC):
    """Base class of tokenizers, from a sentence to its tokens and back.

    A subclass defines :meth:`pipe` and, unless tokens are simply separated by spaces, :meth:`detokenize`. No token is
    empty or has white space at its ends.

    A large corpus is tokenized in one process per language if :func:`lab_text.workers.describe` can describe how the
    tokenizer was built: its parameters are plain JSON values, and each is an attribute of the same name.

    Attributes:
        language: language code, such as ``fr``.
    """

    language: str

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Name, version and parameters, as plain JSON: they change whenever the same text might give other tokens.

        Part of the key of caches.
        """

    @property
    def by_word(self) -> bool:
        """True if the tokens of a text are those of its white-space separated words, each tokenized by itself.

        A corpus is then tokenized several times as fast, since only its distinct words are tokenized. False is always
        right.
        """
        return False

    @abstractmethod
    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of every text, in order; ``texts`` is read in chunks and may be endless."""

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the sentence of these tokens."""
        return " ".join(tokens)

    def __call__(self, text: str) -> list[str]:
        """Return the tokens of one text."""
        return next(iter(self.pipe([text])))


class TrainableTokenizer(Tokenizer):
    """Base class of tokenizers that learn from the training sentences before they can be used.

    A dataset first splits the sentences by ``words``, which decides what its limits keep and what it holds out; the
    pairs are then those of a study's arms with other tokenizers. It calls :meth:`train` with the sentences that are
    left to train on, once for each corpus, and keeps the folder in the cache.
    """

    @property
    @abstractmethod
    def words(self) -> Tokenizer:
        """The tokenizer whose tokens count for the limits of a dataset."""

    @property
    @abstractmethod
    def is_trained(self) -> bool:
        """True if the tokenizer can be used as it is."""

    @abstractmethod
    def train(self, texts: Iterable[str], folder: Path) -> None:
        """Write to ``folder`` what is learned from these sentences; the same sentences give the same files."""

    @abstractmethod
    def trained(self, folder: Path) -> Tokenizer:
        """Return the tokenizer with what :meth:`train` wrote to ``folder``."""
