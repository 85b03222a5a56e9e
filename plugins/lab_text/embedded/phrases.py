"""Noun phrases and adverbials of the embedded corpus, made in both languages at once.

Every function takes the :class:`~lab_text.embedded._draw.Draw` of the sentence and gives French and English tokens.
French articles are in capitals (``LE``, ``LA``, ``LES``) and nothing is elided or contracted yet: that is
:mod:`~lab_text.embedded.spelling`. In English, ``A`` is the article that becomes *a* or *an* there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lab_text.embedded import french
from lab_text.embedded._draw import Draw, Tokens, Word
from lab_text.embedded.lexicon import (
    ADJECTIVES_OF,
    CITIES,
    COUNTRIES,
    MATERIALS_OF,
    NAMES,
    NOUNS,
    NUMBERS,
    Adjective,
    Noun,
    Place,
)

__all__ = [
    "NounPhrase",
    "Owner",
    "adverbial",
    "destination",
    "is_owned",
    "named",
    "noun_phrase",
    "object_phrase",
    "person",
    "pronoun",
    "region",
    "surroundings",
    "time",
    "which",
]

Owner = str
"""Who possesses, as the English possessive: ``his her its their my our your``."""

_Forms = tuple[tuple[str, ...], tuple[str, str]]
_DETERMINERS: dict[str, _Forms] = {  # French ms, fs, mp, fp; English singular, plural
    "definite": (("LE", "LA", "LES", "LES"), ("the", "the")),
    "indefinite": (("un", "une", "des", "des"), ("A", "some")),
    "demonstrative": (("ce", "cette", "ces", "ces"), ("this", "these")),
    "which": (("quel", "quelle", "quels", "quelles"), ("which", "which")),
    "few": (("", "", "quelques", "quelques"), ("", "a few")),
    "several": (("", "", "plusieurs", "plusieurs"), ("", "several")),
    "number": (("", "", "", ""), ("", "")),
    "none": (("de", "de", "de", "de"), ("any", "any")),
    "his": (("son", "sa", "ses", "ses"), ("his", "his")),
    "her": (("son", "sa", "ses", "ses"), ("her", "her")),
    "its": (("son", "sa", "ses", "ses"), ("its", "its")),
    "their": (("leur", "leur", "leurs", "leurs"), ("their", "their")),
    "my": (("mon", "ma", "mes", "mes"), ("my", "my")),
    "our": (("notre", "notre", "nos", "nos"), ("our", "our")),
    "your": (("votre", "votre", "vos", "vos"), ("your", "your")),
}
_PARTITIVES = {"indefinite": (("de", "LE"), ("de", "LA")), "none": (("de",), ("de",))}
_MASS_ENGLISH = {"indefinite": "some", "none": "any"}
_COUNTED = frozenset({"definite", "number", "his", "her", "their", "my", "our", "your"})
_SPEAKERS = ("my", "our", "your")
_PERSONS = NOUNS["person"]
_PEOPLE_DETERMINERS = ("definite",) * 10 + ("demonstrative",) * 2 + ("indefinite",)
_SUBJECT_DETERMINERS = ("definite",) * 6 + ("demonstrative",) * 2
_OBJECT_DETERMINERS = ("definite",) * 5 + ("indefinite",) * 4 + ("number",) * 3 + ("demonstrative", "few", "several")
_NEGATED_DETERMINERS = ("definite", "definite", "indefinite", "demonstrative")
_PLURAL_ONLY = frozenset({"few", "several", "number"})
_MEASURES = {
    "drink": ("verre_1 de|glass_1 of", "tasse_1 de|cup_1 of", "bouteille_1 de|bottle_1 of"),
    "dish": ("kilo_1 de|kilo_1 of", "morceau_1 de|piece_1 of"),
}
_FEMININE_MEASURES = frozenset({"tasse", "bouteille"})
_LIQUID_DISHES = frozenset({"soupe", "miel", "confiture", "salade", "riz", "beurre"})


@dataclass(slots=True)
class NounPhrase:
    """A noun phrase in both languages and what agrees with it.

    ``kind`` is ``person``, ``animal`` or ``thing``; ``speaker`` is ``you``, ``we`` for those pronouns, else empty;
    ``partitive`` marks *du pain*, taken up by the pronoun *en*; a ``closed`` phrase takes no relative clause;
    ``inner`` marks the subject of a relative clause, whose tense yields to that around it.
    """

    french: Tokens
    english: Tokens
    feminine: bool
    plural: bool
    kind: str
    noun: Noun | None = None
    speaker: str = ""
    partitive: bool = False
    closed: bool = False
    inner: bool = False

    @property
    def subject_pronoun(self) -> tuple[str, str]:
        """*il*, he …: how a later clause takes this phrase up as its subject."""
        if self.plural:
            return ("elles" if self.feminine else "ils"), "they"
        return ("elle" if self.feminine else "il"), self._english("he", "she")

    @property
    def object_pronoun(self) -> tuple[str, str]:
        """*le*, him …: as a direct object."""
        if self.plural:
            return "les", "them"
        return ("la" if self.feminine else "le"), self._english("him", "her")

    @property
    def dative_pronoun(self) -> tuple[str, str]:
        """*lui*, him …: as an indirect object."""
        return ("leur", "them") if self.plural else ("lui", self._english("him", "her"))

    @property
    def owner(self) -> Owner:
        """The English possessive that takes this phrase up: his, her, its, their, our, your."""
        if self.speaker:
            return {"you": "your", "we": "our"}[self.speaker]
        return "their" if self.plural else self._english("his", "her", "its")

    def _english(self, masculine: str, feminine: str, neuter: str = "it") -> str:
        if self.kind != "person":
            return neuter
        return feminine if self.feminine else masculine


def pronoun(draw: Draw) -> NounPhrase:
    """Return a subject pronoun without antecedent: *il, elle, ils, elles, vous, nous*."""
    french_word, english_word, feminine, plural, speaker = draw.pick(_PRONOUNS)
    return NounPhrase([french_word], [english_word], feminine, plural, "person", speaker=speaker, closed=True)


_PRONOUNS = (
    ("il", "he", False, False, ""),
    ("elle", "she", True, False, ""),
    ("ils", "they", False, True, ""),
    ("elles", "they", True, True, ""),
    ("vous", "you", False, True, "you"),
    ("nous", "we", False, True, "we"),
)


def named(draw: Draw) -> NounPhrase:
    """Return a person by first name."""
    noun = draw.fresh(NAMES)
    left, right = draw.link(noun.french[0], noun.english[0])
    return NounPhrase([left], [right], noun.feminine, False, "person", noun, closed=True)


def person(draw: Draw) -> NounPhrase:
    """Someone: a name, a person, a relative of someone, two people."""
    if draw.chance(0.14):
        return named(draw)
    if draw.chance(0.1):
        return _relation(draw)
    if draw.grow(0.12):
        return _two_people(draw)
    return noun_phrase(draw, draw.fresh(_PERSONS), _speaker_or(draw, _SUBJECT_DETERMINERS, 0.1))


def _speaker_or(draw: Draw, determiners: Sequence[str], probability: float) -> str:
    return draw.pick(_SPEAKERS) if draw.chance(probability) else draw.pick(determiners)


def _relation(draw: Draw) -> NounPhrase:
    """Return a relative: *mon oncle*, *la sœur du médecin*."""
    noun = draw.fresh(NOUNS["kin"])
    if draw.chance(0.5):
        return noun_phrase(draw, noun, draw.pick(_SPEAKERS), plural=False)
    return noun_phrase(draw, noun, "definite", plural=False, possessor=_possessor(draw))


def _two_people(draw: Draw) -> NounPhrase:
    """Two people; the phrase is feminine only if both are."""
    first, second = (named(draw) if draw.chance(0.5) else _bare_person(draw) for _ in range(2))
    return NounPhrase(
        [*first.french, "et", *second.french],
        [*first.english, "and", *second.english],
        first.feminine and second.feminine,
        True,
        "person",
        closed=True,
    )


def _bare_person(draw: Draw) -> NounPhrase:
    return _assemble(draw, draw.fresh(_PERSONS), "definite", False)


def _possessor(draw: Draw) -> NounPhrase:
    return named(draw) if draw.chance(0.4) else _bare_person(draw)


def which(draw: Draw, noun: Noun) -> NounPhrase:
    """*quelle grande table ronde*, which big round table."""
    return _assemble(draw, noun, "which", draw.chance(0.35) and not noun.mass, _adjectives(draw, noun))


def object_phrase(draw: Draw, noun: Noun, owner: Owner, negated: bool = False, known: bool = False) -> NounPhrase:
    """Return an object: with an article, a number, the possessive of ``owner``; *de* under negation, a measure of food.

    ``negated`` turns *un*, *des*, *du* into *de* (any); a ``known`` object, as verbs of liking have, is definite.
    """
    if noun.category == "kin":
        return noun_phrase(draw, noun, owner, plural=False)
    if noun.mass:
        return _food(draw, noun, negated, known)
    if is_owned(noun) and draw.chance(0.2):
        return noun_phrase(draw, noun, owner)
    if known:
        return noun_phrase(draw, noun, draw.pick(_SUBJECT_DETERMINERS))
    choice: tuple[str, ...] = _PEOPLE_DETERMINERS if noun.kind == "person" else _OBJECT_DETERMINERS
    if negated:
        choice = _SUBJECT_DETERMINERS if noun.kind == "person" else _NEGATED_DETERMINERS
    determiner = draw.pick(choice)
    if negated and determiner == "indefinite":
        return replace(noun_phrase(draw, noun, "none", plural=True), noun=None)
    return noun_phrase(draw, noun, determiner)


def _food(draw: Draw, noun: Noun, negated: bool, known: bool) -> NounPhrase:
    """Something that is not counted: *le pain*, *du pain*, *un verre d'eau*; *de pain* under negation."""
    if known:
        return _assemble(draw, noun, draw.pick(_SUBJECT_DETERMINERS), False, _adjectives(draw, noun))
    if negated:
        return _assemble(draw, noun, draw.pick(("definite", "none")), False)
    if draw.grow(0.3):
        return _measured(draw, noun)
    adjectives = _adjectives(draw, noun)
    return _assemble(
        draw, noun, draw.pick(("definite", "indefinite", "indefinite", "demonstrative")), False, adjectives
    )


