from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.fused.layout import Layout, known_runs
from lab_seq2seq.models import Seq2SeqRNN, sentence_lengths

from lab.errors import ParameterError, ShapeError
from lab.training import Streams
from tests.plugins.lab_seq2seq.conftest import EOS, FACTS, PAD


def paired(make_model: Any, **options: Any) -> dict[str, torch.Tensor]:
    with Streams(5).initializing():
        return make_model(**options).state_dict()


@pytest.mark.parametrize("xavier_init", [False, True])
@pytest.mark.parametrize(
    "options", [{"attention": AdditiveAttention}, {"tie_output": False}, {"mask_padding": False}], ids=str
)
def test_parts_in_common_start_from_the_same_weights(
    options: dict[str, Any], xavier_init: bool, make_model: Any
) -> None:
    plain, other = (paired(make_model, **each, xavier_init=xavier_init) for each in ({}, options))
    shared = [name for name in plain if name in other and not name.startswith("output.")]
    assert {name.split(".")[0] for name in shared} >= {"encoder", "bridge", "embedding", "decoder"}
    for name in shared:
        assert torch.equal(plain[name], other[name]), name


def test_another_decoder_leaves_the_encoder_as_it_was(make_model: Any) -> None:
    one, two = (
        paired(make_model, vocab=20),
        paired(make_model, vocab=20, attention=AdditiveAttention, decoder_dropout=0.5),
    )
    with Streams(5).initializing():
        sizes = Seq2SeqRNN(20, 33, **FACTS, max_length=9, embedding_dim=12, hidden_size=10)
    for name in (name for name in one if name.startswith("encoder.")):
        assert torch.equal(one[name], two[name])
        assert torch.equal(one[name], sizes.state_dict()[name])


def test_a_bidirectional_encoder_shares_the_source_embedding_and_the_decoder(make_model: Any) -> None:
    one, two = paired(make_model), paired(make_model, bidirectional=True)
    for name in (name for name in one if name.startswith(("encoder.embedding", "embedding", "decoder"))):
        assert torch.equal(one[name], two[name])


def test_another_seed_gives_other_weights(make_model: Any) -> None:
    with Streams(6).initializing():
        other = make_model().state_dict()
    assert not torch.equal(
        paired(make_model)["encoder.recurrent.rnn.weight_ih_l0"], other["encoder.recurrent.rnn.weight_ih_l0"]
    )


def test_the_lessons_values_are_the_defaults() -> None:
    model = Seq2SeqRNN(30, 40, **FACTS, max_length=9, bidirectional=True, attention=AdditiveAttention)
    assert model.encoder.recurrent.rnn.hidden_size == 256
    assert model.encoder.embedding.embedding_dim == model.decoder.rnn.hidden_size == 300
    assert [model.encoder.recurrent.rnn.num_layers, model.decoder.rnn.num_layers] == [2, 2]
    dropouts = [model.encoder.embedding_dropout.p, model.encoder.recurrent.rnn.dropout, model.bridge.dropout.p]
    assert [*dropouts, model.decoder.rnn.dropout, model.output_dropout.p] == [0.15, 0.25, 0.05, 0.1, 0.35]
    assert model.bridge.maps[0].weight.shape == (300, 512)
    assert model.attention.key_weight.shape == (512, 300)
    assert model.context.weight.shape == (300, 812)


def test_the_bridge_drops_nothing_behind_one_direction() -> None:
    assert Seq2SeqRNN(30, 40, **FACTS, max_length=9).bridge.dropout.p == 0


def test_the_output_weight_is_the_target_embedding(make_model: Any) -> None:
    model = make_model()
    assert model.output.weight is model.embedding.weight
    assert make_model(tie_output=False).output.weight is not model.embedding.weight


def test_padding_does_not_change_a_sentence(make_model: Any) -> None:
    model = make_model(attention=AdditiveAttention, bidirectional=True).eval()
    source, target = torch.randint(4, 20, (4, 1)), torch.randint(4, 20, (3, 1))
    longer = torch.cat([source, torch.full((3, 1), PAD)])
    both = torch.cat([longer, torch.randint(4, 20, (7, 1))], 1)
    alone = model(source, target, [True] * 3)
    torch.testing.assert_close(model(longer, target, [True] * 3), alone)
    torch.testing.assert_close(model(both, target.expand(3, 2), [True] * 3)[:, :1], alone)


def test_without_masking_padding_is_read(make_model: Any) -> None:
    model = make_model(mask_padding=False).eval()
    source, target = torch.randint(4, 20, (4, 1)), torch.randint(4, 20, (3, 1))
    longer = torch.cat([source, torch.full((3, 1), PAD)])
    assert not torch.allclose(model(longer, target), model(source, target))


def test_two_directions_stand_side_by_side(make_model: Any) -> None:
    encoder = make_model(bidirectional=True, mask_padding=False).encoder.eval()
    encoded = encoder(torch.randint(4, 20, (5, 3)))
    hidden = encoded.hidden[0]
    assert hidden.shape == (2, 3, 20)
    torch.testing.assert_close(hidden[1, :, :10], encoded.keys[-1, :, :10])
    torch.testing.assert_close(hidden[1, :, 10:], encoded.keys[0, :, 10:])


def test_free_running_stops_when_every_sentence_has_ended(make_model: Any) -> None:
    model = make_model().eval()
    with torch.no_grad():
        model.output.bias[EOS] = 1e4
    source = torch.randint(4, 20, (5, 3))
    assert len(model(source)) == 1
    assert len(model(source, at_least=4)) == 4
    with torch.no_grad():
        model.output.bias[EOS] = -1e4
    assert len(model(source)) == model.max_length


