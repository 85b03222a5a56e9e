"""The kinds of question in the embedded corpus; each function gives both sides, without the question mark.

``_WEIGHTS`` says how often each is asked. Every English side begins with a word in *Wh*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab_text.embedded._draw import Draw, Stuck, Tokens, Word
from lab_text.embedded.clauses import (
    Clause,
    add_adverbials,
    clause_about,
    clause_with_object,
    copula,
    declarative,
    fronted,
    intransitive_clause,
    inverted,
    object_for,
    relative,
    say_clause,
    subject_for,
    subordinate,
    tense_for,
    transitive_for,
    verb_first,
    verb_group,
    with_relative,
)
from lab_text.embedded.lexicon import ADJECTIVES_OF, NOUNS, STIRRING, TRANSITIVES, Adjective, Noun, Verb
from lab_text.embedded.phrases import (
    NounPhrase,
    adverbial,
    is_owned,
    noun_phrase,
    person,
    pronoun,
    time,
    which,
)

__all__ = ["question"]

_Sides = tuple[Tokens, Tokens]
_Kind = Callable[[Draw], _Sides]


def question(draw: Draw) -> _Sides:
    """Return a question in French and English tokens.

    Raises:
        Stuck: the draw led nowhere; begin again.
    """
    return draw.pick(_QUESTIONS)(draw)


def _asked(draw: Draw, french_word: str, english_word: str, clause: Clause) -> _Sides:
    """Return an adverbial question about ``clause``: inversion or *est-ce que*."""
    left, right = inverted(clause) if draw.chance(0.6) else fronted(clause)
    return [french_word, *left], [english_word, *right]


def _subject(draw: Draw, kinds: Sequence[str] = ("person",)) -> NounPhrase:
    return pronoun(draw) if draw.chance(0.16) else subject_for(draw, kinds)


def _why(draw: Draw) -> _Sides:
    """*Pourquoi le roi a-t-il vendu la maison s'il l'aime ?*"""
    subject = _subject(draw, ("person", "animal"))
    if draw.chance(0.12):
        clause, _ = intransitive_clause(draw, subject)
        return _asked(draw, "pourquoi", "why", clause)
    clause, thing, tense = clause_with_object(draw, subject)
    if draw.grow(0.45):
        clause.add(subordinate(draw, subject, thing, tense))
    return _asked(draw, "pourquoi", "why", clause)


def _where(draw: Draw) -> _Sides:
    """*Où est-ce que les voisins ont acheté cette table ?*"""
    if draw.chance(0.2):
        return _where_is(draw)
    subject = _subject(draw)
    if draw.chance(0.15):
        clause, _ = intransitive_clause(draw, subject, place=False)
        if _is_short(clause) and draw.chance(0.5):
            left, right = verb_first(clause)
            return ["où", *left], ["where", *right]
        return _asked(draw, "où", "where", clause)
    clause, _, _ = clause_with_object(draw, subject, place=False)
    return _asked(draw, "où", "where", clause)


def _is_short(clause: Clause) -> bool:
    """Return True if the subject may simply follow the verb: *où dort le chat*."""
    bare = not (clause.verb.before or clause.french)
    return bare and clause.subject.noun is not None and len(clause.verb.after) <= 1 and len(clause.subject.french) < 5


def _where_is(draw: Draw) -> _Sides:
    """*Où sont les petites tables que le voisin a achetées ?*"""
    noun = draw.fresh(NOUNS[draw.pick(("object", "object", "clothing", "text", "vehicle", "fruit", "tame"))])
    phrase = with_relative(draw, noun_phrase(draw, noun, draw.pick(("definite",) * 4 + ("my", "your", "our"))), 0.8)
    finite, auxiliary = (("est", "is"), ("sont", "are"))[phrase.plural]
    return ["où", finite, *phrase.french], ["where", auxiliary, *phrase.english]


def _when(draw: Draw) -> _Sides:
    """*Quand le voisin a-t-il réparé la voiture rouge ?*"""
    subject = _subject(draw)
    if draw.chance(0.15):
        clause, _ = intransitive_clause(draw, subject, when=False)
    else:
        clause, _, _ = clause_with_object(draw, subject, when=False)
    return _asked(draw, "quand", "when", clause)


_WHO = NounPhrase([], [], False, False, "person", closed=True)


def _who(draw: Draw) -> _Sides:
    """*Qui a vendu trois vieux livres à la voisine ?*"""
    if draw.chance(0.12):
        clause, _ = intransitive_clause(draw, _WHO)
    else:
        clause, _, tense = clause_with_object(draw, _WHO)
        if tense != "future" and draw.grow(0.2):
            clause.add(_afterthought(draw, tense))
    left, right = declarative(clause)
    return ["qui", *left], ["who", *right]


def _afterthought(draw: Draw, tense: str) -> _Sides:
    """*quand le roi est arrivé*, when the king arrived."""
    subject = noun_phrase(draw, draw.fresh(NOUNS["person"]), "definite")
    clause, _ = intransitive_clause(draw, subject, when=False, tense=tense)
    left, right = declarative(clause)
    return ["quand", *left], ["when", *right]


def _who_thinks(draw: Draw) -> _Sides:
    """*Qui croit que le médecin a caché les clés ?*"""
    clause = say_clause(draw, _WHO)
    left, right = declarative(clause)
    return ["qui", *left], ["who", *right]


def _why_says(draw: Draw) -> _Sides:
    """*Pourquoi la reine dit-elle que le roi a perdu son chapeau ?*"""
    clause = say_clause(draw, subject_for(draw))
    return _asked(draw, "pourquoi", "why", clause)


def _whom(draw: Draw) -> _Sides:
    """*Qui est-ce que la voisine a invité à Paris ?*"""
    subject = _subject(draw)
    verb = transitive_for(draw, subject, _PERSON_OBJECTS)
    tense = tense_for(draw, verb, subject)
    clause = Clause(subject, verb_group(draw, verb, subject, tense))
    add_adverbials(draw, clause, tense, place="stative" not in verb.flags, when="stative" not in verb.flags)
    left, right = inverted(clause) if draw.chance(0.5) else fronted(clause)
    return ["qui", *left], ["who", *right]


_PERSON_OBJECTS = tuple(verb for verb in TRANSITIVES if "person" in verb.objects and "stative" not in verb.flags)
_THING_OBJECTS = tuple(
    verb for verb in TRANSITIVES if "stative" not in verb.flags and not {"person", "thief", "song"} & set(verb.objects)
)


def _maybe_not(draw: Draw) -> str:
    return "pas" if draw.chance(0.12) else ""


def _what(draw: Draw) -> _Sides:
    """*Qu'est-ce que le voisin a acheté hier ?*, *Que vendent les deux boulangers ?*"""
    subject = _subject(draw)
    verb = transitive_for(draw, subject, _THING_OBJECTS)
    tense = tense_for(draw, verb, subject)
    negation = _maybe_not(draw) if subject.noun else ""
    clause = Clause(subject, verb_group(draw, verb, subject, tense, negation=negation))
    if "dative" in verb.flags and draw.chance(0.4):
        recipient = noun_phrase(draw, draw.fresh(NOUNS["person"]), "definite")
        clause.add(with_pair(["à"], ["to"], with_relative(draw, recipient, 0.4)))
    elif _is_short(clause) and tense != "future" and draw.chance(0.4):
        left, right = verb_first(clause)
        return ["que", *left], ["what", *right]
    add_adverbials(draw, clause, tense, place=True, when=True)
    if subject.noun is None and subject.closed and len(subject.french) == 1:
        left, right = inverted(clause) if draw.chance(0.6) else fronted(clause)
    else:
        left, right = fronted(clause)
    return ["que", *left], ["what", *right]


