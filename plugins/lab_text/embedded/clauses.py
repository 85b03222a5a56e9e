"""Verbs and clauses of the embedded corpus: tense, negation, clitics, inversion, relative and other clauses.

A :class:`Clause` holds what word order needs: the parts of the French verb group before, at and after the finite verb,
and the English auxiliary, adverbs and verb. :func:`declarative`, :func:`inverted` and :func:`fronted` give its orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lab_text.embedded import french
from lab_text.embedded._draw import Draw, Stuck, Tokens, Word
from lab_text.embedded.lexicon import (
    ADJECTIVES_OF,
    DELIBERATE,
    FREQUENCY,
    INTRANSITIVES,
    MANNER,
    MODALS,
    NOUNS,
    SAYING,
    STATES,
    TALKING,
    TRANSITIVES,
    VERBS_OF,
    Noun,
    Verb,
)
from lab_text.embedded.phrases import (
    NounPhrase,
    destination,
    named,
    noun_phrase,
    object_phrase,
    person,
    region,
    surroundings,
    time,
)

__all__ = [
    "Clause",
    "Clitic",
    "VerbGroup",
    "add_adverbials",
    "clause_about",
    "clause_with_object",
    "copula",
    "declarative",
    "english_question",
    "fronted",
    "intransitive_clause",
    "inverted",
    "object_for",
    "relative",
    "say_clause",
    "subject_for",
    "subordinate",
    "taken_up",
    "tense_for",
    "transitive_for",
    "verb_first",
    "verb_group",
    "with_relative",
]

_AVOIR = {"": ("a", "ont"), "you": ("avez", "avez"), "we": ("avons", "avons")}
_ETRE = {
    "present": (("est", "is"), ("sont", "are")),
    "imperfect": (("était", "was"), ("étaient", "were")),
    "future": (("sera", "will"), ("seront", "will")),
}
_SPEAKER_MODALS = {
    "vouloir": {"you": "voulez", "we": "voulons"},
    "pouvoir": {"you": "pouvez", "we": "pouvons"},
    "devoir": {"you": "devez", "we": "devons"},
}
_NEGATIONS = ("pas", "pas", "jamais", "plus")


class Clitic(NamedTuple):
    """A French pronoun before the verb and the English words after it; ``agrees`` is set for *la*, *les*."""

    french: str
    english: tuple[str, ...]
    agrees: tuple[bool, bool] | None = None


@dataclass(slots=True)
class VerbGroup:
    """The verb with its auxiliary, negation, adverb and pronouns.

    French is ``before + [finite] + after``. English is ``auxiliary … middle + base`` in questions; in statements
    ``middle + plain``, or with the auxiliary where ``plain`` is None.
    """

    before: Tokens
    finite: str | Word
    after: Tokens
    auxiliary: str | Word
    middle: Tokens
    base: Tokens
    plain: Tokens | None


@dataclass(slots=True)
class Clause:
    """A subject, a verb group, and what follows in each language."""

    subject: NounPhrase
    verb: VerbGroup
    french: Tokens = field(default_factory=list)
    english: Tokens = field(default_factory=list)

    def add(self, part: tuple[Tokens, Tokens]) -> None:
        """Append a phrase to both sides."""
        self.french += part[0]
        self.english += part[1]


def declarative(clause: Clause) -> tuple[Tokens, Tokens]:
    """Subject, verb, rest: *le roi ne vend pas la maison*, the king does not sell the house."""
    return _french_statement(clause), [*clause.subject.english, *_english_predicate(clause)]


def _french_statement(clause: Clause) -> Tokens:
    verb = clause.verb
    return [*clause.subject.french, *verb.before, verb.finite, *verb.after, *clause.french]


def _english_predicate(clause: Clause) -> Tokens:
    verb = clause.verb
    if verb.plain is None:
        return [verb.auxiliary, *verb.middle, *verb.base, *clause.english]
    return [*verb.middle, *verb.plain, *clause.english]


def english_question(clause: Clause) -> Tokens:
    """Auxiliary, subject, verb, rest: does the king not sell the house."""
    verb = clause.verb
    return [verb.auxiliary, *clause.subject.english, *verb.middle, *verb.base, *clause.english]


def inverted(clause: Clause) -> tuple[Tokens, Tokens]:
    """Complex inversion, *le roi vend-il la maison*, or simple with a pronoun, *vend-il la maison*; English question.

    A few verbs are asked with *est-ce que* instead, because spaCy takes *porte-t-il* for a compound like
    *porte-avions*.
    """
    subject, verb = clause.subject, clause.verb
    is_pronoun = subject.noun is None and subject.closed and len(subject.french) == 1
    left = [] if is_pronoun else subject.french
    taken_up = subject.french[0] if is_pronoun else subject.subject_pronoun[0]
    finite = verb.finite if isinstance(verb.finite, str) else verb.finite.text
    if finite in _LIKE_COMPOUNDS:
        return fronted(clause)
    hook = french.inverted_pronoun(finite, taken_up)  # type: ignore[arg-type]
    return [*left, *verb.before, verb.finite, *hook, *verb.after, *clause.french], english_question(clause)


_LIKE_COMPOUNDS = frozenset({"porte", "cache", "chasse", "protège", "court", "garde", "casse"})


def fronted(clause: Clause, question_word: str = "que") -> tuple[Tokens, Tokens]:
    """Return the clause after *est-ce que*; English question."""
    return ["est", "-ce", question_word, *_french_statement(clause)], english_question(clause)


def verb_first(clause: Clause) -> tuple[Tokens, Tokens]:
    """Stylistic inversion, the subject after the whole verb: *a vendu le roi*; English question."""
    verb = clause.verb
    return [*verb.before, verb.finite, *verb.after, *clause.subject.french], english_question(clause)


# --- the verb group -------------------------------------------------------------------------------------------------


def verb_group(
    draw: Draw,
    verb: Verb,
    subject: NounPhrase,
    tense: str,
    *,
    negation: str = "",
    adverb: tuple[Word, Word] | None = None,
    clitic: Clitic | None = None,
    preceding: NounPhrase | None = None,
    modal: Verb | None = None,
) -> VerbGroup:
    """Return the verb in a tense, with its satellites.

    Args:
        tense: ``present``, ``past`` (*passé composé*, English past) or ``future``.
        negation: ``pas``, ``jamais``, ``plus``, ``rien``, or empty.
        adverb: a linked pair that stands after the French finite verb and before the English verb.
        clitic: an object pronoun; the participle agrees with it where it says so.
        preceding: a direct object that precedes (relative, question), with which the participle agrees.
        modal: the finite verb where ``verb`` stands in the infinitive.
    """
    head = modal or verb
    agreement = clitic.agrees if clitic and clitic.agrees else _agreement(preceding)
    finite, participle, link = _finite(draw, head, subject, tense, None if modal else agreement)
    auxiliary, base, plain = _english_forms(head, link, subject, tense)
    pronoun: Tokens = [clitic.french] if clitic else []
    middle, after = _satellites(draw, negation, adverb)
    after += participle
    before: Tokens = ["ne"] if negation else []
    if modal:
        infinitive, bare = draw.link(verb.infinitive, verb.base)
        after += [*([modal.link] if modal.link else []), *pronoun, infinitive]
        base = [bare] if "auxiliary" in modal.flags else [*base, *modal.particle, bare]
        plain = None if plain is None else [*plain, *modal.particle, bare]
    else:
        before += pronoun
    tail = [*verb.particle, *(clitic.english if clitic else ()), *(["nothing"] if negation == "rien" else [])]
    plain = None if negation == "pas" or plain is None else [*plain, *tail]
    return VerbGroup(before, finite, after, auxiliary, middle, [*base, *tail], plain)


def _agreement(preceding: NounPhrase | None) -> tuple[bool, bool] | None:
    return (preceding.feminine, preceding.plural) if preceding else None


def _finite(
    draw: Draw, verb: Verb, subject: NounPhrase, tense: str, agreement: tuple[bool, bool] | None
) -> tuple[str | Word, Tokens, int]:
    """Return the French finite verb, the participle if there is one, and the link of the verb."""
    plural = subject.plural
    if tense == "past":
        if "être" in verb.flags:
            auxiliary, agreement = ("est", "sont")[plural], (subject.feminine, plural)
        else:
            auxiliary = _AVOIR[subject.speaker][plural]
        participle = french.participle_form(verb.participle, *(agreement or (False, False)))
        word, _ = draw.link(participle, "")
        return auxiliary, [word], word.link
    forms = verb.present if tense == "present" else verb.future
    text = forms[plural]
    if subject.speaker:
        text = _SPEAKER_MODALS[verb.infinitive][subject.speaker]
    word, _ = draw.link(text, "")
    return word, [], word.link


def _english_forms(verb: Verb, link: int, subject: NounPhrase, tense: str) -> tuple[str | Word, Tokens, Tokens | None]:
    """Return a question's auxiliary, the base, and the plain form of a statement (None: it needs the auxiliary)."""
    if "auxiliary" in verb.flags:
        word = Word(verb.base, link)
        return word, [word], None
    base: Tokens = [Word(verb.base, link)]
    if tense == "future":
        return "will", base, None
    if tense == "past":
        return "did", base, [Word(verb.past, link)]
    singular = not subject.plural
    return ("does" if singular else "do"), base, [Word(verb.third_person if singular else verb.base, link)]