def test_first_input_is_bos_whatever_the_forcing_mask(make_model: Any) -> None:
    model = make_model().eval()
    source, target = torch.randint(4, 20, (5, 3)), torch.randint(4, 20, (2, 3))
    assert torch.equal(model(source, target, [False, True]), model(source, target, [True, True]))


def test_given_vectors_are_the_first_weights(make_model: Any) -> None:
    vectors = torch.randn(20, 12)
    model = Seq2SeqRNN(
        20, 20, vectors, vectors * 2, pad_id=PAD, bos_id=0, eos_id=EOS, max_length=9, embedding_dim=12, hidden_size=4
    )
    assert torch.equal(model.encoder.embedding.weight, vectors)
    assert torch.equal(model.embedding.weight, vectors * 2)


def test_xavier_draws_every_gate_for_itself_and_makes_biases_zero(make_model: Any) -> None:
    model = make_model(attention=AdditiveAttention, xavier_init=True)
    recurrent = model.decoder.rnn
    for gate in recurrent.weight_ih_l0.chunk(3):
        bound = (6 / sum(gate.shape)) ** 0.5
        assert 0.9 * bound < gate.abs().max() <= bound
    biases = [weight for name, weight in model.named_parameters() if name.rpartition(".")[2].startswith("bias")]
    assert len(biases) > 4
    assert not any(bias.any() for bias in biases)


def test_xavier_makes_words_without_vectors_small_and_keeps_those_that_were_given() -> None:
    options = {"pad_id": PAD, "bos_id": 0, "eos_id": EOS, "max_length": 9, "embedding_dim": 12, "xavier_init": True}
    vectors = torch.randn(200, 12)
    model = Seq2SeqRNN(200, 200, vectors, None, **options)
    assert torch.equal(model.encoder.embedding.weight, vectors)
    assert model.embedding.weight.std().item() == pytest.approx(0.1, rel=0.1)
    assert not model.embedding.weight[PAD].any()


def test_vectors_of_another_width_say_what_to_set() -> None:
    with pytest.raises(ParameterError) as failure:
        Seq2SeqRNN(20, 20, torch.zeros(20, 100), None, pad_id=PAD, bos_id=0, eos_id=EOS, max_length=9)
    assert str(failure.value) == (
        "the source vectors are 100 wide, but embedding_dim is 300\n  Seq2SeqRNN\n"
        "  set architecture.embedding_dim=100, or give the dataset vectors of width 300"
    )


def test_vectors_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(ParameterError) as failure:
        Seq2SeqRNN(20, 20, None, torch.zeros(21, 300), pad_id=PAD, bos_id=0, eos_id=EOS, max_length=9)
    assert str(failure.value) == "21 target vectors for a vocabulary of 20 words\n  Seq2SeqRNN"


def test_an_unknown_cell_is_refused(make_model: Any) -> None:
    with pytest.raises(ParameterError) as failure:
        make_model(cell="gro")
    assert str(failure.value) == "unknown cell 'gro'\n  Seq2SeqRNN\n  one of: gru, lstm, rnn"


def test_attention_at_another_moment_is_refused(make_model: Any) -> None:
    with pytest.raises(ParameterError, match="attend must be 'before' or 'after', not 'during'"):
        make_model(attention=AdditiveAttention, attend="during")


def test_attention_after_the_step_has_the_weights_of_attention_before_it(make_model: Any) -> None:
    before, after = (paired(make_model, attention=AdditiveAttention, attend=attend) for attend in ("before", "after"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_target_of_another_batch_gives_both_shapes(make_model: Any) -> None:
    with pytest.raises(ShapeError) as failure:
        make_model()(torch.ones(5, 3, dtype=torch.long), torch.ones(4, 2, dtype=torch.long))
    assert str(failure.value) == (
        "a target must have the shape (T, 3), got (4, 2) for a source of (5, 3)\n  Seq2SeqRNN\n"
        "  sequences are time first: (steps, batch)"
    )


def test_a_source_without_batch_is_refused(make_model: Any) -> None:
    with pytest.raises(ShapeError) as failure:
        make_model()(torch.ones(5, dtype=torch.long))
    assert str(failure.value) == "a source must have the shape (S, B), got (5,)\n  Seq2SeqRNN"


def test_a_forcing_mask_of_another_length_is_refused(make_model: Any) -> None:
    with pytest.raises(ShapeError) as failure:
        make_model()(torch.ones(5, 3, dtype=torch.long), torch.ones(4, 3, dtype=torch.long), [True])
    assert str(failure.value) == "a forcing mask of 1 for 4 steps\n  Seq2SeqRNN"


def test_a_forcing_mask_without_a_target_is_refused(make_model: Any) -> None:
    with pytest.raises(ParameterError) as failure:
        make_model()(torch.ones(5, 3, dtype=torch.long), None, [True])
    assert str(failure.value) == "forced needs a target\n  Seq2SeqRNN"


def test_layout_puts_the_longest_first_and_counts_unfinished_sentences() -> None:
    tokens = torch.tensor([[5, 6, 7], [8, EOS, 9], [EOS, PAD, 9], [PAD, PAD, EOS]])
    layout = Layout.of(sentence_lengths(tokens, PAD), tokens)
    assert layout.order.tolist() == [2, 0, 1]
    assert layout.sizes == [3, 3, 2, 1]
    assert layout.take(tokens).tolist() == [7, 5, 6, 9, 8, EOS, 9, EOS, EOS]


def test_a_sentence_of_padding_alone_has_one_step() -> None:
    assert sentence_lengths(torch.full((3, 2), PAD), PAD).tolist() == [1, 1]


def test_known_runs_cover_every_step() -> None:
    assert known_runs([True, False, True, True], multi_step=True) == [(0, 1), (1, 4)]
    assert known_runs([True, True], multi_step=False) == [(0, 1), (1, 2)]