def with_pair(left: Tokens, right: Tokens, phrase: NounPhrase) -> _Sides:
    """Return a noun phrase after its prepositions."""
    return [*left, *phrase.french], [*right, *phrase.english]


def _what_stirs(draw: Draw) -> _Sides:
    """*Qu'est-ce qui inquiète les deux sœurs du médecin ?*"""
    verb = draw.fresh(STIRRING)
    subject = NounPhrase([], [], False, False, "thing", closed=True)
    tense = draw.pick(("present", "past"))
    clause = Clause(subject, verb_group(draw, verb, subject, tense, negation=_maybe_not(draw)))
    whom = with_relative(draw, person(draw), 0.7)
    clause.add((whom.french, whom.english))
    left, right = declarative(clause)
    return ["que", "est", "-ce", "qui", *left], ["what", *right]


def _about(draw: Draw) -> _Sides:
    """*De quoi le voisin parle-t-il ?*, What does the neighbour talk about?"""
    subject = subject_for(draw)
    group, _, tense = clause_about(draw, subject)
    clause = Clause(subject, group)
    if draw.grow(0.5):
        clause.add(time(draw, tense))
    left, right = inverted(clause) if draw.chance(0.6) else fronted(clause)
    someone = draw.chance(0.35)
    return ["de", "qui" if someone else "quoi", *left], ["who" if someone else "what", *right]


