"""Cross-validation as the replication: every fold is a run of each arm, paired, with the corrected test."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lab_report.html import render_report
from lab_report.tables import comparison_table
from rich.console import Console
from scipy import stats
from torch.utils.data import TensorDataset

from lab import Data, Study, TaskRun, use
from lab.errors import StudyError
from lab.registry.plugins import Catalog
from lab.report.documents import study_document
from lab.report.terminal import print_results
from lab.study.compare import compare_arms, factorial_effects
from lab.study.execute import run_study
from lab.study.folds import describe_fold, units
from lab.study.preflight import plan_study
from lab.study.record import read_study
from lab.study.results import Results
from lab.study.store import Store
from lab.study.workspace import Workspace
from tests.kernel.toys import COMPONENTS, Points, experiment, plugin_module

SIZE = 24


def folded(*, noise: float = 0.1, folds: int | None = None, fold: int = 0, split_seed: int = 3) -> Points:
    """Points of which one fold validates."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SIZE, 2, generator=generator)
    targets = inputs.sum(1, keepdim=True) + noise * torch.randn(SIZE, 1, generator=generator)
    order = np.random.default_rng(split_seed).permutation(SIZE)
    parts = np.array_split(order, folds or 4)
    valid, train = parts[fold], np.concatenate([part for i, part in enumerate(parts) if i != fold])
    return Points(
        TensorDataset(inputs[train], targets[train]),
        TensorDataset(inputs[valid], targets[valid]),
        fingerprint=f"folded {noise} {folds} {fold} {split_seed}",
    )


def around(*, dataset: Data) -> Data:
    """The same data, in a wrapper."""
    return dataset


def fixed(*, folds: int | None = None, fold: int = 0) -> Points:
    """Folds whose partition cannot be drawn again."""
    return folded(folds=folds, fold=fold)


def trained(run: TaskRun, *, fold: int = 0, folds: int = 2, split_seed: int = 7, lift: float = 0.0) -> dict[str, float]:
    """A training function with folds of its own."""
    return {"valid_accuracy": 0.5 + 0.01 * fold + 0.001 * split_seed + lift + 1e-4 * run.seed**2}


@pytest.fixture
def catalog() -> Catalog:
    datasets = {"points": COMPONENTS["lab_datasets"]["points"], "folded": folded, "fixed": fixed}
    datasets["around"] = around
    catalog = Catalog(strict=True)
    catalog.add_module(plugin_module(**{**COMPONENTS, "lab_datasets": datasets}), "toys", "1.0")
    return catalog


def study(**options: Any) -> Study:
    recipe = experiment(dataset="folded", epochs=1)
    return Study(recipe, **{"folds": 4, "seeds": 2, "name": "cv", **options}).swap("lr", {"fast": 0.2})


def value_at(run: Any, name: str) -> Any:
    return run.experiment.value_at(f"dataset.{name}")


def test_every_arm_runs_once_per_fold_of_every_repetition(catalog: Catalog, tmp_path: Path) -> None:
    plan = plan_study(study(), Workspace.open(tmp_path, catalog, "cpu"))
    for arm in ("base", "fast"):
        runs = [run for run in plan.runs if run.arm == arm]
        assert [(run.seed, value_at(run, "fold")) for run in runs] == [(seed, seed % 4) for seed in range(8)]
        assert {value_at(run, "folds") for run in runs} == {4}
        assert [value_at(run, "split_seed") for run in runs] == [3, 3, 3, 3, 4, 4, 4, 4]
    assert len({run.key for run in plan.runs}) == 16
    assert list(plan.checks) == ["base", "fast"]


