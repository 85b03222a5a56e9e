"""Prediction with stored runs: ``lab predict`` and ``lab classify``, without the training texts."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from click.testing import CliRunner

from lab import Experiment, Study, load, use
from lab.cli.main import cli
from lab.errors import DataError, StoreError
from tests.docs.pages import DOCS, blocks_of

ROWS = "a fine film,good\na dull film,bad\nfine and true,good\ndull and long,bad\n"


def study_of(tmp_path, **dataset):
    path = tmp_path / "films.csv"
    path.write_text("text,label\n" + ROWS * 10, encoding="utf-8")
    base = Experiment(
        dataset=use("labelled_text", path=str(path), **dataset),
        architecture=use("text_classifier", embedding_dim=8, dropout=0.0),
        loss="cross_entropy", lr=3e-2, epochs=3, batch_size=8,
    )  # fmt: skip
    results = Study(base, seeds=1, name="films").run(runs=tmp_path / "runs")
    path.unlink()
    return results.runs[0].key


@pytest.fixture
def key(tmp_path):
    """A finished run on a file that is gone by now."""
    return study_of(tmp_path)


def invoke(tmp_path, *arguments):
    return CliRunner().invoke(cli, [*map(str, arguments), "--runs", str(tmp_path / "runs")], catch_exceptions=False)


def test_a_file_is_predicted_without_the_training_texts(tmp_path, key):
    new, out = tmp_path / "new.csv", tmp_path / "out.csv"
    new.write_text('id,text\n7,a fine film\n8,"dull, long film"\n', encoding="utf-8")
    done = invoke(tmp_path, "predict", key[:8], new, "-o", out)
    assert done.exit_code == 0, done.output
    written = pd.read_csv(out)
    assert list(written.columns) == ["id", "text", "prediction", "p(bad)", "p(good)"]
    assert written["id"].tolist() == [7, 8]
    assert written["prediction"].tolist() == ["good", "bad"]
    assert (written["p(bad)"] + written["p(good)"]).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("name", "content"),
    [("new.tsv", "text\na fine film\n"), ("new.jsonl", json.dumps({"text": "a fine film"}) + "\n")],
)
def test_other_formats_are_predicted(tmp_path, key, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = invoke(tmp_path, "predict", key, tmp_path / name, "--only")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == "prediction,p(bad),p(good)"
    assert done.output.splitlines()[1].startswith("good,")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,txt\n1,a\n", "no column 'text'"),
        ("id,text\n1,a\n2, \n", "row 2 has an empty text"),
        ("id,text\n", "no texts to predict"),
        ("text,text\na,b\n", "duplicate column 'text'"),
    ],
)
def test_bad_files_to_predict_are_told(tmp_path, key, content, message):
    (tmp_path / "new.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        invoke(tmp_path, "predict", key, tmp_path / "new.csv")


def test_texts_are_classified_on_the_command_line(tmp_path, key):
    done = invoke(tmp_path, "classify", key, "a fine film", "dull")
    assert done.exit_code == 0, done.output
    first, second = done.output.strip().splitlines()
    assert first.startswith("a fine film: good 0.")
    assert second.startswith("dull: bad 0.")
    with pytest.raises(DataError, match="there is no text to classify"):
        invoke(tmp_path, "classify", key, " ")


def test_parameters_of_the_tokenizer_are_those_of_training(tmp_path):
    key = study_of(tmp_path, tokenizer=use("whitespace", lowercase=False))
    done = invoke(tmp_path, "classify", key, "FINE", "fine")
    upper, lower = (line.partition(": ")[2] for line in done.output.strip().splitlines())
    assert upper != lower


def test_word_vectors_are_not_read_again(tmp_path):
    vectors = tmp_path / "few.vec"
    vectors.write_text("2 3\nfine 1 0 0\ndull 0 1 0\n", encoding="utf-8")
    key = study_of(tmp_path, vectors=use("text_vectors", path=str(vectors)))
    vectors.unlink()
    done = invoke(tmp_path, "classify", key, "a fine film")
    assert done.exit_code == 0, done.output


def test_a_damaged_preparation_is_told(tmp_path, key):
    path = next((tmp_path / "runs" / ".store").glob("*/artefacts/text_preparation.json"))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="the preprocessing of this run cannot be read"):
        invoke(tmp_path, "classify", key, "a fine film")


def test_a_loaded_run_predicts_like_its_file(tmp_path, key):
    (tmp_path / "films.csv").write_text("text,label\n" + ROWS * 10, encoding="utf-8")
    learner = load(key, tmp_path / "runs")
    (tmp_path / "new.csv").write_text("text\na fine film\n", encoding="utf-8")
    done = invoke(tmp_path, "predict", key, tmp_path / "new.csv", "--only")
    assert float(done.output.strip().split(",")[-1]) == pytest.approx(learner.predict("a fine film")[0]["good"])


def test_the_page_leads_from_a_file_to_a_submission_in_ten_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = [b for b in blocks_of(DOCS / "sentences.md") if b.language == "python"][:2]
    assert sum(bool(line.strip()) for line in second.text.splitlines()) <= 10
    exec(first.text + second.text, {"__name__": "page"})
    submission = pd.read_csv("submission.csv")
    assert submission["id"].tolist() == [7, 8]
    assert submission["label"].tolist() == ["good", "bad"]
