"""Properties of the embedded corpus as a whole, and its grammar on selected sentences."""

from __future__ import annotations

import hashlib
import re
from itertools import islice

import pytest
from lab_text.embedded import VERSION, Pair, french, generate, lexicon, tokens

_SIZE = 20_000
_DIGEST = "0fb2f69609ece181c038a802e34ba5f6c1fe7d5d7705347a231f19edb4f8bee4"


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(generate(_SIZE))


@pytest.fixture(scope="module")
def lengths(pairs: list[Pair]) -> list[tuple[int, int]]:
    return [(len(tokens(pair.french)), len(tokens(pair.english))) for pair in pairs]


def test_there_are_twenty_thousand_distinct_pairs(pairs: list[Pair]) -> None:
    assert len(pairs) == _SIZE
    assert len({pair.french for pair in pairs}) == _SIZE
    assert len({(pair.french, pair.english) for pair in pairs}) == _SIZE


def test_the_corpus_of_a_version_never_changes() -> None:
    text = "\n".join(f"{pair.french}\t{pair.english}\t{pair.alignment}" for pair in generate(2_000))
    assert (VERSION, hashlib.sha256(text.encode()).hexdigest()) == ("1", _DIGEST), (
        "a change to the pairs asks for a new VERSION"
    )


def test_a_longer_corpus_begins_with_the_shorter(pairs: list[Pair]) -> None:
    assert list(generate(300)) == pairs[:300]


def test_another_seed_gives_other_pairs(pairs: list[Pair]) -> None:
    assert list(islice(generate(seed=1), 20)) != pairs[:20]


def test_both_sides_have_between_800_and_1700_word_forms(pairs: list[Pair]) -> None:
    french_words = {word.lower() for pair in pairs for word in tokens(pair.french)}
    english_words = {word.lower() for pair in pairs for word in tokens(pair.english)}
    assert 800 <= len(french_words) <= 1_700
    assert 800 <= len(english_words) <= 1_100


def test_sentences_have_3_to_25_tokens(lengths: list[tuple[int, int]]) -> None:
    assert min(min(pair) for pair in lengths) == 3
    assert max(max(pair) for pair in lengths) == 25


def test_more_than_a_third_is_long_on_both_sides(lengths: list[tuple[int, int]]) -> None:
    assert sum(min(pair) >= 15 for pair in lengths) / _SIZE >= 0.35


def test_short_sentences_are_there_too(lengths: list[tuple[int, int]]) -> None:
    assert sum(max(pair) <= 9 for pair in lengths) / _SIZE >= 0.1


def test_every_pair_is_a_question_in_wh(pairs: list[Pair]) -> None:
    assert all(re.fullmatch(r"Wh[^?.!]+\?", pair.english) for pair in pairs)
    assert all(re.fullmatch(r"[^?.!]+\?", pair.french) for pair in pairs)


def test_alignments_are_one_to_one_and_inside_the_sentence(pairs: list[Pair], lengths: list[tuple[int, int]]) -> None:
    for pair, (french_length, english_length) in zip(pairs, lengths, strict=True):
        left, right = zip(*pair.alignment, strict=True)
        assert list(left) == sorted(set(left))
        assert len(set(right)) == len(right)
        assert max(left) < french_length
        assert max(right) < english_length


def test_alignments_point_at_content_words(pairs: list[Pair]) -> None:
    function_words = set(tokens("le la les l'un de du des d'un une que qu'un qui ne n'un il elle ils en à pas ?"))
    function_words |= set(tokens("the a an of to that who whom did does do not is are king's and")) - {"king"}
    for pair in pairs:
        left, right = tokens(pair.french), tokens(pair.english)
        words = {left[i] for i, _ in pair.alignment} | {right[j] for _, j in pair.alignment}
        assert not words & function_words, pair


def test_aligned_words_translate_each_other(pairs: list[Pair]) -> None:
    dictionary: dict[str, set[str]] = {}
    for pair in pairs:
        left, right = tokens(pair.french), tokens(pair.english)
        for i, j in pair.alignment:
            dictionary.setdefault(left[i], set()).add(right[j])
    ambiguous = {word: found for word, found in dictionary.items() if len(found) > 3}
    assert not ambiguous  # at most three forms of a verb: sell, sells, sold
    assert dictionary["chevaux"] == {"horses"}
    assert dictionary["grand"] == {"big", "tall"}
    assert dictionary["plus"] == {"longer", "most"}


def test_words_move_between_the_sides(pairs: list[Pair]) -> None:
    crossing = sum(any(b < a for (_, a), (_, b) in zip(p.alignment, p.alignment[1:], strict=False)) for p in pairs)
    assert crossing / _SIZE >= 0.35