def test_folds_of_a_repetition_validate_every_example_once(catalog: Catalog, tmp_path: Path) -> None:
    plan = plan_study(study(), Workspace.open(tmp_path, catalog, "cpu"))
    for repetition in (0, 1):
        runs = [run for run in plan.runs if run.arm == "base" and run.seed // 4 == repetition]
        seen = torch.cat([run.data.valid.tensors[0] for run in runs])
        assert len(torch.unique(seen, dim=0)) == len(seen) == SIZE


def test_seeds_that_are_given_name_the_repetitions(catalog: Catalog) -> None:
    assert study(seeds=[0, 5]).seed_list == units(4, [0, 5]) == [0, 1, 2, 3, 20, 21, 22, 23]
    assert study(seeds=2).with_seeds(3).seed_list == list(range(12))
    assert describe_fold(study().rules, 6) == "fold 2 of repetition 1"


@pytest.fixture
def results(catalog: Catalog, tmp_path: Path) -> Results:
    return run_study(study(), runs=tmp_path, catalog=catalog)


def test_the_interval_is_that_of_nadeau_and_bengio(results: Results) -> None:
    (_, row) = results.compare()
    base, fast = (results.scores(name, "valid_loss") for name in ("base", "fast"))
    d = np.array([fast[seed] - base[seed] for seed in range(8)])
    half = stats.t.ppf(0.975, 7) * d.std(ddof=1) * np.sqrt(1 / 8 + 1 / 3)
    assert row.comparison.n == 8
    assert row.comparison.difference == pytest.approx(d.mean())
    assert row.comparison.high - row.comparison.difference == pytest.approx(half)
    assert "not comparable" not in row.comparison.verdict
    assert any("cross-validation with 4 folds" in text for text in results.caveats(results.compare()))


def test_a_worked_example_of_the_corrected_test() -> None:
    # 5 folds, once, by hand: mean 0.02, spread 0.01581, error 0.01581 · sqrt(1/5 + 1/4) = 0.010607, t = 1.8856
    d = dict(enumerate([0.01, 0.04, 0.00, 0.02, 0.03]))
    (found,) = compare_arms(dict.fromkeys(d, 0.7), {"a": {s: 0.7 + v for s, v in d.items()}}, higher_is_better=True,
                            overlap=1 / 4)  # fmt: skip
    assert found.p == pytest.approx(2 * stats.t.sf(1.8856, 4), rel=1e-3)
    assert found.p == pytest.approx(0.1325, abs=1e-3)
    # what the test without the correction calls significant
    (plain,) = compare_arms(dict.fromkeys(d, 0.7), {"a": {s: 0.7 + v for s, v in d.items()}}, higher_is_better=True)
    assert plain.p < 0.05 < found.p
    assert plain.is_better
    assert found.is_better is None


def test_effects_of_a_grid_are_corrected_too() -> None:
    rng = np.random.default_rng(0)
    cells = {f"{a}{b}": {"a": str(a), "b": str(b)} for a in (0, 1) for b in (0, 1)}
    scores = {name: dict(enumerate(rng.normal(size=5))) for name in cells}
    plain, corrected = (
        factorial_effects(cells, scores, higher_is_better=True, overlap=overlap) for overlap in (0.0, 0.25)
    )
    for one, other in zip(plain, corrected, strict=True):
        assert other.high - other.effect == pytest.approx((one.high - one.effect) * np.sqrt((1 / 5 + 1 / 4) * 5))


def test_rows_say_the_fold_and_the_record_gives_the_same_table(results: Results, tmp_path: Path) -> None:
    results.write_csv(tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["fold"], row["repetition"]) for row in rows[:5]] == [
        *(("base", str(fold), "0") for fold in range(4)),
        ("base", "0", "1"),
    ]
    read = read_study(Store(tmp_path), "cv").results(Store(tmp_path))
    one, other = (each.compare()[1].comparison for each in (read, results))
    assert (one.low, one.high, one.verdict) == (other.low, other.high, other.verdict)
    assert read.folds == 4
    assert "fold" in read.frame().columns