def _which_object(draw: Draw) -> _Sides:
    """*Quelles lettres anciennes le médecin a-t-il écrites à sa sœur ?*"""
    subject = _subject(draw)
    verb = transitive_for(draw, subject)
    thing = which(draw, draw.fresh(_things_of(draw, verb)))
    tense = tense_for(draw, verb, subject)
    if subject.speaker and "stative" in verb.flags:
        raise Stuck
    group = verb_group(draw, verb, subject, tense, negation=_maybe_not(draw), preceding=thing)
    clause = Clause(subject, group)
    if "dative" in verb.flags and draw.chance(0.5):
        clause.add(_to_someone(draw, subject))
    usable = "stative" not in verb.flags
    add_adverbials(draw, clause, tense, place=usable, when=usable)
    left, right = inverted(clause) if draw.chance(0.65) else fronted(clause)
    return [*thing.french, *left], [*thing.english, *right]


def _things_of(draw: Draw, verb: Verb) -> tuple[Noun, ...]:
    usable = [name for name in verb.objects if name not in ("kin", "dish", "drink")]
    return NOUNS[draw.pick(usable)]


def _to_someone(draw: Draw, subject: NounPhrase) -> _Sides:
    if draw.chance(0.4):
        return with_pair(["à"], ["to"], noun_phrase(draw, draw.fresh(NOUNS["kin"]), subject.owner, plural=False))
    return with_pair(["à"], ["to"], noun_phrase(draw, draw.fresh(NOUNS["person"]), "definite"))


def _which_subject(draw: Draw) -> _Sides:
    """*Quel médecin a soigné les chevaux du roi ?*"""
    subject = which(draw, draw.fresh(NOUNS["person"]))
    subject.closed = True
    clause = _any_clause(draw, subject)
    left, right = declarative(clause)
    return left, right


def _any_clause(draw: Draw, subject: NounPhrase) -> Clause:
    if draw.chance(0.2):
        return intransitive_clause(draw, subject)[0]
    return clause_with_object(draw, subject)[0]


def _which_place(draw: Draw) -> _Sides:
    """*Dans quelle ville le voisin a-t-il acheté sa voiture ?*, Which town did … buy his car in?"""
    noun = draw.fresh(NOUNS["nature"])
    place = which(draw, noun)
    clause, _ = intransitive_clause(draw, subject_for(draw), place=False)
    left, right = inverted(clause) if draw.chance(0.6) else fronted(clause)
    return [noun.where[0], *place.french, *left], [noun.where[1], *place.english, *right]


