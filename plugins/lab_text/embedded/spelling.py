"""From tokens to text and back: elision, contraction, spacing, and the tokenisation that alignments count in."""

from __future__ import annotations

import re

from lab_text.embedded import english, french
from lab_text.embedded._draw import Tokens, Word

__all__ = ["spell_english", "spell_french", "tokens"]

_TOKEN = re.compile(
    r"aujourd'hui|o'clock"
    r"|(?<![\w'])est-elle\b"
    r"|(?:[cdjlmnst]|qu|lorsqu|puisqu|jusqu)'(?=\w)"
    r"|-(?:t|il|elle|ils|ce|vous|nous)\b"
    r"|\w+(?:-(?!(?:t|il|elle|ils|elles|ce|vous|nous)\b)\w+)*"
    r"|'s\b|[^\w\s]",
    re.IGNORECASE,
)
_ARTICLES = {"LE": "le", "LA": "la", "LES": "les"}


def tokens(text: str) -> list[str]:
    """Return the tokens of a sentence, as counted by :attr:`Pair.alignment <lab_text.embedded.Pair>`.

    Punctuation stands apart; an elided word keeps its apostrophe (``l'`` ``homme``), as does an English genitive
    (``king`` ``'s``); an inverted pronoun keeps its hyphen (``a`` ``-t`` ``-il``). Words with an inner hyphen stay
    whole (``grand-mère``). This is what spaCy's blank French and English tokenizers do with every sentence of the
    corpus, including two habits that one would not guess: ``-elles`` is ``-`` ``elles``, and ``est-elle`` is one token.

    >>> tokens("Pourquoi l'homme a-t-il vendu la maison ?")
    ['Pourquoi', "l'", 'homme', 'a', '-t', '-il', 'vendu', 'la', 'maison', '?']
    """
    return _TOKEN.findall(text)


def spell_french(phrase: Tokens) -> tuple[str, dict[int, int], int]:
    """Return the French sentence of a phrase, where each link stands, and how many tokens it has."""
    words: list[str] = []
    links: dict[int, int] = {}
    last = len(phrase) - 1
    for position, token in enumerate(phrase):
        if token.__class__ is Word:
            links[token[1]] = len(words)
            words.append(token[0])
            continue
        following = phrase[position + 1] if position < last else "?"
        _append(words, token, following if following.__class__ is str else following[0])  # type: ignore[arg-type]
    words.append("?")
    words[0] = words[0][0].upper() + words[0][1:]
    return _join(words, spaced=True), links, len(words)


def _append(words: list[str], token: str, following: str) -> None:
    """Add a function word, elided or contracted as its neighbours ask, as one or two tokens."""
    if french.elides(token, following):
        words.append(french.elide(token))
    elif token in _ARTICLES:
        _append_article(words, token)
    elif token == "-elles":
        words += ["-", "elles"]
    elif token == "-elle" and words[-1] == "est" and words[-2][-1] != "'":
        words[-1] = "est-elle"
    else:
        words.append(token)


def _append_article(words: list[str], article: str) -> None:
    contracted = french.contract(words[-1], article) if words else None
    if contracted:
        words[-1] = contracted
    else:
        words.append(_ARTICLES[article])


def spell_english(phrase: Tokens) -> tuple[str, dict[int, int], int]:
    """Return the English sentence of a phrase, where each link stands, and how many tokens it has."""
    words: list[str] = []
    links: dict[int, int] = {}
    for token in phrase:
        if token.__class__ is Word:
            links[token[1]] = len(words)
            words.append(token[0])
        else:
            words.append(token)  # type: ignore[arg-type]
        if len(words) > 1 and words[-2] == "A":
            words[-2] = english.article(words[-1])
    words.append("?")
    words[0] = words[0][0].upper() + words[0][1:]
    return _join(words, spaced=False), links, len(words)


def _join(words: list[str], spaced: bool) -> str:
    """Tokens to text: no space around hyphens and apostrophes; French has one before the question mark."""
    text = " ".join(words).replace(" - ", "-").replace(" -", "-").replace(" 's", "'s")
    if spaced:
        return text.replace("' ", "'")
    return text.replace(" ?", "?")
