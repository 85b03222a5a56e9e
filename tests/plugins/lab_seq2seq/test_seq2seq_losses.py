from __future__ import annotations

import pytest
import torch
from lab_seq2seq.losses import Seq2SeqLoss, seq2seq_loss
from torch.nn import functional

from lab.errors import ParameterError, ShapeError
from tests.plugins.lab_seq2seq.conftest import PAD

OUTPUT = torch.randn(4, 2, 7, generator=torch.Generator().manual_seed(1))
TARGET = torch.tensor([[4, 5], [6, 2], [2, PAD], [PAD, PAD]])


def test_ignore_is_the_mean_over_real_tokens() -> None:
    expected = functional.cross_entropy(OUTPUT.view(-1, 7), TARGET.view(-1), ignore_index=PAD)
    torch.testing.assert_close(seq2seq_loss(OUTPUT, TARGET, PAD), expected)


def test_count_is_the_mean_over_all_positions() -> None:
    expected = functional.cross_entropy(OUTPUT.view(-1, 7), TARGET.view(-1))
    torch.testing.assert_close(seq2seq_loss(OUTPUT, TARGET, PAD, padding="count"), expected)


def test_label_smoothing_is_torchs() -> None:
    expected = functional.cross_entropy(OUTPUT.view(-1, 7), TARGET.view(-1), ignore_index=PAD, label_smoothing=0.1)
    torch.testing.assert_close(seq2seq_loss(OUTPUT, TARGET, PAD, label_smoothing=0.1), expected)


def test_a_longer_output_is_cut() -> None:
    longer = torch.cat([OUTPUT, torch.randn(2, 2, 7)])
    assert torch.equal(seq2seq_loss(longer, TARGET, PAD), seq2seq_loss(OUTPUT, TARGET, PAD))


def test_a_shorter_output_counts_every_word_alike_for_the_rest() -> None:
    losses = functional.cross_entropy(OUTPUT[:1].view(-1, 7), TARGET[:1].view(-1), reduction="sum")
    expected = (losses + 3 * torch.log(torch.tensor(7.0))) / 5
    torch.testing.assert_close(seq2seq_loss(OUTPUT[:1], TARGET, PAD), expected)


def test_packed_logits_give_the_same_loss() -> None:
    packed = torch.nn.utils.rnn.pack_padded_sequence(OUTPUT, torch.tensor([3, 2]), enforce_sorted=False)
    torch.testing.assert_close(seq2seq_loss(packed, TARGET, PAD), seq2seq_loss(OUTPUT, TARGET, PAD))


def test_packed_logits_have_no_padding_to_count() -> None:
    packed = torch.nn.utils.rnn.pack_padded_sequence(OUTPUT, torch.tensor([3, 2]), enforce_sorted=False)
    with pytest.raises(ParameterError) as failure:
        seq2seq_loss(packed, TARGET, PAD, padding="count")
    assert str(failure.value) == "packed logits hold no padding to be counted\n  seq2seq_loss"


def test_weight_is_what_the_mean_is_over() -> None:
    assert Seq2SeqLoss(PAD).mean_over(None, TARGET) == 5
    assert Seq2SeqLoss(PAD, padding="count").mean_over(None, TARGET) == 2


def test_only_the_loss_that_ignores_padding_takes_packed_logits() -> None:
    assert Seq2SeqLoss(PAD).accepts_packed
    assert not Seq2SeqLoss(PAD, padding="count").accepts_packed


def test_another_batch_size_gives_both_shapes() -> None:
    with pytest.raises(ShapeError) as failure:
        seq2seq_loss(OUTPUT, TARGET[:, :1], PAD)
    assert str(failure.value) == (
        "the loss needs logits (T, B, V) and a target (T, B), got (4, 2, 7) and (4, 1)\n  seq2seq_loss"
    )


def test_an_unknown_padding_is_refused() -> None:
    with pytest.raises(ParameterError) as failure:
        Seq2SeqLoss(PAD, padding="ignored")
    assert str(failure.value) == "unknown padding 'ignored'\n  loss 'seq2seq_loss'\n  one of: ignore, count"


def test_label_smoothing_out_of_range_is_refused() -> None:
    with pytest.raises(ParameterError) as failure:
        Seq2SeqLoss(PAD, label_smoothing=1.0)
    assert str(failure.value) == "label_smoothing must lie in [0, 1), got 1.0\n  loss 'seq2seq_loss'"
