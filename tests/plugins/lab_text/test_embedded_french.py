"""The rules of French and English spelling that the embedded corpus relies on, as worked examples."""

from __future__ import annotations

import pytest
from lab_text.embedded import english, french, lexicon
from lab_text.embedded._draw import Word
from lab_text.embedded.spelling import spell_english, spell_french, tokens


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        (["où", "est", "LE", "homme"], "Où est l'homme ?"),
        (["où", "est", "LA", "école"], "Où est l'école ?"),
        (["où", "est", "LE", "hibou"], "Où est le hibou ?"),
        (["où", "est", "LE", "héros"], "Où est le héros ?"),
        (["que", "a", "vendu", "Alice"], "Qu'a vendu Alice ?"),
        (["que", "est", "-ce", "que", "elle", "voit"], "Qu'est-ce qu'elle voit ?"),
        (["qui", "ne", "y", "travaille", "plus"], "Qui n'y travaille plus ?"),
        (["qui", "ne", "en", "mange", "pas"], "Qui n'en mange pas ?"),
        (["qui", "la", "a", "vue"], "Qui l'a vue ?"),
        (["qui", "boit", "un", "verre", "de", "eau"], "Qui boit un verre d'eau ?"),
        (["qui", "dort", "si", "il", "est", "malade"], "Qui dort s'il est malade ?"),
        (["qui", "dort", "si", "ils", "dansent"], "Qui dort s'ils dansent ?"),
        (["qui", "dort", "si", "elle", "danse"], "Qui dort si elle danse ?"),
        (["qui", "dort", "puisque", "il", "danse"], "Qui dort puisqu'il danse ?"),
    ],
)
def test_words_are_elided_before_a_vowel_and_a_mute_h(phrase: list[str], expected: str) -> None:
    assert spell_french([*phrase])[0] == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        (["de", "LE", "roi"], "Du roi ?"),
        (["de", "LES", "rois"], "Des rois ?"),
        (["à", "LE", "roi"], "Au roi ?"),
        (["à", "LES", "amis"], "Aux amis ?"),
        (["de", "LA", "reine"], "De la reine ?"),
        (["de", "LE", "ami"], "De l'ami ?"),
        (["à", "LA", "amie"], "À l'amie ?"),
        (["de", "le", "vendre"], "De le vendre ?"),
    ],
)
def test_articles_contract_and_pronouns_do_not(phrase: list[str], expected: str) -> None:
    assert spell_french([*phrase])[0] == expected


@pytest.mark.parametrize(
    ("word", "following", "expected"),
    [
        ("beau", "hôtel", "bel"),
        ("beau", "jardin", "beau"),
        ("nouveau", "ami", "nouvel"),
        ("vieux", "homme", "vieil"),
        ("vieux", "héros", "vieux"),
        ("ce", "oiseau", "cet"),
        ("ce", "hibou", "ce"),
        ("sa", "amie", "son"),
        ("ma", "écharpe", "mon"),
        ("sa", "robe", "sa"),
    ],
)
def test_determiners_and_adjectives_have_a_form_before_a_vowel(word: str, following: str, expected: str) -> None:
    assert french.before_vowel(word, following) == expected


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        ("table", "tables"),
        ("cheval", "chevaux"),
        ("gâteau", "gâteaux"),
        ("bijou", "bijoux"),
        ("souris", "souris"),
        ("noix", "noix"),
        ("neveu", "neveux"),
        ("grand-mère", "grands-mères"),
        ("bleu", "bleus"),
        ("royal", "royaux"),
    ],
)
def test_plurals_in_x_and_the_unchanged(singular: str, plural: str) -> None:
    assert french.plural(singular) == plural


@pytest.mark.parametrize(
    ("masculine", "feminine"),
    [
        ("petit", "petite"),
        ("rouge", "rouge"),
        ("heureux", "heureuse"),
        ("léger", "légère"),
        ("italien", "italienne"),
        ("cruel", "cruelle"),
        ("français", "française"),
    ],
)
def test_regular_feminines(masculine: str, feminine: str) -> None:
    assert french.feminine(masculine) == feminine


def test_irregular_feminines_are_in_the_lexicon() -> None:
    adjectives = {item.french for options in lexicon.ADJECTIVES_OF.values() for item in options}
    assert ("beau", "belle", "beaux", "belles") in adjectives
    assert ("vieux", "vieille", "vieux", "vieilles") in adjectives
    assert ("blanc", "blanche", "blancs", "blanches") in adjectives
    assert ("frais", "fraîche", "frais", "fraîches") in adjectives
    assert ("jaloux", "jalouse", "jaloux", "jalouses") in adjectives
    assert ("royal", "royale", "royaux", "royales") in adjectives


