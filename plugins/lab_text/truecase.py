"""Truecasing: the first word of a sentence gets the spelling that it has elsewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from lab.errors import DataError, ParameterError
from lab_text.detokenize import capitalize
from lab_text.tokenizer import Tokenizer, TrainableTokenizer
from lab_text.tokenizers import SpacyTokenizer, tokenizer_factory

__all__ = ["TruecasedTokenizer"]

FILE, INNER = "casing.json", "inner"
_LETTERS = re.compile(r"[^\W\d_]+")


def _spacy(language: str) -> Tokenizer:
    return SpacyTokenizer(language, lowercase=False)


@attrs.define(slots=False)
class TruecasedTokenizer(TrainableTokenizer):
    """Another tokenizer, after the first word of each sentence got its most frequent spelling elsewhere.

    As Moses' truecaser, which also looks behind punctuation: a word that occurs only at the beginning of sentences
    stays as it is. :meth:`detokenize` capitalizes the first letter.

    Args:
        language: language code.
        tokenizer: the other tokenizer, which must keep case; None is spaCy's. It may be one that is trained, too.
        file: a file of spellings that training wrote; None trains on the corpus.

    Raises:
        ParameterError: the other tokenizer folds case.
        DataError: the file cannot be read.
    """

    language: str
    tokenizer: Callable[..., Tokenizer] | None = attrs.field(default=None, kw_only=True)
    file: str | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if getattr(self.inner, "lowercase", False):
            raise ParameterError(
                "the tokenizer folds case, so there is nothing to truecase",
                where="tokenizer 'truecased'",
                hint="give it lowercase=False",
            )

    @cached_property
    def inner(self) -> Tokenizer:
        """The other tokenizer."""
        factory = _spacy if self.tokenizer is None else tokenizer_factory(self.tokenizer)
        return factory(language=self.language)

    @property
    def words(self) -> Tokenizer:
        """The tokenizer whose tokens count for the limits of a dataset."""
        return self.inner.words if isinstance(self.inner, TrainableTokenizer) else self.inner

    @property
    def is_trained(self) -> bool:
        """True with a file, if the other tokenizer is ready as well."""
        return self.file is not None and getattr(self.inner, "is_trained", True)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and parameters, part of cache keys; after training also the spellings."""
        spellings = None if self.file is None else self._spellings
        return {"name": "truecased", "version": 1, "tokenizer": self.inner.identity, "spellings": spellings}

    def train(self, texts: Iterable[str], folder: Path) -> None:
        """Write the spellings to ``folder``, and what the other tokenizer learns from the truecased sentences."""
        sentences = list(texts)
        counts = Counter(run for text in sentences for run in _LETTERS.findall(text)[1:])
        best: dict[str, str] = {}
        for spelling, number in counts.items():
            # The most frequent spelling wins; ties keep the first.
            if number > counts.get(best.get(spelling.lower(), ""), 0):
                best[spelling.lower()] = spelling
        (folder / FILE).write_text(json.dumps(best, ensure_ascii=False), encoding="utf-8")
        if isinstance(self.inner, TrainableTokenizer) and not self.inner.is_trained:
            (folder / INNER).mkdir()
            self.inner.train((_truecased(text, best) for text in sentences), folder / INNER)

    def trained(self, folder: Path) -> Tokenizer:
        """Return the tokenizer with the spellings that :meth:`train` wrote."""
        inner = self.inner
        if isinstance(inner, TrainableTokenizer) and not inner.is_trained:
            inner = inner.trained(folder / INNER)
        return TruecasedTokenizer(self.language, tokenizer=lambda language: inner, file=str(folder / FILE))

    @cached_property
    def _spellings(self) -> dict[str, str]:
        if self.file is None:
            raise ParameterError("the tokenizer 'truecased' is not trained", hint="give it to a dataset")
        try:
            read = json.loads(Path(self.file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read spellings: {error}", where=self.file) from error
        return {str(lower): str(spelling) for lower, spelling in read.items()}

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of every text, in order."""
        spellings = self._spellings
        return self.inner.pipe(_truecased(text, spellings) for text in texts)

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the sentence with its first letter in upper case."""
        # Not by the language: the pronoun "I" has kept its case.
        return capitalize(self.inner.detokenize(tokens), "")


def _truecased(text: str, spellings: dict[str, str]) -> str:
    first = _LETTERS.search(text)
    if first is None:
        return text
    return text[: first.start()] + spellings.get(first[0].lower(), first[0]) + text[first.end() :]