def _measured(draw: Draw, noun: Noun) -> NounPhrase:
    """*un verre d'eau*, a glass of water; *un kilo de viande*."""
    measures = _MEASURES[noun.category]
    if noun.french[0] in _LIQUID_DISHES:
        measures = measures[:1]
    left, right = draw.phrase(draw.pick(measures))
    content = _bare_noun(draw, noun)
    feminine = left[0][0] in _FEMININE_MEASURES
    article = "une" if feminine else "un"
    return NounPhrase(
        [article, *left, content[0]], ["A", *right, content[1]], feminine, False, "thing", None, closed=True
    )


def _bare_noun(draw: Draw, noun: Noun) -> tuple[Word, Word]:
    return draw.link(noun.french[0], noun.english[0])


def noun_phrase(
    draw: Draw,
    noun: Noun,
    determiner: str,
    *,
    plural: bool | None = None,
    possessor: NounPhrase | None = None,
) -> NounPhrase:
    """Return a noun with its determiner and, as the sentence is rich, adjectives, a number, a possessor or a material.

    Args:
        determiner: a key of the determiners: ``definite``, ``number``, ``his`` …
        plural: drawn where it is None.
        possessor: *de* + this phrase; the English genitive.
    """
    if plural is None:
        plural = determiner in _PLURAL_ONLY or (not noun.mass and draw.chance(0.42))
    if possessor is None and determiner == "definite" and draw.grow(0.2):
        possessor = _natural_possessor(draw, noun)
    origin = _origin(draw, noun) if determiner == "definite" and not possessor and draw.grow(0.6) else None
    if origin and noun.kind == "person":
        plural = False  # one king, one mayor
    adjectives = _adjectives(draw, noun)
    if origin:
        adjectives.after = None
    return _assemble(draw, noun, determiner, plural, adjectives, possessor, origin)