def test_french_apostrophes_and_articles_are_never_left_unspelled(pairs: list[Pair]) -> None:
    unspelled = re.compile(r"\b(?:LE|LA|LES|A)\b|\b(?:de le|de les|à le|à les|si il|si ils)\b(?! vendre)")
    elidable = re.compile(
        r"\b(?:le|la|de|ne|que|ce) (?=[aeiouyéèêâîôœ]|homme|hôtel|hôpital|histoire|horloge|hiver|huile)"
    )
    for pair in pairs:
        without_pronouns = re.sub(r"\bpour (?:le|la|les) ", "pour ", pair.french)
        without_pronouns = re.sub(r"\b(?:de|à) (?:le|la|les) (?=\w+(?:er|ir|re)\b)", "", without_pronouns)
        assert not unspelled.search(without_pronouns), pair.french
        assert not re.search(elidable, pair.french.replace("que onze", "").replace("de onze", "")), pair.french


def test_negation_comes_in_two_parts(pairs: list[Pair]) -> None:
    for pair in pairs:
        left = tokens(pair.french)
        if "pas" in left or "jamais" in left or "rien" in left:
            assert "ne" in left or "n'" in left, pair.french


_CONSTRUCTIONS = {
    "complex inversion": r"^Pourquoi (?:le|la) \w+ \w+(?:-t)?-(?:il|elle) ",
    "est-ce que": r"est-ce qu(?:e |')",
    "two-part negation": r"(?:ne |n')\w+(?:-\w+)* (?:pas|jamais|plus|rien)",
    "object relative with agreement": r" que \w+ a \w+ées\b",
    "subject relative": r" qui (?:dort|travaille|court|danse|nage|joue)(?:ent)?\b",
    "genitive relative": r" dont ",
    "dative relative": r" à qui ",
    "inverted relative": r" qu'(?:a|ont) \w+ ",
    "pronoun object": r"s(?:'ils?|i elles?) ne (?:l'|le|la|les)",
    "pronoun of place": r"n'y ",
    "pronoun of quantity": r"n'en ",
    "dative pronoun": r" (?:lui|leur) a ",
    "partitive": r" (?:du|de la|de l') ?(?:pain|viande|eau|riz|lait|vin|soupe|bière)",
    "de under negation": r" pas d(?:e |')\w+",
    "de before an adjective": r" de (?:belles|grandes|petites|jolies|vieilles) \w+s\b",
    "superlative": r" (?:le|la) plus \w+",
    "liaison form": r" (?:bel|nouvel|vieil|cet) [aeiouéèêœîâh]",
    "purpose": r" pour (?:le|la|les) \w+",
    "agreement with être": r" sont-? ?(?:elles|\w+) .*(?:arrivé|parti|resté|allé|tombé|mort)e?s",
}


@pytest.mark.parametrize("name", _CONSTRUCTIONS)
def test_every_construction_is_met_at_least_10_times(pairs: list[Pair], name: str) -> None:
    pattern = re.compile(_CONSTRUCTIONS[name])
    assert sum(bool(pattern.search(pair.french)) for pair in pairs) >= 10


def test_possessives_follow_the_gender_of_a_distant_owner(pairs: list[Pair]) -> None:
    found = {"his": 0, "her": 0}
    other_owners = re.compile(r" (?:qu|dont|où|et|pour|si|s'|alors|même|puisqu)")
    for pair in pairs:
        match = re.match(r"Pourquoi .{8,}a-t-(il|elle) .* (?:son|sa|ses) ", pair.french)
        if match and not other_owners.search(pair.french) and " its " not in pair.english:
            expected = "his" if match[1] == "il" else "her"
            assert f" {expected} " in pair.english, pair
            found[expected] += 1
    assert min(found.values()) >= 3


def test_participles_agree_with_the_object_that_precedes(pairs: list[Pair]) -> None:
    participles = {verb.participle for verb in lexicon.TRANSITIVES if verb.objects}
    forms = [(is_feminine, is_plural) for is_feminine in (False, True) for is_plural in (False, True)]
    agreed = {form: {french.participle_form(word, *form) for word in participles} for form in forms}
    checked = 0
    for pair in pairs:
        match = re.match(r"Quel(le)?(s)? [^']*? (?:a-t-il|a-t-elle|avez-vous|ont-ils|ont-elles) (\w+)", pair.french)
        if match and match[3] in set().union(*agreed.values()):
            assert match[3] in agreed[bool(match[1]), bool(match[2])], pair.french
            checked += 1
    assert checked >= 100


def test_tokens_agree_with_spacy(pairs: list[Pair]) -> None:
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    french_tokenizer, english_tokenizer = spacy.blank("fr").tokenizer, spacy.blank("en").tokenizer
    for pair in pairs[:3_000]:
        assert [token.text for token in french_tokenizer(pair.french)] == tokens(pair.french)
        assert [token.text for token in english_tokenizer(pair.english)] == tokens(pair.english)
