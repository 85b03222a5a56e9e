"""On the embedded corpus the right alignment is known: the attention of a trained model finds it."""

from __future__ import annotations

import pytest
import torch
from lab_seq2seq.decode import alignments
from lab_text import embedded

from lab import Experiment, Learner, Study, use
from lab.registry.plugins import load_catalog
from lab.study.build import DataCache, build_learner
from lab.training.cpu import configure_cpu

PAIRS = 20_000


@pytest.fixture(scope="module", params=[("before", 3), ("after", 2)], ids=lambda param: f"{param[0]} the step")
def learner(request: pytest.FixtureRequest) -> Learner:
    """A small model that looks before or after each step, trained for half a minute."""
    attend, epochs = request.param
    base = Experiment(
        dataset=use("fr_en_questions", pairs=PAIRS),
        architecture=use(
            "seq2seq_bidir_attn",
            embedding_dim=96,
            hidden_size=64,
            layers=1,
            embedding_dropout=0.05,
            bridge_dropout=0.0,
            output_dropout=0.1,
            attend=attend,
            xavier_init=True,
        ),
        loss="seq2seq_loss",
        sampler="sortish",
        stepper=use("teacher_forcing", decay_epochs=None),
        optimizer=use("adam", betas=(0.8, 0.99)),
        callbacks=["one_cycle"],
        lr=1e-2,
        epochs=epochs,
    )
    catalog = load_catalog()
    (arm,) = Study(base).resolve(catalog)
    torch.set_num_threads(1)
    configure_cpu()
    learner = build_learner(
        arm.experiment, DataCache().get(arm.experiment.component("dataset")), seed=0, catalog=catalog
    )
    learner.fit(arm.experiment.values["epochs"])
    return learner


@pytest.mark.slow
def test_the_attention_finds_the_words_that_the_grammar_aligned(learner: Learner) -> None:
    pairs, split = list(embedded.generate(PAIRS, 0)), learner.data.valid
    found = total = 0
    with learner.evaluating():
        for start in range(0, 640, 64):
            indices = list(range(start, start + 64))
            batch = learner.data.collate(split.__getitems__(indices))
            looked_at = alignments(learner.model, batch.source, batch.target).argmax(1)
            for column, index in enumerate(indices):
                links = pairs[split.rows[index]].alignment
                total += len(links)
                found += sum(int(looked_at[english, column]) == french for french, english in links)
    assert total > 3000
    assert found / total >= 0.8
