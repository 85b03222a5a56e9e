"""Masking in distribution, pairs of sentences, the encoder and its losses."""

from __future__ import annotations

import math

import pytest
import torch
from lab_lm.bert import (
    BERT,
    MaskedAccuracy,
    MaskedLoss,
    NextSentenceAccuracy,
    NextSentenceLoss,
    Remasked,
    bert_loss,
)
from lab_lm.masking import IGNORED, Masking, mask_tokens, unmasked
from lab_lm.pairs import CLS_ID, MASK_ID, SEP_ID, masked_pairs

from lab import Learner
from lab.errors import DataError, ParameterError

FIRST = 6


def _noise(*shape, seed=0):
    return torch.rand(*shape, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_masks_have_the_shares_of_the_paper():
    texts, length, vocabulary = 4000, 60, 106
    tokens = torch.full((texts, length), 50)
    masked, positions, labels = mask_tokens(tokens, _noise(texts, length), Masking(vocabulary, MASK_ID, FIRST))
    # exactly 15 % of 60
    assert positions.shape == (texts, 9)
    assert (labels == 50).all()
    became = masked.gather(1, positions).flatten()
    total = len(became)
    for share, is_it in ((0.8, became == MASK_ID), (0.1, (became != MASK_ID) & (became != 50))):
        # random tokens are the own one in 1 of 100
        expected = share if share == 0.8 else share * 0.99
        deviation = math.sqrt(expected * (1 - expected) / total)
        assert abs(float(is_it.float().mean()) - expected) < 4 * deviation
    # random tokens are uniform over the words: chi-square of 99 degrees of freedom, 149 is its 99.9 % quantile
    drawn = became[(became != MASK_ID) & (became != 50)]
    counts = torch.bincount(drawn, minlength=vocabulary)[FIRST:].double()
    counts = torch.cat([counts[: 50 - FIRST], counts[50 - FIRST + 1 :]])
    expected = len(drawn) / len(counts)
    assert float(((counts - expected).square() / expected).sum()) < 149
    # every position is chosen equally often: chi-square of 59 degrees of freedom
    places = torch.bincount(positions.flatten(), minlength=length).double()
    assert float(((places - total / length).square() / (total / length)).sum()) < 99


def test_special_tokens_are_never_predicted_and_one_token_always_is():
    tokens = torch.tensor([[CLS_ID, 9, SEP_ID, 8, SEP_ID, 0], [CLS_ID, 1, SEP_ID, 1, 1, SEP_ID]])
    for seed in range(30):
        _, positions, labels = mask_tokens(tokens, _noise(2, 6, seed=seed), Masking(20, MASK_ID, FIRST))
        assert positions.shape == (2, 1)
        assert set(labels[0].tolist()) <= {9, 8}
        assert labels[1].tolist() == [1]


def test_texts_of_other_lengths_have_other_numbers_of_masks():
    tokens = torch.full((2, 40), 9)
    tokens[1, 10:] = 0
    masked, positions, labels = mask_tokens(tokens, _noise(2, 40), Masking(20, MASK_ID, FIRST))
    assert (labels != IGNORED).sum(1).tolist() == [6, 2]
    assert (masked[1, 10:] == 0).all()
    assert torch.equal(unmasked(masked, positions, labels), tokens)


def test_a_text_of_special_tokens_leaves_nothing_to_predict():
    with pytest.raises(DataError, match="a text has no token to predict"):
        mask_tokens(torch.tensor([[CLS_ID, SEP_ID]]), _noise(1, 2), Masking(20, MASK_ID, FIRST))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    # the second sentence of a pair tells whether it follows: cats sleep, dogs bark
    lines = [
        "The cat sat. The cat slept. The cat purred." if n % 2 else "A dog ran. A dog barked. A dog howled."
        for n in range(80)
    ]
    (folder / "pets.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return masked_pairs(path=str(folder / "pets.txt"), max_length=16)


def test_a_pair_is_two_sentences_with_marks(data):
    batch = data.train.__getitems__([0, 1])
    tokens = unmasked(batch.tokens, batch.positions, batch.target[:, 1:])
    words = [data.vocab.tokens[number] for number in tokens[0].tolist()]
    assert words[:6] == ["<cls>", "a", "dog", "ran", ".", "<sep>"]
    assert batch.segments[0].tolist()[:7] == [0] * 6 + [1]
    if batch.target[0, 0]:
        assert words[6:11] == ["a", "dog", "barked", ".", "<sep>"]
    assert float(data.train.follows.float().mean()) == pytest.approx(0.5, abs=0.15)


def test_long_pairs_are_cut_at_the_longer_sentence(tmp_path):
    (tmp_path / "long.txt").write_text(("one two three four five six. seven eight.\n") * 10, encoding="utf-8")
    data = masked_pairs(path=str(tmp_path / "long.txt"), max_length=8, tokenizer="whitespace")
    assert max(map(len, data.train.ids)) <= 8
    assert all(ids[-1] == SEP_ID and (ids == SEP_ID).sum() == 2 for ids in data.train.ids)


def _model(data, **options):
    torch.manual_seed(0)
    return BERT(
        data.vocab_size,
        data.pad_id,
        data.max_length,
        **{"width": 16, "layers": 1, "feed_forward": 32, "dropout": 0.0, **options},
    )


def test_losses_of_a_model_that_knows_nothing(data):
    batch = data.train.__getitems__([0, 1, 2])
    output = torch.zeros(3, batch.target.shape[1], data.vocab_size)
    assert float(bert_loss(output, batch.target)) == pytest.approx(math.log(data.vocab_size) + math.log(2), rel=1e-5)
    for metric, value in ((MaskedLoss(), math.log(data.vocab_size)), (NextSentenceLoss(), math.log(2))):
        metric.update(output, batch.target)
        assert float(metric.compute()) == pytest.approx(value, rel=1e-5)


def test_padding_changes_no_prediction(data):
    model = _model(data).eval()
    batch = data.train.__getitems__([0, 1])
    padded = [torch.cat([part, part.new_zeros(2, 2)], 1) for part in (batch.tokens, batch.segments)]
    torch.testing.assert_close(model(*padded, batch.positions), model(batch.tokens, batch.segments, batch.positions))


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_small_model_learns_both_tasks(data, dynamic):
    metrics = {"masked": MaskedAccuracy(), "next": NextSentenceAccuracy()}
    options = {"stepper": Remasked()} if dynamic else {}
    learner = Learner(
        _model(data),
        data,
        bert_loss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        batch_size=16,
        metrics=metrics,
        progress=False,
        seed=1,
        **options,
    )
    first, *_, last = learner.fit(12)
    assert last["valid_loss"] < 0.7 * first["valid_loss"]
    assert last["valid_masked"] > first["valid_masked"]
    assert 0 <= last["valid_next"] <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "without masked tokens there is nothing to predict"),
        ({"mask_share": 0.9, "random_share": 0.2}, "sum to at most 1"),
        ({"max_length": 4}, "max_length must be at least 5, got 4"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        masked_pairs(**options)


def test_a_text_without_two_sentences_is_refused(tmp_path):
    (tmp_path / "one.txt").write_text("a b c\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no two sentences that follow each other"):
        masked_pairs(path=str(tmp_path / "one.txt"))
