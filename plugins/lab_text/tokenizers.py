"""Built-in tokenizers.

A dataset receives a tokenizer as a factory and builds it once per language: ``tokenizer(language="fr")``.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import Any

import attrs

from lab.errors import DataError, ParameterError
from lab_text.detokenize import capitalize, join_tokens
from lab_text.spread import spread
from lab_text.tokenizer import Tokenizer

__all__ = [
    "BookTokenizer",
    "CharacterTokenizer",
    "SpacyTokenizer",
    "WhitespaceTokenizer",
    "book_words",
    "tokenizer_factory",
]

_CHUNK_SENTENCES = 10_000
# For elisions spaCy takes seconds for a word of 10,000 characters, and minutes for longer ones.
_MAX_WORD_LENGTH = 5_000
_REMEMBERED_WORDS = 100_000
_JOINED_WORDS = 1_000
_POOL_AFTER_CHUNKS = 20
_BOOK_MARKS = re.compile(r"([,.!?])")


@attrs.define
class WhitespaceTokenizer(Tokenizer):
    """Tokens separated by white space.

    Args:
        language: language code; no effect here.
        lowercase: fold the text to lower case first; :meth:`detokenize` then capitalizes the first letter.

    >>> WhitespaceTokenizer("fr")("Où sont-ils ?")
    ['où', 'sont-ils', '?']
    """

    language: str
    lowercase: bool = attrs.field(default=True, kw_only=True)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and parameters, part of cache keys."""
        return {"name": "whitespace", "version": 1, "lowercase": self.lowercase}

    @property
    def by_word(self) -> bool:
        """True unless a subclass overrides ``pipe``."""
        return type(self).pipe is WhitespaceTokenizer.pipe

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of every text, in order."""
        for text in texts:
            yield (text.lower() if self.lowercase else text).split()

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the sentence that ``tokens`` stand for."""
        sentence = " ".join(tokens)
        return capitalize(sentence, self.language) if self.lowercase else sentence


