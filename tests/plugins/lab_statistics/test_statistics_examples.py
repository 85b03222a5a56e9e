"""Scores of single examples: what runs keep, and what is said of their differences."""

from __future__ import annotations

import shlex
from pathlib import Path

import attrs
import numpy as np
import pandas as pd
import pytest
import torch
from lab_statistics.by_example import (
    complete_scores,
    describe_arm,
    differences_of,
    family_of,
    read_columns,
    score_to_compare,
    sections,
    target_columns,
)
from lab_statistics.crossed import (
    bootstrap_interval,
    crossed_interval,
    crossed_means,
    mcnemar,
    slices_of,
    small_slices,
)
from lab_statistics.examples import FILE, TooSlowError, is_kept, keep_scores, read_scores, scores_of_examples
from lab_statistics.selection import CrossFitted, half_of_examples
from scipy import stats
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from lab import Data, Learner, Study, mean_over
from lab.errors import DataError, LabError
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.study.results import Results
from lab.study.store import Store
from tests.kernel.toys import experiment

# --- statistics -------------------------------------------------------------------------------------------------------


def test_mean_squares_of_the_crossed_interval_are_those_of_statsmodels() -> None:
    ols = pytest.importorskip("statsmodels.formula.api").ols
    anova_lm = pytest.importorskip("statsmodels.stats.anova").anova_lm
    n, count = 4, 7
    d = np.random.default_rng(0).normal(size=(n, count)) + np.arange(n)[:, None] + np.arange(count) / 3
    frame = pd.DataFrame({"d": d.ravel(), "s": np.repeat(range(n), count), "e": np.tile(range(count), n)})
    table = anova_lm(ols("d ~ C(s) + C(e)", frame).fit())
    seeds, examples, residual = table["mean_sq"]
    whole = seeds + examples - residual
    mean, variance, freedom = crossed_means(d)
    assert float(mean) == pytest.approx(d.mean())
    assert float(variance) == pytest.approx(whole / (n * count))
    parts = seeds**2 / (n - 1) + examples**2 / (count - 1) + residual**2 / ((n - 1) * (count - 1))
    assert float(freedom) == pytest.approx(whole**2 / parts)


def test_without_differences_between_examples_the_interval_is_that_over_seeds() -> None:
    of_seeds = np.array([0.1, 0.4, 0.3])
    found = crossed_interval(np.repeat(of_seeds[:, None], 50, axis=1))
    low, high = stats.t.interval(0.95, 2, of_seeds.mean(), stats.sem(of_seeds))
    assert (found.fixed_low, found.fixed_high) == pytest.approx((low, high))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.seed_share == pytest.approx(1)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_have_no_interval_for_other_seeds(seeds: int) -> None:
    found = crossed_interval(np.array([[0.1, 0.2, 0.4], [0.3, 0.2, 0.4]])[:seeds])
    assert np.isnan([found.low, found.fixed_low, found.seed_share]).all()
    assert found.difference == pytest.approx([0.7 / 3, 1.6 / 6][seeds - 1])


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_differences_that_are_all_equal_have_no_interval(value: float) -> None:
    found = crossed_interval(np.full((3, 7), value))
    assert np.isnan([found.low, found.fixed_low, found.seed_share]).all()
    assert found.difference == pytest.approx(value)