def _satellites(draw: Draw, negation: str, adverb: tuple[Word, Word] | None) -> tuple[Tokens, Tokens]:
    """English words before the verb and French words after the finite verb: negation, adverb."""
    if negation == "pas":
        return ["not"], ["pas"]
    if negation == "jamais":
        left, right = draw.link("jamais", "never")
        return [right], [left]
    if negation == "plus":
        left, right = draw.link("plus", "longer")
        return ["no", right], [left]
    if negation:
        return [], [negation]
    return ([adverb[1]], [adverb[0]]) if adverb else ([], [])


def copula(
    draw: Draw, subject: NounPhrase, tense: str, complement: tuple[Tokens, Tokens], negation: str = ""
) -> Clause:
    """*être* with its complement: *est très chère*, is very expensive.

    ``tense`` is ``present``, ``imperfect`` or ``future``.
    """
    finite, auxiliary = _ETRE[tense][subject.plural]
    middle, after = _satellites(draw, negation, None)
    group = VerbGroup(
        before=["ne"] if negation else [],
        finite=finite,
        after=after,
        auxiliary=auxiliary,
        middle=middle,
        base=["be"] if tense == "future" else [],
        plain=None,
    )
    return Clause(subject, group, list(complement[0]), list(complement[1]))


# --- what goes with what --------------------------------------------------------------------------------------------

