from __future__ import annotations

import pytest
import torch
from lab_attention.attention import AdditiveAttention, masked_softmax
from lab_attention.blocks import BlockOptions, DecoderBlock, EncoderBlock
from lab_attention.multihead import (
    MultiHeadAttention,
    MultiHeadPooling,
    attention_weights,
    dot_product_attention,
)
from lab_attention.positions import (
    AlibiPositions,
    LearnedPositions,
    NoPositions,
    RotaryPositions,
    SinusoidalPositions,
    positions_factory,
)
from torch import Tensor, nn

from lab.errors import DataError, ParameterError

B, T, S, E, H, F = 3, 5, 7, 16, 4, 32
PLAIN = NoPositions(E, H)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lengths_mask(lengths: list[int], steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)  # (B, S)


def copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        for linear in (ours.query, ours.key, ours.value, ours.output):
            linear.bias.normal_()
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())


def copy_rest(ours: EncoderBlock | DecoderBlock, theirs: nn.Module, norms: list[nn.Module]) -> None:
    theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.outer.state_dict())
    for number, norm in enumerate(norms, 1):
        nn.init.normal_(norm.weight)
        getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_encoder_block_equals_torchs_layer(norm_first: bool, activation: str) -> None:
    ours = EncoderBlock(BlockOptions(E, H, F, norm_first=norm_first, activation=activation))
    theirs = nn.TransformerEncoderLayer(E, H, F, 0.0, activation, batch_first=True, norm_first=norm_first)
    copy_attention(ours.attention, theirs.self_attn)
    copy_rest(ours, theirs, [ours.attention_norm, ours.feed_forward_norm])
    x, mask = random(1, B, S, E), lengths_mask([7, 4, 1], S)
    expected = theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask[:, None, None], PLAIN)[mask], expected[mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_decoder_block_equals_torchs_layer_with_and_without_its_cache(norm_first: bool) -> None:
    ours = DecoderBlock(BlockOptions(E, H, F, norm_first=norm_first))
    theirs = nn.TransformerDecoderLayer(E, H, F, 0.0, batch_first=True, norm_first=norm_first)
    copy_attention(ours.attention, theirs.self_attn)
    copy_attention(ours.cross, theirs.multihead_attn)
    copy_rest(ours, theirs, [ours.attention_norm, ours.cross_norm, ours.feed_forward_norm])
    x, memory, mask = random(1, B, T, E), random(2, B, S, E), lengths_mask([7, 4, 1], S)
    causal = nn.Transformer.generate_square_subsequent_mask(T)
    expected = theirs(x, memory, tgt_mask=causal, memory_key_padding_mask=~mask)
    source, cache, steps = ours.cross.project(memory), None, []
    whole, _ = ours(x, source, mask[:, None, None], PLAIN)
    for step in range(T):
        out, cache = ours(x[:, step : step + 1], source, mask[:, None, None], PLAIN, cache)
        steps.append(out)
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.cat(steps, 1), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["none", "sinusoidal", "learned", "rotary", "alibi"])
@pytest.mark.parametrize("options", [{"activation": "swiglu"}, {"norm": "rms", "norm_first": True}], ids=str)
def test_cached_steps_equal_the_whole_with_every_position(name: str, options: dict[str, object]) -> None:
    positions, block = positions_factory(name)(E, H), DecoderBlock(BlockOptions(E, H, F, **options))
    x, source, cache, steps = random(1, B, T, E), block.cross.project(random(2, B, S, E)), None, []
    whole, _ = block(positions.add(x), source, None, positions)
    for step in range(T):
        out, cache = block(positions.add(x[:, step : step + 1], step), source, None, positions, cache)
        steps.append(out)
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-5, atol=1e-5)


def test_the_books_shapes_with_values_of_their_own() -> None:
    query, keys = random(1, 2, 1, 2), torch.ones(2, 10, 2)
    values = torch.arange(40.0).reshape(1, 10, 4).repeat(2, 1, 1)
    mask = lengths_mask([2, 6], 10).unsqueeze(1)
    # Equal keys have equal weights: the mean of the first 2 and the first 6 values.
    expected = torch.tensor([[[2.0, 3, 4, 5]], [[10.0, 11, 12, 13]]])
    torch.testing.assert_close(dot_product_attention(query, keys, values, mask), expected)
    torch.testing.assert_close(attention_weights(query, keys, mask) @ values, expected)


