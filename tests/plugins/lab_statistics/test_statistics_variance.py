"""One source of randomness varies at a time, and its share of the variance has an interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from lab_statistics.variance import describe, sections, shares, sources, variance_ratio

from lab import Study
from lab.cli.main import cli
from lab.errors import LabError, StudyError
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.study.results import Results
from tests.kernel.toys import experiment


def test_the_interval_of_a_variance_ratio_covers_it_in_ninety_five_percent() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(4000):
        _, low, high = variance_ratio(rng.normal(0, 0.5, 6), rng.normal(size=10))
        inside += low <= 0.25 <= high
    assert inside / 4000 == pytest.approx(0.95, abs=0.012)


def test_a_variance_ratio_by_hand() -> None:
    # variances 1 and 4 with 2 and 2 degrees of freedom; the 97.5 % point of F(2, 2) is 39
    ratio, low, high = variance_ratio([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    assert (ratio, low, high) == pytest.approx((0.25, 0.25 / 39, 0.25 * 39))


@pytest.fixture
def results(catalog: Catalog, tmp_path: Path) -> Results:
    study = sources(Study(experiment(epochs=1), seeds=4, name="variance"), "init", "order", "dropout")
    return run_study(study, runs=tmp_path, catalog=catalog)


def test_a_source_that_is_never_drawn_from_has_no_share(results: Results) -> None:
    found = {share.source: share for share in shares(results)}
    assert found["dropout"].share == 0
    assert found["init"].share > 0
    assert found["init"].low < found["init"].share < found["init"].high
    assert "  dropout: nothing is drawn from it (4 equal runs)" in describe(results)


def test_the_largest_share_says_what_it_would_do_to_intervals(results: Results) -> None:
    text = "\n".join(describe(results))
    first = shares(results)[0].source
    assert f"seeds that vary {first} alone would give intervals " in text


def test_the_report_and_the_command_show_the_shares(results: Results, tmp_path: Path) -> None:
    (section,) = sections(results.study, results.runs)
    output = CliRunner().invoke(cli, ["variance", "variance", "--runs", str(tmp_path)]).output
    assert section.text in output


def test_splits_are_arms_that_no_table_shows(catalog: Catalog, tmp_path: Path) -> None:
    study = sources(Study(experiment(epochs=1), seeds=3, name="splits"), "init", split="dataset.size", splits=3)
    # the toy data has no seed of its split; another size stands for another split
    study = study.with_round([arm for arm in study.arms if arm.name == "only init"])
    arms = {arm.name: arm for arm in study.arms}
    assert [arms[f"split {number}"].seeds for number in (1, 2, 3)] == [(0,), (0,), (0,)]
    assert arms["split 2"].changes == {"vary": [], "dataset.size": 2}
    assert study.rules["sources"]["splits"] == ["split 1", "split 2", "split 3"]


def test_other_studies_have_no_section_and_the_command_says_what_to_ask_for(catalog: Catalog, tmp_path: Path) -> None:
    results = run_study(Study(experiment(epochs=1), seeds=2, name="plain"), runs=tmp_path, catalog=catalog)
    assert sections(results.study, results.runs) == []
    with pytest.raises(LabError, match=r"varies no source of randomness on its own(.|\n)*\.sources\(\)"):
        shares(results)


def test_two_runs_of_the_base_are_too_few(catalog: Catalog, tmp_path: Path) -> None:
    study = sources(Study(experiment(epochs=1), seeds=2, name="few"), "init")
    results = run_study(study, runs=tmp_path, catalog=catalog)
    with pytest.raises(LabError, match="the base of 'few' has 2 finished runs"):
        shares(results)


def test_wrong_sources_are_refused_with_close_matches() -> None:
    with pytest.raises(StudyError, match=r"unknown source 'droput'\n  did you mean: dropout"):
        sources(Study(experiment()), "droput")
    with pytest.raises(StudyError, match="a training function has random streams of its own"):
        sources(Study(lambda run: {"loss": 1.0}))
    with pytest.raises(StudyError, match="splits of sources must be at least 2, not 1"):
        sources(Study(experiment()), split="dataset.split_seed", splits=1)