_TENSES = ("past", "past", "past", "present", "present", "present", "future")
_EVENT_TENSES = ("past", "past", "past", "future")
_PERSON_VERBS = tuple(verb for verb in INTRANSITIVES if "person" in verb.subjects)


def subject_for(draw: Draw, kinds: Sequence[str] = ("person",)) -> NounPhrase:
    """Return a subject of one of the kinds that a verb admits, with a relative clause in rich sentences."""
    kind = "person" if draw.chance(0.65) and "person" in kinds else draw.pick(kinds)
    if kind == "person":
        return with_relative(draw, person(draw), 0.16)
    phrase = noun_phrase(draw, draw.fresh(NOUNS[kind]), draw.pick(("definite", "definite", "demonstrative")))
    return with_relative(draw, phrase, 0.16)


def object_for(draw: Draw, verb: Verb, subject: NounPhrase, negated: bool = False) -> NounPhrase:
    """Return an object that the verb admits."""
    return object_phrase(draw, _object_noun(draw, verb), subject.owner, negated, known="stative" in verb.flags)


def _object_noun(draw: Draw, verb: Verb) -> Noun:
    return draw.fresh(_OBJECTS_OF[verb.infinitive])


_OBJECTS_OF = {
    verb.infinitive: tuple(dict.fromkeys(noun for name in verb.objects for noun in NOUNS[name])) for verb in TRANSITIVES
}


def transitive_for(draw: Draw, subject: NounPhrase, verbs: Sequence[Verb] = TRANSITIVES) -> Verb:
    """Return a verb that takes an object and admits the subject."""
    for _ in range(8):
        verb = draw.fresh(verbs)
        if subject.kind in verb.subjects:
            return verb
    raise Stuck


def tense_for(draw: Draw, verb: Verb, subject: NounPhrase | None = None) -> str:
    """Return a tense in which verb and subject are at home: states in the present, *vous* and *nous* in the past."""
    if subject and subject.speaker:
        return "past"
    if "stative" in verb.flags:
        return "present"
    tense = draw.pick(_EVENT_TENSES if "event" in verb.flags else _TENSES)
    return "past" if tense == "future" and subject and subject.inner else tense