@pytest.mark.parametrize(
    ("participle", "is_feminine", "is_plural", "expected"),
    [
        ("acheté", True, True, "achetées"),
        ("écrit", True, False, "écrite"),
        ("promis", False, True, "promis"),
        ("promis", True, True, "promises"),
        ("vendu", False, True, "vendus"),
    ],
)
def test_participles_agree(participle: str, is_feminine: bool, is_plural: bool, expected: str) -> None:
    assert french.participle_form(participle, is_feminine, is_plural) == expected


@pytest.mark.parametrize(
    ("finite", "pronoun", "expected"),
    [
        ("a", "il", ["-t", "-il"]),
        ("mange", "elle", ["-t", "-elle"]),
        ("vendra", "il", ["-t", "-il"]),
        ("vend", "il", ["-il"]),
        ("est", "elle", ["-elle"]),
        ("ont", "ils", ["-ils"]),
        ("avez", "vous", ["-vous"]),
    ],
)
def test_inversion_takes_a_t_between_vowels(finite: str, pronoun: str, expected: list[str]) -> None:
    assert french.inverted_pronoun(finite, pronoun) == expected


@pytest.mark.parametrize(
    ("infinitive", "forms"),
    [
        ("manger", ("mange", "mangent", "manger", "mangé")),
        ("acheter", ("achète", "achètent", "achèter", "acheté")),
        ("protéger", ("protège", "protègent", "protéger", "protégé")),
        ("préparer", ("prépare", "préparent", "préparer", "préparé")),
        ("nettoyer", ("nettoie", "nettoient", "nettoier", "nettoyé")),
        ("choisir", ("choisit", "choisissent", "choisir", "choisi")),
        ("vendre", ("vend", "vendent", "vendr", "vendu")),
    ],
)
def test_regular_verbs(infinitive: str, forms: tuple[str, str, str, str]) -> None:
    assert french.present_and_future(infinitive) == forms


def test_english_forms() -> None:
    assert [english.plural(noun) for noun in ("box", "child", "knife", "secretary", "sheep")] == [
        "boxes",
        "children",
        "knives",
        "secretaries",
        "sheep",
    ]
    assert [english.third_person(verb) for verb in ("buy", "watch", "carry", "go")] == [
        "buys",
        "watches",
        "carries",
        "goes",
    ]
    assert [english.past(verb) for verb in ("love", "carry", "play", "help")] == [
        "loved",
        "carried",
        "played",
        "helped",
    ]


@pytest.mark.parametrize(
    ("word", "article"), [("apple", "an"), ("house", "a"), ("honest", "an"), ("useful", "a"), ("umbrella", "an")]
)
def test_english_article_goes_by_sound(word: str, article: str) -> None:
    assert spell_english(["who", "sees", "A", Word(word, 1)])[0] == f"Who sees {article} {word}?"


def test_tokens_keep_elisions_genitives_and_inversions_apart() -> None:
    assert tokens("Pourquoi l'homme n'a-t-il pas vu d'eau aujourd'hui ?") == (
        ["Pourquoi", "l'", "homme", "n'", "a", "-t", "-il", "pas", "vu", "d'", "eau", "aujourd'hui", "?"]
    )
    assert tokens("Qu'est-ce que sa grand-mère voit ?") == ["Qu'", "est", "-ce", "que", "sa", "grand-mère", "voit", "?"]
    assert tokens("Who sees the king's dog at two o'clock?") == (
        ["Who", "sees", "the", "king", "'s", "dog", "at", "two", "o'clock", "?"]
    )


def test_tokens_share_two_habits_of_spacy() -> None:
    assert tokens("Où sont-elles ?") == ["Où", "sont", "-", "elles", "?"]
    assert tokens("Où est-elle ?") == ["Où", "est-elle", "?"]
    assert tokens("Où n'est-elle pas ?") == ["Où", "n'", "est", "-elle", "pas", "?"]


def test_links_give_token_positions() -> None:
    text, links, length = spell_french(["où", "est", "LE", Word("homme", 7), "de", "LE", Word("roi", 3)])
    assert text == "Où est l'homme du roi ?"
    assert links == {7: 3, 3: 5}
    assert length == len(tokens(text))
