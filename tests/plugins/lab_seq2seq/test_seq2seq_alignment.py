"""Alignment error rate: readers of alignments, the rate itself, and attention against alignments."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.alignment import (
    Aer,
    Alignment,
    ErrorCounts,
    attention_errors,
    embedded_alignments,
    read_alignments,
    word_numbers,
)
from lab_seq2seq.losses import Seq2SeqLoss
from lab_seq2seq.models import Seq2SeqRNN
from lab_seq2seq.report import alignment_section
from lab_seq2seq.steppers import TeacherForcing
from lab_seq2seq.transformer import Transformer
from lab_text.parallel import TranslationData, fr_en_questions, parallel_text
from lab_text.tokenizers import CharacterTokenizer

from lab.errors import DataError, ParameterError
from lab.training import Learner

WORDS = {"un": "one", "deux": "two", "trois": "three", "quatre": "four", "cinq": "five", "six": "six"}
GOLD = {0: Alignment(frozenset({(0, 0)}), frozenset({(0, 0), (2, 1)})), 1: Alignment(frozenset(), frozenset({(1, 0)}))}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write_lines(name: str, *lines: str) -> str:
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(tmp_path / name)

    return write_lines


@pytest.fixture
def reversed_pairs(write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Numbers in French, and in English from the last to the first; three words each."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    french = [[one, other, third] for one in WORDS for other in WORDS for third in WORDS]
    files = {
        "source": write("a.fr", *map(" ".join, french)),
        "target": write("a.en", *(" ".join(WORDS[word] for word in reversed(words)) for words in french)),
    }
    return partial(parallel_text, **files, tokenizer="whitespace", holdout=0.2)


def test_both_formats_are_read(write: Callable[..., str]) -> None:
    pharaoh = write("gold.pharaoh", "0-0 2p1", "1?0")
    naacl = write("gold.naacl", "0001 1 1 S", "1 3 2 P 0.5", "2 2 1 P")
    assert read_alignments(pharaoh) == read_alignments(naacl) == GOLD
    assert read_alignments(write("empty line", "", "0-0"), "pharaoh")[0] == Alignment(frozenset(), frozenset())
    assert read_alignments(write("no mark", "1 1 1"))[0].sure == {(0, 0)}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0-0", "0_1"], r"not an alignment: '0_1'\n  .*, line 2"),
        (["1 1 1 S", "1 0 1 S"], r"not an alignment: '1 0 1 S'\n  .*, line 2\n  it reads 1 2 3 S, counted from 1"),
        (["1 1"], "not an alignment: '1 1'"),
        ([""], "there are no alignments"),
    ],
    ids=str,
)
def test_what_is_no_alignment_is_named_with_its_line(lines: list[str], message: str, write: Callable[..., str]) -> None:
    with pytest.raises(DataError, match=message):
        read_alignments(write("gold", *lines))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match="cannot read alignments"):
        read_alignments("nowhere")


def test_the_error_rate_counts_possible_links_as_no_error() -> None:
    gold = Alignment(frozenset({(0, 0), (1, 1)}), frozenset({(0, 0), (1, 1), (2, 2)}))
    counts = ErrorCounts()
    counts.add([(0, 0), (2, 2), (3, 3)], gold)
    assert counts.error_rate == pytest.approx(1 - (1 + 2) / (3 + 2))
    assert (counts.precision, counts.recall) == (pytest.approx(2 / 3), 0.5)


def test_pieces_of_a_word_have_its_number() -> None:
    assert word_numbers(["▁Der", "▁Hunde", "besitzer", "."], "Der  Hundebesitzer.") == [0, 1, 1, 1]
    assert word_numbers(["a", "▁", "b", "c"], "a bc") == [0, 1, 1, 1]
    with pytest.raises(DataError, match="the token 'cat' is not where it should be"):
        word_numbers(["the", "cat"], "the dog")


class Reverse(torch.nn.Module):
    """Attends to the source from its last word to its first, in the second head of two, and to the end in the first."""

    bos_id = 0

    def attention_weights(self, source: torch.Tensor, target: torch.Tensor) -> Any:
        words = int((source[:, 0] != 1).sum()) - 1
        cross = torch.zeros(1, 2, source.shape[1], len(target), len(source))
        for step in range(len(target)):
            cross[:, 0, :, step, words] = 1
            cross[:, 1, :, step, max(0, words - 1 - step)] = 1
        return SimpleNamespace(cross=cross)


def test_attention_is_compared_by_layer_and_head(reversed_pairs: Callable[..., Any]) -> None:
    data: TranslationData = reversed_pairs()
    gold = {n: Alignment(*[frozenset({(0, 2), (1, 1), (2, 0)})] * 2) for n in range(len(data.valid))}
    counts = attention_errors(Reverse(), data, gold, torch.device("cpu"))
    assert counts[1, 2].error_rate == 0
    assert counts[1, 1].error_rate == 1
    assert counts[1, 1].found == 0, "the end of the source is no word"
    assert set(counts) == {(1, 1), (1, 2), (1, None)}


def learner(data: TranslationData, model: Any, folder: Path, **options: Any) -> Learner:
    return Learner(
        model, data, Seq2SeqLoss(data.pad_id), stepper=TeacherForcing(data.pad_id, decay_epochs=None),
        callbacks=[Aer(**options)], folder=folder, progress=False, lr=1e-2, batch_size=32,
    )  # fmt: skip


def facts(data: TranslationData) -> dict[str, Any]:
    names = ("source_vocab_size", "target_vocab_size", "source_vectors", "target_vectors")
    return {name: getattr(data, name) for name in (*names, "pad_id", "bos_id", "eos_id", "max_length")}


def test_attention_that_is_learned_lowers_the_error_rate(
    reversed_pairs: Callable[..., Any], write: Callable[..., str], tmp_path: Path
) -> None:
    data = reversed_pairs()
    gold = write("gold", *["0-2 1-1 2-0"] * len(data.valid))
    torch.manual_seed(0)
    options = {"width": 16, "heads": 1, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 32, "dropout": 0.0}
    model = Transformer(**facts(data), **options, norm_first=True)
    trained = learner(data, model, tmp_path, file=gold)
    trained.fit(15)
    assert [set(row) & {"aer"} for row in trained.history] == [{"aer"}] * 15
    assert trained.history[-1]["aer"] < 0.4 < 0.6 < trained.history[0]["aer"]
    rows = json.loads((tmp_path / "artefacts" / "aer.json").read_text(encoding="utf-8"))
    assert [(row["layer"], row["head"]) for row in rows] == [(1, 1), (1, None)]
    assert rows[0]["aer"] == trained.history[-1]["aer"]


def test_a_transformer_has_a_rate_for_each_layer_and_head_in_the_report(
    reversed_pairs: Callable[..., Any], write: Callable[..., str], tmp_path: Path
) -> None:
    data = reversed_pairs()
    options = {"width": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 2, "feed_forward": 8}
    model = Transformer(**facts(data), **options)
    trained = learner(data, model, tmp_path, file=write("gold", "0-2 1-1 2-0"), layer=1, head=2)
    trained.fit(1)
    run: Any = SimpleNamespace(arm="base", seed=0, status="finished", folder=tmp_path)
    section = alignment_section([run])
    assert section is not None
    lines = section.text.splitlines()
    assert [line.split(":")[0] for line in lines] == ["base, layer 1", "base, layer 2"]
    assert f"{trained.history[0]['aer']:.3f}" in lines[0]
    assert '<th scope="col">head 2</th>' in section.html


def test_alignments_that_do_not_fit_the_data_are_refused(
    reversed_pairs: Callable[..., Any], write: Callable[..., str], tmp_path: Path
) -> None:
    data = reversed_pairs()
    model = Seq2SeqRNN(**facts(data), attention=AdditiveAttention, embedding_dim=8, hidden_size=8, layers=1)
    for lines, message in (
        (["0-0"] * 500, f"alignments of sentence 500, but {len(data.valid)} validation pairs"),
        (["0-0 5-1"], "sentence 1 has 3 source words, and a link to word 6"),
    ):
        with pytest.raises(DataError, match=message):
            learner(data, model, tmp_path, file=write("gold", *lines)).fit(1)


def test_a_layer_that_does_not_exist_is_named(
    reversed_pairs: Callable[..., Any], write: Callable[..., str], tmp_path: Path
) -> None:
    data = reversed_pairs()
    model = Seq2SeqRNN(**facts(data), attention=AdditiveAttention, embedding_dim=8, hidden_size=8, layers=1)
    with pytest.raises(ParameterError, match="there is no layer 3 with head None"):
        learner(data, model, tmp_path, file=write("gold", "0-0"), layer=3).fit(1)


def test_a_model_without_attention_is_left_out(
    reversed_pairs: Callable[..., Any], write: Callable[..., str], tmp_path: Path
) -> None:
    data = reversed_pairs()
    model = Seq2SeqRNN(**facts(data), embedding_dim=8, hidden_size=8, layers=1)
    trained = learner(data, model, tmp_path, file=write("gold", "0-0"))
    trained.fit(1)
    assert "aer" not in trained.history[0]


def test_a_file_is_needed(reversed_pairs: Callable[..., Any], tmp_path: Path) -> None:
    data = reversed_pairs()
    model = Seq2SeqRNN(**facts(data), attention=AdditiveAttention, embedding_dim=8, hidden_size=8, layers=1)
    with pytest.raises(ParameterError, match="no file of alignments was given"):
        learner(data, model, tmp_path).fit(1)


def test_layers_count_from_1() -> None:
    with pytest.raises(ParameterError, match="layer counts from 1, got 0"):
        Aer(file="gold", layer=0)


@pytest.mark.parametrize("tokenizer", ["spacy", CharacterTokenizer], ids=["words", "characters"])
def test_the_embedded_corpus_knows_its_alignment(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    data = fr_en_questions(pairs=100, tokenizer=tokenizer)
    gold = embedded_alignments(data.valid)
    assert len(gold) == len(data.valid)
    source, target = data.valid.source_text(0).split(), data.valid.target_text(0).split()
    pairs = {(source[french].strip("?,."), target[english].strip("?,.")) for french, english in gold[0].sure}
    assert {("secrétaires", "secretaries"), ("espions", "spies"), ("journal", "newspaper")} <= pairs
    counts = attention_errors(Reverse(), data, gold, torch.device("cpu"))
    assert 0 < counts[1, 2].error_rate < 1


def test_other_pairs_have_no_embedded_alignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    data = fr_en_questions(pairs=100, reverse=True, tokenizer="whitespace")
    with pytest.raises(DataError, match="the pairs are not those of the embedded corpus, French to English"):
        embedded_alignments(data.valid)
