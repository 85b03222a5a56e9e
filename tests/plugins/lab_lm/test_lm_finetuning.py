"""Fine-tuning: rows of vocabularies, encoders, runs that are found, and what is refused."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
import torch
from lab_lm.awd import AwdLSTM
from lab_lm.bert import BERT
from lab_lm.encoders import AwdEncoder, BertEncoder, GPTEncoder, RnnEncoder
from lab_lm.finetuning import StartFrom, remapped, start_from
from lab_lm.gpt import GPT
from lab_lm.models import RnnLM
from lab_lm.vocabulary import TokenVocabulary
from lab_sentences.models import TextClassifier
from lab_text.vocabulary import Vocabulary

from lab import Experiment, Study, use
from lab.errors import LabError, ParameterError
from lab.registry.plugins import load_catalog
from lab.study.load import load_study, override


def _data(*tokens):
    return SimpleNamespace(vocab=TokenVocabulary(tokens))


def _labelled(*words):
    return SimpleNamespace(vocabulary=Vocabulary(words))


def test_known_rows_are_kept_and_unknown_ones_are_the_mean():
    rows = torch.tensor([[0.0, 0.0], [2.0, 4.0], [4.0, 8.0]])
    assert remapped(rows, ["a", "b", "c"], ["c", "x", "a"]).tolist() == [[4.0, 8.0], [2.0, 4.0], [0.0, 0.0]]
    with pytest.raises(LabError, match="no token in common"):
        remapped(rows, ["a", "b", "c"], ["x", "y"])


def test_a_language_model_starts_from_one_with_another_vocabulary():
    source, model = (RnnLM(size, hidden_size=4, layers=1, tied=True) for size in (6, 5))
    lines = start_from(model, _data("c", "z"), source, _data("a", "b", "c"))
    assert torch.equal(model.rnn.weight_hh_l0, source.rnn.weight_hh_l0)
    assert torch.equal(model.embedding.weight[:4], source.embedding.weight[[0, 1, 2, 5]])
    torch.testing.assert_close(model.embedding.weight[4], source.embedding.weight.mean(0))
    assert torch.equal(model.output.weight, model.embedding.weight)
    assert lines[1] == "4 of 5 tokens have rows there, 1 get the mean"


@pytest.mark.parametrize(
    ("source", "encoder"),
    [
        (lambda: RnnLM(6, hidden_size=4, layers=2), lambda **size: RnnEncoder(**size, hidden_size=4)),
        (
            lambda: AwdLSTM(6, embedding_dim=4, hidden_size=5, layers=2),
            lambda **size: AwdEncoder(**size, hidden_size=5, layers=2),
        ),
        (lambda: GPT(6, width=4, heads=2, layers=2), lambda **size: GPTEncoder(**size, heads=2, layers=2)),
        (
            lambda: BERT(6, 0, 9, width=4, heads=2, feed_forward=8),
            lambda **size: BertEncoder(**size, max_length=9, feed_forward=8),
        ),
    ],
)  # fmt: skip
def test_encoders_have_the_states_of_their_language_models(source, encoder):
    source = source().eval()
    model = TextClassifier(6, 2, 1, None, 1, encoder=encoder, embedding_dim=4).eval()
    start_from(model, _labelled("b", "a"), source, _data("a", "b", "c"))
    # ids of the classifier are those of _unk, b, a; of the language model those of <unk>, b, a
    x = model.embedding(torch.tensor([[3, 4, 5]]))
    torch.testing.assert_close(x, source.embedding(torch.tensor([[1, 4, 3]])))
    states = model.encoder(x, torch.ones(1, 3, dtype=torch.bool))
    if isinstance(source, GPT):
        expected = source.states(x)[0]
    elif isinstance(source, BERT):
        expected = source.states(x, torch.ones(1, 3, dtype=torch.bool))
    else:
        expected = source.rnn(x.transpose(0, 1))[0].transpose(0, 1)
    torch.testing.assert_close(states, expected)
    assert not model.embedding.trained.weight[1].any()
    # embedding, the layers of the encoder, and the head
    groups = model.layer_groups()
    assert len(groups) == 2 + len(model.encoder.layer_groups())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: RnnLM(6, hidden_size=5, layers=1), "the run has other sizes"),
        (lambda: RnnLM(6, hidden_size=4, layers=2), r"the run has no weights 'rnn\.weight_ih_l1'"),
        (lambda: GPT(6, width=4, heads=2), "a GPT cannot start from a RnnLM"),
        (lambda: TextClassifier(6, 2, 1, None, 1, encoder=GPTEncoder, embedding_dim=8), "of another architecture"),
    ],
)
def test_another_architecture_is_refused_before_anything_is_copied(model, message):
    source, model = RnnLM(6, hidden_size=4, layers=1), model()
    before = {name: value.clone() for name, value in model.state_dict().items() if name != "_extra_state"}
    with pytest.raises(LabError, match=message):
        start_from(model, _data("a", "b", "c"), source, _data("a", "b", "c"))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_another_vocabulary_is_told_where_remapping_is_off():
    source, model = RnnLM(6, hidden_size=4), RnnLM(5, hidden_size=4)
    with pytest.raises(LabError, match=r"5 tokens here, 6 there, 1 of these are not there \('z'\)"):
        start_from(model, _data("a", "z"), source, _data("a", "b", "c"), remap=False)


def test_one_of_run_and_pretraining_is_needed():
    with pytest.raises(ParameterError, match="give either the key of a run or the experiment of a pretraining"):
        StartFrom()


def small_language_model():
    return Experiment(
        dataset=use("text", corpus="embedded_questions", max_lines=200, bptt=8),
        architecture=use("rnn_lm", hidden_size=8, layers=1, tied=True),
        loss="sequence_nll",
        sampler="streams",
        stepper="next_token",
        lr=1e-2,
        batch_size=16,
        epochs=1,
    )


def tuned(**options):
    return Experiment(
        dataset=use("text", corpus="embedded_questions", max_lines=150, bptt=8),
        architecture=use("rnn_lm", hidden_size=8, layers=1, tied=True),
        loss="sequence_nll",
        sampler="streams",
        stepper="next_token",
        callbacks=[use("start_from", **options)],
        lr=1e-3,
        batch_size=16,
        epochs=1,
    )


def test_settings_of_the_pretraining_change_as_with_set(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    base = tuned(pretraining=small_language_model, settings=["epochs=2", "dataset.max_lines=250"])
    [run] = Study(base, seeds=1, name="tuned").run(runs=tmp_path / "runs").runs
    assert run.status == "finished"
    longer = attrs.evolve(
        small_language_model(), epochs=2, dataset=use("text", corpus="embedded_questions", max_lines=250, bptt=8)
    )
    [found] = Study(longer, seeds=[0], name="pretraining").run(runs=tmp_path / "runs").runs
    assert len(found.history()) == 2
    # found, not trained again
    assert len(list((tmp_path / "runs" / ".store").glob("*/result.json"))) == 2


def test_the_second_cycle_on_penn_treebank_starts_from_the_first(tmp_path, caplog):
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: Penn Treebank is not here")
    catalog = load_catalog()
    study = load_study(Path(__file__).parents[3] / "experiments" / "ptb_lstm.py", catalog)
    small = "dataset.max_lines=60"
    settings = ["epochs=1", small, f'callbacks.start_from.settings=["epochs=1", "{small}"]']
    with caplog.at_level(logging.WARNING, "lab"):
        [run] = override(study, settings, catalog).run(runs=tmp_path / "runs").runs
    assert run.status == "finished"
    assert len(list((tmp_path / "runs" / ".store").glob("*/result.json"))) == 2
    assert any("11 tensors copied" in record.message for record in caplog.records)


def test_wrong_settings_of_the_pretraining_are_told():
    with pytest.raises(LabError, match="max_linse"):
        StartFrom(pretraining=small_language_model, settings=["dataset.max_linse=3"]).check(SimpleNamespace())
    with pytest.raises(ParameterError, match="settings of a run that is finished cannot change"):
        StartFrom(run="abc", settings=["epochs=1"])


def test_a_pretraining_is_trained_once_and_found_by_all_that_start_from_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    base = tuned(pretraining=small_language_model)
    with caplog.at_level(logging.WARNING, "lab"):
        results = Study(base, seeds=2, name="tuned").run(runs=tmp_path / "runs")
    assert [run.status for run in results.runs] == ["finished", "finished"]
    assert len([path for path in (tmp_path / "runs" / ".store").iterdir() if (path / "result.json").is_file()]) == 3
    assert sum("start_from:" in record.message for record in caplog.records) == 2
    pretrained = Study(small_language_model(), seeds=[0], name="pretraining").run(runs=tmp_path / "runs").runs[0]
    named = attrs.evolve(base, callbacks=[use("start_from", run=pretrained.key)])
    again = Study(named, seeds=1, name="again").run(runs=tmp_path / "runs")
    assert again.runs[0].history()[0]["train_loss"] == results.runs[0].history()[0]["train_loss"]
    gone = attrs.evolve(base, callbacks=[use("start_from", run="ffffffff", runs=str(tmp_path / "runs"))])
    with pytest.raises(LabError, match="ffffffff"):
        Study(gone, seeds=1, name="gone").run(runs=tmp_path / "runs")
