"""Epochs of skip-gram by `lab`, by the loop of *Dive into Deep Learning*, section 14.4, and by gensim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab_basics.optimizers import adam
from lab_words.data import word_pairs
from lab_words.losses import word_nll
from lab_words.models import WordVectorModel
from torch import nn
from torch.nn import functional

from lab.training import Learner
from tests.benchmarks.turns import in_turns, typical_speeds

VOCABULARY, SENTENCE, WORDS, SHORT, ROUNDS = 7_000, 20, 400_000, 100_000, 3
OPTIONS = {"min_freq": 2, "subsample": 1e-4, "window": 5, "negatives": 5}
DIM, CENTERS, BATCH = 100, 512, 8_192
"""The batches of the book have 512 centers with all their contexts, about 2,800 pairs; those of `lab` have pairs."""

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def text(tmp_path_factory, request):
    """A file of sentences whose words follow Zipf's law."""
    count = SHORT if request.config.option.short else WORDS
    shares = 1 / np.arange(1, VOCABULARY + 1)
    words = np.random.default_rng(0).choice(VOCABULARY, count, p=shares / shares.sum())
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(" ".join(f"w{each}" for each in row) for row in words.reshape(-1, SENTENCE)))
    return path


def test_an_epoch_takes_a_fifth_of_the_time_of_padded_batches(figure, text):
    words, lab = _lab(text)
    padded, ours = in_turns([_padded(text), lab], ROUNDS)
    speeds = typical_speeds(words, ours, padded)
    figure.ratio("skip-gram", **speeds, unit="words/s", beside="padded batches, dense Adam", at_least=5)


def test_an_epoch_beside_gensim(figure, text):
    models = pytest.importorskip("gensim.models", reason="gensim is not installed (extra bench)")
    words, lab = _lab(text)
    data = word_pairs(path=str(text), **OPTIONS)
    known = _sentences(text, data.vocab)
    model = models.Word2Vec(
        vector_size=DIM, sg=1, window=5, negative=5, sample=1e-4, min_count=2, workers=1, epochs=1, seed=1
    )
    model.build_vocab(known)
    gensim, ours = in_turns([lambda: model.train(known, total_examples=len(known), epochs=1), lab], ROUNDS)
    figure.ratio("skip-gram", **typical_speeds(words, ours, gensim), unit="words/s", beside="gensim, one worker")


def _sentences(text, vocab):
    rows = (line.split() for line in text.read_text().split("\n\n"))
    return [[word for word in row if word in vocab.ids] for row in rows]


def _lab(text):
    """Return the number of words, and an epoch that draws its pairs anew."""
    data = word_pairs(path=str(text), valid_share=0.01, **OPTIONS)
    torch.manual_seed(0)
    model = WordVectorModel(data.vocab_size, data.vocab, data.objective, embedding_dim=DIM)
    words = len(data.train.draws.ids)
    data.valid = None
    learner = Learner(model, data, word_nll, optimizer=adam, lr=1e-2, batch_size=BATCH, progress=False)
    return words, lambda: learner.fit(1)


def _padded(text):
    """Return an epoch of batches that are padded beforehand, with a mask; the book pads them in its loader."""
    rows = word_pairs(path=str(text), model="cbow", valid_share=0.01, **OPTIONS)
    contexts, centers = rows.train.words, rows.train.outputs.long()
    negatives = word_pairs(path=str(text), model="cbow", negatives=50, valid_share=0.01, **_without("negatives"))
    torch.manual_seed(0)
    tables = nn.ModuleList(nn.Embedding(rows.vocab_size, DIM) for _ in range(2))
    optimizer = torch.optim.Adam(tables.parameters(), lr=2e-3)
    batches = [
        _padded_batch(centers[some], contexts[some], negatives.train.negatives[some])
        for some in torch.randperm(len(centers)).split(CENTERS)
    ]

    def epoch():
        for center, candidates, mask, label in batches:
            optimizer.zero_grad()
            logits = torch.bmm(tables[0](center), tables[1](candidates).transpose(1, 2)).squeeze(1)
            each = functional.binary_cross_entropy_with_logits(logits, label, weight=mask, reduction="none")
            (each.sum(1) / mask.sum(1)).sum().backward()
            optimizer.step()

    return epoch


def _without(name):
    return {key: value for key, value in OPTIONS.items() if key != name}


def _padded_batch(centers, contexts, negatives):
    present = contexts >= 0
    counts = present.sum(1, keepdim=True)
    order = (~present).int().argsort(dim=1, stable=True)
    width = int(counts.max())
    true = contexts.gather(1, order)[:, :width].clamp(min=0)
    candidates = torch.cat([true, negatives[:, : 5 * width]], 1).long()
    place = torch.arange(6 * width)
    is_true = (place < width) & (place < counts)
    mask = is_true | ((place >= width) & (place < width + 5 * counts))
    return centers[:, None], candidates, mask.float(), is_true.float()