def _to_whom(draw: Draw) -> _Sides:
    """*À qui la reine a-t-elle donné ses bijoux ?*, Who did the queen give her jewels to?"""
    subject = _subject(draw)
    verb = draw.fresh(_DATIVES)
    tense = tense_for(draw, verb, subject)
    clause = Clause(subject, verb_group(draw, verb, subject, tense))
    thing = object_for(draw, verb, subject)
    clause.add((thing.french, [*thing.english, "to"]))
    if draw.grow(0.4):
        clause.add(time(draw, tense))
    left, right = inverted(clause) if draw.chance(0.6) else fronted(clause)
    return ["à", "qui", *left], ["who", *right]


_DATIVES = tuple(verb for verb in TRANSITIVES if "dative" in verb.flags)


def _with_whom(draw: Draw) -> _Sides:
    """*Avec qui les deux frères de Marie voyagent-ils ?*, Who do … travel with?"""
    clause, _ = intransitive_clause(draw, subject_for(draw), when=False, place=False)
    left, right = inverted(clause) if draw.chance(0.6) else fronted(clause)
    return ["avec", "qui", *left], ["who", *right, "with"]


_NOT_GRADABLE = frozenset({"anonymous", "injured"})


def _why_is(draw: Draw) -> _Sides:
    """*Pourquoi les chaises que le voisin a vendues sont-elles si chères ?*"""
    noun = draw.fresh(NOUNS[draw.pick(_DESCRIBED)])
    options = [
        item
        for item in ADJECTIVES_OF[noun.french[0], False]
        if not item.classifying and item.english not in _NOT_GRADABLE
    ]
    adjective = draw.fresh(options)
    subject = with_relative(draw, noun_phrase(draw, noun, _described_determiner(draw, noun)), 0.8)
    complement = _graded(draw, subject, adjective)
    tense = draw.pick(("present", "present", "imperfect"))
    clause = copula(draw, subject, tense, complement)
    if tense == "imperfect" and subject.kind == "person" and draw.grow(0.4):
        clause.add(time(draw, "past"))
    if tense == "present" and subject.kind == "person" and draw.grow(0.3):
        clause.add(subordinate(draw, subject, None, tense))
    return _asked(draw, "pourquoi", "why", clause)


_DESCRIBED = ("person", "person", "person", "object", "clothing", "text", "tame", "vehicle", "building", "fruit")


def _described_determiner(draw: Draw, noun: Noun) -> str:
    owned = noun.category == "person" or is_owned(noun)
    return draw.pick(("definite",) * 5 + ("demonstrative",) * 2 + (("my", "your", "our") if owned else ()))


_DEGREES = (("si", "so"), ("si", "so"), ("très", "very"), ("toujours", "always"))


def _graded(draw: Draw, subject: NounPhrase, adjective: Adjective) -> _Sides:
    """*si chères*, so expensive: the adjective agrees with a subject that may be far away."""
    form = adjective.french[2 * subject.plural + subject.feminine]
    left, right = draw.link(form, adjective.english)
    degree_left, degree_right = adverbial(draw, *draw.pick(_DEGREES))
    return [*degree_left, left], [*degree_right, right]


_PROPERTIES: dict[str, tuple[str, ...]] = {
    "person": ("LE nom_1|the name_1", "LE âge_1|the age_1", "LA adresse_1|the address_1"),
    "object": ("LA couleur_1|the colour_1", "LE prix_1|the price_1", "LE poids_1|the weight_1"),
    "clothing": ("LA couleur_1|the colour_1", "LE prix_1|the price_1", "LA taille_1|the size_1"),
    "vehicle": ("LA couleur_1|the colour_1", "LE prix_1|the price_1", "LA vitesse_1|the speed_1"),
    "text": ("LE titre_1|the title_1", "LE sujet_1|the subject_1", "LE prix_1|the price_1"),
    "tame": ("LE nom_1|the name_1", "LE âge_1|the age_1", "LA taille_1|the size_1"),
    "building": ("LE nom_1|the name_1", "LA adresse_1|the address_1", "LE âge_1|the age_1"),
    "tale": ("LE titre_1|the title_1", "LE sujet_1|the subject_1"),
}
_FEMININE_PROPERTIES = frozenset({"adresse", "couleur", "taille", "vitesse"})