def _natural_possessor(draw: Draw, noun: Noun) -> NounPhrase | None:
    """Return a possessor for what people possess."""
    return _possessor(draw) if is_owned(noun) else None


def is_owned(noun: Noun) -> bool:
    """Return True if people possess such a thing: a coat, a cow; not a lion, not a valley."""
    return noun.category in ("clothing", "object", "vehicle", "text") or noun in NOUNS["tame"]


_COUNTRY_ROLES = frozenset({"roi", "reine", "prince", "princesse"})


def _origin(draw: Draw, noun: Noun) -> tuple[Tokens, Tokens] | None:
    """*de* + a country or town: *le roi d'Espagne*, *les musées de Rome*."""
    if noun.french[0] in _COUNTRY_ROLES:
        country = draw.fresh(COUNTRIES)
        left, right = draw.link(country.french, country.english)
        return (["de", "LE", left] if country.preposition == "au" else ["de", left]), ["of", right]
    if noun.french[0] == "maire" or (noun.category == "building" and draw.chance(0.3)):
        city = draw.fresh(CITIES)
        left, right = draw.link(city.french, city.english)
        return ["de", left], ["of", right]
    return None


@dataclass(slots=True)
class _Adjectives:
    """Adjectives in their order, without agreement: before the noun, after it, and the material."""

    before: tuple[Adjective, bool] | None = None  # (adjective, with "very")
    after: tuple[Adjective, str] | None = None  # (adjective, "", "very" or "most")
    material: tuple[str, str] | None = None