def _earlier_tense(draw: Draw, verb: Verb) -> str:
    """Return the tense of a clause inside another: never the future, which would clash with a past around it."""
    tense = tense_for(draw, verb)
    return "past" if tense == "future" else tense


def _modal_for(draw: Draw, subject: NounPhrase, probability: float = 0.17) -> Verb | None:
    if subject.kind != "person" or not draw.chance(probability):
        return None
    modal = draw.fresh(MODALS)
    if subject.speaker and modal.infinitive not in _SPEAKER_MODALS:
        return None
    return modal


def _modal_tense(draw: Draw, modal: Verb) -> str:
    if "event" in modal.flags:
        return "past"
    if "auxiliary" in modal.flags or "stative" in modal.flags:
        return "present"
    return draw.pick(("present", "past"))


def _group_for(
    draw: Draw,
    verb: Verb,
    subject: NounPhrase,
    tense: str,
    *,
    negation: str | None = None,
    often: bool = True,
    **rest: object,
) -> tuple[VerbGroup, str]:
    """Return a verb group with a modal, a negation or an adverb as chance will have it, and its tense."""
    modal = _modal_for(draw, subject) if "stative" not in verb.flags else None
    if modal and modal.link == "à" and "event" in verb.flags:
        modal = None  # what happens at once neither starts nor continues
    if modal:
        tense = _modal_tense(draw, modal)
    if subject.speaker and tense != "past" and not modal:
        tense = "past"
    if negation is None:
        negation = _negation(draw, tense, modal, verb)
    adverb = _adverb(draw, verb, tense, modal, often) if not negation else None
    group = verb_group(draw, verb, subject, tense, negation=negation, adverb=adverb, modal=modal, **rest)  # type: ignore[arg-type]
    return group, tense


def _negation(draw: Draw, tense: str, modal: Verb | None, verb: Verb, probability: float = 0.22) -> str:
    if (modal and "affirmative" in modal.flags) or "final" in verb.flags or not draw.chance(probability):
        return ""
    negation = draw.pick(_NEGATIONS)
    return "pas" if tense == "past" and negation == "plus" else negation


def _adverb(draw: Draw, verb: Verb, tense: str, modal: Verb | None, often: bool) -> tuple[Word, Word] | None:
    if modal or verb.flags & {"stative", "event"} or not draw.grow(0.2):
        return None
    if often and tense == "present":
        return draw.fresh_pair(FREQUENCY)
    return draw.fresh_pair(MANNER) if verb.infinitive in DELIBERATE else None


# --- whole clauses --------------------------------------------------------------------------------------------------


def add_adverbials(draw: Draw, clause: Clause, tense: str, *, place: bool, when: bool, heavy: bool = False) -> None:
    """Append a place and a time where they are wanted and drawn; not after a ``heavy`` object."""
    if place and not heavy and draw.grow(0.34):
        clause.add(surroundings(draw))
    if when and not heavy and draw.grow(0.45):
        clause.add(time(draw, tense))


def clause_with_object(
    draw: Draw, subject: NounPhrase, *, place: bool = True, when: bool = True, rich_object: bool = True
) -> tuple[Clause, NounPhrase, str]:
    """Return a clause with a direct object; also gives the object and the tense.

    ``place`` and ``when`` say which adverbials are allowed (not the one that is asked for).
    """
    asked = not (place and when)
    verbs = _EVENTS if asked or subject.speaker else TRANSITIVES
    verb = transitive_for(draw, subject, _MEALS if draw.chance(0.12) else verbs)
    negation = "" if asked else None
    group, tense = _group_for(draw, verb, subject, tense_for(draw, verb, subject), negation=negation, often=when)
    thing = object_for(draw, verb, subject, negated=bool(group.before))
    has_relative = rich_object and not thing.closed and draw.relatives > 0 and draw.grow(0.25)
    if has_relative:
        thing = with_relative(draw, thing, 1.0)
    elif not group.before and draw.grow(0.14):
        thing = _and_another(thing, object_for(draw, verb, subject))
    clause = Clause(subject, group, list(thing.french), list(thing.english))
    if "dative" in verb.flags and not has_relative and draw.chance(0.45):
        clause.add(_recipient(draw, subject))
    stative = "stative" in verb.flags
    add_adverbials(
        draw,
        clause,
        tense,
        place=place and verb.flags.isdisjoint({"stative", "away"}),
        when=when and not stative,
        heavy=has_relative,
    )
    return clause, thing, tense


