"""The words of the embedded corpus: French, English, gender, and what goes with what.

The tables of :mod:`~lab_text.embedded._words`, parsed once at import. Nouns belong to classes (``person``, ``text``,
``breakable`` …); adjectives and verbs say which classes they go with, so that sentences mean something. A French
word has one English word, except where its place or its noun decides (*ancien*, *grand*), so that the translation
is a function.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab_text.embedded import _words, english, french

__all__ = [
    "ADJECTIVES_OF",
    "CITIES",
    "COUNTRIES",
    "DELIBERATE",
    "FREQUENCY",
    "INTRANSITIVES",
    "KINDS",
    "MANNER",
    "MATERIALS_OF",
    "MODALS",
    "NAMES",
    "NOUNS",
    "NUMBERS",
    "SAYING",
    "STATES",
    "STIRRING",
    "TALKING",
    "TRANSITIVES",
    "VERBS_OF",
    "Adjective",
    "Noun",
    "Place",
    "Verb",
]


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun (or a first name), with its forms ``(singular, plural)`` in both languages.

    ``category`` is its main class, ``where`` the preposition pair of a place (*dans*, in), ``mass`` marks what is
    not counted (*pain*). ``key`` must not occur twice in a sentence.
    """

    french: tuple[str, str]
    english: tuple[str, str]
    feminine: bool
    category: str
    kind: str = "thing"
    mass: bool = False
    where: tuple[str, str] = ("dans", "in")
    key: str = ""


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective: French forms ``(ms, fs, mp, fp)``, one English word, the noun classes it goes with.

    ``before``: stands before the noun. ``graded``: its superlative is *the most …* in English.
    ``classifying``: says which, not how (colour, origin). ``late``: so, or a physical quality; in English it follows
    adjectives of size and age, as it does in French.
    """

    french: tuple[str, str, str, str]
    english: str
    categories: frozenset[str]
    before: bool
    graded: bool
    classifying: bool = False
    late: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb in both languages.

    ``present`` and ``future`` hold the third persons ``(singular, plural)``; ``particle`` is the English preposition
    after the verb (*look for*), ``link`` the French one before its complement (*refuser de*). ``objects`` are the
    noun classes of its object, ``subjects`` those of its subject.
    """

    infinitive: str
    present: tuple[str, str]
    future: tuple[str, str]
    participle: str
    base: str
    third_person: str
    past: str
    particle: tuple[str, ...] = ()
    link: str = ""
    objects: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ("person",)
    flags: frozenset[str] = frozenset()
    key: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A town or country with the French preposition that says *in* or *to* (*à*, *en*, *au*)."""

    french: str
    english: str
    preposition: str
    key: str = ""


def _entries(table: str) -> list[list[str]]:
    """Return the comma-separated entries of a table, each split at spaces."""
    return [entry.split() for entry in table.replace("\n", " ").split(",")]


def _pairs(table: str) -> tuple[tuple[str, str], ...]:
    """Entries ``french [english]``; the English word is the French one where it is not given."""
    return tuple((words[0], words[-1]) for words in _entries(table))


def _rows(table: str) -> list[list[list[str]]]:
    """Return the lines of a table, split at ``|``, each field split at spaces; missing fields are empty."""
    rows = [[field.split() for field in line.split("|")] for line in table.strip().splitlines()]
    return [row + [[]] * (4 - len(row)) for row in rows]


def _lists(table: str) -> dict[str, list[str]]:
    """``head: word word …`` entries, which may run over several lines, each head on a new line."""
    entries = re.findall(r"([^:\n]+):([^:]*)(?:\n|$)", table.strip())
    return {head.strip(): words.split() for head, words in entries}


_KINDS_OF_CLASS = {"person": "person", "kin": "person", "animal": "animal"}
_MASS = frozenset({"dish", "drink"})


def _noun(words: list[str], category: str) -> Noun:
    singular, gender, translation, *where = words
    is_mass = category in _MASS
    return Noun(
        french=(singular, french.plural(singular)),
        english=(translation, translation if is_mass else english.plural(translation)),
        feminine=gender == "f",
        category=category,
        kind=_KINDS_OF_CLASS.get(category, "thing"),
        mass=is_mass,
        where=(where[0], where[1]) if where else ("dans", "in"),
        key=translation,
    )


def _name(name: str, is_feminine: bool) -> Noun:
    return Noun((name, name), (name, name), is_feminine, "name", "person", key=name)


_CLASSIFYING = frozenset(_words.CLASSIFYING.split())

_PHYSICAL = frozenset(_words.PHYSICAL.split())
_OPPOSED = dict.fromkeys(("old", "new", "young", "ancient", "modern", "former"), "age")
_OPPOSED |= dict.fromkeys(("good", "bad", "boring", "delicious"), "worth") | dict.fromkeys(("long", "short"), "length")


def _adjective(row: list[list[str]], before: bool) -> Adjective:
    forms, (translation,), categories, flags = row
    masculine = forms[0]
    feminine = forms[1] if len(forms) > 1 else french.feminine(masculine)
    return Adjective(
        french=(masculine, feminine, french.plural(masculine), french.plural(feminine)),
        english=translation,
        categories=frozenset(categories),
        before=before,
        graded="graded" in flags,
        classifying=translation[0].isupper() or translation in _CLASSIFYING,
        late=translation[0].isupper() or translation in _CLASSIFYING | _PHYSICAL,
        key=_OPPOSED.get(translation, translation),
    )


def _verb(forms: list[str], words: list[str], **rest: object) -> Verb:
    infinitive = forms[0]
    singular, plural, future, participle = forms[1:] or french.present_and_future(infinitive)
    base = words[0]
    return Verb(
        infinitive=infinitive,
        present=(singular, plural),
        future=(future + "a", future + "ont"),
        participle=participle,
        base=base,
        third_person=english.third_person(base),
        past=words[1] if len(words) > 1 else english.past(base),
        particle=tuple(words[2:]),
        key=base,
        **rest,  # type: ignore[arg-type]
    )


def _transitive(row: list[list[str]]) -> Verb:
    forms, words, objects, flags = row
    subjects = ("person", "animal") if "animals" in flags else ("person",)
    return _verb(forms, words, objects=tuple(objects), subjects=subjects, flags=frozenset(flags))


def _intransitive(row: list[list[str]]) -> Verb:
    forms, words, subjects, flags = row
    return _verb(forms, words, subjects=tuple(subjects), flags=frozenset(flags))


def _linking(row: list[list[str]]) -> Verb:
    forms, words, link, flags = row
    return _verb(forms, words, link=link[0] if link else "", flags=frozenset(flags))


def _nouns() -> dict[str, tuple[Noun, ...]]:
    """Noun class or tag -> its nouns."""
    classes = {name: tuple(_noun(entry, name) for entry in _entries(table)) for name, table in _words.NOUNS.items()}
    by_french = {noun.french[0]: noun for nouns in classes.values() for noun in nouns}
    tags = {tag: tuple(by_french[word] for word in words) for tag, words in _lists(_words.TAGS).items()}
    return classes | tags


NOUNS = _nouns()
"""Noun class or tag -> its nouns."""
KINDS = {name: nouns[0].kind for name, nouns in NOUNS.items()}
"""Noun class or tag -> ``person``, ``animal`` or ``thing``: what pronouns and relatives ask."""
NAMES = tuple(_name(name, gender == "f") for gender, names in _words.NAMES.items() for name in names.split())
TRANSITIVES = tuple(_transitive(row) for row in _rows(_words.TRANSITIVES))
INTRANSITIVES = tuple(_intransitive(row) for row in _rows(_words.INTRANSITIVES))
SAYING = tuple(_verb(row[0], row[1], flags=frozenset(row[2])) for row in _rows(_words.SAYING))
MODALS = tuple(_linking(row) for row in _rows(_words.MODALS))
STIRRING = tuple(_verb(row[0], row[1], objects=("person",)) for row in _rows(_words.STIRRING))
TALKING = tuple(_linking(row) for row in _rows(_words.TALKING))
CITIES = tuple(Place(place, translation, "à", translation) for place, translation in _pairs(_words.CITIES))
COUNTRIES = tuple(Place(words[1], words[-1], words[0], words[-1]) for words in _entries(_words.COUNTRIES))
NUMBERS = _pairs(_words.NUMBERS)
FREQUENCY = _pairs(_words.FREQUENCY)
MANNER = _pairs(_words.MANNER)
DELIBERATE = frozenset(_words.DELIBERATE.split())
"""Infinitives of what one does with care, in secret, quickly …: they take adverbs of manner."""
STATES = frozenset(_words.STATES.split())
"""English adjectives that say how someone is at the moment or in life: *if he is sick*."""


def _classes_of(noun: Noun) -> frozenset[str]:
    """Return the classes and tags of a noun; a person is also a ``man`` or a ``woman``, to adjectives."""
    classes = {name for name, nouns in NOUNS.items() if noun in nouns}
    return frozenset(classes | {"woman" if noun.feminine else "man"} if noun.category == "person" else classes)


_CLASSES_OF = {noun: _classes_of(noun) for nouns in NOUNS.values() for noun in nouns}
_ALL_ADJECTIVES = tuple(
    _adjective(row, table is _words.ADJECTIVES_BEFORE)
    for table in (_words.ADJECTIVES_BEFORE, _words.ADJECTIVES_AFTER)
    for row in _rows(table)
)
ADJECTIVES_OF = {
    (noun.french[0], before): tuple(
        adjective
        for adjective in _ALL_ADJECTIVES
        if adjective.before == before and adjective.categories & _CLASSES_OF[noun]
    )
    for noun in _CLASSES_OF
    for before in (True, False)
}
"""``(French noun, before)`` -> the adjectives that go with it and stand before (after) it."""
_MATERIALS = {tuple(head.split()): words for head, words in _lists(_words.MATERIALS).items()}
MATERIALS_OF = {
    noun.french[0]: tuple((head[0], head[1]) for head, words in _MATERIALS.items() if noun.french[0] in words)
    for noun in _CLASSES_OF
}
"""French noun -> the materials it may be made of: *bois*, wooden."""
VERBS_OF = {
    noun.french[0]: tuple(verb for verb in TRANSITIVES if _CLASSES_OF[noun].intersection(verb.objects))
    for noun in _CLASSES_OF
}
"""French noun -> the verbs that may have it as object."""