def _adjectives(draw: Draw, noun: Noun) -> _Adjectives:
    """Draw the adjectives of ``noun``."""
    chosen = _Adjectives()
    before, after = ADJECTIVES_OF[noun.french[0], True], ADJECTIVES_OF[noun.french[0], False]
    if before and draw.grow(0.22):
        chosen.before = draw.fresh(before), draw.chance(0.1)
    if after and draw.grow(0.4):
        adjective = draw.fresh(after)
        chosen.after = adjective, _degree(draw, adjective, bool(chosen.before))
    elif MATERIALS_OF[noun.french[0]] and draw.grow(0.25):
        chosen.material = draw.pick(MATERIALS_OF[noun.french[0]])
    return chosen


def _degree(draw: Draw, adjective: Adjective, has_other: bool) -> str:
    if adjective.graded and not has_other and draw.chance(0.2):
        return "most"
    return "very" if adjective.graded and draw.chance(0.12) else ""


def _assemble(
    draw: Draw,
    noun: Noun,
    determiner: str,
    plural: bool,
    adjectives: _Adjectives | None = None,
    possessor: NounPhrase | None = None,
    origin: tuple[Tokens, Tokens] | None = None,
) -> NounPhrase:
    """Put a noun phrase together, with agreement in French and the English order of adjectives."""
    form = 2 * plural + noun.feminine
    left_noun, right_noun = draw.link(noun.french[plural], noun.english[plural])
    left, right = _number(draw, determiner, plural)
    before, after = _agreeing(draw, adjectives or _Adjectives(), form, determiner == "definite")
    left += [*before[0], left_noun, *after[0]]
    right += [*(after[1] + before[1] if _opinion_first(adjectives) else before[1] + after[1]), right_noun]
    left_determiner, right_determiner = _determiner(determiner, noun, form, left)
    if possessor:
        left += ["de", *possessor.french]
        right_determiner = [*possessor.english, "'s"]
    if origin:
        left += origin[0]
        right += origin[1]
    partitive = noun.mass and determiner in _PARTITIVES
    return NounPhrase(
        left_determiner + left,
        right_determiner + right,
        noun.feminine,
        plural,
        noun.kind,
        noun,
        partitive=partitive,
        closed=bool(origin) or determiner == "none",
    )


def _number(draw: Draw, determiner: str, plural: bool) -> tuple[Tokens, Tokens]:
    """Return the number of a plural: always after no article, sometimes after another determiner."""
    if determiner != "number" and not (plural and determiner in _COUNTED and draw.grow(0.2)):
        return [], []
    left, right = draw.fresh_pair(NUMBERS)
    return [left], [right]


def _opinion_first(adjectives: _Adjectives | None) -> bool:
    """Return True if the second French adjective is first in English: *un petit hôtel cher*, expensive small hotel."""
    if not adjectives or not adjectives.before or not adjectives.after:
        return False
    adjective, is_very = adjectives.before
    return not (adjectives.after[0].late or is_very or adjective.english in _FIRST)


_FIRST = frozenset({"beautiful", "handsome", "pretty", "good", "bad", "long"})  # English puts these before others


