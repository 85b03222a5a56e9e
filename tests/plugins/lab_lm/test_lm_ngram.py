"""Modified Kneser–Ney: worked numbers, and a model as an arm."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from lab_lm.data import text
from lab_lm.ngram import KneserNey, KneserNeyLM, _discounts

from lab.errors import ParameterError


def _reference(ids, vocab_size, order):
    """Probabilities by the definition, with dictionaries."""
    raw = {n: Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)) for n in range(1, order + 1)}
    counts = {order: raw[order]}
    for n in range(1, order):
        counts[n] = Counter(gram[1:] for gram in raw[n + 1])
        # the n-gram at the start of the text has no token before it
        counts[n].setdefault(tuple(ids[:n]), 1)
    discounts = {n: (0.0, *_discounts(np.array(list(counts[n].values())))) for n in counts}

    def probability(context, token, n):
        if n == 0:
            return 1 / vocab_size
        context = context[len(context) - n + 1 :]
        follow = {gram[-1]: count for gram, count in counts[n].items() if gram[:-1] == tuple(context)}
        if not follow:
            return probability(context[1:], token, n - 1)
        total, taken = sum(follow.values()), [discounts[n][min(c, 3)] for c in follow.values()]
        count = follow.get(token, 0)
        own = (count - discounts[n][min(count, 3)]) / total if count else 0.0
        return own + sum(taken) / total * probability(context[1:], token, n - 1)

    return probability


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_are_those_of_the_definition(order):
    ids = np.random.default_rng(0).integers(0, 6, 400) ** 2 // 5
    model, probability = KneserNey(ids, 6, order), _reference(list(ids), 6, order)
    contexts = np.array([ids[i : i + order - 1] for i in range(30)] + [[5] * (order - 1)], np.int64).reshape(
        31, order - 1
    )
    found = model.probabilities(contexts)
    for row, context in zip(found, contexts.tolist(), strict=True):
        assert row.tolist() == pytest.approx([probability(context, token, order) for token in range(6)])


def test_probabilities_sum_to_one_whatever_was_seen():
    ids = np.random.default_rng(1).integers(0, 40, 300)
    model = KneserNey(ids, 50, 4)
    contexts = np.random.default_rng(2).integers(-1, 50, (60, 3))
    assert model.probabilities(contexts).sum(1) == pytest.approx(1.0)
    assert (model.probabilities(contexts) > 0).all()


def test_discounts_are_those_of_chen_and_goodman():
    # n1 = 4, n2 = 2, n3 = 1, n4 = 1: Y = 1/2, D1 = 1 - 2·2/4/2, D2 = 2 - 3/2·1/2, D3 = 3 - 4/2·1
    assert _discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4])) == pytest.approx((0.5, 1.25, 1.0))
    assert _discounts(np.array([1, 1, 2])) == (0.5, 1.0, 1.5)


def test_windows_that_continue_are_the_whole_text(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cats.txt"
    path.write_text("the cat sat on the mat\nthe dog sat on the cat\n" * 20, encoding="utf-8")
    data = text(path=str(path), bptt=4)
    model = KneserNeyLM(data, data.vocab_size, order=3).eval()
    tokens = torch.from_numpy(np.asarray(data.valid.ids[:12], np.int64)).unsqueeze(1)
    whole = model(tokens)
    pieces = [model(piece, continues=number > 0) for number, piece in enumerate(tokens.split(5))]
    torch.testing.assert_close(torch.cat(pieces), whole)
    assert whole.exp().sum(2).flatten().tolist() == pytest.approx([1.0] * 12, abs=1e-5)


def test_an_order_out_of_range_is_refused():
    with pytest.raises(ParameterError, match="order must lie between 1 and 9, got 0"):
        KneserNeyLM(None, 5, order=0)
