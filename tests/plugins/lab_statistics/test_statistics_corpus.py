"""Corpus scores by resampling sentences, against sacrebleu's own paired tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from lab_seq2seq.metrics import Bleu, BookBleu, ChrF
from lab_statistics.corpus import (
    jackknife_differences,
    randomization_p,
    resampled_differences,
    resampled_interval,
    scores_of_sums,
)
from lab_statistics.examples import jackknife_values, read_scores, read_statistics
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from lab.registry.plugins import load_catalog

WORDS = ["the", "a", "black", "white", "cat", "dog", "sees", "chases", "sleeps", "in", "on", "house", "garden", "my"]


def sentences(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 12))) for _ in range(count)]


def noisy(texts: list[str], share: float, seed: int) -> list[str]:
    """Translations with a share of wrong words, and now and then a word less."""
    rng = np.random.default_rng(seed)
    made = []
    for text in texts:
        words = [str(rng.choice(WORDS)) if rng.random() < share else word for word in text.split()]
        made.append(" ".join(words[: len(words) - int(rng.random() < 0.3)]))
    return made


REFERENCES = sentences(120, 0)
BASE, ARM = noisy(REFERENCES, 0.35, 1), noisy(REFERENCES, 0.28, 2)


class Texts:
    """Data that can decode, which metrics ask for."""

    def decode(self, ids: Any) -> list[str]:
        raise NotImplementedError


def metric(kind: Any, **options: Any) -> Any:
    return kind(Texts(), **options)


SCORERS = [
    pytest.param(metric(Bleu), BLEU(), id="bleu"),
    pytest.param(metric(ChrF), CHRF(), id="chrf"),
    pytest.param(metric(ChrF, word_order=2), CHRF(word_order=2), id="chrf++"),
]


@pytest.mark.parametrize(("ours", "reference"), SCORERS)
def test_scores_of_sums_are_those_of_sacrebleu(ours: Any, reference: Any) -> None:
    counts = ours.statistics(BASE, REFERENCES)
    assert float(ours.score_of_statistics(counts.sum(axis=0))) == pytest.approx(
        reference.corpus_score(BASE, [REFERENCES]).score
    )
    # single sentences have orders without a match, or without n-grams
    alone = [reference.corpus_score([one], [[other]]).score for one, other in zip(BASE, REFERENCES, strict=True)]
    assert ours.score_of_statistics(counts) == pytest.approx(alone)


@pytest.mark.parametrize("pair", [("", "the cat"), ("dog", "the cat sleeps"), ("the", "the"), ("the cat sees a", "a")])
def test_sentences_that_have_no_score_of_their_own_are_scored_as_by_sacrebleu(pair: tuple[str, str]) -> None:
    for ours, reference in ((metric(Bleu), BLEU()), (metric(ChrF), CHRF())):
        found = ours.score_of_statistics(ours.statistics([pair[0]], [pair[1]]).sum(axis=0))
        assert float(found) == pytest.approx(reference.corpus_score([pair[0]], [[pair[1]]]).score, abs=1e-9)


def test_the_books_bleu_is_a_mean_of_sums() -> None:
    ours = metric(BookBleu)
    counts = ours.statistics(BASE, REFERENCES)
    assert float(ours.score_of_statistics(counts.sum(axis=0))) == pytest.approx(ours.score(BASE, REFERENCES))


@pytest.mark.parametrize(("ours", "reference"), SCORERS)
def test_approximate_randomization_has_the_p_of_sacrebleu(ours: Any, reference: Any) -> None:
    better = noisy(REFERENCES, 0.28, 5)
    test = PairedTest([("base", BASE), ("arm", better)], {"m": reference}, [REFERENCES], "ar", n_samples=1_000)
    (expected,) = (found[1].p_value for name, found in test()[1].items() if name != "System")
    found = randomization_p(ours.statistics(BASE, REFERENCES), ours.statistics(better, REFERENCES), _of(ours))
    # both are drawn: three standard errors
    assert found == pytest.approx(expected, abs=3 * np.sqrt(0.25 / 1_000))
    assert 0.01 < found < 0.9


@pytest.mark.parametrize(("ours", "reference"), SCORERS)
def test_the_paired_bootstrap_is_that_of_sacrebleu(ours: Any, reference: Any) -> None:
    test = PairedTest([("base", BASE), ("arm", ARM)], {"m": reference}, [REFERENCES], "bs", n_samples=1_000)
    (expected,) = (found[1] for name, found in test()[1].items() if name != "System")
    one, two = (ours.statistics(texts, REFERENCES)[None] for texts in (BASE, ARM))
    drawn = np.abs(resampled_differences(one, two, _of(ours), 2_000))
    real = abs(float(_of(ours)(two.sum(axis=(0, 1))) - _of(ours)(one.sum(axis=(0, 1)))))
    # sacrebleu's p: resampled differences, shifted to zero, that exceed the real one
    assert ((drawn - drawn.mean() > real).sum() + 1) / 2_001 == pytest.approx(expected.p_value, abs=0.03)
    # its interval is of one system: against a base without words, whose score is 0
    nothing = np.zeros_like(two)
    low, high = resampled_interval(nothing, two, _of(ours))
    assert (low + high) / 2 == pytest.approx(expected.mean, abs=0.15 * expected.ci)
    assert (high - low) / 2 == pytest.approx(expected.ci, rel=0.1)


def _of(ours: Any) -> Any:
    return type(ours).score_of_statistics


def test_jackknife_values_have_the_score_as_mean_and_the_bootstraps_error() -> None:
    ours = metric(Bleu)
    one, two = (ours.statistics(texts, REFERENCES) for texts in (BASE, ARM))
    values = jackknife_values(two, _of(ours))
    assert values.mean() == pytest.approx(sacrebleu.corpus_bleu(ARM, [REFERENCES]).score)
    d = jackknife_differences(one[None], two[None], _of(ours))[0]
    drawn = resampled_differences(one[None], two[None], _of(ours), 2_000)
    assert d.std(ddof=1) / np.sqrt(len(d)) == pytest.approx(drawn.std(), rel=0.1)


def test_jackknife_values_of_a_mean_are_the_scores_themselves() -> None:
    counts = np.stack([np.array([0.1, 0.5, 0.9]), np.ones(3)], axis=-1)
    assert jackknife_values(counts, _of(metric(BookBleu))) == pytest.approx([0.1, 0.5, 0.9])


def test_equal_corpora_have_p_one_and_an_interval_of_zero() -> None:
    ours = metric(Bleu)
    counts = ours.statistics(BASE, REFERENCES)
    assert randomization_p(counts, counts, _of(ours), trials=200) == 1
    assert resampled_interval(counts[None], counts[None], _of(ours), resamples=200) == (0.0, 0.0)


def test_metrics_that_sum_counts_are_found_by_their_names() -> None:
    assert set(scores_of_sums(["bleu", "chrf", "accuracy", "of_the_file"], load_catalog())) == {"bleu", "chrf"}


def test_lab_by_example_resamples_bleu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from lab.cli.main import cli
    from lab.study.record import read_study
    from lab.study.store import Store

    monkeypatch.setattr("lab_statistics.examples.MIN_TRAINING_S", 0.0)
    monkeypatch.setattr("lab_statistics.examples.MIN_SECONDS", 60.0)
    file = tmp_path / "translate.py"
    file.write_text(
        "from lab import Experiment, Study, use\n"
        'base = Experiment(dataset=use("fr_en_questions", corpus="embedded", pairs=400, tokenizer="whitespace"),\n'
        '    architecture=use("seq2seq_rnn", embedding_dim=8, hidden_size=8, layers=1), loss="seq2seq_loss",\n'
        '    stepper="teacher_forcing", metrics=["bleu"], lr=1e-2, batch_size=64, epochs=1)\n'
        'study = Study(base, seeds=2, compare="valid_bleu").swap("lr", {"fast": 0.03})\n'
    )
    runs = tmp_path / "runs"
    result = CliRunner().invoke(cli, ["run", str(file), "--runs", str(runs), "--quiet"])
    assert result.exit_code == 0, result.output
    store = Store(runs)
    run = read_study(store, "translate").results(store).runs[0]
    assert read_scores(run)["bleu"].mean() == pytest.approx(run.metrics["valid_bleu"], rel=1e-4, abs=1e-6)
    assert read_statistics(run)["bleu"].shape[1] == 10
    result = CliRunner().invoke(cli, ["by-example", "translate", "--runs", str(runs)])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("fast: Δ bleu of ")
    assert "approximate randomization, p of each seed: " in result.output
    assert "its part in Δ bleu" in result.output