@attrs.define
class CharacterTokenizer(Tokenizer):
    """Characters as tokens; runs of white space become one ``space`` character.

    Args:
        language: language code; no effect here.
        lowercase: fold the text to lower case first.
        space: token for a space.

    >>> CharacterTokenizer("fr")("Où ?")
    ['O', 'ù', '▁', '?']
    """

    language: str
    lowercase: bool = attrs.field(default=False, kw_only=True)
    space: str = attrs.field(default="▁", kw_only=True)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and parameters, part of cache keys."""
        return {"name": "characters", "version": 1, "lowercase": self.lowercase, "space": self.space}

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of every text, in order."""
        for text in texts:
            yield list(self.space.join((text.lower() if self.lowercase else text).split()))

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the sentence that ``tokens`` stand for."""
        sentence = "".join(" " if token == self.space else token for token in tokens)
        return capitalize(sentence, self.language) if self.lowercase else sentence


@attrs.define
class BookTokenizer(Tokenizer):
    """Words of *Dive into Deep Learning*, section 9.5: lower case, split at spaces and before ``, . ! ?``.

    :meth:`detokenize` also sets spaces as the language does.

    Args:
        language: language code; it decides about spaces in :meth:`detokenize`.

    >>> BookTokenizer("fr")("J'ai perdu.")
    ["j'ai", 'perdu', '.']
    """

    language: str
    lowercase: bool = attrs.field(default=True, init=False)

    @property
    def identity(self) -> dict[str, Any]:
        """Name and version, part of cache keys."""
        return {"name": "book", "version": 1}

    @property
    def by_word(self) -> bool:
        """True unless a subclass overrides ``pipe``."""
        return type(self).pipe is BookTokenizer.pipe

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of every text, in order."""
        return map(book_words, texts)

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the sentence that ``tokens`` stand for."""
        return capitalize(join_tokens(tokens, self.language), self.language)


def book_words(text: str) -> list[str]:
    """Return the words of *Dive into Deep Learning*, section 9.5.

    >>> book_words("Go on!")
    ['go', 'on', '!']
    """
    return _BOOK_MARKS.sub(r" \1", text.lower()).split()


@attrs.define
class SpacyTokenizer(Tokenizer):
    """The tokenizer of a blank spaCy pipeline; needs no trained model and no download.

    spaCy's rules look at one white-space separated word at a time, so each distinct word of a corpus is tokenized
    once and remembered: the same tokens as ``nlp.pipe``, several times as fast on a corpus.

    Args:
        language: the code of the language, any that ``spacy.blank`` knows (``fr``, ``en``, ``de``; ``xx`` for none).
        lowercase: fold tokens to lower case; :meth:`detokenize` then capitalizes the first letter.
        processes: number of processes for a long stream of texts; None chooses by its length, the language (words that
            are cached need no other process) and the number of processors; 1 never starts any. A dataset of a large
            corpus gives each language its own process unless this is 1.

    Raises:
        ParameterError: spaCy does not know the language, or lacks a package for it.
    """

    language: str
    lowercase: bool = attrs.field(default=True, kw_only=True)
    processes: int | None = attrs.field(default=None, kw_only=True)
    _pipeline: Any = attrs.field(init=False, default=None, repr=False, eq=False)
    _remembered: dict[str, tuple[str, ...]] = attrs.field(init=False, factory=dict, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        _check_language(self.language)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and parameters, part of cache keys."""
        # New versions have new rules, hence other tokens.
        version = importlib.metadata.version("spacy")
        return {"name": "spacy", "version": version, "language": self.language, "lowercase": self.lowercase}

    @property
    def by_word(self) -> bool:
        """True for languages that are split at spaces, not for Chinese, Japanese …"""
        return type(self).pipe is SpacyTokenizer.pipe and self._splits_at_spaces

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the tokens of every text, in order."""
        chunks = _chunks(texts)
        # A short stream ends before processes would have started.
        for chunk in islice(chunks, _POOL_AFTER_CHUNKS):
            yield from self.tokenize_all(chunk)
        workers = self._workers()
        for sentences in map(self.tokenize_all, chunks) if workers < 2 else spread(self, chunks, workers):
            yield from sentences

    def _workers(self) -> int:
        """Return the number of processes after the first chunks; two languages share the processors.

        A word that is remembered is found faster than what another process says of it is read.
        """
        if self.processes is not None:
            return self.processes
        return 1 if self._splits_at_spaces else min((os.cpu_count() or 1) // 2, 8)

    def tokenize_all(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the tokens of every text of one chunk, in this process."""
        if not self._splits_at_spaces:
            return [self._texts(doc) for doc in self._nlp.pipe(texts)]
        # spaCy's rules never look past a space, so words can be tokenized alone.
        words = [text.split() for text in texts]
        self._remember(set(chain.from_iterable(words)))
        known = self._remembered.__getitem__
        return [list(chain.from_iterable(map(known, sentence))) for sentence in words]

    def _remember(self, words: set[str]) -> None:
        """Tokenize new words; clear the memory when it is full."""
        if len(self._remembered) > _REMEMBERED_WORDS:
            self._remembered.clear()
            # spaCy keeps every word it has seen, in cyclic structures; only a new pipeline frees them.
            self._pipeline = None
            gc.collect()
        new = list(words.difference(self._remembered))
        # Catches texts without spaces before spaCy spends minutes on them.
        if new and len(longest := max(new, key=len)) > _MAX_WORD_LENGTH:
            raise DataError(
                f"a word has {len(longest):,} characters without a blank",
                where=f"it begins with {longest[:40]!r}",
                hint="is the text cut into sentences? otherwise tokenizer='whitespace'",
            )
        for start in range(0, len(new), _JOINED_WORDS):
            some = new[start : start + _JOINED_WORDS]
            self._remembered.update(zip(some, self._tokens_of(some), strict=True))

    def _tokens_of(self, words: list[str]) -> list[tuple[str, ...]]:
        """Return the tokens of each word: all as one text, which is faster, unless a rule sees beyond a space."""
        tokenize = self._nlp.tokenizer
        # Joined by spaces: one call for 1,000 words is faster than 1,000 calls.
        rows = [(token.lower_, token.text, token.whitespace_, token.is_space) for token in tokenize(" ".join(words))]
        ends = [position for position, row in enumerate(rows, start=1) if row[2]]
        # A rule that spans a space shows in the number of ends; these words are tokenized one by one.
        if len(ends) != len(words) - 1 or any(is_space for *_, is_space in rows):
            return [tuple(self._texts(doc)) for doc in tokenize.pipe(words)]
        tokens = [row[0 if self.lowercase else 1] for row in rows]
        return [tuple(tokens[start:end]) for start, end in pairwise([0, *ends, len(tokens)])]

    def _texts(self, doc: Any) -> list[str]:
        if self.lowercase:
            return [token.lower_ for token in doc if not token.is_space]
        return [token.text for token in doc if not token.is_space]

    @property
    def _nlp(self) -> Any:
        if self._pipeline is None:
            self._pipeline = _blank(self.language)
        return self._pipeline

    @property
    def _splits_at_spaces(self) -> bool:
        """False for languages with their own tokenizer (Chinese, Japanese …)."""
        # Imported on use, because spaCy is slow to import.
        from spacy.tokenizer import Tokenizer as RuleTokenizer  # type: ignore[import-not-found,unused-ignore]

        return type(self._nlp.tokenizer) is RuleTokenizer

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the sentence that ``tokens`` stand for."""
        sentence = join_tokens(tokens, self.language)
        return capitalize(sentence, self.language) if self.lowercase else sentence


def _check_language(language: str) -> None:
    # spacy.blank would import a module of this name.
    if not (language.isascii() and language.isalpha() and len(language) in (2, 3)):
        raise ParameterError(f"not a language code: {language!r}", hint="write it as in ISO 639: fr, en, de")


def _blank(language: str) -> Any:
    """Return a blank spaCy pipeline; a ParameterError where spaCy cannot give one."""
    import spacy

    try:
        return _lean(spacy.blank(language))
    except ImportError as error:
        raise ParameterError(
            f"spaCy cannot tokenize the language {language!r}",
            where="tokenizer 'spacy'",
            hint=f"{str(error).splitlines()[0]}\nlanguage 'xx' tokenizes any text with spaces by general rules",
        ) from error


def _lean(pipeline: Any) -> Any:
    """Disable the properties that spaCy computes for every new word, except the two that are read here."""
    from spacy.attrs import IS_SPACE, LOWER  # type: ignore[import-not-found,unused-ignore]

    getters = pipeline.vocab.lex_attr_getters
    pipeline.vocab.lex_attr_getters = {name: getters[name] for name in (LOWER, IS_SPACE)}
    return pipeline


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while chunk := list(islice(iterator, _CHUNK_SENTENCES)):
        yield chunk


_BUILT_IN: dict[str, Callable[..., Tokenizer]] = {
    "spacy": SpacyTokenizer,
    "whitespace": WhitespaceTokenizer,
    "characters": CharacterTokenizer,
    "book": BookTokenizer,
}


def tokenizer_factory(tokenizer: str | Tokenizer | Callable[..., Tokenizer]) -> Callable[..., Tokenizer]:
    """Return a factory of tokenizers for a language, from the name of a built-in one, a factory or a tokenizer."""
    if isinstance(tokenizer, Tokenizer):
        return lambda language: tokenizer
    if not isinstance(tokenizer, str):
        return tokenizer
    if tokenizer not in _BUILT_IN:
        raise ParameterError(f"unknown tokenizer {tokenizer!r}", hint=f"built in: {', '.join(_BUILT_IN)}")
    return _BUILT_IN[tokenizer]
