"""An epoch of the textCNN of Kim 2014 by `lab`, by a plain loop and by skorch, on the same sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab_basics.optimizers import adam
from lab_sentences.data import Texts, kept_data
from lab_sentences.encoders import TextCNN
from lab_sentences.models import TextClassifier
from lab_sentences.poolings import MaxPooling
from lab_sentences.preparation import Labels, Preparation
from lab_text.tokenizers import tokenizer_factory
from lab_text.vocabulary import Vocabulary
from torch.nn import functional
from torch.utils.data import DataLoader

from lab.training import Checkpoint, Learner
from lab.training.cpu import configured_cpu
from lab.training.data import SequentialSampler
from tests.benchmarks.turns import in_turns, in_turns_anew, typical_speeds

VOCABULARY, LENGTH, COUNT, SHORT, BATCH, ROUNDS = 15_000, 20, 4_000, 500, 50, 3
"""Length of the sentences, and texts per batch, of the SST-2 of the paper."""

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def texts(request):
    """Sentences of 5 to 35 words that follow Zipf's law, of two classes."""
    count = SHORT if request.config.option.short else COUNT
    generator = np.random.default_rng(0)
    shares = 1 / np.arange(1, VOCABULARY + 1)
    lengths = generator.integers(5, 2 * LENGTH - 4, count)
    ids = [generator.choice(VOCABULARY, size, p=shares / shares.sum()) + 5 for size in lengths]
    return Texts(ids, torch.from_numpy(generator.integers(0, 2, count)))


def test_an_epoch_takes_as_long_as_in_a_plain_loop(figure, short, texts):
    def sides():
        return [_plain(texts), _lab(texts)]

    plain, ours = in_turns_anew(sides, 1 if short else ROUNDS)
    figure.ratio(
        "a textCNN", **typical_speeds(len(texts), ours, plain), unit="texts/s", beside="a plain loop", at_least=0.97
    )


def test_an_epoch_beside_skorch(figure, texts):
    skorch = pytest.importorskip("skorch", reason="skorch is not installed (extra bench)")
    net = skorch.NeuralNet(
        _model(),
        torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=1e-3,
        train_split=None,
        iterator_train=lambda dataset, **_: ((batch.tokens, batch.target) for batch in _batches(texts)),
        callbacks__print_log=None,
    ).initialize()
    theirs, ours = in_turns([lambda: net.partial_fit(texts, None, epochs=1), _as_in_a_run(_lab(texts))], ROUNDS)
    figure.ratio("a textCNN", **typical_speeds(len(texts), ours, theirs), unit="texts/s", beside="skorch", at_least=1)


def _batches(texts):
    return DataLoader(texts, batch_sampler=SequentialSampler(len(texts), BATCH), collate_fn=lambda batch: batch)


def _model():
    torch.manual_seed(0)
    return TextClassifier(VOCABULARY + 5, 2, 1, None, 1, encoder=TextCNN, pooling=MaxPooling, dropout=0.5)


def _lab(texts):
    words = Vocabulary([f"w{number}" for number in range(VOCABULARY)])
    data = kept_data(Preparation(tokenizer_factory("whitespace")(language="en"), words, Labels("class", ("a", "b"))))
    data.train = texts
    learner = Learner(
        _model(), data, functional.cross_entropy, optimizer=adam, lr=1e-3, batch_size=BATCH, sampler=SequentialSampler,
        callbacks=[Checkpoint()], progress=False,
    )  # fmt: skip
    return lambda: learner.fit(1)


def _as_in_a_run(fit):
    """Fit under the settings of the process that ``lab run`` makes."""

    def configured():
        with configured_cpu():
            fit()

    return configured


def _plain(texts):
    model = _model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def epoch():
        model.train()
        for tokens, target in _batches(texts):
            functional.cross_entropy(model(tokens), target).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return epoch