def test_a_query_without_any_key_has_the_weight_0_and_a_finite_gradient() -> None:
    query, keys = random(1, 2, 1, 4).requires_grad_(), random(2, 2, 3, 4).requires_grad_()
    mask = torch.tensor([[[False] * 3], [[True] * 3]])
    for bias in (None, torch.ones(1, 3)):
        pooled = dot_product_attention(query, keys, keys, mask, bias)
        assert pooled[0].tolist() == [[0.0] * 4]
        by_weights = attention_weights(query, keys, mask, bias) @ keys
        torch.testing.assert_close(pooled, by_weights)
        for gradient in torch.autograd.grad(by_weights.sum(), (query, keys)):
            assert torch.isfinite(gradient).all()


def test_a_sentence_of_padding_has_the_weight_0_in_recurrent_attention() -> None:
    attention, keys, query = AdditiveAttention(4, 4), random(1, S, 2, 4).requires_grad_(), random(2, 2, 4)
    mask = torch.ones(S, 2, dtype=torch.bool)
    mask[:, 0] = False
    context, weights = attention(query, keys, mask)
    assert not weights[:, 0].any()
    assert not context[0].any()
    assert torch.isfinite(torch.autograd.grad(context.sum(), keys)[0]).all()
    assert masked_softmax(torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.bool)).tolist() == [[0.0], [0.0]]


def test_dropout_on_the_weights_acts_in_training_alone() -> None:
    attention = MultiHeadPooling(E, E, heads=2, dropout=0.5)
    query, keys = random(1, B, E), random(2, S, B, E)
    assert not torch.equal(attention(query, keys)[0], attention(query, keys)[0])
    attention.eval()
    torch.testing.assert_close(attention(query, keys)[0], attention(query, keys)[0])


def test_sinusoidal_positions_are_the_papers() -> None:
    added = SinusoidalPositions(32, 4).add(torch.zeros(1, 100, 32))[0]
    assert added[0].tolist() == [0.0, 1.0] * 16
    assert added[60, 6].item() == pytest.approx(torch.tensor(60 / 10_000 ** (6 / 32)).sin().item(), abs=1e-5)
    assert added[60, 7].item() == pytest.approx(torch.tensor(60 / 10_000 ** (6 / 32)).cos().item(), abs=1e-5)
    assert SinusoidalPositions(5, 1).add(torch.zeros(1, 3, 5)).shape == (1, 3, 5)


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    positions, query, key = RotaryPositions(8, 1), random(1, 1, 1, 1, 8), random(2, 1, 1, 1, 8)
    near = (positions.rotate(query, 3) * positions.rotate(key, 1)).sum()
    far = (positions.rotate(query, 40) * positions.rotate(key, 38)).sum()
    torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-4)


def test_rotary_positions_turn_each_pair_by_its_angle() -> None:
    x, place = random(1, 1, 1, 1, 8), 100
    first, second = x[0, 0, 0].chunk(2)
    turned = torch.complex(first, second) * torch.polar(torch.ones(4), place / 10_000 ** (torch.arange(4) / 4))
    expected = torch.cat([turned.real, turned.imag])
    torch.testing.assert_close(RotaryPositions(8, 1).rotate(x, place)[0, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_alibi_slopes_are_the_papers() -> None:
    bias = AlibiPositions(16, 8).bias(1, 3, torch.zeros(1))
    assert bias[:, 0, 0].tolist() == [-(2.0 ** -(head + 1)) * 2 for head in range(8)]
    assert len(AlibiPositions(12, 6).slopes) == 6


def test_a_sentence_longer_than_the_learned_positions_is_refused() -> None:
    with pytest.raises(DataError, match="a sentence of 5 tokens is longer than the 4 learned positions"):
        LearnedPositions(8, 2, longest=4).add(torch.zeros(1, 5, 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiHeadAttention(10, 4), "4 heads do not divide a width of 10"),
        (lambda: MultiHeadPooling(10, 4, heads=3), "3 heads do not divide a width of 10"),
        (lambda: RotaryPositions(6, 2), "rotary positions need heads of an even width, got 3"),
        (lambda: LearnedPositions(6, 2, longest=0), "longest must be at least 1"),
        (lambda: positions_factory("polar"), "unknown positions 'polar'"),
        (lambda: EncoderBlock(BlockOptions(8, 2, 8, norm="batch")), "unknown norm 'batch'"),
        (lambda: EncoderBlock(BlockOptions(8, 2, 8, activation="elu")), "unknown activation 'elu'"),
    ],
)
def test_options_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()