@pytest.mark.parametrize(("seeds", "paired_by"), [(1, "fold"), (2, "seed and fold")])
def test_every_text_says_that_folds_are_the_pairs(catalog: Catalog, tmp_path: Path, seeds: int, paired_by: str) -> None:
    results = run_study(study(seeds=seeds), runs=tmp_path, catalog=catalog)
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_results(results, [], console, wide=True)
    shown = console.file.getvalue()
    assert f"paired by {paired_by}, and" in shown
    assert f"paired by {paired_by}, with" in comparison_table(results).note
    page = render_report(read_study(Store(tmp_path), "cv"), results)
    assert f"paired by {paired_by}, with intervals" in page
    for text in (shown, page):
        assert "over folds" in text
        assert not re.search(r"\d seeds|(of|over|n:|single) seeds|paired by seed,", text)


def test_a_grid_over_folds_counts_folds(catalog: Catalog, tmp_path: Path) -> None:
    question = Study(experiment(dataset="folded", epochs=1), folds=3, seeds=1, name="grid")
    results = run_study(question.grid({"lr": [0.01, 0.2], "batch_size": [4, 8]}), runs=tmp_path, catalog=catalog)
    assert {effect.unit for effect in results.effects()} == {"fold"}
    assert not any("seed" in effect.verdict for effect in results.effects())


def test_repetitions_are_added_without_training_folds_again(catalog: Catalog, tmp_path: Path) -> None:
    run_study(study(seeds=1), runs=tmp_path, catalog=catalog)
    plan = plan_study(study(seeds=2), Workspace.open(tmp_path, catalog, "cpu"))
    assert {run.seed for run in plan.to_do} == {4, 5, 6, 7}


def test_a_training_function_may_have_folds(catalog: Catalog, tmp_path: Path) -> None:
    question = Study(
        use(trained), folds=3, seeds=2, compare="valid_accuracy", higher_is_better=True, name="function"
    ).swap("lift", {"lifted": 0.1})
    results = run_study(question, runs=tmp_path, catalog=catalog)
    found = [results.scores("base", "valid_accuracy")[seed] for seed in range(6)]
    assert found == pytest.approx([0.5 + 0.01 * (s % 3) + 0.001 * (7 + s // 3) + 1e-4 * s**2 for s in range(6)])


def test_a_dataset_inside_another_gets_the_folds(catalog: Catalog) -> None:
    question = Study(experiment(dataset=use("around", dataset="folded")), folds=4, seeds=2)
    (base,) = question.resolve(catalog)
    assert base.experiment_of(6).value_at("dataset.dataset.fold") == 2
    assert base.experiment_of(6).value_at("dataset.dataset.split_seed") == 4
    assert base.experiment.value_at("dataset.dataset.folds") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folds": 1}, "folds must be at least 2, not 1"),
        ({"folds": 2.5}, "folds must be a whole number, not float"),
        ({"folds": 3, "seeds": [-1]}, "seeds of repetitions of folds are at least 0, not -1"),
    ],
)
def test_wrong_folds_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        study(**options)


def test_what_cannot_have_folds_says_so(catalog: Catalog) -> None:
    plain = Study(experiment(), folds=3)
    assert any("has no parameters 'folds' and 'fold', which Study(folds=3) sets" in p for p in plain.problems(catalog))
    once = Study(experiment(dataset="fixed"), folds=3, seeds=2)
    assert any("no whole number 'split_seed'" in problem for problem in once.problems(catalog))
    assert Study(experiment(dataset="fixed"), folds=3, seeds=1).problems(catalog) == []
    assert any("compare a metric of the validation split" in p for p in study(compare="test_loss").problems(catalog))
    own = Study(experiment(dataset="folded"), folds=3).swap("dataset.fold", {"second": 1})
    assert any("changes dataset.fold, which Study(folds=3) sets" in problem for problem in own.problems(catalog))
    searched = Study(experiment(dataset="folded"), folds=3).search({"lr": (0.1, 0.2)}, trials=2)
    assert any("folds go with arms of swap, remove and grid, not with search" in p for p in searched.problems(catalog))


def test_documents_have_the_seeds_of_all_folds(catalog: Catalog) -> None:
    arms = study().resolve(catalog)
    assert study_document(study(), arms)["seeds"] == list(range(8))
