"""Decoder-only Transformer: the cache, causality, positions, and generation."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lab_attention.positions import LearnedPositions
from lab_lm.gpt import GPT
from lab_text.generation import generate
from lab_text.losses import sequence_nll

from lab import Learner
from lab.errors import DataError, ParameterError

VOCABULARY = 12


def _tokens(steps=7, batch=2, seed=0):
    return torch.randint(VOCABULARY, (steps, batch), generator=torch.Generator().manual_seed(seed))


def _model(**options):
    torch.manual_seed(0)
    return GPT(VOCABULARY, **{"layers": 2, "width": 16, "heads": 2, **options}).eval()


@pytest.mark.parametrize("positions", ["rotary", "learned", "sinusoidal", "alibi", "none"])
def test_reading_with_the_cache_is_reading_at_once(positions):
    model, tokens = _model(positions=positions), _tokens()
    pieces, state = [], None
    for piece in tokens.split([3, 1, 1, 2]):
        logits, state = model.read(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces), model(tokens), rtol=1e-4, atol=1e-5)


def test_long_texts_go_on_twice_from_the_same_cache():
    model, tokens = _model(), _tokens(steps=140)
    with torch.no_grad():
        _, state = model.read(tokens[:-3])
        _, state = model.read(tokens[-3:-2], state)
        _, one = model.read(tokens[-2:-1], state)
        _, other = model.read((tokens[-2:-1] + 1) % VOCABULARY, state)
        logits, _ = model.read(tokens[-1:], one)
        torch.testing.assert_close(logits, model(tokens)[-1:], rtol=1e-4, atol=1e-5)
        changed = torch.cat([tokens[:-2], (tokens[-2:-1] + 1) % VOCABULARY, tokens[-1:]])
        logits, _ = model.read(tokens[-1:], other)
        torch.testing.assert_close(logits, model(changed)[-1:], rtol=1e-4, atol=1e-5)


def test_no_token_sees_a_later_one():
    model, tokens = _model(), _tokens()
    changed = tokens.clone()
    changed[4:] = (changed[4:] + 1) % VOCABULARY
    torch.testing.assert_close(model(changed)[:4], model(tokens)[:4])
    assert not torch.allclose(model(changed)[4:], model(tokens)[4:])


def test_the_residual_branches_start_small():
    model = _model(layers=2, width=64)
    assert float(model.blocks[0].attention.output.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert float(model.blocks[0].attention.query.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_selected_texts_go_on_from_their_own_cache():
    model, tokens = _model(), _tokens()
    _, state = model.read(tokens[:5])
    rows = torch.tensor([1, 1, 0])
    logits, _ = model.read(tokens[5:6, rows], model.select_state(state, rows))
    torch.testing.assert_close(logits, model(tokens[:6])[-1:, rows], rtol=1e-4, atol=1e-5)


def test_texts_longer_than_the_positions_are_refused(tiny):
    model = GPT(tiny.vocab_size, layers=1, width=8, heads=2, positions=partial(LearnedPositions, longest=8))
    learner = Learner(model, tiny, sequence_nll, progress=False)
    with pytest.raises(ParameterError, match="a prompt of 2 tokens and 7 more are longer than the model's 8 positions"):
        generate(learner, "the cat", 7)
    assert generate(learner, "the cat", 6).startswith("the cat")
    with pytest.raises(DataError, match="longer than the 8 learned positions"):
        model(torch.zeros(9, 1, dtype=torch.long))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ParameterError, match="3 heads do not divide a width of 16"):
        _model(heads=3, positions="learned")


def test_a_model_that_has_learned_a_text_continues_it(tiny):
    torch.manual_seed(0)
    model = GPT(tiny.vocab_size, layers=1, width=16, heads=2, dropout=0.0)
    learner = Learner(model, tiny, sequence_nll, optimizer=torch.optim.Adam, lr=0.02, batch_size=8, progress=False)
    learner.fit(8)
    assert generate(learner, "the cat", 5, greedy=True) == "the cat sat on a mat\n"