def _and_another(first: NounPhrase, second: NounPhrase) -> NounPhrase:
    """Two objects, *une lampe et deux chaises*; feminine only if both are."""
    return NounPhrase(
        [*first.french, "et", *second.french],
        [*first.english, "and", *second.english],
        first.feminine and second.feminine,
        True,
        first.kind,
        closed=True,
    )


_MEALS = tuple(verb for verb in TRANSITIVES if verb.infinitive in ("manger", "boire", "préparer", "apporter"))
_EVENTS = tuple(verb for verb in TRANSITIVES if "stative" not in verb.flags)


def _recipient(draw: Draw, subject: NounPhrase) -> tuple[Tokens, Tokens]:
    """*à la voisine*, to the neighbour."""
    if draw.chance(0.3):
        phrase = noun_phrase(draw, draw.fresh(NOUNS["kin"]), subject.owner, plural=False)
    else:
        phrase = named(draw) if draw.chance(0.3) else noun_phrase(draw, draw.fresh(NOUNS["person"]), "definite")
    return ["à", *phrase.french], ["to", *phrase.english]


def intransitive_clause(
    draw: Draw, subject: NounPhrase, *, place: bool = True, when: bool = True, tense: str = ""
) -> tuple[Clause, str]:
    """Return a clause without object, in ``tense`` or one that is drawn; also gives the tense."""
    verb = _intransitive_for(draw, subject)
    if tense:
        group = verb_group(draw, verb, subject, tense)
    else:
        negation = None if place and when else ""
        tense = tense_for(draw, verb, subject)
        group, tense = _group_for(draw, verb, subject, tense, negation=negation, often=when)
    clause = Clause(subject, group)
    if place and "motion" in verb.flags:
        clause.add(destination(draw))
    elif place and ("home" in verb.flags or (verb.flags.isdisjoint({"final", "away"}) and draw.grow(0.5))):
        clause.add(region(draw) if "far" in verb.flags else surroundings(draw))
    if when and "home" not in verb.flags and draw.grow(0.5):
        clause.add(time(draw, tense))
    return clause, tense


def _intransitive_for(draw: Draw, subject: NounPhrase) -> Verb:
    for _ in range(12):
        verb = draw.fresh(INTRANSITIVES)
        speaker_fits = not (subject.speaker and "être" in verb.flags)
        outlives = not (subject.inner and "final" in verb.flags)
        if subject.kind in verb.subjects and speaker_fits and outlives:
            return verb
    raise Stuck


def clause_about(draw: Draw, subject: NounPhrase) -> tuple[VerbGroup, Verb, str]:
    """Return the verb group of *parler de*, *rêver de*; its verb and tense."""
    verb = draw.fresh(TALKING)
    group, tense = _group_for(draw, verb, subject, tense_for(draw, verb, subject))
    return group, verb, tense


def say_clause(draw: Draw, subject: NounPhrase) -> Clause:
    """*la reine dit qu'elle a vendu son cheval*: the pronoun and the possessive go back to the subject."""
    verb = draw.fresh(SAYING)
    clause = Clause(subject, verb_group(draw, verb, subject, "present"))
    inner_subject = taken_up(subject) if draw.chance(0.55) else person(draw)
    inner, _, _ = clause_with_object(draw, inner_subject) if draw.chance(0.8) else _as_triple(draw, inner_subject)
    left, right = declarative(inner)
    clause.add((["que", *left], ["that", *right]))
    return clause


def _as_triple(draw: Draw, subject: NounPhrase) -> tuple[Clause, NounPhrase, str]:
    clause, tense = intransitive_clause(draw, subject)
    return clause, subject, tense


def taken_up(phrase: NounPhrase) -> NounPhrase:
    """Return the subject pronoun that refers back to ``phrase``."""
    if phrase.speaker:
        return phrase
    left, right = phrase.subject_pronoun
    return NounPhrase([left], [right], phrase.feminine, phrase.plural, phrase.kind, closed=True)


