"""Tokenizer of word pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
from lab_text.tokenizer import Tokenizer

__all__ = ["Pieces"]

_BEGIN = "▁"


@attrs.define
class Pieces(Tokenizer):
    """Word pieces of a fixed number of letters; the first piece of a word starts with ``▁``.

    Args:
        language: language code; no effect here.
        letters: maximum number of letters per piece.
    """

    language: str
    letters: int = attrs.field(default=3, kw_only=True)

    @property
    def identity(self) -> dict[str, Any]:
        """Return everything that tokens depend on besides the text."""
        return {"name": "pieces", "version": 1, "letters": self.letters}

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of each text."""
        for text in texts:
            yield [piece for word in text.split() for piece in self._cut(_BEGIN + word)]

    def _cut(self, word: str) -> list[str]:
        return [word[start : start + self.letters] for start in range(0, len(word), self.letters)]

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the text of ``tokens``."""
        return "".join(tokens).replace(_BEGIN, " ").strip()
