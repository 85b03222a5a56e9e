"""Seeds are added until arms are decided, and all looks together keep their error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from lab_statistics import until_decided
from lab_statistics.sequential import finished_lines, look_levels, p_values_of_looks
from scipy import stats

from lab import Study
from lab.errors import StudyError
from lab.registry.plugins import Catalog
from lab.study.compare import compare_arms, level_of_look, looks_of_rule, single_level
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.toys import experiment


def test_p_values_of_looks_are_those_of_scipy() -> None:
    d = np.random.default_rng(0).normal(0.3, 1, size=(5, 12))
    found = p_values_of_looks(d, (3, 7, 12))
    for row, values in zip(d, found, strict=True):
        assert list(values) == pytest.approx([stats.ttest_1samp(row[:n], 0).pvalue for n in (3, 7, 12)])


def test_two_looks_at_large_samples_have_the_level_of_pocock() -> None:
    assert look_levels((60, 120), 0.05) == pytest.approx([0.0294] * 2, abs=0.0012)


@pytest.mark.parametrize(("count", "constant"), [(2, 1.977), (3, 2.004), (5, 2.040)])
def test_looks_at_large_samples_have_the_levels_of_obrien_and_fleming(count: int, constant: float) -> None:
    # Jennison & Turnbull 2000, table 2.3: the last look's deviate; that of look k is sqrt(K / k) times as large
    looks = [40 * (number + 1) for number in range(count)]
    expected = [2 * stats.norm.sf(constant * np.sqrt(count / (number + 1))) for number in range(count)]
    found = look_levels(looks, 0.05, "obrien_fleming")
    assert found == pytest.approx(expected, rel=0.2, abs=1e-5)
    assert found[-1] == pytest.approx(expected[-1], rel=0.03)


@pytest.mark.parametrize("boundary", ["pocock", "obrien_fleming"])
def test_a_single_look_keeps_its_level(boundary: str) -> None:
    assert look_levels((10,), 0.05, boundary) == pytest.approx([0.05], abs=0.002)


def test_the_level_of_obrien_and_fleming_is_that_of_the_arms_last_look() -> None:
    rule = until_decided(smallest=3, largest=8, boundary="obrien_fleming").rule
    looks = looks_of_rule(json.loads(json.dumps(rule)))
    assert isinstance(looks, dict)
    assert sorted(looks) == [3, 4, 5, 6, 7, 8]
    levels = [level_of_look(0.05, looks, seeds) for seeds in range(3, 9)]
    assert levels == sorted(levels)
    assert levels == pytest.approx(look_levels(range(3, 9), 0.05, "obrien_fleming"), rel=1e-4)
    base = {seed: 0.1 * seed for seed in range(8)}
    arm = {seed: 0.1 * seed + (seed % 3) - 0.4 for seed in range(8)}
    early = dict(list(arm.items())[:4])
    found = compare_arms(base, {"late": arm, "early": early}, higher_is_better=True, looks=looks)
    for each, seeds in zip(found, (8, 4), strict=True):
        d = [0.0 + (seed % 3) - 0.4 for seed in range(seeds)]
        level = level_of_look(single_level(2), looks, seeds)
        low, _ = stats.t.interval(1 - level, seeds - 1, np.mean(d), stats.sem(d))
        assert each.low == pytest.approx(low)


def test_levels_between_the_known_families_are_interpolated() -> None:
    levels = until_decided(smallest=3, largest=10).rule["levels"]
    assert level_of_look(single_level(7), levels) == pytest.approx(
        look_levels(range(3, 11), single_level(7))[0], rel=0.03
    )
    # beyond the last family the level falls with the number of comparisons
    assert level_of_look(single_level(120), levels) == pytest.approx(levels[0][1] / 2, rel=0.02)


def test_intervals_at_looks_are_wider_and_agree_with_their_verdicts() -> None:
    levels = until_decided(smallest=3, largest=10).rule["levels"]
    base, arm = dict.fromkeys(range(5), 0.0), {0: 0.9, 1: 1.4, 2: 0.2, 3: 1.1, 4: 0.6}
    (once,) = compare_arms(base, {"arm": arm}, higher_is_better=True)
    (look,) = compare_arms(base, {"arm": arm}, higher_is_better=True, looks=levels)
    assert look.low < once.low
    assert once.is_better
    assert (look.is_better is True) == (look.low > 0) == (look.p_corrected < 0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smallest": 2}, "smallest of until_decided must be at least 3, not 2"),
        ({"smallest": 5, "largest": 5}, r"until_decided: largest must be above smallest \(5\), not 5"),
        ({"alpha": 0}, "until_decided: alpha is a probability between 0 and 0.5, not 0"),
        ({"step": 0}, "step of until_decided must be at least 1, not 0"),
        ({"boundary": "peto"}, "until_decided: boundary is 'pocock' or 'obrien_fleming', not 'peto'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        until_decided(**arguments)


@pytest.fixture
def study() -> Study:
    """An arm that is far worse at once, one that is equivalent within the margin, and one that stays open."""
    rule = until_decided(smallest=3, largest=6)
    return Study(experiment(epochs=3), seeds=rule, name="looks", margin=0.05).swap(
        "lr", {"far worse": 1e-5, "the same": 0.0501, "open": 0.07}
    )


def test_arms_leave_when_they_are_decided(study: Study, catalog: Catalog, tmp_path: Path) -> None:
    results = run_study(study, runs=tmp_path, catalog=catalog)
    seeds = {arm.name: len(results.scores(arm.name, "valid_loss")) for arm in results.arms}
    rows = {row.name: row.comparison for row in results.compare()}
    assert rows["far worse"].is_better is False
    assert rows["the same"].is_equivalent
    assert seeds["base"] == max(seeds.values()) > seeds["the same"] == 3
    line = finished_lines(results.study, results)[1]
    assert f"{24 - len(results.runs)} of 24 runs saved" in line
    assert "intervals and p-values are corrected for every look that the rule of seeds plans" in results.caveats(
        results.compare()
    )


def test_the_first_looks_of_obrien_and_fleming_decide_next_to_nothing(catalog: Catalog, tmp_path: Path) -> None:
    rule = until_decided(smallest=3, largest=6, boundary="obrien_fleming")
    study = Study(experiment(epochs=3), seeds=rule, name="looks").swap("lr", {"far worse": 1e-5})
    results = run_study(study, runs=tmp_path, catalog=catalog)
    assert results.compare()[1].comparison.is_better is False
    assert len(results.scores("far worse", "valid_loss")) > 3
    assert "(O'Brien & Fleming)" in finished_lines(results.study, results)[0]
    read = read_study(Store(tmp_path), "looks").results(Store(tmp_path))
    assert read.compare()[1].comparison.low == results.compare()[1].comparison.low


def test_a_finished_sequential_study_is_only_read(study: Study, catalog: Catalog, tmp_path: Path) -> None:
    first = run_study(study, runs=tmp_path, catalog=catalog)
    started: list[object] = []

    class Listener:
        def run_started(self, run: object) -> None:
            started.append(run)

        def run_advanced(self, run: object, progress: object) -> None: ...

        def run_finished(self, run: object, record: object) -> None: ...

    again = run_study(study, runs=tmp_path, catalog=catalog, listener=Listener())
    assert started == []
    assert [run.key for run in again.runs] == [run.key for run in first.runs]


def test_the_record_keeps_the_rule_and_the_seeds_of_every_arm(study: Study, catalog: Catalog, tmp_path: Path) -> None:
    results = run_study(study, runs=tmp_path, catalog=catalog)
    record = read_study(Store(tmp_path), "looks")
    assert record.others == {}
    assert record.study.rules == study.rules
    read = record.results(Store(tmp_path))
    assert [attrs.astuple(row.comparison) for row in read.compare()[1:]] == [
        attrs.astuple(row.comparison) for row in results.compare()[1:]
    ]


def test_a_number_of_seeds_replaces_the_rule(study: Study, catalog: Catalog, tmp_path: Path) -> None:
    fixed = study.with_seeds(3)
    assert fixed.rules == {}
    assert len(run_study(fixed, runs=tmp_path, catalog=catalog).runs) == 12


def test_without_the_plugin_the_study_says_what_it_needs(study: Study, tmp_path: Path) -> None:
    from lab.errors import LabError
    from tests.kernel.toys import COMPONENTS, plugin_module

    bare = Catalog(strict=True)
    hooks = {name: given for name, given in COMPONENTS.items() if name != "lab_rounds"}
    bare.add_module(plugin_module(**hooks), "toys", "1.0")
    with pytest.raises(LabError, match="this study needs the plugin lab_statistics"):
        run_study(study, runs=tmp_path, catalog=bare)
