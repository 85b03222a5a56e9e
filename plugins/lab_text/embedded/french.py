"""French word forms and spelling rules: plural, feminine, conjugation, elision, contraction.

A function takes spelled forms and gives spelled forms; which word stands where is the business of
:mod:`~lab_text.embedded.phrases`. The rules cover the words of the embedded lexicon, not the language: what is
irregular is listed here or beside the word in :mod:`~lab_text.embedded.lexicon`.
"""

from __future__ import annotations

__all__ = [
    "before_vowel",
    "contract",
    "elide",
    "elides",
    "feminine",
    "inverted_pronoun",
    "participle_form",
    "plural",
    "present_and_future",
    "starts_with_vowel",
]

_VOWELS = frozenset("aeiouyàâæéèêëîïôœùûAEIOUÀÂÉÈÊÎÔŒ")
_ASPIRATED = ("haricot", "haut", "héros", "hibou", "huit", "onze")  # no elision, no liaison
_X_PLURALS = frozenset({"bijou", "hibou"})
_S_PLURALS = frozenset({"bleu"})
_FEMININE_ENDINGS = (  # the first ending that fits; (masculine ending, feminine ending)
    ("e", "e"),
    ("eux", "euse"),
    ("er", "ère"),
    ("if", "ive"),
    ("el", "elle"),
    ("en", "enne"),
    ("", "e"),
)
_ELIDED = {
    "le": "l'",
    "la": "l'",
    "LE": "l'",
    "LA": "l'",
    "de": "d'",
    "ne": "n'",
    "que": "qu'",
    "puisque": "puisqu'",
}
_CONTRACTED = {("de", "LE"): "du", ("de", "LES"): "des", ("à", "LE"): "au", ("à", "LES"): "aux"}
_BEFORE_VOWEL = {
    "beau": "bel",
    "nouveau": "nouvel",
    "vieux": "vieil",
    "ce": "cet",
    "ma": "mon",
    "sa": "son",
}


def starts_with_vowel(word: str) -> bool:
    """Return True if ``word`` begins with a vowel sound: a vowel letter or a mute h (``homme``, not ``haricot``)."""
    if word[0] in "hHo" and word.lower().startswith(_ASPIRATED):
        return False
    return word[0] in _VOWELS or word[0] in "hH"


def elides(word: str, following: str) -> bool:
    """Return True if ``word`` elides before ``following``: ``que`` + ``elle``; ``si`` only before ``il(s)``."""
    if word == "si":
        return following in ("il", "ils")
    return word in _ELIDED and starts_with_vowel(following)


def elide(word: str) -> str:
    """Return the elided form, with its apostrophe: ``que`` -> ``qu'``, ``si`` -> ``s'``."""
    return "s'" if word == "si" else _ELIDED[word]


def contract(preposition: str, article: str) -> str | None:
    """``de`` + ``LE`` -> ``du``; None when the two stay apart.

    Articles are written in capitals (``LE``, ``LES``) until they are spelled, because the pronouns *le* and *les*
    do not contract: *il décide de le vendre*.
    """
    return _CONTRACTED.get((preposition, article))


def before_vowel(word: str, following: str) -> str:
    """Return a determiner or masculine adjective in its form before ``following``: ``bel`` before ``hôtel``."""
    if word in _BEFORE_VOWEL and starts_with_vowel(following):
        return _BEFORE_VOWEL[word]
    return word


def plural(word: str) -> str:
    """Return the plural of a noun or of an adjective's form: ``cheval`` -> ``chevaux``, ``souris`` -> ``souris``."""
    if word[-1] in "sxz":
        return word
    if word.startswith("grand-"):
        return "grands" + plural(word[5:])
    if word.endswith("al"):
        return word[:-2] + "aux"
    takes_x = word.endswith(("eau", "eu")) or word in _X_PLURALS
    return word + "x" if takes_x and word not in _S_PLURALS else word + "s"


def feminine(adjective: str) -> str:
    """Return the feminine of a regular adjective: ``heureux`` -> ``heureuse``, ``léger`` -> ``légère``."""
    ending, replacement = next(pair for pair in _FEMININE_ENDINGS if adjective.endswith(pair[0]))
    return adjective[: len(adjective) - len(ending)] + replacement


def participle_form(participle: str, is_feminine: bool, is_plural: bool) -> str:
    """Return the past participle in agreement: ``acheté`` -> ``achetées``; ``mis`` stays in the masculine plural."""
    form = participle + "e" if is_feminine else participle
    return form + "s" if is_plural and form[-1] != "s" else form


def inverted_pronoun(finite: str, pronoun: str) -> list[str]:
    """Return the tokens after an inverted verb: ``a`` + ``il`` -> ``-t -il``; ``vend`` + ``il`` -> ``-il``."""
    euphonic = finite[-1] in "ae" and pronoun in ("il", "elle")
    return ["-t", "-" + pronoun] if euphonic else ["-" + pronoun]


def present_and_future(infinitive: str) -> tuple[str, str, str, str]:
    """Third persons of the present, stem of the future and past participle of a regular verb.

    Groups in -er (with *acheter*, *préférer*, *essayer*, *nettoyer*), in -ir like *choisir* and in -re like *vendre*:
    ``("achète", "achètent", "achèter", "acheté")``.
    """
    stem, ending = infinitive[:-2], infinitive[-2:]
    if ending == "ir":
        return stem + "it", stem + "issent", infinitive, stem + "i"
    if ending == "re":
        return stem, stem + "ent", stem + "r", stem + "u"
    strong, future = _strong_stem(stem)
    return strong + "e", strong + "ent", future, stem + "é"


def _strong_stem(stem: str) -> tuple[str, str]:
    """Return the stem under stress and that of the future, of a verb in -er: ``achet`` -> ``achèt``, ``achèter``."""
    if stem[-1] == "y":
        return stem[:-1] + "i", stem[:-1] + "ier"
    if stem in ("achet",):
        strong = stem[:-2] + "è" + stem[-1]
        return strong, strong + "er"
    position = stem.rfind("é")
    if position > 0 and position >= len(stem) - 3 and stem[position + 1 :] in ("r", "t", "g", "d"):
        return stem[:position] + "è" + stem[position + 1 :], stem + "er"
    return stem, stem + "er"
