from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lab_seq2seq.metrics import Bleu, BookBleu, ChrF, TokenPerplexity

from lab.errors import DataError, ParameterError
from lab.training import Data
from tests.plugins.lab_seq2seq.conftest import EOS, PAD, Batch, ToyTranslation


def logits_of(ids: torch.Tensor, size: int) -> torch.Tensor:
    return 20.0 * torch.nn.functional.one_hot(ids, size).float()


@pytest.fixture
def perfect(data: ToyTranslation) -> tuple[torch.Tensor, Batch]:
    batch = data.collate([sample for sample in data.train if len(sample[1]) == 6])
    return logits_of(batch.target, data.target_vocab_size), batch


@pytest.mark.parametrize("metric", [Bleu, ChrF])
def test_a_perfect_translation_scores_100(metric: Any, data: ToyTranslation, perfect: Any) -> None:
    score = metric(data)
    score.update(perfect[0], perfect[1].target, batch=perfect[1])
    assert score.compute() == pytest.approx(100)
    assert score.higher_is_better


def test_what_follows_eos_does_not_count(data: ToyTranslation, perfect: Any) -> None:
    output, batch = perfect
    noise = torch.randn(4, *output.shape[1:])
    metric = Bleu(data)
    metric.update(torch.cat([output, noise]), batch.target, batch=batch)
    assert metric.compute() == pytest.approx(100)


def test_bleu_is_sacrebleus_against_the_original_text(data: ToyTranslation) -> None:
    import sacrebleu

    predictions, references = (
        ["where are the two cats ?", "who is it ?"],
        ["Where are the two black cats?", "Who is it?"],
    )
    metric = Bleu(data, lowercase=True)
    assert (
        metric.score(predictions, references) == sacrebleu.corpus_bleu(predictions, [references], lowercase=True).score
    )
    assert metric.signature.startswith("nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:")


def test_the_signature_of_chrf_names_its_word_order(data: ToyTranslation) -> None:
    metric = ChrF(data, word_order=2)
    metric.score(["a"], ["a"])
    assert "|nc:6|nw:2|" in metric.signature


def test_batches_add_up_and_reset_forgets(data: ToyTranslation, perfect: Any) -> None:
    output, batch = perfect
    metric = ChrF(data)
    metric.update(output.roll(1, 2), batch.target, batch=batch)
    assert metric.compute() < 100
    metric.reset()
    for at in range(len(batch.references)):
        part = Batch(batch.source[:, [at]], batch.target[:, [at]], batch.references[at : at + 1])
        metric.update(output[:, [at]], part.target, batch=part)
    assert metric.compute() == pytest.approx(100)


def test_logits_are_not_kept(data: ToyTranslation, perfect: Any) -> None:
    metric = Bleu(data)
    metric.update(perfect[0], perfect[1].target, batch=perfect[1])
    assert [ids.shape for ids in metric._predicted] == [perfect[1].target.shape]


def test_perplexity_ignores_padding() -> None:
    metric = TokenPerplexity(PAD)
    target = torch.tensor([[4, 5], [EOS, EOS], [PAD, PAD]])
    output = torch.zeros(3, 2, 8)
    output[2, :, 3] = 50.0
    metric.update(output, target)
    assert float(metric.compute()) == pytest.approx(8)
    assert not metric.higher_is_better
    assert math.isfinite(float(metric.compute()))


def test_data_that_cannot_write_text_is_refused() -> None:
    with pytest.raises(DataError) as failure:
        Bleu(Data([], []))
    assert str(failure.value) == "Data cannot turn ids into text\n  the data needs a method decode(ids)"


def test_the_books_bleu_is_its_formula(data: ToyTranslation) -> None:
    metric = BookBleu(data)
    expected = math.exp(1 - 6 / 5) * (4 / 5) ** 0.5 * (3 / 4) ** 0.25
    assert metric.score(["A B B C D"], ["a b c d e f"]) == pytest.approx(expected)
    assert metric.score(["go .", "", "go"], ["go .", "go .", "go"]) == pytest.approx(2 / 3)
    with pytest.raises(ParameterError, match="k must be at least 1, got 0"):
        BookBleu(data, k=0)
