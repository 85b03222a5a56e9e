from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_seq2seq.decode import alignments, beam_search, greedy, translate
from lab_seq2seq.losses import Seq2SeqLoss, seq2seq_loss
from lab_seq2seq.metrics import Bleu, TokenPerplexity
from lab_seq2seq.steppers import TeacherForcing
from lab_seq2seq.transformer import Transformer
from torch import Tensor

from lab.errors import DataError, ParameterError, ShapeError
from lab.training import Learner
from tests.plugins.lab_seq2seq.conftest import BOS, EOS, FACTS, PAD, ToyTranslation

SMALL = {"width": 16, "heads": 4, "encoder_layers": 2, "decoder_layers": 2, "feed_forward": 32, "dropout": 0.0}
POSITIONS = ["none", "sinusoidal", "learned", "rotary", "alibi"]


def transformer(data: Any, **options: Any) -> Transformer:
    torch.manual_seed(1)
    sizes = (data.source_vocab_size, data.target_vocab_size)
    return Transformer(*sizes, **FACTS, max_length=data.max_length, **{**SMALL, **options})


def pair(data: Any, count: int = 5) -> tuple[Tensor, Tensor]:
    batch = data.collate(data.valid[:count])
    return batch.source, batch.target


def uncached(model: Transformer, source: Tensor, length: int) -> Tensor:
    """Greedy translations without a cache: the whole prefix is computed at every step."""
    ids = source.new_zeros(0, source.shape[1])
    for _ in range(length):
        logits = model(source, torch.cat([ids, ids.new_zeros(1, ids.shape[1])]), [True] * (len(ids) + 1))
        ids = torch.cat([ids, logits[-1:].argmax(2)])
    return ids


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("options", [{}, {"norm_first": True, "norm": "rms", "activation": "swiglu"}], ids=str)
def test_steps_with_a_cache_equal_the_whole_pass(data: ToyTranslation, positions: str, options: dict[str, Any]) -> None:
    model = transformer(data, positions=positions, **options).eval()
    source, target = pair(data)
    whole = model(source, target, [True] * len(target))
    state, steps, tokens = model.start(source), [], torch.full_like(target[0], BOS)
    for number in range(len(target)):
        logits, state, weights = model.step(tokens, state)
        torch.testing.assert_close(weights.sum(0), torch.ones(source.shape[1]))
        assert not weights[source == PAD].any()
        steps.append(logits)
        tokens = target[number]
    torch.testing.assert_close(torch.stack(steps), whole, rtol=1e-5, atol=1e-5)


def test_cached_greedy_decoding_equals_uncached(data: ToyTranslation) -> None:
    model = transformer(data).eval()
    source, _ = pair(data)
    expected = uncached(model, source, data.max_length).t().tolist()
    for found, ids in zip(greedy(model, source), expected, strict=True):
        assert found.ids == ids[: ids.index(EOS) + 1 if EOS in ids else None]


def test_a_beam_of_1_is_greedy_and_a_wider_one_scores_no_less(data: ToyTranslation) -> None:
    model = transformer(data).eval()
    source, _ = pair(data)
    one, best = greedy(model, source), beam_search(model, source, 1)
    assert [found.ids for found in one] == [found.ids for found in best]
    alone = [beam_search(model, source[:, [at]], 3)[0] for at in range(source.shape[1])]
    together = beam_search(model, source, 3)
    assert [found.ids for found in together] == [found.ids for found in alone]


def test_sentences_do_not_see_the_padding_of_their_batch(data: ToyTranslation) -> None:
    model = transformer(data).eval()
    source, target = pair(data)
    padded = torch.cat([source, torch.full_like(source[:3], PAD)])
    first, second = (model(each, target, [True] * len(target)) for each in (source, padded))
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)


def test_packed_and_unprojected_outputs_have_the_loss_of_the_plain_one(data: ToyTranslation) -> None:
    model = transformer(data)
    source, target = pair(data)
    forced = [True] * len(target)
    losses = [
        seq2seq_loss(model(source, target, forced, **options), target, PAD)
        for options in ({}, {"packed": True}, {"packed": True, "unprojected": True})
    ]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0])


def test_steps_that_are_not_forced_get_the_models_own_predictions(data: ToyTranslation) -> None:
    model = transformer(data).eval()
    source, target = pair(data)
    free = model(source, target, [False] * len(target))
    generated = model(source, at_least=len(target))[: len(target)]
    torch.testing.assert_close(free, generated, rtol=1e-5, atol=1e-5)
    mixed = model(source, target, [step != 1 for step in range(len(target))])
    forced = model(source, target, [True] * len(target))
    torch.testing.assert_close(mixed[0], forced[0])
    inputs = torch.cat([forced[:1].argmax(2), target[1:]])
    torch.testing.assert_close(mixed, model(source, inputs, [True] * len(target)))


