"""What a run on texts leaves for the report: mistakes, weights of words, alignments; and the section of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from lab_basics.losses import bce, cross_entropy, mse
from lab_sentences.callbacks import LookAtTexts, word_weights
from lab_sentences.data import labelled_text
from lab_sentences.encoders import BiRNN
from lab_sentences.inference import DecomposableAttention
from lab_sentences.models import TextClassifier, TextSimilarity
from lab_sentences.report import sections
from lab_text.vocabulary import PAD_ID

from lab import Learner
from lab.errors import LabError
from lab.training.data import Data

ROWS = {
    "class": "fine film,good\ndull film,bad\nfine end,good\ndull end,bad\n",
    "number": "fine film,5\ndull film,1\nfine end,4\ndull end,2\n",
    "classes": "fine film,good;film\ndull film,film\nfine end,good\ndull end,\n",
}


def looked_at(tmp_path, kind="class", pairs=False, loss=cross_entropy, model_of=None):
    path = tmp_path / "texts.csv"
    header, rows = "text,label\n", ROWS[kind]
    options = {"target": kind, "joiner": ";"}
    if pairs:
        header = "text,second,label\n"
        rows = "\n".join(line.replace(",", ",some film,", 1) for line in rows.splitlines()) + "\n"
        options["text_pair"] = "second"
    path.write_text(header + rows * 6, encoding="utf-8")
    data = labelled_text(path=str(path), valid_share=0.4, **options)
    torch.manual_seed(1)
    facts = (data.vocab_size, data.output_size, data.pad_id, None, data.text_count)
    model = TextClassifier(*facts, embedding_dim=4) if model_of is None else model_of(data, facts)
    learner = Learner(
        model, data, loss, lr=1e-6, folder=tmp_path / "run", progress=False, callbacks=[LookAtTexts(count=3)]
    )
    learner.fit(1)
    return json.loads(learner.artefact("texts.json").read_text(encoding="utf-8")), learner


def test_confusions_and_mistakes_are_those_of_the_model(tmp_path):
    content, learner = looked_at(tmp_path)
    split = learner.data.valid
    predicted = learner.predict(split.__getitems__(range(len(split))).tokens).argmax(1)
    assert sum(map(sum, content["confusion"])) == len(split)
    assert sum(content["confusion"][n][n] for n in range(2)) == int((predicted == split.target).sum())
    assert content["mistakes"] == int((predicted != split.target).sum())
    confidences = [example["confidence"] for example in content["examples"]]
    assert confidences == sorted(confidences, reverse=True)
    assert all(example["target"] != example["predicted"] for example in content["examples"])


def test_the_largest_errors_of_numbers_are_kept(tmp_path):
    def similarity(data, facts):
        return TextSimilarity(data.vocab_size, data.pad_id, None, 2, data.target_range, embedding_dim=4)

    content, _ = looked_at(tmp_path, "number", pairs=True, loss=mse, model_of=similarity)
    assert content["kind"] == "number"
    assert len(content["examples"]) == 3
    assert "confusion" not in content
    assert all(len(example["texts"]) == 2 for example in content["examples"])


def test_classes_of_a_text_are_told_together(tmp_path):
    content, _ = looked_at(tmp_path, "classes", loss=bce)
    assert all(example["confidence"] > 0.5 for example in content["examples"])


def test_alignments_of_pairs_are_kept(tmp_path):
    content, _ = looked_at(
        tmp_path, pairs=True, model_of=lambda data, facts: DecomposableAttention(*facts, embedding_dim=4, hidden_size=4)
    )
    for example in content["examples"]:
        rows = example["alignment"]
        assert (len(rows), len(rows[0])) == tuple(map(len, example["texts"]))
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in rows)


def test_weights_of_a_linear_model_are_its_terms():
    model = TextClassifier(9, 2, PAD_ID, None, 1, embedding_dim=3).eval()
    tokens = torch.tensor([[5, 6]])
    (weights,) = word_weights(model, [tokens], 1)
    terms = model.embedding(tokens)[0] @ model.head.layers[1].weight[1]
    assert weights == pytest.approx((terms / terms.abs().max()).tolist(), abs=1e-3)


def test_a_text_that_is_not_read_has_no_weight():
    model = TextClassifier(9, 2, PAD_ID, None, 2, encoder=BiRNN, reads="second", embedding_dim=3).eval()
    first, second = word_weights(model, [torch.tensor([[5, 6]]), torch.tensor([[7, 8]])], 0)
    assert first == [0.0, 0.0]
    assert max(map(abs, second)) == 1.0
    assert all(parameter.grad is None for parameter in model.parameters())
    assert word_weights(torch.nn.Linear(2, 2), [], 0) is None


def test_other_data_are_refused():
    data = Data([(torch.zeros(2), 0)] * 4, [(torch.zeros(2), 0)] * 4)
    with pytest.raises(LabError, match="needs texts"):
        Learner(torch.nn.Linear(2, 2), data, cross_entropy, progress=False, callbacks=[LookAtTexts()]).fit(1)
    with pytest.raises(LabError, match="at least 1"):
        LookAtTexts(count=0)


def run_of(tmp_path, content, arm="base"):
    folder = tmp_path / arm
    (folder / "artefacts").mkdir(parents=True)
    (folder / "artefacts" / "texts.json").write_text(json.dumps(content), encoding="utf-8")
    return SimpleNamespace(arm=arm, folder=folder)


def test_the_section_escapes_texts_and_skips_damage(tmp_path):
    bad = "<script>alert(1)</script>"
    example = {
        "target": "good", "predicted": bad, "confidence": 0.9, "texts": [[bad, "film"]], "weights": [[1.0, -0.5]],
    }  # fmt: skip
    content = {
        "kind": "class", "classes": ["good", bad], "texts": 4, "mistakes": 1, "examples": [example],
        "confusion": [[1, 1], [0, 2]],
    }  # fmt: skip
    runs = [run_of(tmp_path, content), run_of(tmp_path, {"kind": "class"}, "damaged")]
    (section,) = sections(runs)
    assert "<script>" not in section.html
    assert "1 mistake in 4 texts" in section.text
    assert "damaged" not in section.text
    assert sections([run_of(tmp_path, [], "list")]) == []