def _agreeing(draw: Draw, adjectives: _Adjectives, form: int, definite: bool) -> tuple[_Both, _Both]:
    """Return the adjectives before and after the French noun, in agreement; the material is among those after."""
    before: _Both = ([], [])
    after: _Both = ([], [])
    if adjectives.before:
        _add(draw, adjectives.before[0], form, "very" if adjectives.before[1] else "", *before)
    if adjectives.after:
        adjective, degree = adjectives.after
        _add(draw, adjective, form, "very" if degree == "most" and not definite else degree, *after)
    if adjectives.material:
        left, right = draw.link(*adjectives.material)
        after[0].extend(("en", left))
        after[1].append(right)
    return before, after


_Both = tuple[Tokens, Tokens]
_DEGREES = {"very": ("très", "very"), "most": ("plus", "most")}
_ARTICLES = _DETERMINERS["definite"][0]


def _add(draw: Draw, adjective: Adjective, form: int, degree: str, left: Tokens, right: Tokens) -> None:
    """Add an adjective in agreement, with its degree: *très belle*, *la plus chère*."""
    if degree == "most":
        left.append(_ARTICLES[form].lower())
    if degree:
        left_degree, right_degree = draw.link(*_DEGREES[degree])
        left.append(left_degree)
        right.append(right_degree)
    left_word, right_word = draw.link(adjective.french[form], adjective.english)
    left.append(left_word)
    right.append(right_word)


def _determiner(determiner: str, noun: Noun, form: int, rest: Tokens) -> tuple[Tokens, Tokens]:
    """Return the determiner in both languages, before the French ``rest``; sets liaison forms inside ``rest``, too."""
    if form < 2:
        _liaison(rest)
    if noun.mass and determiner in _PARTITIVES:
        return [*_PARTITIVES[determiner][noun.feminine]], [_MASS_ENGLISH[determiner]]
    left, right = _DETERMINERS[determiner]
    if determiner == "indefinite" and form >= 2 and rest[0] is not _noun_of(rest, noun):
        return ["de"], ["some"]  # before an adjective: de grandes tables
    first = rest[0] if isinstance(rest[0], str) else rest[0].text
    words = [french.before_vowel(left[form], first)] if left[form] else []
    return [*words], [*right[form >= 2].split()]


def _noun_of(rest: Tokens, noun: Noun) -> str | Word | None:
    """Return the noun among the tokens of its phrase."""
    return next((token for token in rest if token[0] in noun.french), None)


def _liaison(rest: Tokens) -> None:
    """*beau* -> *bel* … where an adjective precedes a vowel inside the phrase, up to the noun."""
    for position in range(len(rest) - 1):
        token, following = rest[position], rest[position + 1]
        if isinstance(token, Word) and isinstance(following, Word):
            rest[position] = Word(french.before_vowel(token.text, following.text), token.link)


def adverbial(draw: Draw, left: str, right: str) -> tuple[Tokens, Tokens]:
    """Return an adverb as a linked pair of one-word phrases."""
    left_word, right_word = draw.link(left, right)
    return [left_word], [right_word]


def _in_place(draw: Draw, place: Place, english_preposition: str) -> tuple[Tokens, Tokens]:
    left, right = draw.link(place.french, place.english)
    return [place.preposition, left], [english_preposition, right]


_SIDES = (
    (("devant",), ("in", "front", "of")),
    (("derrière",), ("behind",)),
    (("près", "de"), ("near",)),
    (("loin", "de"), ("far", "from")),
)


def surroundings(draw: Draw) -> tuple[Tokens, Tokens]:
    """Return a place where something happens: *à Paris*, *en Italie*, *dans une grande forêt*, *derrière l'école*."""
    if draw.chance(0.42):
        return region(draw)
    noun = draw.fresh(NOUNS["building"] if draw.chance(0.6) else NOUNS["nature"])
    phrase = noun_phrase(draw, noun, draw.pick(("definite",) * 4 + ("demonstrative",)), plural=False)
    beside = noun.category == "building" and draw.chance(0.4)
    left, right = draw.pick(_SIDES) if beside else ((noun.where[0],), (noun.where[1],))
    return [*left, *phrase.french], [*right, *phrase.english]


def region(draw: Draw) -> tuple[Tokens, Tokens]:
    """Return a town or country: *à Paris*, *en Italie*."""
    return _in_place(draw, draw.fresh(CITIES if draw.chance(0.5) else COUNTRIES), "in")