def test_weights_of_every_layer_and_head_agree_with_the_steps(data: ToyTranslation) -> None:
    model = transformer(data).eval()
    source, target = pair(data)
    weights = model.attention_weights(source, target)
    count, steps, places = source.shape[1], len(target), len(source)
    assert weights.encoder.shape == (2, 4, count, places, places)
    assert weights.decoder.shape == (2, 4, count, steps, steps)
    assert weights.cross.shape == (2, 4, count, steps, places)
    assert not weights.decoder.triu(1).any()
    torch.testing.assert_close(weights.cross[-1].mean(0).permute(1, 2, 0), alignments(model, source, target))


def test_an_embedding_may_be_shared_by_both_languages_and_the_output(data: ToyTranslation) -> None:
    torch.manual_seed(1)
    model = Transformer(20, 20, **FACTS, max_length=5, share_embedding=True, **SMALL)
    assert model.output.weight is model.source_embedding.weight
    assert sum(weight.shape == (20, 16) for weight in model.parameters()) == 1
    model(torch.full((3, 2), 4), torch.full((4, 2), 5)).sum().backward()
    assert len(model.layer_groups()[1]) == 4
    vectors = torch.ones(20, 16)
    given = Transformer(20, 20, vectors, None, PAD, BOS, EOS, 5, **SMALL)
    assert torch.equal(given.source_embedding.weight, vectors)


GOLDEN_TRAIN = [2.57345, 1.99026, 1.90921, 1.84830, 1.78005, 1.72064]
GOLDEN_VALID = [2.00399, 1.85383, 1.80358, 1.74678, 1.71427, 1.63724]


def trained(data: ToyTranslation, epochs: int) -> tuple[Learner, Any]:
    learner = Learner(
        transformer(data, dropout=0.1, norm_first=True),
        data,
        Seq2SeqLoss(PAD),
        stepper=TeacherForcing(PAD, decay_epochs=None),
        metrics={"bleu": Bleu(data), "ppl": TokenPerplexity(PAD)},
        batch_size=16,
        lr=0.005,
        progress=False,
        seed=1,
    )
    return learner, learner.fit(epochs)


def test_golden_loss_curve_of_a_transformer(data: ToyTranslation) -> None:
    learner, rows = trained(data, 6)
    assert [row["train_loss"] for row in rows] == pytest.approx(GOLDEN_TRAIN, rel=1e-3)
    assert [row["valid_loss"] for row in rows] == pytest.approx(GOLDEN_VALID, rel=1e-3)
    assert isinstance(translate(learner, "a b c", beam=3), str)


def test_a_transformer_learns_the_toy_language(data: ToyTranslation) -> None:
    _, rows = trained(data, 30)
    assert rows[-1]["valid_bleu"] > 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "3 heads do not divide a width of 16"),
        ({"encoder_layers": 0}, "encoder_layers must be at least 1, got 0"),
        ({"share_embedding": True, "target_vocab_size": 9}, "one embedding cannot serve vocabularies of 8 and 9 words"),
        ({"source_vectors": torch.zeros(8, 4)}, "the source vectors are 4 wide, but width is 16"),
        ({"source_vectors": torch.zeros(7, 16)}, "7 source vectors for a vocabulary of 8 words"),
        ({"positions": "polar"}, "unknown positions 'polar'"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    facts = {"source_vocab_size": 8, "target_vocab_size": 8, **FACTS, "max_length": 5}
    with pytest.raises(ParameterError, match=message):
        Transformer(**{**facts, **SMALL, **options})


def test_wrong_shapes_and_long_sentences_are_refused(data: ToyTranslation) -> None:
    from lab_attention.positions import LearnedPositions

    def four(**sizes: int) -> LearnedPositions:
        return LearnedPositions(**sizes, longest=4)

    with pytest.raises(DataError, match="longer than the 4 learned positions"):
        transformer(data, positions=four)(torch.full((5, 2), 4))
    with pytest.raises(ShapeError, match="a source must have the shape"):
        transformer(data)(torch.zeros(3, dtype=torch.long))
    with pytest.raises(ParameterError, match="unprojected=True needs packed=True"):
        transformer(data)(*pair(data), unprojected=True)