def test_seeds_with_equal_means_have_no_interval_on_these_examples() -> None:
    found = crossed_interval(np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    assert np.isnan(found.fixed_low)
    assert found.low < 1 / 3 < found.high


def test_the_bootstrap_interval_is_that_of_scipy() -> None:
    d = np.random.default_rng(1).exponential(size=80)
    reference = stats.bootstrap(
        (d,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert bootstrap_interval(d) == pytest.approx((reference.low, reference.high), abs=0.02)
    assert bootstrap_interval(d) == bootstrap_interval(d)


@pytest.mark.parametrize("seed", range(4))
def test_mcnemar_is_that_of_statsmodels(seed: int) -> None:
    reference = pytest.importorskip("statsmodels.stats.contingency_tables").mcnemar
    base, arm = np.random.default_rng(seed).random((2, 60)) < np.array([[0.5], [0.7]])
    lost, won, p = mcnemar(base, arm)
    table = [[int((base & arm).sum()), lost], [won, int((~base & ~arm).sum())]]
    assert p == pytest.approx(reference(table, exact=True).pvalue)


def test_equal_classifiers_have_p_one() -> None:
    assert mcnemar(np.ones(5), np.ones(5)) == (0, 0, 1.0)


def test_slices_hold_together_and_numbers_are_cut_at_quartiles() -> None:
    d = np.random.default_rng(0).normal(size=(3, 40))
    found = slices_of(d, {"class": ["a", "b"] * 20, "length": list(range(40)), "rare": ["x"] * 2 + ["y"] * 38})
    assert [each.name for each in found][:2] == ["class = a", "class = b"]
    assert [each.found.examples for each in found] == [20, 20, 10, 10, 10, 10, 38]
    alone = crossed_interval(d[:, ::2])
    assert found[0].found.low == found[0].low < alone.low
    assert small_slices({"rare": ["x"] * 2 + ["y"] * 38}) == ["rare = x"]


def test_slices_of_two_seeds_have_students_interval_over_their_examples() -> None:
    d = np.random.default_rng(0).normal(size=(2, 40))
    (found,) = slices_of(d, {"all": ["a"] * 40})
    of_examples = d.mean(axis=0)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 39, of_examples.mean(), stats.sem(of_examples))
    )
    assert np.isnan(found.found.low)


# --- scores of runs ---------------------------------------------------------------------------------------------------


class Accuracy:
    higher_is_better = True

    def reset(self) -> None:
        self.right = self.count = 0

    def update(self, output: torch.Tensor, target: torch.Tensor) -> None:
        self.right += int((output.argmax(1) == target).sum())
        self.count += len(target)

    def compute(self) -> float:
        return self.right / self.count

    __init__ = reset


class Largest(Accuracy):
    """The largest logit: no mean over examples."""

    def reset(self) -> None:
        self.found = -10.0

    def update(self, output: torch.Tensor, target: torch.Tensor) -> None:
        self.found = max(self.found, float(output.max()))

    def compute(self) -> float:
        return self.found

    __init__ = reset


class Recall(Accuracy):
    """Share of the examples of class 0 that are found: no mean over examples, but a ratio of sums."""

    def reset(self) -> None:
        self.counts: list[tuple[float, float]] = []

    def update(self, output: torch.Tensor, target: torch.Tensor) -> None:
        self.counts += [(float(t == 0 == o), float(t == 0)) for o, t in zip(output.argmax(1), target, strict=True)]

    def compute(self) -> float:
        return float(self.score_of_statistics(self.example_statistics().sum(axis=0)))

    def example_statistics(self) -> np.ndarray:
        return np.array(self.counts)

    @staticmethod
    def score_of_statistics(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / sums[..., 1]

    __init__ = reset


def classes() -> Data:
    generator = torch.Generator().manual_seed(0)
    inputs, target = torch.randn(60, 4, generator=generator), torch.arange(60) % 3
    return Data(TensorDataset(inputs[:30], target[:30]), TensorDataset(inputs[30:], target[30:]), fingerprint="classes")


def learner(loss: object, **options: object) -> Learner:
    torch.manual_seed(0)
    return Learner(nn.Linear(4, 3), classes(), loss, progress=False, batch_size=8, **options)  # type: ignore[arg-type]


def test_the_mean_over_examples_is_the_score_of_the_split() -> None:
    made = learner(functional.cross_entropy, metrics={"accuracy": Accuracy(), "largest": Largest()})
    found, whole = scores_of_examples(made), made.validate()
    assert found["loss"].mean() == pytest.approx(whole["valid_loss"])
    assert found["accuracy"].mean() == pytest.approx(whole["valid_accuracy"])
    assert set(found) == {"loss", "weight", "accuracy"}


def test_a_metric_of_sums_keeps_its_counts_and_parts_whose_mean_is_the_score() -> None:
    made = learner(functional.cross_entropy, metrics={"recall": Recall(), "accuracy": Accuracy()})
    found, whole = scores_of_examples(made), made.validate()
    assert set(found) == {"loss", "weight", "accuracy", "recall", "recall statistics"}
    assert found["recall"].mean() == pytest.approx(whole["valid_recall"])
    assert found["recall statistics"].sum(axis=0)[1] == 10
    # an example of another class has no part in the recall beyond its mean
    assert np.ptp(found["recall"][made.data.valid.tensors[-1].numpy() > 0]) == pytest.approx(0)


def test_the_epoch_of_a_metric_of_sums_can_be_cross_fitted() -> None:
    made = learner(functional.cross_entropy, metrics={"recall": Recall()}, callbacks=[CrossFitted(of="valid_recall")])
    made.fit(2)
    counts = scores_of_examples(made)["recall statistics"]
    halves = [counts[chosen].sum(axis=0) for chosen in (half_of_examples(30), ~half_of_examples(30))]
    fitted = next(each for each in made.callbacks if each.name == "cross_fitted")
    assert [half[-1] for half in fitted.halves] == pytest.approx([each[0] / each[1] for each in halves])


def test_examples_stand_in_the_order_of_the_split() -> None:
    made = learner(functional.cross_entropy)
    inputs, target = made.data.valid.tensors
    with torch.no_grad():
        expected = functional.cross_entropy(made.model(inputs), target, reduction="none")
    assert scores_of_examples(made)["loss"] == pytest.approx(expected.numpy(), abs=1e-6)


@mean_over(lambda output, target: (target != 0).sum())
def without_zero(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, target, ignore_index=0, reduction="sum") / (target != 0).sum()


def test_a_loss_that_ignores_targets_counts_examples_by_their_weight() -> None:
    made = learner(without_zero)
    found = scores_of_examples(made)
    assert set(found["weight"]) == {0.0, 1.0}
    mean = (found["loss"] * found["weight"]).sum() / found["weight"].sum()
    assert mean == pytest.approx(made.validate()["valid_loss"])


def of_the_batch(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A loss that mixes examples."""
    return functional.cross_entropy(output, target) + output.std()


def test_a_loss_that_mixes_examples_is_taken_of_batches_of_one() -> None:
    made = learner(of_the_batch)
    inputs, target = made.data.valid.tensors
    with torch.no_grad():
        expected = [float(of_the_batch(made.model(inputs[i : i + 1]), target[i : i + 1])) for i in range(30)]
    assert list(scores_of_examples(made)["loss"]) == pytest.approx(expected, abs=1e-6)


class StepFirst(nn.Linear):
    """Outputs with time first, as of recurrent networks."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs).unsqueeze(0).expand(5, -1, -1)


def steps_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output.flatten(0, 1), target.unsqueeze(0).expand(len(output), -1).flatten())


def test_a_second_dimension_that_does_not_fit_the_target_leads_to_batches_of_one() -> None:
    made = Learner(StepFirst(4, 3), classes(), steps_loss, progress=False, batch_size=8)
    assert scores_of_examples(made)["loss"].mean() == pytest.approx(made.validate()["valid_loss"], abs=1e-6)


def test_scoring_stops_where_it_takes_too_long() -> None:
    with pytest.raises(TooSlowError):
        scores_of_examples(learner(functional.cross_entropy), seconds=0)


# --- studies ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _short_runs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab_statistics.examples.MIN_TRAINING_S", 0.0)


@pytest.fixture
def results(catalog: Catalog, tmp_path: Path) -> Results:
    study = Study(experiment(epochs=1), seeds=3, name="examples").swap("architecture.width", {"wide": 8})
    return run_study(study, runs=tmp_path, catalog=catalog)


def test_runs_keep_the_scores_of_their_examples(results: Results) -> None:
    for run in results.runs:
        assert is_kept(run)
        scores = read_scores(run)
        mean = np.average(scores["loss"], weights=scores["weight"])
        assert mean == pytest.approx(run.metrics["valid_loss"], rel=1e-5)


def test_a_run_that_trains_for_milliseconds_keeps_none(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab_statistics.examples.MIN_TRAINING_S", 60.0)
    study = Study(experiment(epochs=1), seeds=1, name="examples")
    assert not any(is_kept(run) for run in run_study(study, runs=tmp_path, catalog=catalog).runs)


def test_scores_that_cannot_be_kept_are_told(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise ValueError("no scores today")

    warnings: list[str] = []
    monkeypatch.setattr("lab_statistics.examples.scores_of_examples", fails)
    monkeypatch.setattr(catalog, "warn", warnings.append)
    found = run_study(Study(experiment(epochs=1), seeds=1, name="examples"), runs=tmp_path, catalog=catalog)
    assert [run.status for run in found.runs] == ["finished"]
    assert "are not kept: ValueError: no scores today" in warnings[0]


def test_the_switch_keeps_none(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_EXAMPLES", "0")
    results = run_study(Study(experiment(epochs=1), seeds=1, name="none"), runs=tmp_path, catalog=catalog)
    assert not is_kept(results.runs[0])
    with pytest.raises(LabError, match=r"kept no scores of examples(.|\n)*lab by-example STUDY computes them"):
        read_scores(results.runs[0])


def test_scores_that_were_not_kept_are_computed_from_the_store(
    results: Results, catalog: Catalog, tmp_path: Path
) -> None:
    before = [read_scores(run)["loss"] for run in results.runs]
    for run in results.runs:
        (run.folder / FILE).unlink()
    complete_scores(results, Store(tmp_path), catalog)
    assert [list(read_scores(run)["loss"]) for run in results.runs] == [list(losses) for losses in before]


def test_a_damaged_file_is_named(results: Results) -> None:
    (results.runs[0].folder / FILE).write_bytes(b"rubbish")
    with pytest.raises(LabError, match=r"examples\.safetensors of run .* is damaged"):
        read_scores(results.runs[0])


def test_the_difference_is_that_of_the_table(results: Results) -> None:
    seeds, base, arm = differences_of(results, "wide", "loss")
    assert seeds == [0, 1, 2]
    assert float((arm - base).mean()) == pytest.approx(results.compare()[1].comparison.difference, rel=1e-4)


def test_an_arm_is_described_with_both_intervals_and_the_examples_that_changed(results: Results) -> None:
    text = describe_arm(results, "wide", score_to_compare(results), columns={"half": [0] * 4 + [1] * 4}, top=2)
    assert "with other seeds and other examples [" in text
    assert "with other seeds, on these examples [" in text
    assert "(paired bootstrap)" in text
    assert text.count(" of 3\n") + text.endswith(" of 3") == 2


def keep_accuracies(results: Results, differences: np.ndarray) -> None:
    """Keep these differences (seeds, examples) of the arm from a base that has none right."""
    for run in results.runs:
        values = differences[run.seed] if run.arm != "base" else np.zeros(differences.shape[1])
        keep_scores(run.folder, {"accuracy": values})


def test_slices_say_what_was_left_out_and_which_have_no_spread(results: Results) -> None:
    d = np.zeros((3, 20))
    d[:, 10:16] = np.random.default_rng(0).normal(size=(3, 6))
    keep_accuracies(results, d)
    text = describe_arm(results, "wide", "accuracy", columns={"class": ["a"] * 10 + ["b"] * 6 + ["c"] * 3 + ["d"]})
    assert "by slice (intervals with other seeds and other examples, together 95 %):" in text
    assert "class = a: +0 (10 examples, without a spread: no interval)" in text
    assert "class = b: " in text
    assert "(6 examples)" in text
    assert "2 slices have fewer than 5 examples and are left out: class = c, class = d" in text
    only_small = describe_arm(results, "wide", "accuracy", columns={"id": [str(i) for i in range(20)]})
    assert "by slice" not in only_small
    assert "20 slices have fewer than 5 examples and are left out: id = 0, " in only_small
    assert " and 14 more" in only_small


def test_an_arm_that_changes_no_example_has_no_interval(results: Results) -> None:
    keep_accuracies(results, np.zeros((3, 20)))
    text = describe_arm(results, "wide", "accuracy")
    assert "no interval: the difference is the same in every seed, and in every example on average" in text
    assert "[" not in text
    assert "nan" not in text


@pytest.mark.parametrize(
    ("of_seeds", "of_examples", "text"),
    [
        (0.01, 1.0, "more examples would help, more seeds little"),
        (0.3, 1.0, "more of both would help, "),
        (1.0, 0.01, "more seeds would help, more examples little"),
    ],
)
def test_what_would_help_follows_from_the_shares(
    results: Results, of_seeds: float, of_examples: float, text: str
) -> None:
    seeds, examples = np.array([-1.0, 0.0, 1.0]), np.linspace(-1, 1, 20)
    keep_accuracies(results, of_seeds * seeds[:, None] + of_examples * examples)
    lines = describe_arm(results, "wide", "accuracy").splitlines()
    (line,) = (line for line in lines if "share of the variance" in line)
    assert text in line
    shares = [int(part.split("%")[0].split()[-1]) for part in line.split(" due to ")[:2]]
    assert sum(shares) == 100


def test_arms_that_are_not_shown_count_as_in_the_table(catalog: Catalog, tmp_path: Path) -> None:
    study = Study(experiment(epochs=1), seeds=3, name="arms")
    results = run_study(study.swap("lr", {"a": 0.1, "b": 0.2, "c": 0.3}), runs=tmp_path, catalog=catalog)
    assert family_of(results, "loss") == 3
    text = describe_arm(results, "b", "loss")
    (row,) = (row for row in results.compare() if row.name == "b")
    low, high = map(float, text.split("on these examples [")[1].split("]")[0].split(", "))
    assert (low, high) == pytest.approx((row.comparison.low, row.comparison.high), rel=2e-3)


def test_the_report_has_one_line_per_arm_in_the_terminal(results: Results) -> None:
    (section,) = sections(results.study, results.runs)
    assert section.text.splitlines()[0].startswith("wide: Δ loss ")
    root = results.runs[0].folder.parent.parent
    assert section.text.splitlines()[-1] == f"more: lab by-example examples --runs {shlex.quote(str(root))}"
    assert "examples that changed most" in section.html


def test_arms_on_other_examples_are_not_compared(results: Results) -> None:
    run = results.runs[-1]
    keep_scores(run.folder, {"loss": np.zeros(3), "weight": np.ones(3)})
    with pytest.raises(LabError, match="evaluated on other examples"):
        differences_of(results, "wide", "loss")
    assert sections(results.study, results.runs) == []


def test_arms_evaluated_on_one_example_are_not_compared_example_by_example(results: Results) -> None:
    for run in results.runs:
        keep_scores(run.folder, {"loss": np.ones(1) * run.seed, "weight": np.ones(1)})
    with pytest.raises(LabError, match="evaluated on one example"):
        differences_of(results, "wide", "loss")
    assert sections(results.study, results.runs) == []


def test_so_few_examples_have_no_interval_for_other_examples(results: Results) -> None:
    for run in results.runs:
        keep_scores(run.folder, {"loss": (run.arm == "wide") * np.arange(1.0, 4.0) ** run.seed, "weight": np.ones(3)})
    text = describe_arm(results, "wide", "loss")
    assert "with other examples, of these seeds: no interval, that takes at least 5 examples" in text
    assert "bootstrap" not in text


def test_slices_come_from_a_file_with_a_row_per_example(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "slices.csv"
    pd.DataFrame({"kind": ["a", "b"] * 4}).to_csv(path, index=False)
    assert read_columns(path, results) == {"kind": ["a", "b"] * 4}
    pd.DataFrame({"kind": ["a"]}).to_csv(path, index=False)
    with pytest.raises(DataError, match="the slices have 1 rows, the validation split 8 examples"):
        read_columns(path, results)


def test_classes_and_lengths_are_slices_by_themselves() -> None:
    data = classes()
    assert target_columns(data) == {"target": data.valid.tensors[-1].tolist()}
    with_length = attrs.evolve(data, length=lambda split: range(len(split)))
    assert target_columns(with_length)["length"] == [float(i) for i in range(30)]
    assert target_columns(None) == {}


def test_lab_examples_compares_an_arm_by_class(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from lab.cli.main import cli

    file = tmp_path / "pts.py"
    file.write_text(
        "from lab import Experiment, Study, use\n"
        'base = Experiment(dataset=use("points", count=200), architecture="mlp", loss="cross_entropy",\n'
        '    metrics=["accuracy"], epochs=1)\n'
        'study = Study(base, seeds=2).swap("lr", {"fast": 0.05})\n'
    )
    runs = str(tmp_path / "runs")
    assert CliRunner().invoke(cli, ["run", str(file), "--runs", runs, "--quiet"]).exit_code == 0
    result = CliRunner().invoke(cli, ["by-example", "pts", "--runs", runs, "--score", "accuracy", "--top", "3"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("fast: Δ accuracy of 25 examples, 2 seeds: ")
    assert "McNemar p of each seed: " in result.output
    assert "two seeds: paired bootstrap over their examples" in result.output
    assert "no interval for other seeds: that takes at least 3 seeds" in result.output
    assert "with other seeds and" not in result.output
    assert "by slice" not in result.output or "target = 0" in result.output
    unknown = CliRunner().invoke(cli, ["by-example", "pts", "--runs", runs, "--arm", "fats"])
    assert "did you mean: fast?" in str(unknown.exception)
    base = CliRunner().invoke(cli, ["by-example", "pts", "--runs", runs, "--arm", "base"])
    assert "'base' is what arms are compared with" in str(base.exception)


def test_an_arm_has_the_same_intervals_alone_and_beside_others(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from lab.cli.main import cli

    file = tmp_path / "pts.py"
    file.write_text(
        "from lab import Experiment, Study, use\n"
        'base = Experiment(dataset=use("points", count=100), architecture="mlp", loss="cross_entropy", epochs=1)\n'
        'study = Study(base, seeds=3).swap("lr", {"fast": 0.05, "faster": 0.1})\n'
    )
    runs = str(tmp_path / "runs")
    assert CliRunner().invoke(cli, ["run", str(file), "--runs", runs, "--quiet"]).exit_code == 0
    both, one = (
        CliRunner().invoke(cli, ["by-example", "pts", "--runs", runs, *options]).stdout
        for options in ((), ("--arm", "faster"))
    )
    assert both.split("\n\n")[1].strip() == one.strip()
