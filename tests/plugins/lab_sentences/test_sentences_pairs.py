"""Pairs of texts: data, decomposable attention, similarity, and golden loss curves."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial

import pytest
import torch
from lab_basics.losses import mse
from lab_basics.optimizers import adam
from lab_sentences.data import PairBatch, labelled_text
from lab_sentences.encoders import BiRNN, TextCNN, TransformerEncoder
from lab_sentences.inference import DecomposableAttention
from lab_sentences.models import TextClassifier, TextSimilarity
from lab_sentences.poolings import MaxPooling
from lab_sentences.sources import translations
from lab_text.vocabulary import EOS_ID, PAD_ID
from torch.nn import functional

from lab import Learner
from lab.errors import DataError, ParameterError, ShapeError

GOLDEN = [0.69468, 0.68810]
GOLDEN_SAME_WORD = [0.70227, 0.69520]
GOLDEN_SIMILARITY = [0.27641, 0.19288]
HEADER = "first,second,label\n"
ROWS = "a cat sits,an animal sits,yes\na cat sits,a dog runs,no\n"


def pairs_of(tmp_path, **options):
    path = tmp_path / "pairs.csv"
    path.write_text(HEADER + ROWS * 8, encoding="utf-8")
    options = {"text": "first", "text_pair": "second", "valid_share": 0.25} | options
    return labelled_text(path=str(path), **options)


def test_batches_hold_both_texts(tmp_path):
    data = pairs_of(tmp_path)
    batch = data.train.__getitems__([0, 1])
    assert isinstance(batch, PairBatch)
    assert (batch.tokens.shape, batch.pair_tokens.shape, data.text_count) == ((2, 3), (2, 3), 2)
    assert data.vocabulary.tokens(batch.pair_tokens[1].tolist()) == ["a", "dog", "runs"]


@pytest.mark.parametrize(
    ("pair", "words"),
    [("first", "a cat sits"), ("second", "a dog runs"), ("joined", "a cat sits _eos_ a dog runs")],
)
def test_one_text_or_both_as_one_are_given(tmp_path, pair, words):
    data = pairs_of(tmp_path, pair=pair)
    assert data.text_count == 1
    assert " ".join(data.preparation.shown(data.train.ids[1])) == words


def test_no_text_can_inject_the_separator(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(HEADER + "a _eos_ b,c,x\nd,e,y\n" * 4, encoding="utf-8")
    data = labelled_text(path=str(path), text="first", text_pair="second", pair="joined", valid_share=0.25)
    assert all((ids == EOS_ID).sum() == 1 for ids in data.train.ids)


def test_a_part_of_a_pair_needs_pairs(tmp_path):
    with pytest.raises(ParameterError, match="pair='second' of single texts"):
        labelled_text(pair="second")


def test_half_of_the_generated_pairs_are_translations():
    texts, labels, _ = translations(600, 0)
    assert Counter(labels)["translation"] == pytest.approx(300, abs=50)
    assert len(set(texts)) == 600


def fitted(model_of, epochs, rows=600, *, loss=functional.cross_entropy, **options):
    """Return the losses of a model of the first generated pairs, and its learner."""
    data = labelled_text("embedded_pairs", max_size=400, **options)
    data.train.ids, data.train.pair_ids = data.train.ids[:rows], data.train.pair_ids[:rows]
    data.train.target = data.train.target[:rows]
    torch.manual_seed(0)
    learner = Learner(model_of(data), data, loss, optimizer=adam, lr=1e-2, batch_size=32, progress=False, seed=3)
    return [row["train_loss"] for row in learner.fit(epochs)], learner


def small_attention(data, **options):
    sizes = {"embedding_dim": 8, "hidden_size": 8} | options
    return DecomposableAttention(data.vocab_size, data.output_size, data.pad_id, None, data.text_count, **sizes)


def test_golden_loss_curve_of_decomposable_attention():
    """Values written down once; a change of them is a change of what is computed."""
    losses, _ = fitted(small_attention, 2)
    assert losses == pytest.approx(GOLDEN, rel=5e-3)


def test_golden_loss_curve_where_identical_words_are_seen():
    options = {"same_word": True, "scale_scores": True, "embedding_dropout": 0.2}
    losses, _ = fitted(lambda data: small_attention(data, **options), 2)
    assert losses == pytest.approx(GOLDEN_SAME_WORD, rel=5e-3)


def test_golden_loss_curve_of_similarities():
    losses, _ = fitted(
        lambda data: TextSimilarity(data.vocab_size, data.pad_id, None, data.text_count, (0.0, 1.0), embedding_dim=8),
        2,
        loss=lambda output, target: mse(output, target.float()),
    )
    assert losses == pytest.approx(GOLDEN_SIMILARITY, rel=5e-3)


def test_alignment_of_a_worked_example():
    model = DecomposableAttention(9, 2, PAD_ID, None, 2, embedding_dim=2, hidden_size=2, dropout=0.0).eval()
    with torch.no_grad():
        model.embedding.trained.weight[5] = torch.tensor([4.0, 0.0])
        model.embedding.trained.weight[6] = torch.tensor([0.0, 4.0])
    model.attend = torch.nn.Identity()
    found = model.align(torch.tensor([[5, 6]]), torch.tensor([[6, 5, PAD_ID]]))
    # e = [[0, 16], [16, 0]]: each word is aligned with itself
    assert torch.allclose(found.forward, torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]]), atol=1e-6)
    assert torch.allclose(found.backward[0, :2], torch.tensor([[0.0, 1.0], [1.0, 0.0]]), atol=1e-6)


def test_padding_changes_no_answer():
    model = DecomposableAttention(9, 2, PAD_ID, None, 2, embedding_dim=4, hidden_size=4).eval()
    short = model(torch.tensor([[5, 6]]), torch.tensor([[7]]))
    padded = model(torch.tensor([[5, 6, PAD_ID]]), torch.tensor([[7, PAD_ID, PAD_ID]]))
    assert torch.allclose(short, padded, atol=1e-6)


@pytest.mark.parametrize("step", ["attend", "compare", "aggregate"])
def test_each_step_can_be_left_out(step):
    model = DecomposableAttention(9, 2, PAD_ID, None, 2, embedding_dim=4, hidden_size=4, **{step: False})
    whole = DecomposableAttention(9, 2, PAD_ID, None, 2, embedding_dim=4, hidden_size=4)
    assert model(torch.tensor([[5, 6]]), torch.tensor([[7]])).shape == (1, 2)
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in whole.parameters()) + 40
    assert getattr(model, step) is None


def matching(**options):
    sizes = {"embedding_dim": 4, "hidden_size": 4, "dropout": 0.0} | options
    return DecomposableAttention(9, 2, PAD_ID, None, 2, same_word=True, **sizes).eval()


def test_identical_words_are_aligned_by_the_learned_number():
    model = matching()
    with torch.no_grad():
        model.embedding.trained.weight.fill_(0.0)
    found = model.align(torch.tensor([[5, 6]]), torch.tensor([[6, 7, PAD_ID]]))
    # all scores are equal but for the 3 of word 6 with itself: e³ / (e³ + 1) = 0.9526
    assert found.forward[0].tolist() == [pytest.approx(row, abs=1e-4) for row in ([0.5, 0.5, 0], [0.9526, 0.0474, 0])]
    assert found.backward[0].tolist()[0] == pytest.approx([0.0474, 0.9526], abs=1e-4)


def test_a_model_that_sees_identical_words_tells_a_word_that_the_other_text_lacks():
    torch.manual_seed(0)
    model = matching(attend=False, hidden_size=32)
    with torch.no_grad():
        model.embedding.trained.weight.fill_(0.0)
    text, copy, other = torch.tensor([[5, 6]]), torch.tensor([[6, 5]]), torch.tensor([[7, 8]])
    assert not torch.allclose(model(text, copy), model(text, other))
    without = DecomposableAttention(9, 2, PAD_ID, None, 2, embedding_dim=4, hidden_size=4).eval()
    with torch.no_grad():
        without.embedding.trained.weight.fill_(0.0)
    assert torch.allclose(without(text, copy), without(text, other))


def test_padding_changes_no_answer_where_identical_words_are_seen():
    model = matching()
    short = model(torch.tensor([[5, 6]]), torch.tensor([[6]]))
    padded = model(torch.tensor([[5, 6, PAD_ID]]), torch.tensor([[6, PAD_ID]]))
    assert torch.allclose(short, padded, atol=1e-6)


def test_scaled_scores_are_divided_by_the_root_of_the_width():
    model = DecomposableAttention(9, 2, PAD_ID, None, 2, embedding_dim=4, hidden_size=4, scale_scores=True).eval()
    with torch.no_grad():
        model.embedding.trained.weight[5:8] = torch.eye(4)[:3] * 4.0
    model.attend = torch.nn.Identity()
    found = model.align(torch.tensor([[5]]), torch.tensor([[5, 6]]))
    # scores 16 and 0, divided by 2: 1 / (1 + e⁻⁸)
    assert found.forward[0, 0, 0].item() == pytest.approx(0.999665, abs=1e-6)


def test_dropout_of_embeddings_is_checked():
    with pytest.raises(ParameterError, match=r"embedding_dropout=1\.0"):
        DecomposableAttention(9, 2, PAD_ID, None, 2, embedding_dropout=1.0)


@pytest.mark.parametrize("encoder", [partial(TextCNN, filters=4), partial(BiRNN, hidden_size=4), TransformerEncoder])
def test_both_texts_go_through_one_encoder(encoder):
    model = TextClassifier(9, 3, PAD_ID, None, 2, encoder=encoder, pooling=MaxPooling, embedding_dim=4).eval()
    one, other = torch.tensor([[5, 6, 7]]), torch.tensor([[6, 8]])
    assert model(one, other).shape == (1, 3)
    assert torch.equal(model.encode(one), model.encode(one, "pair_tokens"))


def test_the_similarity_of_a_text_with_itself_is_the_highest_label():
    model = TextSimilarity(9, PAD_ID, None, 2, (1.0, 5.0), embedding_dim=4).eval()
    text = torch.tensor([[5, 6, 7]])
    assert model(text, text).item() == pytest.approx(5.0)


def test_numbers_are_learned_from_pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(HEADER + "a b,a b,5\na b,c d,1\nc d,c d,5\n" * 12, encoding="utf-8")
    data = labelled_text(path=str(path), text="first", text_pair="second", target="number", valid_share=0.2)
    assert (data.output_size, data.target_range, data.class_names) == (1, (1.0, 5.0), ())
    torch.manual_seed(0)
    model = TextSimilarity(data.vocab_size, data.pad_id, None, 2, data.target_range, embedding_dim=8, dropout=0.0)
    learner = Learner(model, data, mse, optimizer=adam, lr=3e-2, batch_size=8, progress=False)
    learner.fit(20)
    same, other = learner.predict([("a b", "a b"), ("a b", "c d")])
    assert same == pytest.approx(5, abs=0.5)
    assert other == pytest.approx(1, abs=0.8)


def test_pairs_are_predicted_by_name():
    _, learner = fitted(small_attention, 1, rows=64)
    found = learner.predict([("who is there ?", "qui est là ?"), ("where ?", "où ?")])
    assert [set(each) for each in found] == [{"other", "translation"}] * 2
    assert learner.predict(("who is there ?", "qui est là ?"))[0] == pytest.approx(found[0])
    with pytest.raises(DataError, match="each example needs two texts"):
        learner.predict(["who is there ?"])


def test_models_and_data_of_other_numbers_of_texts_are_told():
    with pytest.raises(ParameterError, match="compares two texts"):
        DecomposableAttention(9, 2, PAD_ID, None, 1)
    with pytest.raises(ParameterError, match="of two texts"):
        TextSimilarity(9, PAD_ID, None, 1, (0.0, 1.0))
    with pytest.raises(ShapeError, match="takes 2 texts"):
        TextClassifier(9, 2, PAD_ID, None, 2)(torch.tensor([[5]]))
    with pytest.raises(ShapeError, match="takes 1 text per"):
        TextClassifier(9, 2, PAD_ID, None, 1)(torch.tensor([[5]]), torch.tensor([[5]]))


def test_real_pairs_have_their_sizes():
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: the corpora are not here")
    snli = labelled_text("snli")
    assert (len(snli.train) + len(snli.valid), len(snli.test)) == (9_842, 9_824)
    assert snli.class_names == ("contradiction", "entailment", "neutral")
    sick = labelled_text("sick", target="number")
    assert (len(sick.train), len(sick.valid), len(sick.test)) == (4_439, 495, 4_906)
    assert sick.target_range == (1.0, 5.0)
    rte = labelled_text("rte")
    assert len(rte.train) + len(rte.valid) + len(rte.test) == 4_167


def test_no_premise_stands_on_both_sides_of_a_split():
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: the corpora are not here")
    data = labelled_text("snli")
    trained = {tuple(ids.tolist()) for ids in data.train.ids}
    shared = sum(tuple(ids.tolist()) in trained for ids in data.valid.ids)
    # premises of other spelling may become one text of words
    assert shared < 0.01 * len(data.valid)


def test_a_classifier_may_read_one_text_of_a_pair():
    model = TextClassifier(9, 3, PAD_ID, None, 2, reads="second", embedding_dim=4).eval()
    one, other = torch.tensor([[5, 6, 7]]), torch.tensor([[6, 8]])
    assert torch.equal(model(one, other), model(other, other))
    assert not torch.equal(model(one, other), model(one, one))
    with pytest.raises(ParameterError, match="the data have one text"):
        TextClassifier(9, 3, PAD_ID, None, 1, reads="first")
