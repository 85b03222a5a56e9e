"""Means of predictions: worked numbers, arms of a study, and the command `lab ensemble`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from lab_basics.ensembles import MeanOf, average_for, check_average, mean_prediction, score_ensemble
from torch.nn import functional

from lab import Experiment, Study, load, run_study, use
from lab.cli.main import cli
from lab.errors import LabError, ParameterError, ShapeError, StudyError
from lab.registry.plugins import load_catalog
from lab.study.results import Results
from tests.kernel.machine_documents import document


def base(**changes: Any) -> Experiment:
    settings: dict[str, Any] = {
        "dataset": use("points", count=120, noise=1.5),
        "architecture": use("mlp", hidden_size=4),
        "loss": "cross_entropy",
        "optimizer": "adam",
        "metrics": ["accuracy"],
        "lr": 1e-2,
        "batch_size": 32,
        "epochs": 2,
    }
    return Experiment(**{**settings, **changes})


def study(**changes: Any) -> Study:
    wide = Study(base(**changes), seeds=2, name="wide").swap("architecture.hidden_size", {"wide": 16})
    return wide.ensemble({"both": ["base", "wide"]})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ensembles")


@pytest.fixture(scope="module")
def results(runs: Path) -> Results:
    return run_study(study(), runs=runs, catalog=load_catalog())


def keys_of(results: Results, arm: str) -> dict[int, str]:
    return {run.seed: run.key for run in results.runs if run.arm == arm}


def command(arguments: list[str]) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_the_mean_of_classes_is_that_of_probabilities() -> None:
    one, other = torch.tensor([[0.9, 0.1], [0.5, 0.5]]), torch.tensor([[0.2, 0.8], [0.3, 0.7]])
    # logits may have any offset
    mean = mean_prediction([one.log() + 3, other.log()], "classes")
    torch.testing.assert_close(mean.exp(), torch.tensor([[0.55, 0.45], [0.4, 0.6]]))
    torch.testing.assert_close(mean.softmax(-1), mean.exp())


def test_the_mean_of_yes_or_no_is_that_of_probabilities() -> None:
    mean = mean_prediction([torch.tensor([0.9, 0.1]).logit(), torch.tensor([0.2, 0.1]).logit()], "binary")
    torch.testing.assert_close(mean.sigmoid(), torch.tensor([0.55, 0.1]))


def test_the_mean_of_certain_predictions_is_finite() -> None:
    sure = torch.tensor([[200.0, 0.0]])
    assert mean_prediction([sure, sure], "classes")[0, 1].item() == pytest.approx(-200)
    assert mean_prediction([torch.tensor([200.0]), torch.tensor([-200.0])], "binary").item() == pytest.approx(0)


def test_the_mean_of_values_is_their_mean() -> None:
    assert mean_prediction([torch.tensor([1.0]), torch.tensor([4.0])], "values").item() == 2.5


def test_outputs_of_different_shapes_have_no_mean() -> None:
    with pytest.raises(ShapeError, match=r"\(1, 2\), \(1, 3\)"):
        mean_prediction([torch.zeros(1, 2), torch.zeros(1, 3)], "classes")


def test_an_output_that_is_no_tensor_has_no_mean() -> None:
    with pytest.raises(ShapeError, match="one tensor each, not"):
        mean_prediction([(torch.zeros(1), torch.zeros(1))] * 2, "values")  # type: ignore[list-item]


def test_the_cross_entropy_of_a_mean_is_at_most_the_mean_cross_entropy() -> None:
    # Jensen's inequality, which is why an ensemble of equals does not get worse
    outputs, target = list(torch.randn(5, 30, 7)), torch.arange(30) % 7
    mean = functional.cross_entropy(mean_prediction(outputs, "classes"), target)
    assert mean <= sum(functional.cross_entropy(each, target) for each in outputs) / 5


def test_a_loss_says_what_is_averaged() -> None:
    assert [average_for(name) for name in ("cross_entropy", "bce", "mse")] == ["classes", "binary", "values"]
    with pytest.raises(ParameterError, match="'cos_loss' does not say"):
        average_for("cos_loss")


def test_an_arm_is_the_mean_of_other_arms(results: Results, runs: Path) -> None:
    catalog = load_catalog()
    for seed in (0, 1):
        learners = [load(keys_of(results, arm)[seed], runs, catalog=catalog) for arm in ("base", "wide")]
        inputs, target = learners[0].data.valid.tensors
        outputs = [learner.predict(inputs) for learner in learners]
        mean = torch.stack([output.softmax(-1) for output in outputs]).mean(0)
        expected = functional.nll_loss(mean.log(), target).item()
        assert results.scores("both", "valid_loss")[seed] == pytest.approx(expected, abs=1e-6)
        accuracy = (mean.argmax(-1) == target).float().mean().item()
        assert results.scores("both", "valid_accuracy")[seed] == pytest.approx(accuracy)


def test_a_mean_arm_is_paired_with_the_base_and_costs_all_parameters(results: Results) -> None:
    row = next(row for row in results.compare() if row.name == "both")
    assert row.comparison is not None
    assert len(results.scores("both", "valid_loss")) == 2
    budget = {arm: results.scores(arm, "parameters")[0] for arm in ("base", "wide", "both")}
    assert budget["both"] == budget["base"] + budget["wide"]


def test_a_mean_arm_changes_no_weight_of_its_members(results: Results, runs: Path) -> None:
    catalog = load_catalog()
    mean = load(keys_of(results, "both")[0], runs, catalog=catalog)
    assert isinstance(mean.model, MeanOf)
    for member, arm in zip(mean.model.members, ("base", "wide"), strict=True):
        own = load(keys_of(results, arm)[0], runs, catalog=catalog).model.state_dict()
        assert all(torch.equal(value, own[name]) for name, value in member.state_dict().items())


def test_a_second_run_finds_the_mean_arms(results: Results, runs: Path) -> None:
    again = run_study(study(), runs=runs, catalog=load_catalog())
    assert [run.key for run in again.runs] == [run.key for run in results.runs]
    assert {run.arm for run in again.runs} == {"base", "wide", "both"}


def test_an_ensemble_of_which_a_member_was_left_out_is_left_out(runs: Path) -> None:
    found = run_study(study().select([]), runs=runs, catalog=load_catalog())
    assert {run.arm for run in found.runs} == {"base"}


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ({"both": ["base"]}, "at least two arms"),
        ({"both": ["base", "wid"]}, "unknown arm 'wid'"),
        ({"wide": ["base", "wide"]}, "there is an arm 'wide' already"),
        ({}, "ensemble takes {name:"),
    ],
)
def test_a_wrong_ensemble_is_a_problem_of_the_study(groups: Any, problem: str) -> None:
    wide = Study(base(), seeds=2, name="wide").swap("architecture.hidden_size", {"wide": 16})
    with pytest.raises(StudyError, match=problem):
        wide.ensemble(groups)


def test_a_loss_that_does_not_say_what_is_averaged_is_a_problem_of_the_study() -> None:
    wide = Study(base(loss="cos_loss"), seeds=2).swap("architecture.hidden_size", {"wide": 16})
    with pytest.raises(StudyError, match="say what is averaged"):
        wide.ensemble({"both": ["base", "wide"]})


def test_arms_on_other_datasets_have_no_mean(tmp_path: Path) -> None:
    other = Study(base(), seeds=1, name="other").swap("dataset", {"other": use("points", count=120, data_seed=3)})
    with pytest.raises(LabError, match="have other datasets"):
        run_study(other.ensemble({"both": ["base", "other"]}), runs=tmp_path, catalog=load_catalog())


def test_a_mean_of_one_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least two members, not 1"):
        MeanOf(members=[torch.nn.Linear(1, 1)])


def test_the_command_gives_what_the_arm_gives(results: Results, runs: Path) -> None:
    chosen = [keys_of(results, arm)[0] for arm in ("base", "wide")]
    output = command(["ensemble", *chosen, "--runs", str(runs)]).stdout
    row = next(line for line in output.splitlines() if line.startswith("mean "))
    loss, accuracy = map(float, row.split()[1:])
    assert loss == pytest.approx(results.scores("both", "valid_loss")[0], abs=1e-4)
    assert accuracy == pytest.approx(results.scores("both", "valid_accuracy")[0], abs=1e-4)
    assert "2 runs, 15 examples" in output


@pytest.mark.parametrize(
    ("average", "loss", "hint"),
    [
        ("binary", "cross_entropy", "average 'classes', or 'values' for the mean of the logits"),
        ("classes", "bce", "average 'binary', or 'values' for the mean of the logits"),
        ("classes", "mse", "average 'values'"),
    ],
)
def test_an_average_that_contradicts_the_loss_is_refused(average: Any, loss: str, hint: str) -> None:
    with pytest.raises(ParameterError, match=f"average '{average}' is the mean of") as caught:
        check_average(average, loss)
    assert str(caught.value).endswith(hint)
    wide = Study(base(loss=loss), seeds=2).swap("architecture.hidden_size", {"wide": 16})
    with pytest.raises(StudyError, match=f"but with loss '{loss}' outputs are"):
        wide.ensemble({"both": ["base", "wide"]}, average=average)


def test_the_command_refuses_sigmoids_of_a_softmax_classifier(results: Results, runs: Path) -> None:
    chosen = [keys_of(results, arm)[0] for arm in ("base", "wide")]
    error = str(command(["ensemble", *chosen, "--average", "binary", "--runs", str(runs)]).exception)
    assert "with loss 'cross_entropy' outputs are logits of classes" in error


def test_the_command_says_that_a_mean_of_logits_is_a_geometric_one(results: Results, runs: Path) -> None:
    chosen = [keys_of(results, arm)[0] for arm in ("base", "wide")]
    output = command(["ensemble", *chosen, "--average", "values", "--runs", str(runs)]).stdout
    assert output.endswith("the outputs are logits of classes: this is the geometric mean of the probabilities\n")


def test_scripts_get_the_mean_and_its_members_in_full(results: Results, runs: Path) -> None:
    chosen = [keys_of(results, arm)[0] for arm in ("base", "wide")]
    found = document(command(["ensemble", *chosen, "--format", "json", "--runs", str(runs)]).stdout, "ensemble")
    assert found["mean"]["valid_loss"] == pytest.approx(results.scores("both", "valid_loss")[0], abs=1e-6)
    assert [(each["arm"], each["seed"]) for each in found["members"]] == [("base", 0), ("wide", 0)]
    assert (found["split"], found["average"], found["examples"]) == ("valid", "classes", 15)


def test_members_keep_their_own_scores(results: Results, runs: Path) -> None:
    catalog = load_catalog()
    learners = {
        keys_of(results, arm)[1]: load(keys_of(results, arm)[1], runs, catalog=catalog) for arm in ("base", "wide")
    }
    scores = score_ensemble(learners, "test", "classes")
    for arm in ("base", "wide"):
        own = scores.members[keys_of(results, arm)[1]]
        assert own["test_loss"] == pytest.approx(results.scores(arm, "test_loss")[1])
    assert math.isclose(scores.mean["test_loss"], results.scores("both", "test_loss")[1], rel_tol=1e-6)


def test_runs_of_other_data_are_told_apart(results: Results, runs: Path) -> None:
    other = run_study(
        Study(base(dataset=use("points", count=120, noise=1.5, data_seed=1)), seeds=1, name="elsewhere"),
        runs=runs,
        catalog=load_catalog(),
    )
    error = str(command(["ensemble", keys_of(results, "base")[0], other.runs[0].key, "--runs", str(runs)]).exception)
    assert "are of other data" in error
    assert "targets of the same examples differ" in error


def test_one_run_is_no_ensemble(results: Results, runs: Path) -> None:
    key = keys_of(results, "base")[0]
    assert "at least two members" in str(command(["ensemble", key, "--runs", str(runs)]).exception)


def test_a_run_that_is_given_twice_is_refused(results: Results, runs: Path) -> None:
    key = keys_of(results, "base")[0]
    assert "is given twice" in str(command(["ensemble", key, key[:10], "--runs", str(runs)]).exception)
