"""Detokenization: spaces, elisions, contractions and French punctuation."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["capitalize", "join_tokens"]

_APOSTROPHES = "'’"
_CLOSING = frozenset([".", ",", "...", "…", "?", "!", ":", ";", ")", "]", "}", "%", "”"])
_OPENING = frozenset(["(", "[", "{", "“", "¿", "¡", "$", "£", "#"])
_SPACED_IN_FRENCH = frozenset(["?", "!", ":", ";", "%", "»"])
# The German closing quote is the English opening one.
_GERMAN_QUOTES = {"„": "opening", "“": "closing"}
_PAIRED = frozenset(['"'])
_ELIDING = frozenset(["fr", "it", "ca"])
# spaCy splits these into two tokens without a mark between them.
_SPLIT_WORDS = {"can not", "gon na", "wan na", "got ta", "let 's", "lem me", "gim me", "dun no"}
_JOINERS = frozenset(["-", "–", "/"])
_DIGITS = re.compile(r"[\d.,]*\d")
_FIRST_PERSON = re.compile(r"\bi(?=\b(?![.\-]))")


def join_tokens(tokens: Sequence[str], language: str) -> str:
    """Join tokens to a sentence, with spaces as ``language`` writes them.

    >>> join_tokens(["Qu'", "est", "-ce", "que", "c'", "est", "?"], "fr")
    "Qu'est-ce que c'est ?"
    >>> join_tokens(["why", "do", "n't", "you", "rest", ",", "tom", "?"], "en")
    "why don't you rest, tom?"
    """
    pieces: list[str] = []
    quotes_open: set[str] = set()
    for position, token in enumerate(tokens):
        before = tokens[position - 1] if position else ""
        if position and not _glued(before, token, language, quotes_open):
            pieces.append(" ")
        if token in _PAIRED:
            # Straight quotes look alike: every second one closes.
            quotes_open ^= {token}
        pieces.append(token)
    return "".join(pieces)


def _glued(before: str, token: str, language: str, quotes_open: set[str]) -> bool:
    """Return True if no space separates ``before`` and ``token``; ``quotes_open`` holds the unclosed quotes."""
    # French typography has a space before these signs.
    if language == "fr" and token in _SPACED_IN_FRENCH:
        return False
    if token in _PAIRED:
        return token in quotes_open
    if language == "de" and (token in _GERMAN_QUOTES or before in _GERMAN_QUOTES):
        return _GERMAN_QUOTES.get(token) == "closing" or _GERMAN_QUOTES.get(before) == "opening" or token in _CLOSING
    if token in _CLOSING or before in _OPENING or token in _JOINERS or before in _JOINERS:
        return True
    return before in quotes_open if before in _PAIRED else _clitic(before, token, language)


def _clitic(before: str, token: str, language: str) -> bool:
    """Return True for two parts of one written word: ``l' homme``, ``est -ce``, ``do n't``, ``can not``."""
    if len(token) > 1 and token[0] == "-" and token[1].isalpha():
        return True
    # Elided words keep their apostrophe: ``l' homme`` is ``l'homme``.
    if language in _ELIDING:
        return len(before) > 1 and before[-1] in _APOSTROPHES
    if language == "en":
        return token.lower() in _ENGLISH_SUFFIXES or f"{before} {token}".lower() in _SPLIT_WORDS
    return len(token) > 1 and token[0] in _APOSTROPHES


_ENGLISH_SUFFIXES = frozenset(
    f"{stem}{mark}{suffix}"
    for mark in _APOSTROPHES
    for stem, suffix in [("", "s"), ("", "m"), ("", "re"), ("", "ve"), ("", "ll"), ("", "d"), ("n", "t"), ("", "")]
)


def capitalize(sentence: str, language: str) -> str:
    """Return a lower-cased sentence with its first letter, and in English the pronoun ``i``, in upper case.

    >>> capitalize("what should i do?", "en")
    'What should I do?'
    """
    if language == "en":
        # Not in ``i.e.`` or ``i-beam``.
        sentence = _FIRST_PERSON.sub("I", sentence)
    for position, character in enumerate(sentence):
        if character.isalnum():
            return sentence[:position] + character.upper() + sentence[position + 1 :]
    return sentence
