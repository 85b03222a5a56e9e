"""Consecutive spans of random length: the sampler of the char-rnn article."""

from __future__ import annotations

import pytest
import torch
from lab_text.consecutive import ConsecutiveSpans

from lab.errors import DataError, ParameterError


def _spans(size=100, bptt=10, batch_size=1, seed=0, **options):
    return ConsecutiveSpans(size, bptt, batch_size, torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_spans_follow_each_other_and_cover_the_blocks(batch_size):
    sampler, block = _spans(batch_size=batch_size), 1000 // batch_size
    spans = list(sampler)
    position = 0
    for windows in spans:
        assert [window.start for window in windows] == [
            position + row * 1000 // batch_size for row in range(batch_size)
        ]
        position += windows.length
    assert position == block
    assert len(spans) == len(sampler)


def test_every_span_but_the_first_continues():
    assert [windows.continues for windows in _spans()] == [False, *[True] * (len(_spans()) - 1)]


def test_lengths_spread_over_their_range():
    lengths = [windows.length for windows in _spans(size=2000)]
    assert (min(lengths), max(lengths)) == (10, 40)
    # Uniform on 10 to 40 has a standard deviation of 8.9.
    assert torch.tensor(lengths, dtype=torch.float).std() == pytest.approx(8.9, abs=0.7)


def test_another_epoch_has_other_lengths_but_as_many_batches():
    sampler = _spans()
    first, second = ([windows.length for windows in sampler] for _ in range(2))
    assert first != second
    assert len(first) == len(second) == len(sampler)


@pytest.mark.parametrize(("size", "lengths"), [(29, [10, 10]), (30, [10, 10, 10]), (10, [10])])
def test_a_remainder_that_no_span_fits_is_dropped(size, lengths):
    assert [windows.length for windows in _spans(size, 1, shortest=10, longest=10)] == lengths


def test_an_empty_range_is_refused():
    with pytest.raises(ParameterError, match="spans have 1 ≤ shortest ≤ longest, got 5 and 4"):
        _spans(shortest=5, longest=4)


def test_a_text_without_a_single_span_is_refused():
    with pytest.raises(DataError, match="a text of 9 positions is shorter than one batch of 1 spans of 10"):
        _spans(9, 1)