# --- relative clauses -----------------------------------------------------------------------------------------------


def with_relative(draw: Draw, phrase: NounPhrase, probability: float) -> NounPhrase:
    """``phrase`` with a relative clause, if there is room for one and chance agrees."""
    if phrase.closed or phrase.noun is None or draw.relatives < 1 or not draw.grow(probability):
        return phrase
    draw.relatives -= 1
    left, right = relative(draw, phrase)
    return replace(phrase, french=phrase.french + left, english=phrase.english + right, closed=True)


def relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """Return a relative clause that goes with a noun phrase: *que le voisin a achetées*, *qui dort dans le jardin* …"""
    noun = phrase.noun
    assert noun is not None
    kinds = [_object_relative] * 3
    if noun.category in ("person", "animal"):
        kinds += [_subject_relative] * 3
    if noun.category == "person":
        kinds += [_dative_relative] if phrase.plural else [_dative_relative, _family_relative]
    if noun.category in ("clothing", "object", "text", "fruit"):
        kinds += [_lying_relative]
    if noun.category in ("text", "tale", "vehicle", "building", "nature", "animal"):
        kinds += [_about_relative]
    if noun.category in ("building", "nature"):
        kinds += [_place_relative] * 2
    return draw.pick(kinds)(draw, phrase)


def _speaker_of_relative(draw: Draw) -> NounPhrase:
    """Return the subject inside a relative clause: short."""
    if draw.chance(0.3):
        return replace(named(draw), inner=True)
    phrase = noun_phrase(draw, draw.fresh(NOUNS["person"]), draw.pick(("definite",) * 4 + ("my", "our")))
    return replace(phrase, inner=True)


def _object_relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """*que le voisin a achetées*, that the neighbour bought; now and then *qu'a achetées le voisin*."""
    assert phrase.noun is not None
    verb = draw.fresh(VERBS_OF[phrase.noun.french[0]])
    subject = _speaker_of_relative(draw)
    group, tense = _group_for(draw, verb, subject, _earlier_tense(draw, verb), preceding=phrase)
    clause = Clause(subject, group)
    marker = "whom" if phrase.kind == "person" else "that"
    plain_verb = not group.before and len(group.after) == (tense == "past")
    if plain_verb and subject.noun is not None and draw.chance(0.15):
        return ["que", *verb_first(clause)[0]], [marker, *declarative(clause)[1]]
    if "stative" not in verb.flags and draw.grow(0.2):
        clause.add(surroundings(draw) if draw.chance(0.5) else time(draw, tense))
    left, right = declarative(clause)
    return ["que", *left], [marker, *right]


def _missing(phrase: NounPhrase) -> NounPhrase:
    """Return the subject of a clause that has none of its own: nothing said, but agreement."""
    return replace(phrase, french=[], english=[], closed=True, inner=True)


def _subject_relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """*qui dort dans le jardin*, who sleeps in the garden."""
    subject = _missing(phrase)
    if draw.chance(0.45):
        clause, _ = intransitive_clause(draw, subject)
    else:
        clause, _, _ = clause_with_object(draw, subject, rich_object=False, when=draw.chance(0.3))
    left, right = declarative(clause)
    return ["qui", *left], ["who" if phrase.kind == "person" else "that", *right]


def _dative_relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """*à qui le voisin a donné la clé*, to whom the neighbour gave the key."""
    verb = draw.fresh(_DATIVE_VERBS)
    subject = _speaker_of_relative(draw)
    group, _ = _group_for(draw, verb, subject, _earlier_tense(draw, verb), negation="")
    thing = object_for(draw, verb, subject)
    left, right = declarative(Clause(subject, group, thing.french, thing.english))
    return ["à", "qui", *left], ["to", "whom", *right]


_DATIVE_VERBS = tuple(verb for verb in TRANSITIVES if "dative" in verb.flags)


def _family_relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """*dont la sœur habite à Rome*, whose sister lives in Rome."""
    noun = draw.fresh(NOUNS["kin"])
    member = noun_phrase(draw, noun, "definite", plural=False)
    member.english = member.english[1:]  # the French article is "whose"
    member.inner = True
    clause, _ = intransitive_clause(draw, member)
    left, right = declarative(clause)
    return ["dont", *left], ["whose", *right]