def destination(draw: Draw) -> tuple[Tokens, Tokens]:
    """Return a destination: *à Lyon*, *au Portugal*, *à la vieille gare*."""
    if draw.chance(0.5):
        return _in_place(draw, draw.fresh(CITIES if draw.chance(0.5) else COUNTRIES), "to")
    phrase = noun_phrase(draw, draw.fresh(NOUNS["reachable"]), "definite", plural=False)
    return ["à", *phrase.french], ["to", *phrase.english]


_MONTHS = tuple(
    f"en {left}_1|in {right}_1"
    for left, right in (
        ("janvier", "January"),
        ("février", "February"),
        ("avril", "April"),
        ("juin", "June"),
        ("juillet", "July"),
        ("septembre", "September"),
        ("octobre", "October"),
        ("décembre", "December"),
        ("été", "summer"),
        ("automne", "autumn"),
        ("hiver", "winter"),
    )
)
_DAYS = (
    ("lundi", "Monday"),
    ("mardi", "Tuesday"),
    ("mercredi", "Wednesday"),
    ("jeudi", "Thursday"),
    ("vendredi", "Friday"),
    ("samedi", "Saturday"),
    ("dimanche", "Sunday"),
)
_HOURS = tuple(f"à {left}_1 heures_2|at {right}_1 o'clock_2" for left, right in NUMBERS[:11])
_ANY_TIME = ("à midi_1|at noon_1", *_HOURS[::3])
_TIMES = {
    "past": (
        "hier_1|yesterday_1",
        "hier_1 soir_2|yesterday_1 evening_2",
        "hier_1 matin_2|yesterday_1 morning_2",
        "ce matin_1|this morning_1",
        "LA semaine_1 dernière_2|last_2 week_1",
        "LE mois_1 dernier_2|last_2 month_1",
        "LA année_1 dernière_2|last_2 year_1",
        "LE été_1 dernier_2|last_2 summer_1",
        "LE hiver_1 dernier_2|last_2 winter_1",
        "pendant LA guerre_1|during the war_1",
        "pendant LE orage_1|during the storm_1",
        "avant LE dîner_1|before dinner_1",
        "après LE dîner_1|after dinner_1",
        *(f"{left}_1 dernier_2|last_2 {right}_1" for left, right in _DAYS),
        *(f"il y a {left}_1 ans_2|{right}_1 years_2 ago" for left, right in NUMBERS[:15:2]),
        *(f"il y a {left}_1 jours_2|{right}_1 days_2 ago" for left, right in NUMBERS[1:15:2]),
        *_MONTHS,
        *_ANY_TIME,
    ),
    "present": (
        *(
            f"chaque_1 {left}_2|every_1 {right}_2"
            for left, right in (
                ("jour", "day"),
                ("semaine", "week"),
                ("mois", "month"),
                ("matin", "morning"),
                ("soir", "evening"),
                ("été", "summer"),
                ("hiver", "winter"),
                ("dimanche", "Sunday"),
                ("samedi", "Saturday"),
                ("lundi", "Monday"),
            )
        ),
        "LE matin_1|in the morning_1",
        "LE soir_1|in the evening_1",
        "LA nuit_1|at night_1",
        "avant LE dîner_1|before dinner_1",
        "après LE dîner_1|after dinner_1",
        *_MONTHS,
        *_ANY_TIME,
    ),
    "future": (
        "demain_1|tomorrow_1",
        "demain_1 matin_2|tomorrow_1 morning_2",
        "demain_1 soir_2|tomorrow_1 evening_2",
        "LA semaine_1 prochaine_2|next_2 week_1",
        "LE mois_1 prochain_2|next_2 month_1",
        "LA année_1 prochaine_2|next_2 year_1",
        *(f"{left}_1 prochain_2|next_2 {right}_1" for left, right in _DAYS),
        *(f"dans {left}_1 jours_2|in {right}_1 days_2" for left, right in NUMBERS[:15:2]),
        *(f"dans {left}_1 mois_2|in {right}_1 months_2" for left, right in NUMBERS[1:10:2]),
        *_MONTHS,
        *_ANY_TIME,
    ),
}


def time(draw: Draw, tense: str) -> tuple[Tokens, Tokens]:
    """Return a time, in agreement with the tense: *hier*, *chaque lundi*, *dans dix jours*.

    Raises:
        Stuck: the drawn phrase repeats a word of the sentence.
    """
    return draw.phrase(draw.pick(_TIMES[tense]))
