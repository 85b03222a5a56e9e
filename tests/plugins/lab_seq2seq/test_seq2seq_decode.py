from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from lab_attention.attention import AdditiveAttention
from lab_seq2seq.decode import alignments, beam_search, greedy, translate

from lab.errors import LabError, ParameterError
from lab.training import Data, Learner
from tests.plugins.lab_seq2seq.conftest import EOS, ToyTranslation


@pytest.fixture(params=["before", "after"])
def model(make_model: Any, request: pytest.FixtureRequest) -> Any:
    model = make_model(vocab=6, attention=AdditiveAttention, attend=request.param).eval()
    with torch.no_grad():
        model.output.weight.mul_(2)
        model.output.bias[EOS] += 1.0
    return model


@pytest.fixture
def source() -> torch.Tensor:
    return torch.randint(3, 6, (5, 4), generator=torch.Generator().manual_seed(1))


def score_of(model: Any, source: torch.Tensor, ids: tuple[int, ...]) -> float:
    target = torch.tensor(ids).unsqueeze(1)
    log_probs = model(source, target, [True] * len(ids)).log_softmax(2)
    return float(log_probs.gather(2, target.unsqueeze(2)).sum())


def every_translation(vocabulary: int, longest: int) -> list[tuple[int, ...]]:
    """All that can be written: ended by eos, or cut at the greatest length."""
    words = [word for word in range(vocabulary) if word != EOS]
    ended = [(*head, EOS) for length in range(longest) for head in itertools.product(words, repeat=length)]
    return [*ended, *itertools.product(words, repeat=longest)]


@torch.no_grad()
@pytest.mark.parametrize("normalization", [0.0, 1.0])
def test_a_wide_beam_finds_what_exhaustive_search_finds(normalization: float, model: Any, source: torch.Tensor) -> None:
    candidates = every_translation(6, 3)
    found = beam_search(model, source, 250, length_normalization=normalization, max_length=3)
    for sentence, hypothesis in enumerate(found):
        column = source[:, sentence : sentence + 1]
        scores = {ids: score_of(model, column, ids) for ids in candidates}
        best = max(scores, key=lambda ids: scores[ids] / len(ids) ** normalization)
        assert tuple(hypothesis.ids) == best
        assert hypothesis.score == pytest.approx(scores[best], abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("normalization", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(normalization: float, model: Any, source: torch.Tensor) -> None:
    narrow, plain = beam_search(model, source, 1, length_normalization=normalization), greedy(model, source)
    assert [one.ids for one in narrow] == [one.ids for one in plain]
    assert [one.score for one in narrow] == pytest.approx([one.score for one in plain], abs=1e-5)


@torch.no_grad()
def test_greedy_writes_what_free_running_guesses(model: Any, source: torch.Tensor) -> None:
    guesses = model(source).argmax(2)
    for sentence, hypothesis in enumerate(greedy(model, source)):
        assert hypothesis.ids == guesses[: len(hypothesis.ids), sentence].tolist()


@torch.no_grad()
def test_scores_are_log_probabilities_of_the_whole_translation(model: Any, source: torch.Tensor) -> None:
    for sentence, hypothesis in enumerate([*greedy(model, source), *beam_search(model, source, 3)]):
        column = source[:, [sentence % 4]]
        assert hypothesis.score == pytest.approx(score_of(model, column, tuple(hypothesis.ids)), abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("width", [1, 3])
def test_a_batch_translates_like_its_sentences_alone(width: int, model: Any, source: torch.Tensor) -> None:
    together = beam_search(model, source, width)
    for sentence in range(4):
        assert beam_search(model, source[:, [sentence]], width)[0].ids == together[sentence].ids


def test_sentences_that_have_ended_leave_the_batch(model: Any, source: torch.Tensor) -> None:
    rows: list[int] = []
    step = model.step
    model.step = lambda tokens, state: rows.append(len(tokens)) or step(tokens, state)
    lengths = [len(hypothesis.ids) for hypothesis in greedy(model, source)]
    assert rows == [sum(length > at for length in lengths) for at in range(max(lengths))]


def test_nothing_follows_eos_and_cut_translations_have_none(model: Any, source: torch.Tensor) -> None:
    for hypothesis in [*greedy(model, source, max_length=4), *beam_search(model, source, 3, max_length=4)]:
        assert EOS not in hypothesis.ids[:-1]
        assert hypothesis.ids[-1] == EOS or len(hypothesis.ids) == 4


def test_greedy_keeps_the_attention_of_every_token(model: Any, source: torch.Tensor) -> None:
    for hypothesis in greedy(model, source, with_weights=True):
        assert hypothesis.weights.shape == (len(hypothesis.ids), 5)
        torch.testing.assert_close(hypothesis.weights.sum(1), torch.ones(len(hypothesis.ids)))


def test_alignments_of_a_translation_are_those_of_its_decoding(model: Any, source: torch.Tensor) -> None:
    hypothesis = greedy(model, source[:, :1], with_weights=True)[0]
    weights = alignments(model, source[:, :1], torch.tensor(hypothesis.ids).unsqueeze(1))
    torch.testing.assert_close(weights[:, :, 0], hypothesis.weights)


def test_alignments_need_attention(make_model: Any, source: torch.Tensor) -> None:
    with pytest.raises(LabError) as failure:
        alignments(make_model(vocab=6), source, source)
    assert str(failure.value) == ("this model has no attention\n  set architecture.attention, e.g. to additive")


def test_a_beam_without_width_is_refused(model: Any, source: torch.Tensor) -> None:
    with pytest.raises(ParameterError) as failure:
        beam_search(model, source, 0)
    assert str(failure.value) == "the width of a beam must be at least 1, got 0\n  beam_search"


@pytest.fixture
def learner(data: ToyTranslation, make_model: Any) -> Learner:
    return Learner(
        make_model(data), data, torch.nn.functional.cross_entropy, progress=False, methods={"translate": translate}
    )


def test_translate_takes_a_sentence_or_several(learner: Learner) -> None:
    texts = ["a b c", "f", "d e", "a a a a"]
    together = learner.translate(texts, batch_size=3)
    assert [learner.translate(text) for text in texts] == together
    assert all(isinstance(text, str) for text in together)
    assert learner.translate([]) == []


def test_translate_leaves_mode_and_random_numbers_as_they_were(learner: Learner) -> None:
    learner.model.train()
    state = torch.get_rng_state()
    learner.translate("a b", beam=3)
    assert learner.model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_other_models_cannot_translate(data: Any) -> None:
    learner = Learner(torch.nn.Linear(2, 2), data, torch.nn.functional.cross_entropy, progress=False)
    with pytest.raises(LabError) as failure:
        translate(learner, "a")
    assert str(failure.value) == (
        "forward of a Linear must take (source, prefix), not (input: torch.Tensor) -> torch.Tensor\n"
        "  ids (S, B) and (T, B), time first; it returns logits (T, B, V)\n"
        "  docs/translation.md#a-model-of-your-own"
    )


def test_other_data_cannot_be_translated(make_model: Any) -> None:
    learner = Learner(make_model(), Data([1], [1]), torch.nn.functional.cross_entropy, progress=False)
    with pytest.raises(LabError) as failure:
        translate(learner, "a")
    assert str(failure.value) == "Data cannot turn text into ids and back\n  it needs encode and decode"