_SURFACES = (
    ("sur", "on", "table"),
    ("sur", "on", "chaise"),
    ("sur", "on", "lit"),
    ("dans", "in", "boîte"),
    ("dans", "in", "sac"),
    ("dans", "in", "valise"),
    ("dans", "in", "panier"),
    ("dans", "in", "armoire"),
    ("sous", "under", "lit"),
    ("sous", "under", "table"),
    ("derrière", "behind", "armoire"),
    ("derrière", "behind", "miroir"),
)
_BY_FRENCH = {noun.french[0]: noun for noun in NOUNS["object"]}


def _lying_relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """*qui sont sur la petite table*, that are on the small table."""
    left, right, word = draw.pick(_SURFACES)
    thing = noun_phrase(draw, draw.fresh((_BY_FRENCH[word],)), "definite", plural=False)
    clause = copula(draw, _missing(phrase), "present", ([left, *thing.french], [right, *thing.english]))
    french_side, english_side = declarative(clause)
    return ["qui", *french_side], ["that", *english_side]


def _about_relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """*dont le voisin parle souvent*, that the neighbour often talks about."""
    subject = _speaker_of_relative(draw)
    group, _, _ = clause_about(draw, subject)
    left, right = declarative(Clause(subject, group))
    return ["dont", *left], ["that", *right]


def _place_relative(draw: Draw, phrase: NounPhrase) -> tuple[Tokens, Tokens]:
    """*où le voisin travaille*, where the neighbour works."""
    subject = _speaker_of_relative(draw)
    verb = draw.fresh(_LOCATED)
    group, tense = _group_for(draw, verb, subject, _earlier_tense(draw, verb))
    clause = Clause(subject, group)
    if "home" not in verb.flags and draw.grow(0.25):
        clause.add(time(draw, tense))
    left, right = declarative(clause)
    return ["où", *left], ["where", *right]


_LOCATED = tuple(verb for verb in _PERSON_VERBS if verb.flags.isdisjoint({"motion", "final", "away"}))


# --- subordinate clauses --------------------------------------------------------------------------------------------

_CONJUNCTIONS = (
    (("si",), ("if",)),
    (("alors", "que"), ("while",)),
    (("puisque",), ("since",)),
    (("même", "si"), ("even", "if")),
)


def subordinate(draw: Draw, subject: NounPhrase, thing: NounPhrase | None, tense: str) -> tuple[Tokens, Tokens]:
    """Return a clause that takes up the subject or the object of the sentence by pronouns: *si elle ne les lit jamais*.

    ``tense`` is that of the main clause.
    """
    if tense == "past" and not subject.speaker and draw.chance(0.25):
        return _state_clause(draw, subject, "imperfect")
    kinds = [_present_state] if tense != "past" and not subject.speaker else []
    if subject.kind == "person" and not subject.speaker:
        kinds += [_other_person_clause, _gift_clause]
    noun = thing.noun if thing is not None else None
    usable = noun is not None and noun.category != "kin"
    if usable and not subject.speaker and subject.kind == "person":
        kinds += [_object_taken_up] * (12 if thing is not None and thing.partitive else 4)
    if usable and subject.kind == "person":
        kinds += [_purpose] * 2
    located = noun is not None and noun.category in ("building", "nature")
    if located and not subject.speaker and subject.kind == "person":
        kinds += [_place_taken_up] * 10
    return draw.pick(kinds)(draw, subject, thing)


def _present_state(draw: Draw, subject: NounPhrase, thing: NounPhrase | None) -> tuple[Tokens, Tokens]:
    return _state_clause(draw, subject, "present")


def _state_clause(draw: Draw, subject: NounPhrase, tense: str) -> tuple[Tokens, Tokens]:
    """*s'il est malade*, if he is sick."""
    options = [item for item in ADJECTIVES_OF[_noun_like(subject), False] if item.english in STATES]
    adjective = draw.fresh(options)
    left, right = draw.link(adjective.french[2 * subject.plural + subject.feminine], adjective.english)
    clause = copula(draw, taken_up(subject), tense, ([left], [right]), "pas" if draw.chance(0.25) else "")
    return _conjoined(draw, declarative(clause))


