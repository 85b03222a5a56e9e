"""English word forms and spelling rules: plural, third person, past, the indefinite article.

As :mod:`~lab_text.embedded.french`, this covers the words of the embedded lexicon; British spelling.
"""

from __future__ import annotations

__all__ = ["article", "past", "plural", "third_person"]

_PLURALS = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "policeman": "policemen",
    "postman": "postmen",
    "fireman": "firemen",
    "fisherman": "fishermen",
    "mouse": "mice",
    "wolf": "wolves",
    "knife": "knives",
    "thief": "thieves",
    "scarf": "scarves",
    "sheep": "sheep",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "piano": "pianos",
    "radio": "radios",
    "hero": "heroes",
}
_VOWEL_SOUND_H = ("honest", "hour")
_CONSONANT_SOUND_U = ("useful", "useless", "university", "one", "European")


def plural(noun: str) -> str:
    """Return the plural: ``box`` -> ``boxes``, ``city`` -> ``cities``, ``child`` -> ``children``."""
    return _PLURALS[noun] if noun in _PLURALS else third_person(noun)


def third_person(base: str) -> str:
    """Return the third person singular: ``buy`` -> ``buys``, ``watch`` -> ``watches``, ``carry`` -> ``carries``."""
    if base.endswith(("s", "x", "ch", "sh", "z")) or base in ("go", "do"):
        return base + "es"
    if base[-1] == "y" and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


def past(base: str) -> str:
    """Return the past of a regular verb: ``love`` -> ``loved``, ``carry`` -> ``carried``, ``wash`` -> ``washed``."""
    if base[-1] == "e":
        return base + "d"
    if base[-1] == "y" and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return base + "ed"


def article(following: str) -> str:
    """``a`` or ``an``, by the first sound of the word that follows: ``an honest man``, ``a useful tool``."""
    if following.startswith(_CONSONANT_SOUND_U):
        return "a"
    return "an" if following[0] in "aeiouAEIOU" or following.startswith(_VOWEL_SOUND_H) else "a"
