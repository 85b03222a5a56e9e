"""A finished run: commands, its vectors as a source, and the pretext task."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from lab_text.vectors import TextVectors
from lab_words.callbacks import NEIGHBORS
from lab_words.replaced import replaced_middle
from lab_words.report import _map, sections
from lab_words.vectors import RunVectors

from lab import Experiment, Study, use
from lab.cli.main import cli
from lab.errors import DataError, ParameterError, UnknownNameError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of runs and the key of a small run."""
    folder = tmp_path_factory.mktemp("runs")
    base = Experiment(
        dataset=use("word_pairs", min_freq=50, window=2),
        architecture=use("word_vectors", embedding_dim=8),
        loss="word_nll",
        callbacks=["word_scores"],
        batch_size=512,
        epochs=1,
    )
    results = Study(base, seeds=1, compare="similarity", name="words").run(runs=folder)
    return folder, results.runs[0].key


def invoked(*arguments):
    result = CliRunner().invoke(cli, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_commands_print_neighbors_and_analogies(finished):
    folder, key = finished
    assert len(invoked("words", "similar", key, "method", "--runs", folder, "-n", 3).stdout.splitlines()) == 3
    assert "cosine" in invoked("words", "similar", key, "method", "class", "--runs", folder).stdout
    assert len(invoked("words", "analogy", key, "object", "objects", "name", "--runs", folder).stdout.splitlines()) == 3


def test_the_report_shows_neighbors_answers_and_a_map(finished):
    folder, key = finished
    near, answered, mapped = sections([SimpleNamespace(arm="base", folder=folder / ".store" / key)])
    assert (near.title, answered.title, mapped.title) == ("Nearest neighbors", "Answers to analogies", "Map of words")
    assert mapped.html.count("<svg role='img' aria-label='map of 60 words, base'") == 1


def test_words_on_a_map_do_not_cover_each_other():
    drawn = _map("base", [("often", 0.0, 0.0), ("seldom", 0.01, 0.0), ("far", 1.0, 1.0)])
    assert re.findall(r"<text[^>]*>(\w+)</text>", drawn) == ["often", "far"]
    assert re.findall(r"<circle.*?<title>(\w+)</title>", drawn) == ["seldom"]


def test_words_are_escaped_and_the_first_seed_is_shown(tmp_path):
    content = {
        "coverage": {"analogy": [1, 1]},
        "neighbors": {"<a>": [["<b>", 0.5]]},
        "unknown": ["gone"],
        "answers": [["a", "b", "c", "<d>", "<d>"], ["a", "b", "c", "d", "e"]],
        "map": [["<a>", 0.0, 0.0], ["<b>", 1.0, 0.0]],
    }
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "artefacts" / NEIGHBORS).write_text(json.dumps(content), encoding="utf-8")
    near, answered, mapped = sections([SimpleNamespace(arm="base", folder=tmp_path)] * 2)
    assert "not in the vocabulary: gone" in near.text
    assert "✓ a : b = c : <d>, answer <d>" in answered.text
    assert "✗ a : b = c : d, answer e" in answered.text
    for section in (near, answered, mapped):
        assert "<a>" not in section.html
        assert "<d>" not in section.html


def test_a_word_that_is_unknown_is_an_error_with_close_matches(finished):
    folder, key = finished
    with pytest.raises(UnknownNameError, match="'metod' is not in the vocabulary") as caught:
        invoked("words", "similar", key, "metod", "--runs", folder)
    assert "method" in caught.value.hint


def test_exported_vectors_and_those_of_the_run_are_the_same(finished, tmp_path):
    folder, key = finished
    path = tmp_path / "vectors.vec"
    assert invoked("words", "export", key, path, "--runs", folder).exit_code == 0
    words = ["method", "object", "not-a-word"]
    width, from_file = TextVectors(path=str(path), std=None).find(words, tuple)
    own_width, from_run = RunVectors(run=key, runs=str(folder), std=None).find(words, tuple)
    assert width == own_width == 8
    assert from_file.keys() == from_run.keys() == {"method", "object"}
    assert all((from_file[word] == from_run[word]).all() for word in from_file)


def test_vectors_of_no_run_are_refused():
    with pytest.raises(ParameterError, match="no run was named"):
        RunVectors().find(["a"], tuple)


def test_half_of_the_middle_words_are_replaced_by_others():
    data = replaced_middle(min_freq=50)
    assert float(data.train.target.mean()) == pytest.approx(0.5, abs=0.02)
    windows, target = data.train.words, data.train.target
    # neighboring windows show the true middle word, unless it is theirs that was replaced
    true_middle = windows[:-1, 6]
    same = windows[1:, 5] == true_middle
    assert bool((same == (target[1:] == 0)).all())


def test_a_text_shorter_than_the_window_is_refused(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("a b c. a b c.", encoding="utf-8")
    with pytest.raises(DataError, match="fewer than a window of 11"):
        replaced_middle(path=str(path), min_freq=1, valid_share=0.5)
