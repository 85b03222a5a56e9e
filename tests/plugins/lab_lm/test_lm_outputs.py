"""Outputs onto large vocabularies: adaptive softmax, and the loss that projects in chunks."""

from __future__ import annotations

import pytest
import torch
from lab_attention.fused import projection
from lab_lm.awd import AwdLSTM
from lab_lm.gpt import GPT
from lab_lm.models import RnnLM
from lab_lm.outputs import AdaptiveSoftmax, ProjectedNLL, Unprojected
from lab_lm.steppers import NextToken
from lab_text.losses import sequence_nll
from lab_text.samplers import Streams

from lab import Learner
from lab.errors import ParameterError, ShapeError

V = 11


def _tokens(seed=0):
    return torch.randint(V, (5, 3), generator=torch.Generator().manual_seed(seed))


def _models():
    torch.manual_seed(0)
    return [
        RnnLM(V, hidden_size=6, layers=1, dropout=0.0),
        RnnLM(V, hidden_size=6, embedding_dim=4, layers=1, dropout=0.0, tied=True),
        AwdLSTM(V, embedding_dim=4, hidden_size=6, layers=2).eval(),
        GPT(V, width=8, heads=2, layers=1, dropout=0.0),
    ]


@pytest.mark.parametrize("number", range(4))
def test_loss_and_gradients_of_chunks_are_those_of_all_logits(monkeypatch, number):
    monkeypatch.setattr(projection, "_CHUNK", 4 * V)
    model, tokens, target = _models()[number], _tokens(), _tokens(1)
    whole = sequence_nll(model(tokens), target)
    expected = torch.autograd.grad(whole, list(model.parameters()))
    chunked = ProjectedNLL()(model(tokens, leave_output=True), target)
    found = torch.autograd.grad(chunked, list(model.parameters()))
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_an_adaptive_softmax_gives_the_probability_of_a_cluster_times_that_in_it():
    torch.manual_seed(0)
    layer, features = AdaptiveSoftmax(8, V, [3, 7], div_value=2.0), torch.randn(2, 8)
    head = (features @ layer.clusters.head.weight.T).log_softmax(1)
    first = layer.clusters.tail[0]
    in_cluster = (features @ first[0].weight.T @ first[1].weight.T).log_softmax(1)
    expected = head[:, 3:4] + in_cluster
    torch.testing.assert_close(layer(features)[:, :3], head[:, :3])
    torch.testing.assert_close(layer(features)[:, 3:7], expected)
    torch.testing.assert_close(layer(features).exp().sum(1), torch.ones(2))


def test_the_loss_of_an_adaptive_softmax_is_that_of_its_probabilities():
    torch.manual_seed(0)
    model = RnnLM(V, hidden_size=16, layers=1, dropout=0.0, cutoffs=[3, 7])
    tokens, target = _tokens(), _tokens(1)
    loss = ProjectedNLL()(model(tokens, leave_output=True), target)
    torch.testing.assert_close(loss, sequence_nll(model(tokens), target))


@pytest.mark.parametrize("options", [{"tied": True}, {"cutoffs": [4, 6]}])
def test_training_leaves_the_output_to_the_loss_and_learns(tiny, options):
    torch.manual_seed(0)
    model, seen = RnnLM(tiny.vocab_size, hidden_size=16, layers=1, dropout=0.0, **options), []

    class Watched(ProjectedNLL):
        def forward(self, output, target):
            seen.append((self.training, isinstance(output, Unprojected)))
            return super().forward(output, target)

    loss = Watched()
    learner = Learner(
        model, tiny, loss, stepper=NextToken(), optimizer=torch.optim.Adam, lr=0.02, batch_size=8,
        sampler=Streams, progress=False,
    )  # fmt: skip
    learner.fit(4)
    assert {unprojected for _, unprojected in seen} == {True, False}
    assert learner.history[-1]["train_loss"] < 0.6 * learner.history[0]["train_loss"]


def test_a_watched_output_is_called():
    model = RnnLM(V, hidden_size=6, layers=1)
    from lab_lm.outputs import gives_unprojected

    assert gives_unprojected(model)
    model.output.register_forward_hook(lambda *_: None)
    assert not gives_unprojected(model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptiveSoftmax(8, V, []), "cutoffs .. for 11 tokens"),
        (lambda: AdaptiveSoftmax(8, V, [7, 3]), "cutoffs .7, 3. for 11 tokens"),
        (lambda: AdaptiveSoftmax(8, V, [10]), "cutoffs .10. for 11 tokens"),
        (lambda: AdaptiveSoftmax(8, V, [3, 7]), "the last of 2 clusters is narrower than 1: 8 / 4.2"),
        (lambda: RnnLM(V, tied=True, cutoffs=[3]), "an adaptive softmax has no weights of the embedding's shape"),
    ],
)
def test_cutoffs_that_make_no_clusters_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_a_target_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match="does not fit features"):
        ProjectedNLL()(RnnLM(V, hidden_size=6)(_tokens(), leave_output=True), _tokens()[:2])
