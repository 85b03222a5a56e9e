from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lab_text.parallel import TranslationData, fr_en_questions, parallel_text
from lab_text.subwords import BpeTokenizer, SubwordTokenizer, UnigramTokenizer, WordPieceTokenizer
from lab_text.tokenizer import Tokenizer
from lab_text.tokenizers import BookTokenizer
from lab_text.truecase import TruecasedTokenizer

from lab.errors import DataError, ParameterError

pytest.importorskip("sentencepiece", reason="the extra 'subwords' is not installed")

KINDS = [BpeTokenizer, UnigramTokenizer, WordPieceTokenizer]
# The corpus of Sennrich et al. 2016 and of the book: 4 × fast, 3 × faster, 5 × tall, 4 × taller.
WORDS = ["fast"] * 4 + ["faster"] * 3 + ["tall"] * 5 + ["taller"] * 4
SENTENCES = ["Der Hund schläft.", "Die Hunde schlafen, und der Hundebesitzer schläft.", "Der Besitzer des Hundes."] * 3


def learn(kind: type[SubwordTokenizer], texts: list[str], folder: Path, **options: Any) -> SubwordTokenizer:
    folder.mkdir(exist_ok=True)
    tokenizer = kind("de", **options)
    tokenizer.train(texts, folder)
    trained = tokenizer.trained(folder)
    assert isinstance(trained, SubwordTokenizer)
    return trained


def questions(tokenizer: Callable[..., Tokenizer] | str, **options: Any) -> TranslationData:
    return fr_en_questions(pairs=300, tokenizer=tokenizer, **options)


def test_bpe_merges_the_pairs_of_the_papers_example(tmp_path: Path) -> None:
    tokenizer = learn(BpeTokenizer, WORDS, tmp_path, vocab_size=20)
    assert tokenizer("tallest fasted") == ["▁tall", "e", "s", "t", "▁fast", "e", "d"]


def test_wordpiece_takes_the_longest_pieces_from_the_left(tmp_path: Path) -> None:
    tokenizer = learn(WordPieceTokenizer, WORDS, tmp_path, vocab_size=20)
    assert tokenizer("taller fasterx") == ["▁tall", "er", "▁fast", "er", "x"]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_give_the_sentence_back_as_it_was_written(kind: type[SubwordTokenizer], tmp_path: Path) -> None:
    tokenizer = learn(kind, SENTENCES, tmp_path, vocab_size=32)
    for text in (SENTENCES[1], "Der schlafende Hund …", "Ein Œuvre: „Schlaf“?"):
        assert tokenizer.detokenize(tokenizer(text)) == text
    assert tokenizer("") == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_sentences_give_the_same_file(kind: type[SubwordTokenizer], tmp_path: Path) -> None:
    first, second = (learn(kind, SENTENCES, tmp_path / name, vocab_size=32) for name in "ab")
    assert first.identity == second.identity
    assert (tmp_path / "a" / "subwords.json").read_bytes() == (tmp_path / "b" / "subwords.json").read_bytes()


def test_lower_case_is_undone_at_the_beginning(tmp_path: Path) -> None:
    tokenizer = learn(BpeTokenizer, SENTENCES, tmp_path, vocab_size=30, lowercase=True)
    assert tokenizer.detokenize(tokenizer("Der Hund")) == "Der hund"


def test_a_saved_tokenizer_is_used_again_and_so_is_a_model_of_sentencepiece(tmp_path: Path) -> None:
    tokenizer = learn(UnigramTokenizer, SENTENCES, tmp_path, vocab_size=32)
    tokenizer.save(tmp_path / "mine.json")
    model = base64.b64decode(json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))["model"])
    (tmp_path / "mine.model").write_bytes(model)
    for name in ("mine.json", "mine.model"):
        again = UnigramTokenizer("de", file=str(tmp_path / name))
        assert again("Hundeschlaf") == tokenizer("Hundeschlaf")


@pytest.mark.parametrize("kind", KINDS)
def test_more_pieces_than_the_corpus_has_are_refused_with_the_largest_number(
    kind: type[SubwordTokenizer], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"the corpus has [\d,]+ pieces at most, and vocab_size is 9,000") as caught:
        learn(kind, SENTENCES, tmp_path, vocab_size=9_000)
    most = int(str(caught.value.hint).split("=")[1].split()[0])
    assert learn(kind, SENTENCES, tmp_path, vocab_size=most)("Hund")


def test_fewer_pieces_than_characters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="vocab_size is 5, and the characters of the corpus alone need more"):
        learn(BpeTokenizer, SENTENCES, tmp_path, vocab_size=5)


def test_a_vocabulary_without_pieces_is_refused() -> None:
    with pytest.raises(ParameterError, match="vocab_size must be positive, got 0"):
        BpeTokenizer("de", vocab_size=0)