def _noun_like(phrase: NounPhrase) -> str:
    known = phrase.noun is not None and phrase.noun.category not in ("name", "kin")
    return phrase.noun.french[0] if known else "voisin"  # type: ignore[union-attr]


def _conjoined(draw: Draw, sides: tuple[Tokens, Tokens]) -> tuple[Tokens, Tokens]:
    left, right = draw.pick(_CONJUNCTIONS)
    return [*left, *sides[0]], [*right, *sides[1]]


def _other_person_clause(draw: Draw, subject: NounPhrase, thing: NounPhrase | None) -> tuple[Tokens, Tokens]:
    """*alors que la voisine l'aime*, while the neighbour loves her."""
    other = _speaker_of_relative(draw)
    verb = draw.fresh(VERBS_OF["voisin"])
    pronoun = subject.object_pronoun
    clitic = Clitic(pronoun[0], (pronoun[1],), (subject.feminine, subject.plural))
    group, _ = _group_for(draw, verb, other, "present", clitic=clitic)
    return _conjoined(draw, declarative(Clause(other, group)))


def _object_taken_up(draw: Draw, subject: NounPhrase, thing: NounPhrase | None) -> tuple[Tokens, Tokens]:
    """*si elle ne les lit jamais*, if she never reads them."""
    assert thing is not None
    assert thing.noun is not None
    verbs = VERBS_OF[thing.noun.french[0]]
    if thing.partitive:
        verbs = tuple(verb for verb in verbs if verb.flags.isdisjoint({"stative", "event"}))
    verb = draw.fresh(verbs)
    tense = "present" if thing.partitive else _earlier_tense(draw, verb)
    negation = draw.pick(("jamais", "plus", "pas")) if tense == "present" else ("pas" if tense == "past" else None)
    group, _ = _group_for(draw, verb, taken_up(subject), tense, negation=negation, clitic=_object_clitic(thing))
    return _conjoined(draw, declarative(Clause(taken_up(subject), group)))


def _object_clitic(thing: NounPhrase) -> Clitic:
    if thing.partitive:
        return Clitic("en", ("any",))
    left, right = thing.object_pronoun
    return Clitic(left, (right,), (thing.feminine, thing.plural))


def _place_taken_up(draw: Draw, subject: NounPhrase, thing: NounPhrase | None) -> tuple[Tokens, Tokens]:
    """*s'il n'y travaille plus*, if he no longer works there."""
    verb = draw.fresh(_LOCATED)
    there = Clitic("y", ("there",))
    again = taken_up(subject)
    group, _ = _group_for(draw, verb, again, "present", negation=draw.pick(("jamais", "plus", "pas")), clitic=there)
    return _conjoined(draw, declarative(Clause(again, group)))


def _gift_clause(draw: Draw, subject: NounPhrase, thing: NounPhrase | None) -> tuple[Tokens, Tokens]:
    """*alors que la voisine lui a donné une clé*, while the neighbour gave a key to him."""
    other = _speaker_of_relative(draw)
    verb = draw.fresh(_DATIVE_VERBS)
    left, right = subject.dative_pronoun
    group, _ = _group_for(draw, verb, other, "past", negation="", clitic=Clitic(left, ()))
    present = object_for(draw, verb, other)
    clause = Clause(other, group, present.french, [*present.english, "to", right])
    return _conjoined(draw, declarative(clause))


def _purpose(draw: Draw, subject: NounPhrase, thing: NounPhrase | None) -> tuple[Tokens, Tokens]:
    """*pour la vendre à son oncle*, in order to sell it to her uncle."""
    assert thing is not None
    assert thing.noun is not None
    actions = [verb for verb in VERBS_OF[thing.noun.french[0]] if "stative" not in verb.flags]
    verb = draw.fresh(actions)
    left, right = draw.link(verb.infinitive, verb.base)
    pronoun = thing.object_pronoun
    french_side: Tokens = ["pour", pronoun[0], left]
    english_side: Tokens = ["in", "order", "to", right, *verb.particle, pronoun[1]]
    if "dative" in verb.flags and draw.chance(0.6):
        recipient = _recipient(draw, subject)
        return [*french_side, *recipient[0]], [*english_side, *recipient[1]]
    return french_side, english_side