def _what_is(draw: Draw) -> _Sides:
    """*Quelle est la couleur de la voiture que la voisine a achetée ?*"""
    category = draw.pick(tuple(_PROPERTIES))
    noun = draw.fresh(NOUNS[category])
    phrase = noun_phrase(draw, noun, _described_determiner(draw, noun), plural=False)
    left, right = draw.phrase(draw.pick(_PROPERTIES[category]))
    phrase = with_relative(draw, phrase, 0.8)
    feminine = isinstance(left[1], Word) and left[1].text in _FEMININE_PROPERTIES
    french_side = ["quelle" if feminine else "quel", "est", *left, "de", *phrase.french]
    return french_side, ["what", "is", *right, "of", *phrase.english]


def _who_is(draw: Draw) -> _Sides:
    """*Qui sont les deux musiciens qui jouent dans le jardin ?*"""
    phrase = noun_phrase(draw, draw.fresh(NOUNS["person"]), draw.pick(("definite",) * 4 + ("demonstrative",)))
    if not phrase.closed:
        draw.relatives -= 1
        left, right = relative(draw, phrase)
        phrase.french, phrase.english = phrase.french + left, phrase.english + right
    finite, auxiliary = (("est", "is"), ("sont", "are"))[phrase.plural]
    return ["qui", finite, *phrase.french], ["who", auxiliary, *phrase.english]


def _whose(draw: Draw) -> _Sides:
    """*À qui est cette grande valise noire ?*, Whose is this big black suitcase?"""
    noun = draw.fresh(NOUNS[draw.pick(("object", "clothing", "vehicle", "text", "tame"))])
    phrase = noun_phrase(draw, noun, draw.pick(("demonstrative", "demonstrative", "definite")))
    finite, auxiliary = (("est", "is"), ("sont", "are"))[phrase.plural]
    lying = with_relative(draw, phrase, 0.9)
    return ["à", "qui", finite, *lying.french], ["whose", auxiliary, *lying.english]


def _why_nothing(draw: Draw) -> _Sides:
    """*Pourquoi les enfants n'ont-ils rien mangé hier soir ?*"""
    subject = _subject(draw)
    verb = draw.fresh(_HABITUAL)
    tense = "past" if subject.speaker else draw.pick(("past", "present"))
    clause = Clause(subject, verb_group(draw, verb, subject, tense, negation="rien"))
    add_adverbials(draw, clause, tense, place=True, when=True)
    return _asked(draw, "pourquoi", "why", clause)


_HABITUAL = tuple(verb for verb in _THING_OBJECTS if "event" not in verb.flags)


def _bare(draw: Draw) -> _Sides:
    """*Où vont-ils ?*, *Qui dort ?*"""
    draw.rich = 0.0
    return draw.pick((_who, _where, _when, _why, _what, _whom))(draw)


_WEIGHTS: dict[_Kind, int] = {
    _why: 30,
    _where: 16,
    _when: 16,
    _who: 10,
    _who_thinks: 4,
    _why_says: 10,
    _whom: 4,
    _what: 6,
    _what_stirs: 4,
    _about: 2,
    _which_object: 12,
    _which_subject: 7,
    _to_whom: 5,
    _with_whom: 2,
    _why_nothing: 3,
    _why_is: 14,
    _what_is: 9,
    _who_is: 5,
    _whose: 4,
    _bare: 3,
}
_QUESTIONS: tuple[_Kind, ...] = tuple(kind for kind, weight in _WEIGHTS.items() for _ in range(weight))