def test_an_untrained_tokenizer_says_so() -> None:
    with pytest.raises(ParameterError, match="the tokenizer 'bpe' is not trained"):
        BpeTokenizer("de")("Hund")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "subwords of version 2; this lab reads version 1"),
        ({"kind": "unigram"}, "the file has kind 'unigram', the tokenizer 'bpe'"),
        ({"lowercase": True}, "the file has lowercase True, the tokenizer False"),
        ({"model": "?"}, "not a file of subwords, or a damaged one"),
        ({"model": base64.b64encode(b"nothing").decode()}, "not a model of sentencepiece, or a damaged one"),
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    learn(BpeTokenizer, SENTENCES, tmp_path, vocab_size=30)
    path = tmp_path / "subwords.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(DataError, match="^" + message.replace("(", r"\(")) as caught:
        BpeTokenizer("de", file=str(path))("Hund")
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match="cannot read the tokenizer's file: No such file"):
        BpeTokenizer("de", file="nowhere.json")("Hund")


def test_a_dataset_trains_the_tokenizer_of_each_side_on_its_own_sentences() -> None:
    data = questions(partial(BpeTokenizer, vocab_size=200))
    assert data.source_tokenizer.identity != data.target_tokenizer.identity
    assert data.source_vocab_size <= 204
    sample = data.valid[0]
    assert data.decode(sample.target[:, None]) == [sample.reference]
    assert data.source_vocab.tokens(data.encode([data.valid.source_text(0)])[:, 0].tolist())[0].startswith("▁")


def test_a_joint_tokenizer_has_one_vocabulary_for_both_sides() -> None:
    data = questions(partial(UnigramTokenizer, vocab_size=200), joint=True)
    assert data.source_vocab == data.target_vocab
    assert data.source_tokenizer.identity == data.target_tokenizer.identity


def test_a_joint_vocabulary_of_words_counts_both_sides() -> None:
    data, alone = questions("whitespace", joint=True), questions("whitespace")
    assert data.source_vocab == data.target_vocab
    assert set(data.source_vocab.words) == {*alone.source_vocab.words, *alone.target_vocab.words}


def test_arms_with_words_and_with_pieces_have_the_same_pairs(write_lines: Callable[..., Path]) -> None:
    french = write_lines("a.fr", *(f"le mot {n} est long" for n in range(40)), "")
    english = write_lines("a.en", *(f"word {n} is" + " very" * (n % 9) + " long" for n in range(40)), "nothing")
    files: dict[str, Any] = {"source": str(french), "target": str(english), "max_target_tokens": 8}
    files |= {"target_percentile": None, "source_percentile": None}
    words = parallel_text(**files, tokenizer="whitespace")
    pieces = parallel_text(**files, tokenizer=partial(BpeTokenizer, vocab_size=40, words="whitespace"))
    for split in ("train", "valid"):
        one, other = getattr(words, split), getattr(pieces, split)
        assert [one.target_text(n) for n in range(len(one))] == [other.target_text(n) for n in range(len(other))]
    assert words.statistics == pieces.statistics


def test_nothing_is_learned_from_held_out_sentences() -> None:
    data = questions(partial(BpeTokenizer, vocab_size=200))
    train = [data.train.target_text(n) for n in range(len(data.train))]
    again = BpeTokenizer("en", vocab_size=200)
    folder = Path(data.target_tokenizer.file).parent.parent / "again"  # type: ignore[attr-defined]
    folder.mkdir()
    again.train(train, folder)
    assert again.trained(folder).identity == data.target_tokenizer.identity


def test_training_happens_once_and_changes_the_key_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    data = questions(partial(BpeTokenizer, vocab_size=200))

    def fail(*arguments: Any) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr("sentencepiece.SentencePieceTrainer.train", fail)
        assert questions(partial(BpeTokenizer, vocab_size=200)).fingerprint == data.fingerprint
    fingerprints = {
        questions(partial(kind, vocab_size=size), joint=joint).fingerprint
        for kind, size, joint in [(BpeTokenizer, 200, True), (BpeTokenizer, 199, False), (UnigramTokenizer, 200, False)]
    }
    assert len({*fingerprints, data.fingerprint}) == 4


class SilentPieces(BpeTokenizer):
    """Loses sentences with a 7 after training."""

    by_word = False

    def pieces(self, text: str) -> list[str]:
        return [] if "7" in text else super().pieces(text)


def test_a_side_that_is_empty_after_tokenization_is_an_error(write_lines: Callable[..., Path]) -> None:
    lines = [f"le mot {n}" for n in range(20)]
    path = str(write_lines("a.fr", *lines)), str(write_lines("a.en", *(line.replace("mot", "word") for line in lines)))
    pieces = partial(SilentPieces, vocab_size=20, words="whitespace")
    with pytest.raises(DataError, match="2 of 20 pairs have a side without tokens"):
        parallel_text(source=path[0], target=path[1], tokenizer=pieces)


def test_the_books_words_are_lower_case_with_marks_apart() -> None:
    tokenizer = BookTokenizer("fr")
    assert tokenizer("J'ai perdu.") == ["j'ai", "perdu", "."]
    assert tokenizer("Va\u202f!  Non, vraiment ?") == ["va", "!", "non", ",", "vraiment", "?"]
    assert tokenizer.detokenize(["j'ai", "perdu", "."]) == "J'ai perdu."


def test_truecasing_lowers_a_first_word_that_is_lower_case_elsewhere() -> None:
    data = questions(TruecasedTokenizer)
    folder = data.target_tokenizer
    assert folder("Who saw Simon?")[0] == "who"
    assert folder("Simon saw who?")[0] == "Simon"
    assert folder.detokenize(["who", "saw", "Simon", "?"]) == "Who saw Simon?"


def test_truecasing_works_with_pieces() -> None:
    data = questions(partial(TruecasedTokenizer, tokenizer=partial(BpeTokenizer, vocab_size=200)))
    assert data.target_tokenizer("Who saw Simon?")[0] == "▁who"
    sample = data.valid[0]
    assert data.decode(sample.target[:, None]) == [sample.reference]


def test_truecasing_of_folded_text_is_refused() -> None:
    with pytest.raises(ParameterError, match="folds case"):
        TruecasedTokenizer("en", tokenizer="whitespace")  # type: ignore[arg-type]
