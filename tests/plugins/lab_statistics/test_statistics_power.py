"""How many seeds a study needs: against statsmodels, and the command that says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from lab_statistics import until_decided
from lab_statistics.plan_command import plan_lines
from lab_statistics.planning import planned, seconds_of
from lab_statistics.power import detectable, pooled_spread, power_of, seeds_for, upper_spread
from lab_statistics.power_section import describe, sections
from scipy.special import chdtri, ndtr, stdtrit

from lab import Study, log, use
from lab.cli.main import cli
from lab.errors import LabError
from lab.registry.plugins import Catalog
from lab.study.compare import single_level
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.stored_study import store_study
from tests.kernel.toys import experiment, plugin_module

FILE = """from lab import Experiment, Study, use
base = Experiment(dataset="points", architecture="mlp", loss="cross_entropy", metrics=["accuracy"])
study = Study(base, seeds=4, compare="valid_accuracy", name="toy").swap("lr", {"wide": 0.1, "sgd": 0.2})
"""


@pytest.mark.parametrize("n", [3, 5, 10, 40])
@pytest.mark.parametrize("effect", [0.3, 1.0, 2.0])
def test_the_power_is_that_of_statsmodels(effect: float, n: int) -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    reference = power.TTestPower().power(effect, n, 0.05)
    assert power_of(2 * effect, 2.0, n) == pytest.approx(reference, abs=1e-6)


@pytest.mark.parametrize("effect", [0.4, 0.8, 1.5])
def test_the_number_of_seeds_is_that_of_statsmodels_rounded_up(effect: float) -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    needed = power.TTestPower().solve_power(effect, alpha=0.05, power=0.8)
    assert seeds_for(effect, 1.0) == int(np.ceil(needed))


def by_quadrature(effect: float, n: int, level: float) -> float:
    """Power as the mean over equally likely values of the estimated spread: no noncentral t, whose tails are hard."""
    spreads = np.sqrt(chdtri(n - 1, (np.arange(20_000) + 0.5) / 20_000) / (n - 1))
    bound, center = stdtrit(n - 1, 1 - level / 2) * spreads, effect * np.sqrt(n)
    return float((ndtr(center - bound) + ndtr(-center - bound)).mean())


@pytest.mark.parametrize("arms", [1, 4, 9, 30])
@pytest.mark.parametrize("n", [3, 4, 10, 100])
def test_the_power_is_a_number_for_few_seeds_and_many_arms(n: int, arms: int) -> None:
    # scipy's nct.cdf, and statsmodels with it, give NaN for 3 seeds of 4 arms
    for effect in (0.0, 0.3, 1.0, 3.0, 6.0, 30.0):
        level = single_level(arms)
        assert power_of(effect, 1.0, n, level) == pytest.approx(by_quadrature(effect, n, level), abs=2e-4)


@pytest.mark.parametrize("n", [3, 5, 10, 40])
@pytest.mark.parametrize("level", [0.05, 0.0127, 0.001])
def test_the_difference_that_is_shown_is_shown_with_that_power(n: int, level: float) -> None:
    assert by_quadrature(detectable(2.0, n, level) / 2, n, level) == pytest.approx(0.8, abs=2e-4)


def test_seeds_for_one_arm_and_for_the_strictest_of_nine() -> None:
    strict = single_level(9)
    assert [seeds_for(effect, 1.0) for effect in (1, 2, 3)] == [10, 5, 4]
    assert [seeds_for(effect, 1.0, level=strict) for effect in (1, 2, 3)] == [17, 8, 6]


def test_a_difference_that_cannot_be_shown_needs_more_seeds_than_can_be_planned() -> None:
    assert seeds_for(1e-6, 1.0) is None


def test_the_upper_limit_of_a_spread_holds_in_eighty_percent() -> None:
    samples = np.random.default_rng(0).normal(size=(20_000, 4))
    limits = [upper_spread(float(spread), 3) for spread in samples.std(axis=1, ddof=1)]
    assert np.mean(np.array(limits) >= 1) == pytest.approx(0.8, abs=0.01)


def test_the_pooled_spread_weighs_samples_by_their_degrees_of_freedom() -> None:
    assert pooled_spread([[1.0], []]) == (pytest.approx(np.nan, nan_ok=True), 0)
    spread, freedom = pooled_spread([[0.0, 2.0, 4.0], [1.0, 2.0]])
    assert (spread**2, freedom) == (pytest.approx((8 + 0.5) / 3), 3)


@pytest.fixture
def lab(tmp_path: Path):
    (tmp_path / "toy.py").write_text(FILE)

    def lab(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path / "runs")])

    return lab


def test_a_pilot_gives_the_seeds_of_every_arm_and_the_hours(lab, tmp_path: Path) -> None:
    store_study(tmp_path / "runs")
    result = lab("plan", str(tmp_path / "toy.py"), "--detect", "0.02")
    assert result.exit_code == 0, result.output
    assert "3 arms, valid_accuracy; to detect 0.02 with 80% probability, each at level 0.025" in result.output
    spread = np.std([0.2, 0.22, 0.19, 0.22], ddof=1)
    few, safe = (seeds_for(0.02, value, level=single_level(2)) for value in (spread, upper_spread(spread, 3)))
    assert f"wide: spread 0.015 over 4 seeds: {few} seeds, to be safe {safe}" in result.output
    assert "hours)" in result.output


def test_a_spread_may_be_given_instead_of_a_pilot(lab, tmp_path: Path) -> None:
    result = lab("plan", str(tmp_path / "toy.py"), "--detect", "0.01", "--spread", "0.01")
    assert "spread 0.01 (given): 13 seeds" in result.output
    assert "the time of a run is not known before one is finished" in result.output


@pytest.mark.parametrize(
    "options",
    [
        ("--detect", "nan"),
        ("--detect", "inf"),
        ("--detect", "0.01", "--spread", "nan"),
        ("--detect", "0.01", "--spread", "inf"),
        ("--detect", "0.01", "--spread", "0.01", "--power", "nan"),
        ("--detect", "0.01", "--spread", "0.01", "--power", "1"),
        ("--detect", "0.01", "--spread", "0.01", "--power", "0"),
    ],
)
def test_numbers_that_no_plan_can_have_are_refused(lab, tmp_path: Path, options: tuple[str, ...]) -> None:
    store_study(tmp_path / "runs")
    result = lab("plan", str(tmp_path / "toy.py"), *options)
    assert result.exit_code == 2
    assert f"Invalid value for '{options[-2]}'" in result.output
    assert "seeds" not in result.stdout


@pytest.mark.parametrize("numbers", [(np.nan, 1.0, 0.8), (1.0, np.inf, 0.8), (1.0, 1.0, np.nan), (1.0, 1.0, 1.0)])
def test_no_number_of_seeds_is_given_for_numbers_without_meaning(numbers: tuple[float, float, float]) -> None:
    difference, spread, power = numbers
    with pytest.raises(ValueError, match="no number of seeds for difference"):
        seeds_for(difference, spread, power=power)


def test_effects_of_a_grid_count_with_its_arms(lab, tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(
        FILE.replace('.swap("lr", {"wide": 0.1, "sgd": 0.2})', '.grid({"lr": [0.1, 0.2], "batch_size": [8, 16]})')
    )
    result = lab("plan", str(tmp_path / "toy.py"), "--detect", "0.01", "--spread", "0.01")
    # three arms beside the base, two main effects and an interaction
    assert f"each at level {single_level(6):.2g}" in result.output


def test_an_arm_on_another_dataset_has_the_base_there(catalog: Catalog, tmp_path: Path) -> None:
    study = Study(experiment(epochs=1), seeds=3, name="toy").swap("lr", {"fast": 0.1})
    study = study.across("batch_size", {"eight": 8, "four": 4})
    results = run_study(study, runs=tmp_path, catalog=catalog)
    lines = "\n".join(plan_lines(study, results, 0.01, 0.8, None))
    base, arm = (list(results.scores(name, "valid_loss").values()) for name in ("base on four", "fast on four"))
    assert f"  fast on four: spread {np.std(np.subtract(arm, base), ddof=1):.3g} over 3 seeds" in lines
    assert "  base on four: " not in lines


def test_without_a_pilot_the_message_says_how_to_make_one(lab, tmp_path: Path) -> None:
    result = lab("plan", str(tmp_path / "toy.py"), "--detect", "0.01")
    assert "there is no pilot of 'toy' with at least 3 finished seeds" in str(result.exception)
    assert f"--seeds 3 --runs {tmp_path / 'runs'}, or give --spread" in str(result.exception)


def test_the_report_says_what_more_seeds_would_show(tmp_path: Path) -> None:
    store_study(tmp_path)
    results = read_study(Store(tmp_path), "toy").results(Store(tmp_path))
    lines = describe(results)
    assert lines[0].startswith(
        "difference in valid_accuracy that 3, 5, 10, 20, 40 seeds would show with 80 % probability"
    )
    row = next(row for row in results.compare() if row.comparison is not None and row.comparison.n >= 3)
    line = next(line for line in lines if line.startswith(f"  {row.name}: "))
    spread = float(line.split("spread ")[1].split(";")[0])
    level = float(lines[0].split("level ")[1])
    assert float(line.split("; ")[1].split(" / ")[0]) == pytest.approx(detectable(spread, 3, level), rel=0.05)
    (section,) = sections(results.study, results.runs)
    assert section.text == ""
    assert "<svg" in section.html


def swapped(**options: object) -> Study:
    base = experiment(epochs=1, architecture=use("line", width=4))
    return Study(base, **{"seeds": 3, "name": "planned", **options}).swap("architecture.width", {"wide": 8, "flat": 2})


def test_arms_that_rules_add_are_planned_before_they_are_there() -> None:
    # arm → its base, of the arms that are compared
    forms = {
        "tune": ("6 arms (3 of them by tune)", 5),
        "match": ("5 arms (up to 2 of them by match)", 4),
        "splits": ("3 arms", 2),
        "across": ("6 arms", 4),
        "retrain": ("2 arms (2 of them by retrain)", 1),
        "sources": ("5 arms", 4),
    }
    studies = {
        "tune": swapped().tune({"lr": log(0.01, 1.0)}, trials=4),
        "match": swapped().match("parameters", width="architecture.width"),
        "splits": swapped().splits("dataset.seed", valid_share=0.2),
        "across": swapped().across("dataset.n", {"few": 100, "many": 200}),
        "retrain": Study(experiment(), seeds=1).search({"lr": log(0.01, 1.0)}, trials=4).retrain(),
        "sources": swapped().sources("init", "order", split="dataset.seed", splits=3),
    }
    for name, (count, family) in forms.items():
        plan = planned(studies[name], None)
        assert (name, plan.count, plan.level) == (name, count, single_level(family))
        assert seconds_of(plan) is None


def test_the_plan_of_a_tuned_study_is_that_of_its_table_and_has_the_time_of_its_trials(
    catalog: Catalog, tmp_path: Path
) -> None:
    catalog.add_module(plugin_module(lab_searchers={"quasi_random": "lab_search.searchers:QuasiRandom"}), "search", "1")
    plain = Study(experiment(epochs=1, lr=0.05), seeds=3, name="tuned").swap("optimizer", {"sgd": "sgd"})
    study = plain.tune({"lr": log(0.01, 1.0)}, trials=2)
    run_study(plain, runs=tmp_path, catalog=catalog)
    early = planned(study, read_study(Store(tmp_path), "tuned").results(Store(tmp_path)))
    results = run_study(study, runs=tmp_path, catalog=catalog)
    late = planned(study, read_study(Store(tmp_path), "tuned").results(Store(tmp_path)))
    for plan in (early, late):
        assert plan.names == [row.name for row in results.compare()]
        assert plan.level == single_level(results.family)
        assert {name: plan.results.base_of(name) for name in plan.names} == {
            name: results.base_of(name) for name in plan.names
        }
    assert list(early.differences()) == list(late.differences()) == ["sgd", "base, tuned", "sgd, tuned"]
    assert [len(d) for d in early.differences().values()] == [3, 0, 0]
    assert [len(d) for d in late.differences().values()] == [3, 3, 3]
    # until tuned arms are trained, they and their two trials take as long as the arms that they are made of
    means = [np.mean(list(results.scores(name, "seconds").values())) for name in ("base", "sgd")]
    assert seconds_of(early) == (pytest.approx(4 * sum(means)), 0.0)
    every = sum(value for arm in results.arms for value in results.scores(arm.name, "seconds").values())
    assert seconds_of(late) == (pytest.approx(every / 3), 0.0)
    text = "\n".join(plan_lines(study, late.results, 0.5, 0.8, None, " --runs elsewhere"))
    assert "tuned: 4 arms (2 of them by tune), valid_loss" in text
    assert "one seed of all arms, with 2 trials of each, takes about" in text
    assert text.splitlines()[-1].endswith("--runs elsewhere")


def test_seeds_of_a_study_with_looks_are_those_of_its_last_look() -> None:
    rule = until_decided(smallest=3, largest=6)
    plan = planned(swapped(seeds=rule), None)
    assert plan.level < single_level(2)
    assert plan.seeds_for(10.0, 1.0, 0.8) == seeds_for(10.0, 1.0, level=plan.level)
    # more looks share the error: a longer study needs more than the level of the shorter one would say
    short = seeds_for(1.0, 1.0, level=plan.level)
    found = plan.seeds_for(1.0, 1.0, 0.8)
    assert short is not None
    assert found is not None
    assert found >= short > 6
    lines = plan_lines(swapped(seeds=rule), None, 1.0, 0.8, 1.0)
    assert lines[0].endswith(", corrected for the looks; seeds are those of the last look")
    assert lines[-1] == f"  then: seeds=until_decided(largest={found}, ...) in FILE"


def test_splits_that_share_examples_need_more_seeds_or_cannot_show_a_difference() -> None:
    assert seeds_for(2.0, 1.0, overlap=0.25) > seeds_for(2.0, 1.0)
    assert seeds_for(0.1, 1.0, overlap=0.25) is None
    plan = planned(swapped().splits("dataset.seed", valid_share=0.2), None)
    assert plan.seeds_for(2.0, 1.0, 0.8) == seeds_for(2.0, 1.0, level=plan.level, overlap=0.25)


def test_the_power_with_shared_examples_is_that_of_simulated_studies() -> None:
    rng = np.random.default_rng(0)
    n, overlap, effect = 6, 0.25, 2.0
    d = effect + np.sqrt(overlap) * rng.normal(size=(40_000, 1)) + rng.normal(size=(40_000, n))
    half = stdtrit(n - 1, 0.975) * d.std(axis=1, ddof=1) * np.sqrt(1 / n + overlap)
    assert power_of(effect, 1.0, n, overlap=overlap) == pytest.approx(np.mean(np.abs(d.mean(axis=1)) > half), abs=0.01)


def test_a_search_that_trains_nothing_again_has_nothing_to_plan() -> None:
    search = Study(experiment(), seeds=1, name="search").search({"lr": log(0.01, 1.0)}, trials=4)
    with pytest.raises(LabError, match=r"its trials get no verdict(.|\n)*retrain\(\)"):
        planned(search, None)


def test_the_command_that_a_plan_shows_names_the_folder_of_runs(lab, tmp_path: Path) -> None:
    runs = tmp_path / "my runs"
    store_study(runs)
    result = CliRunner().invoke(cli, ["plan", str(tmp_path / "toy.py"), "--detect", "0.02", "--runs", str(runs)])
    assert result.output.splitlines()[-1].endswith(f" --runs '{runs}'")
