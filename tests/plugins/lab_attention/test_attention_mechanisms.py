from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention, DotAttention, GeneralAttention, ScaledDotAttention

from lab.errors import ParameterError, ShapeError

ALL = [AdditiveAttention, DotAttention, GeneralAttention, ScaledDotAttention]


@pytest.mark.parametrize("kind", ALL)
def test_weights_are_a_distribution_over_the_source(kind: Any) -> None:
    context, weights = kind(6, 6)(torch.randn(3, 6), torch.randn(5, 3, 6))
    assert context.shape == (3, 6)
    torch.testing.assert_close(weights.sum(0), torch.ones(3))


@pytest.mark.parametrize("kind", ALL)
def test_padding_gets_no_weight_and_has_no_influence(kind: Any) -> None:
    attention, query, keys = kind(6, 6), torch.randn(2, 6), torch.randn(5, 2, 6)
    mask = torch.tensor([[1, 1], [1, 1], [1, 0], [0, 0], [0, 0]], dtype=torch.bool)
    context, weights = attention(query, keys, mask)
    assert torch.all(weights[~mask] == 0)
    changed, _ = attention(query, keys.masked_fill(~mask.unsqueeze(2), 100.0), mask)
    torch.testing.assert_close(changed, context)
    shorter, _ = attention(query[1:], keys[:2, 1:])
    torch.testing.assert_close(context[1:], shorter)


def test_additive_scores_are_bahdanaus_formula() -> None:
    attention, query, keys = AdditiveAttention(4, 3), torch.randn(2, 4), torch.randn(5, 2, 3)
    _, weights = attention(query, keys)
    for sentence in range(2):
        projected = attention.query_projection(query[sentence])
        scores = [
            torch.dot(attention.score_weight, torch.tanh(key @ attention.key_weight + projected))
            for key in keys[:, sentence]
        ]
        torch.testing.assert_close(weights[:, sentence], torch.stack(scores).softmax(0))


def test_dot_scores_are_inner_products() -> None:
    query, keys = torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]]])
    _, weights = DotAttention(2, 2)(query, keys)
    torch.testing.assert_close(weights[:, 0], torch.tensor([11.0, 2.0]).softmax(0))


def test_scaled_dot_agrees_with_torch() -> None:
    attention, query, keys = ScaledDotAttention(8, 6), torch.randn(2, 8), torch.randn(5, 2, 6)
    context, _ = attention(query, keys)
    expected = torch.nn.functional.scaled_dot_product_attention(
        attention.query_projection(query).unsqueeze(1),
        attention.key_projection(keys).transpose(0, 1),
        keys.transpose(0, 1),
    )
    torch.testing.assert_close(context, expected[:, 0])


def test_general_with_the_identity_is_dot() -> None:
    general, query, keys = GeneralAttention(4, 4), torch.randn(2, 4), torch.randn(5, 2, 4)
    with torch.no_grad():
        general.key_projection.weight.copy_(torch.eye(4))
    torch.testing.assert_close(general(query, keys)[1], DotAttention(4, 4)(query, keys)[1])


def test_dot_with_two_widths_says_what_to_set() -> None:
    with pytest.raises(ParameterError) as failure:
        DotAttention(300, 256)
    assert str(failure.value) == (
        "dot attention needs queries and keys of one width, got 300 and 256\n"
        "  attention 'dot'\n"
        "  make embedding_dim equal to the encoder's width (hidden_size, twice that when bidirectional), "
        "or take 'general'"
    )


def test_keys_of_another_width_give_both_shapes() -> None:
    with pytest.raises(ShapeError) as failure:
        AdditiveAttention(4, 3)(torch.randn(2, 4), torch.randn(5, 2, 7))
    assert str(failure.value) == "keys must have the shape (S, B, 3), got (5, 2, 7)\n  AdditiveAttention"


def test_another_batch_size_gives_both_shapes() -> None:
    with pytest.raises(ShapeError) as failure:
        AdditiveAttention(4, 3)(torch.randn(3, 4), torch.randn(5, 2, 3))
    assert (
        str(failure.value) == "a query must have the shape (B, 4), got (3, 4) for keys (5, 2, 3)\n  AdditiveAttention"
    )


def test_a_mask_of_another_shape_gives_both_shapes() -> None:
    with pytest.raises(ShapeError) as failure:
        DotAttention(3, 3)(torch.randn(2, 3), torch.randn(5, 2, 3), torch.ones(2, 5, dtype=torch.bool))
    assert str(failure.value) == "a mask must have the shape (S, B) = (5, 2), got (2, 5)\n  DotAttention"
